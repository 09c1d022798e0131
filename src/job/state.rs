//! The state machine of a job: the only code that decides which step is allowed in which state.
//!
//! [`Status::step`] is a pure function, tested for every state and every step.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The job waits for its due time, before the first attempt or after a snooze.
    Scheduled,
    /// The job is due and can be claimed.
    Available,
    /// A worker holds the lease of the job.
    Running,
    /// An attempt failed, and the job waits for the next one.
    Retryable,
    /// An attempt succeeded.
    Completed,
    /// No attempt succeeded, and there will be no other one unless somebody retries the job.
    Discarded,
    /// The job was cancelled on request.
    Cancelled,
}

impl State {
    /// All states, in the order of a job's life cycle.
    pub const ALL: [State; 7] = [
        State::Scheduled,
        State::Available,
        State::Running,
        State::Retryable,
        State::Completed,
        State::Discarded,
        State::Cancelled,
    ];

    /// Whether the state is final, so that the job only changes on request.
    pub fn is_final(self) -> bool {
        match self {
            State::Completed | State::Discarded | State::Cancelled => true,
            State::Scheduled | State::Available | State::Running | State::Retryable => false,
        }
    }

    /// Whether the job counts as backlog: it is not running yet, but will.
    pub fn is_waiting(self) -> bool {
        match self {
            State::Scheduled | State::Available | State::Retryable => true,
            State::Running | State::Completed | State::Discarded | State::Cancelled => false,
        }
    }

    /// The public name of the state.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Scheduled => "scheduled",
            State::Available => "available",
            State::Running => "running",
            State::Retryable => "retryable",
            State::Completed => "completed",
            State::Discarded => "discarded",
            State::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for State {
    type Err = super::Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let accepted = "expected one of scheduled, available, running, retryable, completed, \
                        discarded, cancelled";
        let found = State::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| super::Invalid::new("state", text, accepted))
    }
}

/// A step: something that happens to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The due time of the job has come.
    Due,
    /// A worker claims the job.
    Claim,
    /// The attempt succeeded.
    Complete,
    /// The attempt failed; another may follow.
    Fail,
    /// The handler asked to be called again later; the attempt is not charged.
    Snooze,
    /// The handler reported that no attempt can succeed.
    Discard,
    /// The attempt ended because the job is being cancelled.
    Cancel,
    /// Somebody requested the cancellation of the job.
    AskCancel,
    /// The server stopped during the attempt; the attempt is not charged.
    Interrupt,
    /// The lease expired or the process died; the attempt stays charged.
    Rescue,
    /// Somebody requested that the job runs again now.
    RetryNow,
    /// Somebody requested the deletion of the job.
    Delete,
    /// Somebody moved the job to another queue.
    Move,
    /// Somebody changed the priority of the job.
    Reprioritise,
}

impl Step {
    /// All steps, for the exhaustive test.
    pub const ALL: [Step; 14] = [
        Step::Due,
        Step::Claim,
        Step::Complete,
        Step::Fail,
        Step::Snooze,
        Step::Discard,
        Step::Cancel,
        Step::AskCancel,
        Step::Interrupt,
        Step::Rescue,
        Step::RetryNow,
        Step::Delete,
        Step::Move,
        Step::Reprioritise,
    ];
}

/// The error for a step that the state of the job does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} {state} job cannot {}", article(*.state), verb(*.step))]
pub struct Refused {
    /// The state of the job.
    pub state: State,
    /// The step that was refused.
    pub step: Step,
}

/// The part of a job that the state machine works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// The state of the job.
    pub state: State,
    /// The attempts charged so far; while the job runs, the number of the current one, counted from 1.
    pub attempt: u16,
    /// The total number of attempts that the job may take.
    pub max_attempts: u16,
    /// Whether somebody requested the cancellation of a running job. Its worker is notified.
    pub cancel_asked: bool,
}

impl Status {
    /// The status of a new job.
    pub fn new(max_attempts: u16, due: State) -> Self {
        Status { state: due, attempt: 0, max_attempts, cancel_asked: false }
    }

