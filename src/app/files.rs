//! Open files: every connection is one, and systems start a process with few (often 1,024). The server takes
//! as many as its settings can use, and lets no more connections in than it has files for.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::http;

/// Files that connections must leave alone: the store's, pipes of commands, requests of handlers. A quarter
/// where there are few.
const RESERVE: u64 = 512;

/// Raises the limit of open files to what `wanted` connections and attempts can use, as far as the system
/// allows; answers with the limit in force. Not to the utmost: programs that the `command` kind runs inherit it,
/// and some go through every possible file when they start, which where "unlimited" is a billion takes minutes.
///
/// # Errors
/// When the limit can neither be read nor set.
pub fn raise(wanted: u64) -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let limit = wanted.saturating_add(RESERVE).min(hard).max(soft);
    if limit > soft {
        setrlimit(Resource::RLIMIT_NOFILE, limit, hard)?;
        tracing::info!(before = soft, now = limit, "raised the limit of open files");
    }
    Ok(limit)
}

/// Keeps connections, and subscribers among them, below the limit of open files: one too many then waits in the
/// listen queue or is told 503, and the store always gets the file it needs.
pub fn fit(limits: &mut http::Limits, files: u64) {
    let free = files.saturating_sub(RESERVE.min(files / 4));
    let free = usize::try_from(free).unwrap_or(usize::MAX).max(1);
    if limits.max_connections <= free {
        return;
    }
    tracing::warn!(
        files,
        connections = free,
        wanted = limits.max_connections,
        "fewer connections than http.max_connections: the system allows too few open files (ulimit -n)"
    );
    limits.max_connections = free;
    // The same share as by default stays for pages and other requests.
    limits.max_subscribers = limits.max_subscribers.min(free - free.div_ceil(12));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_connections_than_files_and_some_are_left_for_pages() {
        for files in [0, 1, 5, 64, 256, 1_024, 4_096, 12_511, 12_512, 100_000, u64::MAX] {
            let mut limits = http::Limits::default();
            fit(&mut limits, files);
            let default = http::Limits::default();
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
