//! Shared helpers of the integration tests: the server and its commands as child processes, an HTTP client, a WebSocket
//! client, and the audit of a log.

use std::future::Future;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

pub mod audit;
pub mod http;
pub mod nodes;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod socket;
pub mod tools;

pub use audit::{Event, Fold};
pub use http::Client;
pub use process::{Command, Dir, Server};
pub use socket::Socket;

/// The bound of every wait: long enough for a debug build on a busy machine, and short enough to detect a hang.
pub const BOUND: Duration = Duration::from_secs(60);

/// Waits for a future, and panics when it takes longer than [`BOUND`].
#[track_caller]
pub fn within<F: Future>(what: &str, fact: F) -> impl Future<Output = F::Output> + use<F> {
    let caller = std::panic::Location::caller();
    let what = what.to_owned();
    async move {
        match tokio::time::timeout(BOUND, fact).await {
            Ok(output) => output,
            Err(_) => panic!("{what}: not within {BOUND:?} ({caller})"),
        }
    }
}

/// Polls `look` until it returns a value.
#[track_caller]
pub fn eventually<T, F: Future<Output = Option<T>>, L: FnMut() -> F>(
    what: &str,
    mut look: L,
) -> impl Future<Output = T> + use<T, F, L> {
    within(what, async move {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(20)).await; // between two polls
        }
    })
}

/// Raises the limit of open files, so that this process can have thousands of connections if the system allows it.
pub fn many_files() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(20_000).max(soft), hard).unwrap();
}
