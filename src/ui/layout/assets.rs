//! The static files that pages load, embedded in the binary. A hash of all of them is part of their URL, so that
//! browsers can cache them forever and modules can import each other by relative names.

use std::sync::LazyLock;

use crate::job::stable_hash;

/// An embedded file.
pub struct Asset {
    /// The file name.
    pub name: &'static str,
    /// The media type, for `Content-Type`.
    pub media_type: &'static str,
    /// The content.
    pub body: &'static str,
}

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// The file of this name in `static`.
macro_rules! asset {
    ($name:literal, $media_type:expr) => {
        Asset {
            name: $name,
            media_type: $media_type,
            body: include_str!(concat!("../../../static/", $name)),
        }
    };
}

/// All static files. A new file needs one line here.
pub const ASSETS: &[Asset] = &[
    asset!("app.css", CSS),
    asset!("timeline.css", CSS),
    asset!("schedules.css", CSS),
    asset!("timeline.js", JS),
    asset!("rewind.css", CSS),
    asset!("rewind.js", JS),
    asset!("app.js", JS),
    asset!("dashboard.js", JS),
    asset!("chart.js", JS),
    asset!("crosshair.js", JS),
    asset!("copy.js", JS),
    asset!("load.js", JS),
    asset!("reload.js", JS),
    asset!("home.js", JS),
    asset!("job.js", JS),
    asset!("jobs.js", JS),
    asset!("shortcuts.js", JS),
    asset!("list-view.js", JS),
    asset!("row-link.js", JS),
    asset!("view-menu.js", JS),
    asset!("json-view.js", JS),
    asset!("live.js", JS),
    asset!("new-job.js", JS),
    asset!("notify.js", JS),
    asset!("palette.js", JS),
    asset!("storage.js", JS),
    asset!("stream.js", JS),
    asset!("transports.js", JS),
    asset!("theme.js", JS),
    asset!("tab-status.js", JS),
    asset!("updates.js", JS),
    asset!("time.js", JS),
    asset!("visible-text.js", JS),
    asset!("favicon.svg", SVG),
    asset!("favicon-discarded.svg", SVG),
    asset!("favicon-done.svg", SVG),
    asset!("favicon-offline.svg", SVG),
];

/// The hash of all files, computed once because they never change while the process runs.
pub static HASH: LazyLock<String> = LazyLock::new(|| {
    let parts = ASSETS.iter().flat_map(|asset| [asset.name, asset.body]);
    format!("{:016x}", stable_hash(parts))
});

/// The folder of the files in URLs, relative to the base path: `static/{hash}`.
pub fn folder() -> String {
    format!("static/{}", *HASH)
}

/// The files that every page loads, followed by those of each kind of page, for tests of their sizes.
#[cfg(test)]
pub fn loads() -> Vec<Vec<&'static str>> {
    let body =
        |name: &str| ASSETS.iter().find(|asset| asset.name == name).map_or("", |asset| asset.body);
    let closure = |entry: &'static str| {
        let mut names = vec!["app.css", "theme.js", "app.js"];
        names.extend((!names.contains(&entry)).then_some(entry));
        let is_of_entry =
            |asset: &&Asset| entry.strip_suffix(".js") == asset.name.strip_suffix(".css");
        names.extend(
            ASSETS
                .iter()
                .find(is_of_entry)
                .map(|asset| asset.name)
                .filter(|name| *name != "app.css"),
        );
        let mut next = 0;
        while let Some(name) = names.get(next) {
            let new = imports(body(name)).into_iter().filter(|name| !names.contains(name));
            let new: Vec<_> = new.collect();
            names.extend(new);
            next += 1;
        }
        names
    };
    std::iter::once("app.js").chain(pages_of(body("app.js"))).map(closure).collect()
}

/// The files that a script imports statically.
#[cfg(test)]
fn imports(body: &'static str) -> Vec<&'static str> {
    let lines = body.lines().filter(|line| line.starts_with("import "));
    lines.filter_map(|line| line.split('"').nth(1)?.strip_prefix("./")).collect()
}

/// The files that a script imports dynamically.
#[cfg(test)]
fn pages_of(body: &'static str) -> Vec<&'static str> {
    body.split("import(\"./").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_import_only_files_that_exist() {
        for asset in ASSETS.iter().filter(|asset| asset.media_type == JS) {
            let names = imports(asset.body).into_iter().chain(pages_of(asset.body));
            for name in names {
                assert!(ASSETS.iter().any(|a| a.name == name), "{}: {name}", asset.name);
            }
        }
    }

    #[test]
    fn the_folder_is_named_by_a_hash() {
        assert_eq!(folder().len(), "static/".len() + 16);
    }
}
