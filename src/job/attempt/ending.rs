//! The effect of the end of an attempt on its job: the new status by the state machine, and the change that the
//! event log records. Every store uses these functions.

use crate::job::{
    Change, Failure, FailureClass, Interruption, Refused, State, Status, Step, Time, Verdict,
};

impl Interruption {
    /// The message of the failure with which a job is discarded when its last attempt was lost.
    pub fn lost_message(self) -> &'static str {
        match self {
            Interruption::Crash => "the server's process died during the last attempt",
            Interruption::LeaseExpired => "the lease of the last attempt ran out",
            Interruption::Stop => "the last attempt was cut off",
            Interruption::Unclaimed => "the last attempt never began",
            Interruption::Returned => "the worker gave the last attempt back",
        }
    }
}

impl Status {
    /// The status and change after a worker reported the end of an attempt at `now`.
    ///
    /// # Errors
    /// [`Refused`] when the job is not running.
    pub fn settled(self, verdict: Verdict, now: Time) -> Result<(Status, Change), Refused> {
        let step = match &verdict {
            Verdict::Completed { .. } => Step::Complete,
            Verdict::Failed { .. } => Step::Fail,
            Verdict::Snoozed { .. } => Step::Snooze,
            Verdict::Discarded { .. } => Step::Discard,
            Verdict::Cancelled => Step::Cancel,
            Verdict::Interrupted { .. } => Step::Interrupt,
        };
        let status = self.step(step)?;
        let change = match verdict {
            Verdict::Completed { result } => Change::Completed { result },
            Verdict::Discarded { failure } => Change::Discarded { failure },
            Verdict::Cancelled => Change::Cancelled,
            // A cancellation was requested in the meantime, so there is no next attempt.
            Verdict::Failed { .. } | Verdict::Snoozed { .. } | Verdict::Interrupted { .. }
                if status.state == State::Cancelled =>
            {
                Change::Cancelled
            }
            Verdict::Failed { failure, retry_in } if status.state == State::Retryable => {
                Change::RetryScheduled { failure, run_at: now.after(retry_in) }
            }
            Verdict::Failed { failure, .. } => Change::Discarded { failure },
            Verdict::Snoozed { delay } => Change::Snoozed { run_at: now.after(delay) },
            Verdict::Interrupted { why } => Change::Interrupted { why },
        };
        Ok((status, change))
    }

    /// The status and change after an attempt was lost, so that no worker reports its end.
    ///
    /// # Errors
    /// [`Refused`] when the job is not running.
    pub fn rescued(self, why: Interruption) -> Result<(Status, Change), Refused> {
        let status = self.step(Step::Rescue)?;
        let change = match status.state {
            State::Cancelled => Change::Cancelled,
            State::Discarded => {
                let failure = Failure::new(FailureClass::Lost, why.lost_message());
                Change::Discarded { failure }
            }
            State::Scheduled
            | State::Available
            | State::Running
            | State::Retryable
            | State::Completed => Change::Rescued { why },
        };
        Ok((status, change))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{EventType, Json};
    use std::time::Duration;

    fn running(attempt: u16, cancel_asked: bool) -> Status {
        Status { state: State::Running, attempt, max_attempts: 3, cancel_asked }
    }

    fn verdicts() -> [Verdict; 6] {
        let failure = Failure::new(FailureClass::Error, "no");
        let delay = Duration::from_secs(2);
        [
            Verdict::Completed { result: Json::null() },
            Verdict::Failed { failure: failure.clone(), retry_in: delay },
            Verdict::Snoozed { delay },
            Verdict::Discarded { failure },
            Verdict::Cancelled,
            Verdict::Interrupted { why: Interruption::Stop },
        ]
    }

    fn names(status: Status) -> Vec<EventType> {
        let now = Time::from_millis(5);
        let settled = verdicts().map(|verdict| status.settled(verdict, now).unwrap());
        for (after, change) in &settled {
            assert_eq!(status.after(change), Ok(*after), "the log replays to the same status");
        }
        settled.iter().map(|(_, change)| change.event_type()).collect()
    }

    #[test]
    fn a_verdict_makes_the_change_of_its_name() {
        use EventType::*;
        let first = names(running(1, false));
        let [retry, snooze, interrupt] = [JobRetryScheduled, JobSnoozed, JobInterrupted];
        assert_eq!(first, [JobCompleted, retry, snooze, JobDiscarded, JobCancelled, interrupt]);
        assert_eq!(names(running(3, false))[1], JobDiscarded, "no attempt is left");
        let asked = names(running(1, true));
        let end = JobCancelled;
        assert_eq!(asked, [JobCompleted, end, end, JobDiscarded, end, end]);
    }

    #[test]
    fn a_lost_attempt_is_followed_by_another_while_there_is_one() {
        let why = Interruption::Crash;
        let made = |status: Status| status.rescued(why).unwrap().1.event_type();
        assert_eq!(made(running(2, false)), EventType::JobRescued);
        assert_eq!(made(running(3, false)), EventType::JobDiscarded);
        assert_eq!(made(running(2, true)), EventType::JobCancelled);
        assert!(Status::new(1, State::Completed).rescued(why).is_err());
    }

    #[test]
    fn delays_count_from_now() {
        let now = Time::from_millis(5);
        for (verdict, _) in verdicts().into_iter().zip(0..3).skip(1) {
            let (_, change) = running(1, false).settled(verdict, now).unwrap();
            assert_eq!(change.run_at(now), Some(Time::from_millis(2_005)));
        }
    }
}
