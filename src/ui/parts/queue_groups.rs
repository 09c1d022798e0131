//! The order of the list of queues, and queues whose names begin alike as one row, such as those of one tenant.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;

use crate::engine::{Activity, QueueStats};
use crate::job::{QueueName, State, Time};

use super::filters::{escaped_segment, percent, query_link};
use super::time_format::TimeText;

/// The orders to choose from: their values in the URL, and their names.
pub const ORDERS: [(&str, &str); 5] = [
    ("", "Name"),
    ("oldest", "Longest wait"),
    ("failing", "Failing most"),
    ("available", "Most available jobs"),
    ("running", "Most running jobs"),
];

/// What queues are ordered by, of one queue or of several together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueLoad {
    /// Since when the oldest available job has been waiting.
    pub waiting_since: Option<Time>,
    /// The available jobs.
    pub available: u64,
    /// The running attempts.
    pub running: u64,
    /// What ended in the last five minutes.
    pub activity: Activity,
    /// How many of the queues are paused.
    pub paused: usize,
}

impl QueueLoad {
    /// The load of one queue.
    pub fn of(stats: &QueueStats, activity: Activity) -> QueueLoad {
        let jobs = |state| stats.states.get(&state).copied().unwrap_or_default();
        QueueLoad {
            waiting_since: stats.waiting_since,
            available: jobs(State::Available),
            running: jobs(State::Running),
            activity,
            paused: usize::from(stats.settings.paused),
        }
    }

    fn add(&mut self, other: &QueueLoad) {
        let since = self.waiting_since.into_iter().chain(other.waiting_since);
        self.waiting_since = since.min();
        self.available += other.available;
        self.running += other.running;
        self.activity.completed += other.activity.completed;
        self.activity.failed += other.activity.failed;
        self.paused += other.paused;
    }

    /// Compares two loads by an order of [`ORDERS`]; the one that comes first is less. By name all are equal.
    pub fn compare(&self, other: &QueueLoad, order: &str) -> Ordering {
        match order {
            // A queue in which nothing waits comes last.
            "oldest" => {
                let key = |load: &QueueLoad| (load.waiting_since.is_none(), load.waiting_since);
                key(self).cmp(&key(other))
            }
            "failing" => {
                let key =
                    |load: &QueueLoad| Reverse((load.failing_per_million(), load.activity.failed));
                key(self).cmp(&key(other))
            }
            "available" => other.available.cmp(&self.available),
            "running" => other.running.cmp(&self.running),
            _ => Ordering::Equal,
        }
    }

    fn failing_per_million(&self) -> u64 {
        let Activity { completed, failed } = self.activity;
        failed.saturating_mul(1_000_000).checked_div(completed + failed).unwrap_or(0)
    }
}

/// Queues whose names begin with the same part, as a row.
pub struct QueueGroup {
    /// The common beginning followed by `*`, or the name of the only queue.
    pub name: String,
    /// The list of its queues, or the page of the only one.
    pub href: String,
    /// The number of queues.
    pub queues: usize,
    /// Their load together.
    pub load: QueueLoad,
    /// Since when the oldest available job of all has been waiting.
    pub waiting_since: Option<TimeText>,
    /// The share of attempts that failed in the last five minutes; a dash when none ended.
    pub failing: String,
}

/// Groups queues, which are sorted by name, by the part of their names up to the first separator.
pub fn groups<'a>(
    queues: impl Iterator<Item = (&'a QueueName, QueueLoad)>,
    order: &str,
    now: Time,
) -> Vec<QueueGroup> {
    let mut found: BTreeMap<&str, (usize, &QueueName, QueueLoad)> = BTreeMap::new();
    for (name, load) in queues {
        let (count, _, sum) =
            found.entry(prefix(name.as_str())).or_insert((0, name, QueueLoad::default()));
        *count += 1;
        sum.add(&load);
    }
    let group = |(prefix, (queues, first, load)): (&str, (usize, &QueueName, QueueLoad))| {
        let (name, href) = if queues == 1 {
            (first.to_string(), format!("queues/{}", escaped_segment(first.as_str())))
        } else {
            (format!("{prefix}*"), query_link("queues", "prefix", prefix))
        };
        let Activity { completed, failed } = load.activity;
        QueueGroup {
            name,
            href,
            queues,
            load,
            waiting_since: load.waiting_since.map(|since| TimeText::new(since, now)),
            failing: percent(failed, completed + failed),
        }
    };
    let mut groups: Vec<QueueGroup> = found.into_iter().map(group).collect();
    groups.sort_by(|a, b| a.load.compare(&b.load, order));
    groups
}

/// The part of a name up to its first separator, which is included; the whole name when it has none.
fn prefix(name: &str) -> &str {
    let end = name.find(['.', ':', '_', '-']).map_or(name.len(), |at| at + 1);
    name.get(..end).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(since: Option<i64>, available: u64, completed: u64, failed: u64) -> QueueLoad {
        let waiting_since = since.map(Time::from_millis);
        let activity = Activity { completed, failed };
        QueueLoad { waiting_since, available, activity, ..QueueLoad::default() }
    }

    #[test]
    fn every_order_puts_first_what_it_is_about() {
        let (idle, busy, failing) =
            (load(None, 0, 9, 0), load(Some(5), 7, 9, 1), load(Some(9), 1, 1, 1));
        let first = |order: &str| {
            let mut all = [idle, busy, failing];
            all.sort_by(|a, b| a.compare(b, order));
            all
        };
        assert_eq!(first(""), [idle, busy, failing]);
        assert_eq!(first("oldest"), [busy, failing, idle]);
        assert_eq!(first("failing"), [failing, busy, idle]);
        assert_eq!(first("available"), [busy, failing, idle]);
    }

    #[test]
    fn queues_that_begin_alike_are_one_row() {
        let names = ["acme.mail", "acme.video", "default", "zoo-1"]
            .map(|name| QueueName::parse(name).unwrap());
        let loads = [
            load(Some(9), 1, 1, 1),
            load(Some(5), 2, 3, 0),
            load(None, 0, 0, 0),
            load(None, 0, 0, 0),
        ];
        let rows = groups(names.iter().zip(loads), "", Time::default());
        let told: Vec<_> =
            rows.iter().map(|row| (row.name.as_str(), row.href.as_str(), row.queues)).collect();
        let expected = [
            ("acme.*", "queues?prefix=acme.", 2),
            ("default", "queues/default", 1),
            ("zoo-1", "queues/zoo-1", 1),
        ];
        assert_eq!(told, expected);
        assert_eq!((rows[0].load, rows[0].failing.as_str()), (load(Some(5), 3, 4, 1), "20%"));
    }
}
