//! The order in which the home page shows queues when there are more than it has room for: first those that need
//! attention, then the busiest.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::engine::{Activity, Engine, QueueStats, Stats};
use crate::job::{QueueName, State, Time};

use super::queue_row::QueueRow;

/// Jobs that have been waiting this long make their queue need attention.
const LONG_WAIT_S: u64 = 10;

/// Why a queue is shown, the most urgent reason first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// It is paused, and jobs are waiting for somebody to resume it.
    PausedWithJobs,
    /// Jobs have been waiting for long.
    Waiting,
    /// Attempts failed in the last five minutes.
    Failing,
    /// Nothing is wrong with it.
    Healthy,
}

/// The rows of at most `max` queues: of all of them by name, or of the first by rank when there are more.
pub fn shown_queues(stats: &Stats, engine: &Engine, now: Time, max: usize) -> Vec<QueueRow> {
    let names = shown_names(stats, &engine.queue_activity(), now, max).into_iter();
    let row = |name| Some(QueueRow::of(name, stats.queues.get(name)?, engine, now));
    names.filter_map(row).collect()
}

/// The same at an earlier moment, of which only the counters are known.
pub fn shown_queues_then(stats: &Stats, engine: &Engine, now: Time, max: usize) -> Vec<QueueRow> {
    let names = shown_names(stats, &HashMap::new(), now, max).into_iter();
    let row = |name| Some(QueueRow::of_past(name, stats.queues.get(name)?, engine, now));
    names.filter_map(row).collect()
}

fn shown_names<'a>(
    stats: &'a Stats,
    activity: &HashMap<QueueName, Activity>,
    now: Time,
    max: usize,
) -> Vec<&'a QueueName> {
    if stats.queues.len() <= max {
        return stats.queues.keys().collect();
    }
    let of = |name| activity.get(name).copied().unwrap_or_default();
    let mut ranked: Vec<_> =
        stats.queues.iter().map(|(name, queue)| (rank(queue, of(name), now), name)).collect();
    ranked.sort_unstable();
    ranked.into_iter().take(max).map(|(_, name)| name).collect()
}

/// The rank of a queue; a lower one is shown first. Queues with the same reason are ordered by how much it applies.
fn rank(queue: &QueueStats, activity: Activity, now: Time) -> (Reason, Reverse<u64>) {
    let jobs = |state| queue.states.get(&state).copied().unwrap_or_default();
    let waited = queue.waiting_since.map_or(0, |since| now.since(since).as_secs());
    if queue.settings.paused && jobs(State::Available) > 0 {
        (Reason::PausedWithJobs, Reverse(jobs(State::Available)))
    } else if waited >= LONG_WAIT_S {
        (Reason::Waiting, Reverse(waited))
    } else if activity.failed > 0 {
        (Reason::Failing, Reverse(activity.failed))
    } else {
        (Reason::Healthy, Reverse(activity.completed + jobs(State::Running)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::QueueSettings;

    #[test]
    fn queues_that_need_attention_come_before_busy_ones() {
        let now = Time::from_millis(100_000);
        let queue = |available, paused, waiting_since: Option<i64>| QueueStats {
            states: [(State::Available, available)].into(),
            settings: QueueSettings { paused, ..QueueSettings::default() },
            waiting_since: waiting_since.map(Time::from_millis),
            ..QueueStats::default()
        };
        let active = |completed, failed| Activity { completed, failed };
        let order = [
            rank(&queue(9, true, Some(99_000)), active(0, 0), now),
            rank(&queue(1, true, Some(99_000)), active(0, 0), now),
            rank(&queue(1, false, Some(10_000)), active(0, 0), now),
            rank(&queue(1, false, Some(90_000)), active(900, 9), now),
            rank(&queue(1, false, Some(90_001)), active(0, 2), now),
            rank(&queue(0, true, None), active(900, 1), now),
            rank(&queue(0, false, None), active(900, 0), now),
            rank(&queue(0, true, None), active(0, 0), now),
        ];
        assert!(order.is_sorted_by(|a, b| a < b), "{order:?}");
    }
}
