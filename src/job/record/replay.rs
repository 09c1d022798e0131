//! Replay of events: each change is mapped back to the step that caused it, so that a status can be folded from the
//! log.

use crate::job::{Change, Refused, State, Status, Step};

impl Status {
    /// The status after a recorded change. Log lines and progress do not change it, and `Enqueued` creates it.
    ///
    /// # Errors
    /// [`Refused`] when the event cannot follow this status, which means that the log is inconsistent.
    pub fn after(self, change: &Change) -> Result<Status, Refused> {
        let step = match change {
            Change::Enqueued { .. } | Change::Progressed(_) | Change::Logged(_) => return Ok(self),
            Change::BecameAvailable => Step::Due,
            Change::Started { .. } => Step::Claim,
            Change::Completed { .. } => Step::Complete,
            Change::RetryScheduled { .. } => Step::Fail,
            Change::Snoozed { .. } => Step::Snooze,
            Change::Discarded { .. } => Step::Discard,
            Change::CancelAsked => Step::AskCancel,
            Change::Cancelled if self.state == State::Running => Step::Cancel,
            Change::Cancelled => Step::AskCancel,
            Change::Interrupted { .. } => Step::Interrupt,
            Change::Rescued { .. } => Step::Rescue,
            Change::Retried => Step::RetryNow,
            Change::Deleted => Step::Delete,
            Change::Moved { .. } => Step::Move,
            Change::Reprioritised { .. } => Step::Reprioritise,
        };
        self.step(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Failure, FailureClass, Interruption, Json, Time, WorkerName};

    /// Every step out of `Running`, with the change that the log records for it.
    #[test]
    fn a_replayed_event_leads_to_the_status_that_its_step_made() {
        let failure = Failure::new(FailureClass::Error, "no");
        let run_at = Time::default();
        let why = Interruption::Stop;
        let running =
            Status { state: State::Running, attempt: 2, max_attempts: 3, cancel_asked: false };
        let last = Status { attempt: 3, ..running };
        let asked = Status { cancel_asked: true, ..running };
        let worker = WorkerName::parse("w").unwrap();
        let ready = Status { state: State::Available, ..running };
        for (before, step, change) in [
            (ready, Step::Claim, Change::Started { worker: worker.into() }),
            (running, Step::Complete, Change::Completed { result: Json::null() }),
            (running, Step::Fail, Change::RetryScheduled { failure: failure.clone(), run_at }),
            (last, Step::Fail, Change::Discarded { failure: failure.clone() }),
            (last, Step::Rescue, Change::Discarded { failure }),
            (running, Step::Snooze, Change::Snoozed { run_at }),
            (running, Step::Interrupt, Change::Interrupted { why }),
            (running, Step::Rescue, Change::Rescued { why }),
            (running, Step::AskCancel, Change::CancelAsked),
            (asked, Step::Interrupt, Change::Cancelled),
            (asked, Step::Fail, Change::Cancelled),
            (ready, Step::AskCancel, Change::Cancelled),
        ] {
            assert_eq!(before.after(&change), before.step(step), "{step:?}");
        }
    }

    #[test]
    fn an_impossible_event_is_refused() {
        let done = Status::new(1, State::Completed);
        assert!(done.after(&Change::BecameAvailable).is_err());
    }
}
