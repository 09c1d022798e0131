//! When a worker tries again to reach its server.

use std::time::Duration;

use super::settings::WorkerSettings;
use crate::client::backoff::RandomBackoff;
use crate::client::error::ClientError;

/// The delays between attempts: short ones while the server is away, long ones while it refuses the token, as after it was
/// revoked. Each such attempt is a failed login, which the server counts and logs.
#[derive(Debug)]
pub struct RetryDelays {
    away: RandomBackoff,
    refused: RandomBackoff,
    /// Whether the refusal was logged.
    was_refused: bool,
}

impl RetryDelays {
    pub fn new(settings: &WorkerSettings) -> RetryDelays {
        RetryDelays {
            away: settings.reconnect.clone(),
            refused: settings.reconnect_refused.clone(),
            was_refused: false,
        }
    }

    /// Returns the delay after an error, and logs it with what follows. A token that stays refused is logged once.
    pub fn after(&mut self, error: &ClientError, worker: &str, next: &str) -> Duration {
        if !error.is_access_refused() {
            let delay = self.away.next_delay().max(error.retry_after());
            tracing::warn!(%worker, "{error}; {next} again in {delay:?}");
            return delay;
        }
        let delay = self.refused.next_delay();
        if !self.was_refused {
            tracing::error!(
                %worker,
                "the server no longer accepts the token of the worker; {next} again in {delay:?}, and then less and less \
                 often: {error}"
            );
        }
        self.was_refused = true;
        delay
    }

    /// The server accepts the token.
    pub fn accepted(&mut self) {
        self.refused.reset();
        self.was_refused = false;
    }

    /// The connection is stable, or a request has succeeded.
    pub fn succeeded(&mut self) {
        self.accepted();
        self.away.reset();
    }
}
