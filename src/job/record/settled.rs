//! The leases of a job: who holds the current one, and which state an earlier one left the job in, which is the answer to
//! a worker that reports the end of an attempt again.

use std::time::Duration;

use crate::job::{Change, FailureClass, Interruption, Job, LeaseHolder, State};

impl Job {
    /// The start of the attempt that is running, with its token and the holder of its lease.
    pub fn lease(&self) -> Option<(u64, &LeaseHolder)> {
        let mut moments = self.history.iter().rev();
        let started = moments.find_map(|moment| {
            let Change::Started { worker } = &moment.change else { return None };
            Some((moment.seq, worker))
        });
        started.filter(|_| self.status.state == State::Running)
    }

    /// How long the lease of the running attempt is kept after a restart of the server; `None` when the attempt ends
    /// with the server.
    pub fn kept_for(&self) -> Option<Duration> {
        self.lease().and_then(|(_, holder)| holder.kept_for())
    }

    /// The state in which the job was after the attempt with this token was settled by the holder of its lease. `None`
    /// while it is running, when the attempt was lost instead, and when its start has left the history.
    ///
    /// An attempt that was lost while its job was being cancelled ended as `Cancelled`, like one that was settled then.
    pub fn settled_by(&self, token: u64) -> Option<State> {
        let mut moments = self.history.iter().skip_while(|moment| moment.seq != token);
        let started = moments.next()?;
        if !matches!(started.change, Change::Started { .. }) {
            return None;
        }
        let end = moments.find_map(|moment| {
            let is_settled = match &moment.change {
                Change::Completed { .. }
                | Change::RetryScheduled { .. }
                | Change::Snoozed { .. }
                | Change::Cancelled => true,
                Change::Discarded { failure } => failure.class != FailureClass::Lost,
                Change::Interrupted { why } => match why {
                    Interruption::Stop | Interruption::Returned => true,
                    Interruption::Crash | Interruption::LeaseExpired | Interruption::Unclaimed => {
                        false
                    }
                },
                Change::Rescued { .. } | Change::Started { .. } | Change::Deleted => false,
                Change::Enqueued { .. }
                | Change::BecameAvailable
                | Change::Progressed(_)
                | Change::Logged(_)
                | Change::CancelAsked
                | Change::Retried
                | Change::Moved { .. }
                | Change::Reprioritised { .. } => return None,
            };
            Some(is_settled.then_some(moment.state))
        });
        end.flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{
        Event, Fact, Failure, JobId, Json, Kind, Labels, LogCaps, QueueName, Spec, Time, Verdict,
        WorkerName,
    };

    /// A job with these events after its first one, whose numbers count from 2.
    fn job(changes: Vec<Change>) -> Job {
        let labels = Labels {
            queue: QueueName::default(),
            kind: Kind::parse("echo").unwrap(),
            tags: Box::default(),
        };
        let spec = Spec {
            payload: Json::null(),
            priority: 0,
            retry: Default::default(),
            timeout_ms: None,
            idempotency_key: None,
        };
        let event = |seq, state, change| {
            let fact = Fact::Job {
                id: JobId::from_u128(1),
                labels: labels.clone().into(),
                state,
                attempt: 1,
                change,
            };
            Event { seq, at: Time::default(), by: None, fact }
        };
        let run_at = Time::default();
        let first = event(1, State::Available, Change::Enqueued { spec: spec.into(), run_at });
        let mut job = Job::from_enqueued(&first).unwrap();
        for (seq, change) in (2..).zip(changes) {
            let status = job.status.after(&change).unwrap();
            job.apply(&event(seq, status.state, change), status, LogCaps::default());
        }
        job
    }

    fn started() -> Change {
        Change::Started { worker: WorkerName::parse("w1").unwrap().into() }
    }

    #[test]
    fn every_verdict_of_the_holder_is_the_answer_to_its_repetition() {
        let failure = Failure::new(FailureClass::Error, "no");
        let delay = Duration::from_secs(2);
        for (verdict, state) in [
            (Verdict::Completed { result: Json::null() }, State::Completed),
            (Verdict::Failed { failure: failure.clone(), retry_in: delay }, State::Retryable),
            (Verdict::Snoozed { delay }, State::Scheduled),
            (Verdict::Discarded { failure }, State::Discarded),
            (Verdict::Cancelled, State::Cancelled),
            (Verdict::Interrupted { why: Interruption::Returned }, State::Available),
        ] {
            let running = job(vec![started()]);
            assert_eq!(running.settled_by(2), None, "it is running");
            let (_, end) = running.status.settled(verdict, Time::default()).unwrap();
            let ended = job(vec![started(), end]);
            assert_eq!((ended.settled_by(2), ended.settled_by(3)), (Some(state), None));
        }
    }

    #[test]
    fn a_lease_that_was_lost_settled_nothing() {
        let why = Interruption::LeaseExpired;
        let lost = Failure::new(FailureClass::Lost, why.lost_message());
        for end in [
            Change::Rescued { why },
            Change::Discarded { failure: lost },
            Change::Interrupted { why: Interruption::Unclaimed },
        ] {
            assert_eq!(job(vec![started(), end]).settled_by(2), None);
        }
    }

    #[test]
    fn every_attempt_has_its_own_answer_as_long_as_the_job_is_stored() {
        let why = Interruption::Stop;
        let run_at = Time::default();
        let failure = Failure::new(FailureClass::Error, "no");
        let job = job(vec![
            started(),
            Change::Interrupted { why },
            started(),
            Change::Rescued { why: Interruption::Crash },
            started(),
            Change::CancelAsked,
            Change::Cancelled,
            Change::Retried,
            started(),
            Change::RetryScheduled { failure, run_at },
        ]);
        let answers = [2, 4, 6, 10].map(|token| job.settled_by(token));
        let expected =
            [Some(State::Available), None, Some(State::Cancelled), Some(State::Retryable)];
        assert_eq!(answers, expected);
        assert_eq!([1, 3, 9, 99].map(|token| job.settled_by(token)), [None; 4]);
    }
}
