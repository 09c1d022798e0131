//! The endpoint that serves the embedded files of [`super::assets`].

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::assets::{ASSETS, HASH};
use super::error::UiError;

/// Serves one file. A page that was loaded before an upgrade still gets the file by its old hash, but must not
/// cache it.
pub async fn show(Path((hash, name)): Path<(String, String)>) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return UiError::not_found("File not found").into_response();
    };
    let cache = if hash == *HASH { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [(header::CONTENT_TYPE, asset.media_type), (header::CACHE_CONTROL, cache)];
    let body = SCRIPTS.get(asset.name).map_or(asset.body, String::as_str);
    (headers, body).into_response()
}

/// The scripts without their comments, which are a quarter of their compressed size.
static SCRIPTS: LazyLock<HashMap<&str, String>> = LazyLock::new(|| {
    let scripts = ASSETS.iter().filter(|asset| asset.name.ends_with(".js"));
    scripts.map(|asset| (asset.name, without_comments(asset.body))).collect()
});

/// Empties the lines that are comments, so that the numbers of all lines stay the same.
fn without_comments(script: &str) -> String {
    let is_comment = |line: &str| {
        let text = line.trim_start();
        ["//", "/**", "* ", "*/"].iter().any(|begin| text.starts_with(begin)) || text == "*"
    };
    let lines = script.lines().map(|line| if is_comment(line) { "" } else { line });
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_of_comments_are_emptied() {
        let script = "// a\n/**\n * b\n *\n */\nconst c = 2 * 3; // d\n  // e\nf(`//`);\n";
        assert_eq!(without_comments(script), "\n\n\n\n\nconst c = 2 * 3; // d\n\nf(`//`);\n");
    }
}
