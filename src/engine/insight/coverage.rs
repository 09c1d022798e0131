//! The periods for which the history has data. The server was down between them, or its log no longer reaches back
//! that far; charts leave these times empty instead of showing zeros.

use crate::job::Time;

/// A period for which the history has data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Its first moment.
    pub from: Time,
    /// The moment after its last.
    pub until: Time,
}

/// The periods of this process and of earlier ones, built from their starts and their events.
#[derive(Debug)]
pub struct Coverage {
    /// Since when there is data without a gap.
    began: Time,
    /// When this process began to count.
    started: Time,
    /// The starts of earlier processes, oldest first.
    earlier_starts: Vec<Time>,
    /// Whether events are missing before the first one that is added.
    is_cut_off: bool,
    /// The periods of earlier processes, each with the index of its start; oldest first.
    earlier: Vec<(usize, Period)>,
}

/// How long after an event the process is assumed to have run. When it stopped is not recorded.
const AFTER_EVENT_MS: i64 = 1_000;
/// The most periods that are kept; as many as a chart of six hours can show apart.
const MAX_PERIODS: usize = 120;

impl Coverage {
    /// A history that begins now.
    pub fn new(began: Time) -> Self {
        Coverage {
            began,
            started: began,
            earlier_starts: Vec::new(),
            is_cut_off: true,
            earlier: Vec::new(),
        }
    }

    /// Notes that events of earlier processes are about to be added, from the beginning of the log or from a later
    /// event on. `starts` are those of all processes.
    pub fn replay(&mut self, starts: &[Time], from_the_beginning: bool) {
        self.earlier_starts = starts.split_last().map_or_else(Vec::new, |(_, some)| some.to_vec());
        self.is_cut_off = !from_the_beginning;
    }

    /// Notes that other nodes have been at work without a pause since then, so that the history of this process begins
    /// there, as far as the log reaches back.
    pub fn others_at_work_since(&mut self, since: Time) {
        self.began = self.began.min(since);
    }

    /// Takes an event into account. Events of this process change nothing.
    pub fn add(&mut self, at: Time) {
        if at >= self.began {
            if std::mem::replace(&mut self.is_cut_off, false) && self.earlier.is_empty() {
                self.began = at.min(self.started); // the events before it have left the log
            }
            return;
        }
        let until = Time::from_millis(at.millis() + AFTER_EVENT_MS).min(self.began);
        let process = self.earlier_starts.partition_point(|start| *start <= at);
        if let Some((known, period)) = self.earlier.last_mut()
            && *known == process
        {
            period.until = period.until.max(until);
            return;
        }
        let start = process.checked_sub(1).map(|index| self.earlier_starts[index]);
        // Before the first event that is known, there may have been others.
        let is_whole = !self.is_cut_off || !self.earlier.is_empty();
        let from = start.filter(|_| is_whole).unwrap_or(at);
        self.earlier.push((process, Period { from, until }));
        let surplus = self.earlier.len().saturating_sub(MAX_PERIODS);
        self.earlier.drain(..surplus);
    }

    /// The periods before `now`, oldest first. The last one is that of this process.
    pub fn periods(&self, now: Time) -> Vec<Period> {
        let current = Period { from: self.began, until: now.max(self.began) };
        let earlier = self.earlier.iter().map(|(_, period)| *period);
        earlier.chain([current]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    fn periods(coverage: &Coverage) -> Vec<(i64, i64)> {
        let seconds = |time: Time| time.millis() / 1_000;
        let periods = coverage.periods(at(1_000));
        periods.iter().map(|period| (seconds(period.from), seconds(period.until))).collect()
    }

    #[test]
    fn a_first_start_has_data_from_then_on() {
        let mut coverage = Coverage::new(at(900));
        coverage.replay(&[at(900)], true);
        coverage.add(at(950));
        assert_eq!(periods(&coverage), [(900, 1_000)]);
    }

    #[test]
    fn the_time_between_the_last_event_of_a_process_and_the_next_start_is_a_gap() {
        let mut coverage = Coverage::new(at(900));
        coverage.replay(&[at(100), at(400), at(600), at(900)], true);
        for seconds in [150, 200, 620, 700] {
            coverage.add(at(seconds));
        }
        assert_eq!(periods(&coverage), [(100, 201), (600, 701), (900, 1_000)]);
    }

    #[test]
    fn a_log_that_was_trimmed_has_data_from_its_first_event_on() {
        let mut coverage = Coverage::new(at(900));
        coverage.replay(&[at(100), at(600), at(900)], false);
        for seconds in [150, 200, 620] {
            coverage.add(at(seconds));
        }
        assert_eq!(periods(&coverage), [(150, 201), (600, 621), (900, 1_000)]);
    }

    #[test]
    fn a_node_that_joins_others_has_the_history_since_they_are_at_work() {
        let mut coverage = Coverage::new(at(900));
        coverage.replay(&[at(100), at(400), at(900)], true);
        coverage.others_at_work_since(at(400));
        for seconds in [150, 420, 880] {
            coverage.add(at(seconds));
        }
        assert_eq!(periods(&coverage), [(100, 151), (400, 1_000)]);
        let mut coverage = Coverage::new(at(900));
        coverage.replay(&[at(100), at(400), at(900)], false);
        coverage.others_at_work_since(at(400));
        for seconds in [500, 880] {
            coverage.add(at(seconds));
        }
        assert_eq!(periods(&coverage), [(500, 1_000)], "the log was trimmed");
    }

    #[test]
    fn many_restarts_keep_only_the_newest_periods() {
        let mut coverage = Coverage::new(at(9_000));
        let starts: Vec<Time> = (0..1_000).map(at).collect();
        coverage.replay(&starts, true);
        starts.iter().for_each(|start| coverage.add(*start));
        assert_eq!(coverage.periods(at(9_001)).len(), MAX_PERIODS + 1);
    }
}
