//! Notes when sessions and tokens are used. The store is told at most once a minute, about all of them together.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::principal::Credential;
use crate::access::{AccessCommand, AccessTable};
use crate::job::{SessionId, Time, TokenId};

/// The time between two writes, and the accuracy of a last use.
const INTERVAL: Duration = Duration::from_secs(60);

/// The uses that the store does not know yet.
#[derive(Debug, Default)]
pub struct CredentialUses(Mutex<PendingUses>);

#[derive(Debug, Default)]
struct PendingUses {
    sessions: HashMap<SessionId, Time>,
    tokens: HashMap<TokenId, Time>,
    written_at: Option<Time>,
}

impl CredentialUses {
    /// Notes a use. Returns the command for the store when one is due.
    pub fn note(
        &self,
        credential: &Credential,
        table: &AccessTable,
        now: Time,
    ) -> Option<AccessCommand> {
        let stored = match credential {
            Credential::Session(id) => Some(table.session(id)?.last_used_at),
            Credential::Token(id) => table.token(id)?.last_used_at,
            Credential::Password { .. }
            | Credential::Proxy(_)
            | Credential::Environment
            | Credential::Link(_)
            | Credential::InProcess => {
                return None;
            }
        };
        // Without a lock, because most uses follow another one closely.
        if stored.is_some_and(|stored| is_recent(stored, now)) {
            return None;
        }
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match credential {
            Credential::Session(id) => drop(pending.sessions.insert(id.clone(), now)),
            Credential::Token(id) => drop(pending.tokens.insert(id.clone(), now)),
            Credential::Password { .. }
            | Credential::Proxy(_)
            | Credential::Environment
            | Credential::Link(_)
            | Credential::InProcess => {}
        }
        if pending.written_at.is_some_and(|written_at| is_recent(written_at, now)) {
            return None;
        }
        pending.written_at = Some(now);
        let sessions = std::mem::take(&mut pending.sessions).into_iter().collect();
        let tokens = std::mem::take(&mut pending.tokens).into_iter().collect();
        Some(AccessCommand::Touch { tokens, sessions })
    }
}

/// Whether a time is less than one interval ago. A time in the future is from before the clock was set back.
fn is_recent(time: Time, now: Time) -> bool {
    (time..time.after(INTERVAL)).contains(&now)
}
