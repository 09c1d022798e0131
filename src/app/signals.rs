//! The signals that ask for a stop, as a stream of wishes. Installed by the binary and by the library door's
//! `serve`, nowhere else.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask for a stop: SIGTERM, SIGINT (Ctrl-C), SIGQUIT (Ctrl-\), and SIGHUP (a closed terminal),
/// unless whoever started the process has it ignored, as `nohup` does.
pub struct Signals(Vec<Signal>);

impl Signals {
    /// Takes the signals over from the system's default, which is to die at once.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn install() -> io::Result<Signals> {
        let mut kinds = vec![SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit()];
        if !is_ignored(SignalKind::hangup()) {
            kinds.push(SignalKind::hangup());
        }
        Ok(Signals(kinds.into_iter().map(signal).collect::<io::Result<_>>()?))
    }

    /// Resolves at the next signal, whichever it is.
    pub async fn next(&mut self) {
        poll_fn(|context| {
            let is_ready = self.0.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            if is_ready { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Whether the process was started with a signal ignored. Where the system does not tell, it was not.
fn is_ignored(kind: SignalKind) -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}