    /// Returns the status after `step`.
    ///
    /// # Errors
    /// [`Refused`] when the state does not allow the step. Nothing changes then.
    pub fn step(self, step: Step) -> Result<Status, Refused> {
        use State::{Available, Cancelled, Completed, Discarded, Retryable, Running, Scheduled};

        let refused = Err(Refused { state: self.state, step });
        let to = |state| Ok(Status { state, cancel_asked: false, ..self });
        let given_back = Status { attempt: self.attempt.saturating_sub(1), ..self };
        // A running job that is being cancelled never returns to a waiting state.
        let unless_cancelled = |status: Status| {
            if self.cancel_asked { to(Cancelled) } else { Ok(status) }
        };

        match (self.state, step) {
            (Scheduled | Retryable, Step::Due) => to(Available),

            (Available, Step::Claim) => {
                Ok(Status { state: Running, attempt: self.attempt.saturating_add(1), ..self })
            }

            (Running, Step::Complete) => to(Completed),
            (Running, Step::Fail) if self.attempt < self.max_attempts => {
                unless_cancelled(Status { state: Retryable, ..self })
            }
            (Running, Step::Fail) => unless_cancelled(Status { state: Discarded, ..self }),
            (Running, Step::Snooze) => unless_cancelled(Status { state: Scheduled, ..given_back }),
            (Running, Step::Discard) => to(Discarded),
            (Running, Step::Cancel) => to(Cancelled),
            (Running, Step::Interrupt) => {
                unless_cancelled(Status { state: Available, ..given_back })
            }
            (Running, Step::Rescue) if self.attempt < self.max_attempts => {
                unless_cancelled(Status { state: Available, ..self })
            }
            (Running, Step::Rescue) => unless_cancelled(Status { state: Discarded, ..self }),

            (Scheduled | Available | Retryable, Step::AskCancel) => to(Cancelled),
            (Running, Step::AskCancel) => Ok(Status { cancel_asked: true, ..self }),

            (Scheduled | Retryable | Completed | Discarded | Cancelled, Step::RetryNow) => {
                Ok(Status {
                    state: Available,
                    max_attempts: self.max_attempts.max(self.attempt.saturating_add(1)),
                    cancel_asked: false,
                    ..self
                })
            }

            (
                Scheduled | Available | Retryable | Completed | Discarded | Cancelled,
                Step::Delete,
            ) => Ok(self),

            // A running job holds a slot of its queue, and a final job keeps its position in the order of completion.
            (Scheduled | Available | Retryable, Step::Move | Step::Reprioritise) => Ok(self),

            (Available | Running | Completed | Discarded | Cancelled, Step::Due) => refused,
            (Scheduled | Running | Retryable | Completed | Discarded | Cancelled, Step::Claim) => {
                refused
            }
            (
                Scheduled | Available | Retryable | Completed | Discarded | Cancelled,
                Step::Complete
                | Step::Fail
                | Step::Snooze
                | Step::Discard
                | Step::Cancel
                | Step::Interrupt
                | Step::Rescue,
            ) => refused,
            (Completed | Discarded | Cancelled, Step::AskCancel) => refused,
            (Available | Running, Step::RetryNow) => refused,
            (Running, Step::Delete) => refused,
            (Running | Completed | Discarded | Cancelled, Step::Move | Step::Reprioritise) => {
                refused
            }
        }
    }
}

fn article(state: State) -> &'static str {
    if state == State::Available { "an" } else { "a" }
}

