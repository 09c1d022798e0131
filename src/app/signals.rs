//! The signals that request a stop, a restart or a reload. Only the binary and the library's `serve` install handlers for
//! them.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that request a stop: SIGTERM, SIGINT (Ctrl-C), SIGQUIT (Ctrl-\), and SIGHUP (a closed terminal) unless
/// the process was started with SIGHUP ignored, as `nohup` does.
pub struct Signals(Vec<Signal>);

impl Signals {
    /// Installs handlers in place of the default action, which is to terminate at once.
    ///
    /// # Errors
    /// The system does not allow it.
    pub fn install() -> io::Result<Signals> {
        let mut kinds = vec![SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit()];
        if !is_ignored(SignalKind::hangup()) {
            kinds.push(SignalKind::hangup());
        }
        Ok(Signals(kinds.into_iter().map(signal).collect::<io::Result<_>>()?))
    }

    /// Resolves at the next of these signals.
    pub async fn next(&mut self) {
        poll_fn(|context| {
            let is_ready = self.0.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            if is_ready { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// What a signal asks of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalRequest {
    /// To stop.
    Stop,
    /// To stop and to start again in the same process: SIGUSR2.
    Restart,
    /// To read the files of its certificate again: SIGUSR1.
    Reload,
}

/// The signals that a server obeys.
pub struct ServerSignals {
    stop: Signals,
    /// SIGUSR2 and SIGUSR1, unless the program that embeds the server uses them for purposes of its own.
    other: Option<[Signal; 2]>,
}

impl ServerSignals {
    /// Installs handlers for all of them.
    ///
    /// # Errors
    /// The system does not allow it.
    pub fn install() -> io::Result<ServerSignals> {
        let other = [signal(SignalKind::user_defined2())?, signal(SignalKind::user_defined1())?];
        Ok(ServerSignals { stop: Signals::install()?, other: Some(other) })
    }

    /// Resolves at the next of these signals.
    pub async fn next(&mut self) -> SignalRequest {
        let stop = &mut self.stop;
        match &mut self.other {
            Some([restart, reload]) => tokio::select! {
                () = stop.next() => SignalRequest::Stop,
                _ = restart.recv() => SignalRequest::Restart,
                _ = reload.recv() => SignalRequest::Reload,
            },
            None => {
                stop.next().await;
                SignalRequest::Stop
            }
        }
    }
}

impl From<Signals> for ServerSignals {
    fn from(stop: Signals) -> Self {
        ServerSignals { stop, other: None }
    }
}

/// Whether the process was started with a signal ignored; false if this is unknown.
fn is_ignored(kind: SignalKind) -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}
