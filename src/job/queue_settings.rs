//! The settings of a queue that are made at run time and override its configuration.

use serde::{Deserialize, Serialize};

use super::{Concurrency, QueueChange, RateRule};

/// What was set for a queue at run time. The default is a queue for which nothing was set.
///
/// Stores write it with postcard, so fields may only be added together with a new format number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueSettings {
    /// Whether the queue is paused: no jobs are claimed from it.
    pub paused: bool,
    /// How many attempts may run at once; `None` means the configured value.
    pub concurrency: Option<Concurrency>,
    /// How often attempts may start; `None` means the configured value.
    pub rate_limit: Option<RateRule>,
}

impl QueueSettings {
    /// Applies a change. Returns whether it changed anything.
    pub fn apply(&mut self, change: QueueChange) -> bool {
        let before = *self;
        match change {
            QueueChange::Paused => self.paused = true,
            QueueChange::Resumed => self.paused = false,
            QueueChange::ConcurrencySet { concurrency } => self.concurrency = concurrency,
            QueueChange::RateLimitSet { rate_limit } => self.rate_limit = rate_limit,
        }
        *self != before
    }

    /// These settings, and the other ones where nothing is set here.
    #[must_use]
    pub fn or(self, other: QueueSettings) -> QueueSettings {
        QueueSettings {
            paused: self.paused || other.paused,
            concurrency: self.concurrency.or(other.concurrency),
            rate_limit: self.rate_limit.or(other.rate_limit),
        }
    }

    /// Whether nothing is set, so that the configuration applies.
    pub fn is_default(&self) -> bool {
        *self == QueueSettings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_one_setting_leaves_the_others() {
        let mut settings = QueueSettings::default();
        assert!(settings.is_default());
        assert!(settings.apply(QueueChange::Paused));
        assert!(
            settings
                .apply(QueueChange::ConcurrencySet { concurrency: Some(Concurrency::clamped(3)) })
        );
        let rate_limit = Some(RateRule::Unlimited);
        assert!(settings.apply(QueueChange::RateLimitSet { rate_limit }));
        let all =
            QueueSettings { paused: true, concurrency: Some(Concurrency::clamped(3)), rate_limit };
        assert_eq!(settings, all);

        let mut resumed = all;
        assert!(resumed.apply(QueueChange::Resumed));
        assert_eq!(resumed, QueueSettings { paused: false, ..all });
        let mut unlimited = all;
        assert!(unlimited.apply(QueueChange::ConcurrencySet { concurrency: None }));
        assert_eq!(unlimited, QueueSettings { concurrency: None, ..all });
        let mut unrated = all;
        assert!(unrated.apply(QueueChange::RateLimitSet { rate_limit: None }));
        assert_eq!(unrated, QueueSettings { rate_limit: None, ..all });
    }

    #[test]
    fn a_change_to_what_is_already_set_changes_nothing() {
        let mut settings = QueueSettings::default();
        assert!(!settings.apply(QueueChange::Resumed));
        assert!(!settings.apply(QueueChange::ConcurrencySet { concurrency: None }));
        assert!(!settings.apply(QueueChange::RateLimitSet { rate_limit: None }));
        settings.apply(QueueChange::Paused);
        assert!(!settings.apply(QueueChange::Paused));
    }
}
