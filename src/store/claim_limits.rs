//! The limits of a queue that claims enforce: how many attempts may run at once, and how often they may start. They
//! hold for all workers together.

use std::time::Duration;

use super::rate_window::RateWindow;
use crate::job::{Concurrency, QueueSettings, RateLimit, RateRule, Time};

/// The limits that the configuration gives to one queue. Settings made at run time override them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConfiguredLimits {
    /// How many attempts may run at once, over all workers.
    pub concurrency: Option<Concurrency>,
    /// How often attempts may start.
    pub rate_limit: Option<RateLimit>,
}

/// The limits of one queue and its recent starts.
#[derive(Debug, Clone, Default)]
pub struct ClaimLimits {
    configured: ConfiguredLimits,
    concurrency: Option<Concurrency>,
    window: Option<RateWindow>,
}

impl ClaimLimits {
    /// The configured limits, without any starts.
    pub fn new(configured: Option<&ConfiguredLimits>) -> ClaimLimits {
        let configured = configured.copied().unwrap_or_default();
        let mut limits = ClaimLimits { configured, ..ClaimLimits::default() };
        limits.set(&QueueSettings::default());
        limits
    }

    /// The configured limits.
    pub fn configured(&self) -> ConfiguredLimits {
        self.configured
    }

    /// Changes the configured limits.
    pub fn configure(&mut self, configured: Option<&ConfiguredLimits>) {
        self.configured = configured.copied().unwrap_or_default();
    }

    /// Applies the settings made at run time. Earlier starts count for a new rate limit, unless there was none.
    pub fn set(&mut self, settings: &QueueSettings) {
        self.concurrency = settings.concurrency.or(self.configured.concurrency);
        let rate_limit = settings.rate_limit.map_or(self.configured.rate_limit, RateRule::limit);
        match (rate_limit, &mut self.window) {
            (Some(limit), Some(window)) => window.set(limit),
            (Some(limit), none @ None) => *none = Some(RateWindow::new(limit)),
            (None, window) => *window = None,
        }
    }

    /// How many attempts may run at once, over all workers.
    pub fn concurrency(&self) -> Option<Concurrency> {
        self.concurrency
    }

    /// How many attempts may start now, when this many are running.
    pub fn room(&self, running: u64, steady: Time) -> usize {
        let started = self.window.as_ref().map_or(usize::MAX, |window| {
            window.room(steady).unwrap_or_default() // an error says when there is room again
        });
        self.free_slots(running).min(started)
    }

    /// How long until the rate limit allows the next attempt. `None` when it allows one now, or when too many are
    /// running: then the end of one of them says when to ask again.
    pub fn retry_in(&self, running: u64, steady: Time) -> Option<Duration> {
        if self.free_slots(running) == 0 { None } else { self.rate_wait(steady) }
    }

    /// How long until the rate limit allows the next attempt; `None` when it allows one now.
    pub fn rate_wait(&self, steady: Time) -> Option<Duration> {
        let next = self.window.as_ref()?.room(steady).err()?;
        Some(next.since(steady))
    }

    /// Whether an attempt that has just ended has freed a slot in a full queue, so that a claim may give more.
    pub fn freed_slot(&self, running: u64) -> bool {
        let limit = self.concurrency.map(|limit| limit.get() as u64);
        limit.is_some_and(|limit| running < limit && running + 1 >= limit)
    }

    /// Records the start of an attempt.
    pub fn started(&mut self, steady: Time) {
        if let Some(window) = &mut self.window {
            window.spend(steady);
        }
    }

    /// Whether starts are counted.
    pub fn counts_starts(&self) -> bool {
        self.window.is_some()
    }

    /// Records an attempt of an earlier process that started at `at`, by the time of day.
    pub fn started_before(&mut self, at: Time, now: Time, steady: Time) {
        if let Some(window) = &mut self.window {
            window.restore(at, now, steady);
        }
    }

    fn free_slots(&self, running: u64) -> usize {
        let running = usize::try_from(running).unwrap_or(usize::MAX);
        self.concurrency.map_or(usize::MAX, |limit| limit.get().saturating_sub(running))
    }
}
