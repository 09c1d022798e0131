//! The limit on open files. Every connection needs one, and processes start with a low limit, often 1,024. The server
//! raises the limit as far as its settings require, and accepts no more connections than the limit allows.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::http;

/// Files reserved for the store, for pipes of commands and for requests of handlers; a quarter of the limit if the
/// limit is low.
const RESERVE: u64 = 512;

/// Raises the limit on open files to what `wanted` connections and attempts can use, as far as the system allows, and
/// returns the new limit. It is not raised further, because programs of the `command` kind inherit it, and some of them
/// close every possible file when they start, which takes minutes with a limit of a billion.
///
/// # Errors
/// The limit cannot be read or set.
pub fn raise(wanted: u64) -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let limit = wanted.saturating_add(RESERVE).min(hard).max(soft);
    if limit > soft {
        setrlimit(Resource::RLIMIT_NOFILE, limit, hard)?;
        tracing::info!(before = soft, now = limit, "raised the limit on open files");
    }
    Ok(limit)
}

/// Keeps connections and subscribers below the limit of open files: further ones wait in the listen queue or get
/// 503, and the store always gets the files that it needs.
pub fn fit(limits: &mut http::HttpLimits, files: u64) {
    let free = files.saturating_sub(RESERVE.min(files / 4));
    let free = usize::try_from(free).unwrap_or(usize::MAX).max(1);
    if limits.max_connections <= free {
        return;
    }
    tracing::warn!(
        files,
        connections = free,
        wanted = limits.max_connections,
        "accepting fewer connections than http.max_connections: the limit on open files is too low (ulimit -n)"
    );
    limits.max_connections = free;
    // Pages and other requests keep the same share as by default.
    limits.max_subscribers = limits.max_subscribers.min(free - free.div_ceil(12));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_connections_than_files_and_some_are_left_for_pages() {
        for files in [0, 1, 5, 64, 256, 1_024, 4_096, 12_511, 12_512, 100_000, u64::MAX] {
            let mut limits = http::HttpLimits::default();
            fit(&mut limits, files);
            let default = http::HttpLimits::default();
            if files >= 12_512 {
                assert_eq!(limits, default, "{files}");
                continue;
            }
            let connections = limits.max_connections as u64;
            assert!(connections >= 1 && connections <= files.max(1), "{files}: {connections}");
            assert!(limits.max_subscribers < limits.max_connections, "{files}: {limits:?}");
            assert!(files < 64 || connections >= files / 2, "{files}: {connections}");
        }
    }
}
