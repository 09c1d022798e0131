//! What the connection of a worker must do, whatever its transport.

use tokio::time::Instant;

use super::attempts::Attempts;
use crate::client::error::ClientError;

/// A command that an operator gave on the server. A quiet worker is sent no jobs, so it has to act only on `stop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkNews {
    Nothing,
    /// The worker is to finish what it runs, and to end.
    StopCommanded,
}

impl LinkNews {
    /// Reads the command of a message.
    pub fn of_command(command: Option<&str>) -> LinkNews {
        match command {
            Some("stop") => LinkNews::StopCommanded,
            Some(command) => {
                tracing::info!("the server sent the worker the command {command:?}");
                LinkNews::Nothing
            }
            None => LinkNews::Nothing,
        }
    }
}

/// A connection that renews itself.
pub trait WorkerLink {
    /// Something that has arrived.
    type Arrival;

    /// Waits for something from the server, while what was written goes out. If the future is dropped before it is ready,
    /// nothing is lost.
    async fn next(&mut self) -> Self::Arrival;

    /// Handles what has arrived.
    ///
    /// # Errors
    /// The worker cannot go on: the server refuses it, or another one took its name.
    fn take(
        &mut self,
        arrival: Self::Arrival,
        attempts: &mut Attempts,
    ) -> Result<LinkNews, ClientError>;

    /// Does what is due at this time, and writes what there is to send.
    ///
    /// # Errors
    /// As [`WorkerLink::take`].
    fn advance(&mut self, now: Instant, attempts: &mut Attempts) -> Result<(), ClientError>;

    /// When `advance` has something to do again, if nothing arrives.
    fn due(&self) -> Instant;

    /// Stops claiming jobs.
    fn end_claims(&mut self, attempts: &mut Attempts);

    /// The number of settles that are on their way and not confirmed.
    fn unconfirmed(&self) -> usize;

    /// Signs off.
    fn sign_off(&mut self);

    /// Whether the sign-off is done: the server has confirmed it, or there was no answer in time.
    fn has_ended(&self) -> bool;
}
