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

/// All static files. A new file needs one line here.
pub const ASSETS: &[Asset] = &[
    Asset { name: "app.css", media_type: CSS, body: include_str!("../../../static/app.css") },
    Asset {
        name: "timeline.css",
        media_type: CSS,
        body: include_str!("../../../static/timeline.css"),
    },
    Asset {
        name: "timeline.js",
        media_type: JS,
        body: include_str!("../../../static/timeline.js"),
    },
    Asset { name: "app.js", media_type: JS, body: include_str!("../../../static/app.js") },
    Asset {
        name: "dashboard.js",
        media_type: JS,
        body: include_str!("../../../static/dashboard.js"),
    },
    Asset { name: "chart.js", media_type: JS, body: include_str!("../../../static/chart.js") },
    Asset {
        name: "crosshair.js",
        media_type: JS,
        body: include_str!("../../../static/crosshair.js"),
    },
    Asset { name: "copy.js", media_type: JS, body: include_str!("../../../static/copy.js") },
    Asset { name: "load.js", media_type: JS, body: include_str!("../../../static/load.js") },
    Asset { name: "reload.js", media_type: JS, body: include_str!("../../../static/reload.js") },
    Asset { name: "home.js", media_type: JS, body: include_str!("../../../static/home.js") },
    Asset { name: "job.js", media_type: JS, body: include_str!("../../../static/job.js") },
    Asset { name: "jobs.js", media_type: JS, body: include_str!("../../../static/jobs.js") },
    Asset {
        name: "shortcuts.js",
        media_type: JS,
        body: include_str!("../../../static/shortcuts.js"),
    },
    Asset {
        name: "list-view.js",
        media_type: JS,
        body: include_str!("../../../static/list-view.js"),
    },
    Asset {
        name: "row-link.js",
        media_type: JS,
        body: include_str!("../../../static/row-link.js"),
    },
    Asset {
        name: "view-menu.js",
        media_type: JS,
        body: include_str!("../../../static/view-menu.js"),
    },
    Asset {
        name: "json-view.js",
        media_type: JS,
        body: include_str!("../../../static/json-view.js"),
    },
    Asset { name: "live.js", media_type: JS, body: include_str!("../../../static/live.js") },
    Asset { name: "new-job.js", media_type: JS, body: include_str!("../../../static/new-job.js") },
    Asset { name: "notify.js", media_type: JS, body: include_str!("../../../static/notify.js") },
    Asset { name: "palette.js", media_type: JS, body: include_str!("../../../static/palette.js") },
    Asset { name: "stream.js", media_type: JS, body: include_str!("../../../static/stream.js") },
    Asset {
        name: "transports.js",
        media_type: JS,
        body: include_str!("../../../static/transports.js"),
    },
    Asset { name: "theme.js", media_type: JS, body: include_str!("../../../static/theme.js") },
    Asset {
        name: "tab-status.js",
        media_type: JS,
        body: include_str!("../../../static/tab-status.js"),
    },
    Asset { name: "updates.js", media_type: JS, body: include_str!("../../../static/updates.js") },
    Asset { name: "time.js", media_type: JS, body: include_str!("../../../static/time.js") },
    Asset {
        name: "visible-text.js",
        media_type: JS,
        body: include_str!("../../../static/visible-text.js"),
    },
    Asset {
        name: "favicon.svg",
        media_type: SVG,
        body: include_str!("../../../static/favicon.svg"),
    },
    Asset {
        name: "favicon-discarded.svg",
        media_type: SVG,
        body: include_str!("../../../static/favicon-discarded.svg"),
    },
    Asset {
        name: "favicon-done.svg",
        media_type: SVG,
        body: include_str!("../../../static/favicon-done.svg"),
    },
    Asset {
        name: "favicon-offline.svg",
        media_type: SVG,
        body: include_str!("../../../static/favicon-offline.svg"),
    },
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
