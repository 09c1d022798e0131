//! SIGTERM and SIGINT, as a stream of wishes to stop. Installed by the binary and by the library door's
//! `serve`, nowhere else.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask for a stop.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the two signals over from the system's default, which is to die at once.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn install() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Resolves at the next signal.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
