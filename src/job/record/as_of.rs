//! The record of a job as it was after an earlier event, as far as the newest record tells it.

use std::sync::Arc;

use crate::job::{Change, Job, Labels, Moment, State, Status, Time};

impl Job {
    /// The record as it was after the event `seq`, which happened at `at`; `None` when the history no longer reaches back so
    /// far. The job must have been enqueued by then.
    ///
    /// Without `new`, the record as it was when the job was submitted, what a record does not keep of the past is
    /// approximate: a due time that was replaced is the time at which the job became available, a priority that was replaced
    /// is the newest one, and a job whose first state is not known was available. Log lines are divided by their times, and
    /// the progress is known only if the job has not changed since.
    pub fn as_of(&self, seq: u64, at: Time, new: Option<&Job>) -> Option<Job> {
        if self.seq <= seq {
            return Some(self.clone());
        }
        let then = self.history.partition_point(|moment| moment.seq <= seq);
        if then == 0 && !self.has_whole_history() {
            return None;
        }
        let (past, future) = self.history.split_at(then);
        let mut labels = self.labels.clone();
        if let Some(from) = future.iter().find_map(moved_from) {
            labels = Arc::new(Labels { queue: from.clone(), ..(*labels).clone() });
        }
        let mut spec = self.spec.clone();
        let priority = past.iter().rev().find_map(|moment| match moment.change {
            Change::Reprioritised { priority } => Some(priority),
            _ => None,
        });
        if let Some(priority) = priority.or(new.map(|new| new.spec.priority)) {
            Arc::make_mut(&mut spec).priority = priority;
        }
        Some(Job {
            id: self.id,
            status: self.status_after(past, new.map(|new| new.status.state))?,
            run_at: self.run_at_after(past, future, new.map(|new| new.run_at)),
            labels,
            spec,
            enqueued_at: self.enqueued_at,
            enqueued_by: self.enqueued_by.clone(),
            seq: past.last().map_or(seq, |moment| moment.seq),
            history: past.to_vec(),
            log: self.log.iter().filter(|line| line.at <= at).cloned().collect(),
            log_dropped: self.log_dropped,
            progress: None,
        })
    }

    /// The state in which the job was before its first change that is known; `None` when that cannot be told.
    fn first_state(&self) -> Option<State> {
        if !self.has_whole_history() {
            return None;
        }
        match self.history.first().map(|moment| (&moment.change, moment.state)) {
            Some((Change::BecameAvailable, _)) => Some(State::Scheduled),
            Some((Change::Started { .. }, _)) => Some(State::Available),
            // These leave the state as it is.
            Some((
                Change::Moved { .. } | Change::Reprioritised { .. } | Change::Deleted,
                state,
            )) => Some(state),
            Some((Change::Retried, _)) => Some(State::Scheduled),
            // Nothing has replaced the due time that it had from the beginning, unless it was retried afterwards.
            Some((Change::Cancelled, _)) => {
                let is_retried = self.history.iter().any(|it| it.change.run_at(it.at).is_some());
                let is_due = self.run_at <= self.enqueued_at;
                (!is_retried).then_some(if is_due { State::Available } else { State::Scheduled })
            }
            None => Some(self.status.state),
            Some(_) => None,
        }
    }

    /// The status after the first moments of the history.
    fn status_after(&self, past: &[Moment], first: Option<State>) -> Option<Status> {
        if !self.has_whole_history() {
            // The moments carry their state; only what they do not carry is assumed.
            return past.last().map(|moment| Status {
                state: moment.state,
                attempt: moment.attempt,
                cancel_asked: false,
                ..self.status
            });
        }
        let first = first.or_else(|| self.first_state()).unwrap_or(State::Available);
        let begin = Status::new(self.spec.retry.max_attempts, first);
        past.iter().try_fold(begin, |status, moment| status.after(&moment.change)).ok()
    }

    fn run_at_after(&self, past: &[Moment], future: &[Moment], first: Option<Time>) -> Time {
        let set = |moment: &Moment| moment.change.run_at(moment.at);
        if let Some(run_at) = past.iter().rev().find_map(set) {
            return run_at;
        }
        if let Some(first) = first {
            return first;
        }
        if future.iter().all(|moment| set(moment).is_none()) {
            return self.run_at;
        }
        let due = future.iter().find(|moment| matches!(moment.change, Change::BecameAvailable));
        due.filter(|_| self.first_state() == Some(State::Scheduled))
            .map_or(self.enqueued_at, |moment| moment.at)
    }
}

fn moved_from(moment: &Moment) -> Option<&crate::job::QueueName> {
    match &moment.change {
        Change::Moved { from } => Some(from),
        _ => None,
    }
}
