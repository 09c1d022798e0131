//! The third-party programs that tests run, as `tests/tools.sh` chose or fetched them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn bin() -> PathBuf {
    root().join("target/tools/bin")
}

/// The `PATH` of programs that tests start: the chosen programs take precedence over others on this machine.
pub fn path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::iter::once(bin()).chain(std::env::split_paths(&path));
    std::env::join_paths(places).unwrap_or(path)
}

/// Asserts that the subscribers in Python and JavaScript can run.
pub fn assert_there() {
    let there =
        bin().join("python3").exists() && root().join("tests/browser/node_modules/ws").exists();
    assert!(there, "run tests/tools.sh first, as ./test does");
}
