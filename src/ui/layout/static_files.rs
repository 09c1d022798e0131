//! The endpoint that serves the embedded files of [`super::assets`].

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
    (headers, asset.body).into_response()
}