fn verb(step: Step) -> &'static str {
    match step {
        Step::Due => "become due",
        Step::Claim => "be claimed",
        Step::Complete => "be completed",
        Step::Fail => "fail",
        Step::Snooze => "be snoozed",
        Step::Discard => "be discarded",
        Step::Cancel | Step::AskCancel => "be cancelled",
        Step::Interrupt => "be interrupted",
        Step::Rescue => "be rescued",
        Step::RetryNow => "be retried",
        Step::Delete => "be deleted",
        Step::Move => "be moved to another queue",
        Step::Reprioritise => "be given another priority",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole state machine as a table with a row per state and a column per step; `-` means refused. It holds for
    /// jobs with attempts left and without a cancellation request.
    const TABLE: [(State, [&str; 14]); 7] = {
        use State::*;
        [
            // due, claim, complete, fail, snooze, discard, cancel, ask, interrupt, rescue, retry, delete,
            // move, reprioritise
            (
                Scheduled,
                [
                    "avai", "-", "-", "-", "-", "-", "-", "canc", "-", "-", "avai", "sche", "sche",
                    "sche",
                ],
            ),
            (
                Available,
                [
                    "-", "runn", "-", "-", "-", "-", "-", "canc", "-", "-", "-", "avai", "avai",
                    "avai",
                ],
            ),
            (
                Running,
                [
                    "-", "-", "comp", "retr", "sche", "disc", "canc", "runn", "avai", "avai", "-",
                    "-", "-", "-",
                ],
            ),
            (
                Retryable,
                [
                    "avai", "-", "-", "-", "-", "-", "-", "canc", "-", "-", "avai", "retr", "retr",
                    "retr",
                ],
            ),
            (
                Completed,
                ["-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "avai", "comp", "-", "-"],
            ),
            (
                Discarded,
                ["-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "avai", "disc", "-", "-"],
            ),
            (
                Cancelled,
                ["-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "avai", "canc", "-", "-"],
            ),
        ]
    };

    fn status(state: State) -> Status {
        Status { state, attempt: 2, max_attempts: 5, cancel_asked: false }
    }

    #[test]
    fn every_state_answers_every_step_as_the_table_says() {
        for (state, row) in TABLE {
            for (step, expected) in Step::ALL.into_iter().zip(row) {
                let got = match status(state).step(step) {
                    Ok(next) => &next.state.as_str()[..4],
                    Err(refused) => {
                        assert_eq!(refused, Refused { state, step });
                        "-"
                    }
                };
                assert_eq!(got, expected, "{state} + {step:?}");
            }
        }
    }

    #[test]
    fn only_a_claim_charges_and_only_a_stop_or_a_snooze_gives_back() {
        for (state, _) in TABLE {
            for step in Step::ALL {
                let Ok(next) = status(state).step(step) else { continue };
                let charged = i32::from(next.attempt) - 2;
                let expected = match step {
                    Step::Claim => 1,
                    Step::Interrupt | Step::Snooze => -1,
                    Step::Due | Step::Complete | Step::Fail | Step::Discard | Step::Cancel => 0,
                    Step::AskCancel | Step::Rescue | Step::RetryNow | Step::Delete => 0,
                    Step::Move | Step::Reprioritise => 0,
                };
                assert_eq!(charged, expected, "{state} + {step:?}");
            }
        }
    }

    #[test]
    fn the_last_attempt_that_fails_or_is_lost_discards() {
        let last = Status { attempt: 5, ..status(State::Running) };
        assert_eq!(last.step(Step::Fail).unwrap().state, State::Discarded);
        assert_eq!(last.step(Step::Rescue).unwrap().state, State::Discarded);
        assert_eq!(last.step(Step::Interrupt).unwrap().state, State::Available);
    }

    #[test]
    fn a_running_job_that_is_to_be_cancelled_never_waits_again() {
        let asked = status(State::Running).step(Step::AskCancel).unwrap();
        assert!(asked.cancel_asked);
        for step in [Step::Fail, Step::Snooze, Step::Interrupt, Step::Rescue, Step::Cancel] {
            let next = asked.step(step).unwrap();
            assert_eq!((next.state, next.cancel_asked), (State::Cancelled, false), "{step:?}");
        }
        assert_eq!(asked.step(Step::Complete).unwrap().state, State::Completed);
    }

    #[test]
    fn a_retry_by_hand_always_leaves_an_attempt() {
        let dead = Status { attempt: 5, ..status(State::Discarded) };
        assert_eq!(dead.step(Step::RetryNow).unwrap().max_attempts, 6);
        assert_eq!(status(State::Discarded).step(Step::RetryNow).unwrap().max_attempts, 5);
    }

    #[test]
    fn a_refusal_names_the_state_with_its_article() {
        let refusal = |state| status(state).step(Step::RetryNow).unwrap_err().to_string();
        assert_eq!(refusal(State::Available), "an available job cannot be retried");
        assert_eq!(refusal(State::Running), "a running job cannot be retried");
    }

    #[test]
    fn states_survive_text() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse::<State>().unwrap(), state);
        }
        assert!("done".parse::<State>().unwrap_err().to_string().contains("completed"));
    }
}
