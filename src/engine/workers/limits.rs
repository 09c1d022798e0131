//! How many workers may be connected, in all and by one token or user, so that none of them can use up the table.

use std::collections::HashMap;

use crate::job::Actor;

/// Why a worker was not registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationRefused {
    /// The table of workers is full (`engine.max_workers`).
    TooMany,
    /// The token or the user has as many workers as one may have (`engine.workers_per_token`).
    TooManyOfToken,
    /// The name belongs to somebody else.
    OfAnother,
}

/// The most workers in the table.
#[derive(Debug, Clone, Copy)]
pub struct WorkerLimits {
    /// Of all tokens and users.
    pub total: usize,
    /// Of one token or user.
    pub per_token: usize,
}

/// The numbers of workers, by who has connected them. Those of a server that requires no credentials are not counted.
#[derive(Debug, Default)]
pub struct ActorCounts(HashMap<Actor, usize>);

impl ActorCounts {
    /// The number of workers of an actor.
    pub fn of(&self, actor: &Actor) -> usize {
        self.0.get(actor).copied().unwrap_or_default()
    }

    /// Counts a worker.
    pub fn add(&mut self, actor: Option<&Actor>) {
        if let Some(actor) = actor {
            *self.0.entry(actor.clone()).or_default() += 1;
        }
    }

    /// Counts a worker no longer.
    pub fn remove(&mut self, actor: Option<&Actor>) {
        let Some(actor) = actor else { return };
        if let Some(count) = self.0.get_mut(actor) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(actor);
            }
        }
    }
}
