//! Whether the end of an attempt that is stored is the one that a worker reports, perhaps once more.

use super::counters::RemoteEnd;
use crate::job::{Change, Failure, FailureClass, Interruption};

/// Whether the report of an end leads to a change. While a job is being cancelled, most ends cancel it. A callback reports
/// to a handler in this process, which has no attempt to give back, and is interrupted by a stop.
pub fn can_lead_to(reported: RemoteEnd, change: &Change) -> bool {
    let is_of_handler = |failure: &Failure| failure.class == FailureClass::Error;
    match change {
        Change::Completed { .. } => reported == RemoteEnd::Done,
        Change::RetryScheduled { failure, .. } => {
            reported == RemoteEnd::Retry && is_of_handler(failure)
        }
        Change::Discarded { failure } => {
            matches!(reported, RemoteEnd::Retry | RemoteEnd::Discard) && is_of_handler(failure)
        }
        Change::Snoozed { .. } => matches!(reported, RemoteEnd::Snooze | RemoteEnd::Returned),
        Change::Interrupted { why: Interruption::Returned } => reported == RemoteEnd::Returned,
        Change::Interrupted { why: Interruption::Stop } => {
            matches!(reported, RemoteEnd::Retry | RemoteEnd::Cancelled)
        }
        Change::Cancelled => reported != RemoteEnd::Done,
        Change::Interrupted { .. }
        | Change::Rescued { .. }
        | Change::Started { .. }
        | Change::Deleted
        | Change::Enqueued { .. }
        | Change::BecameAvailable
        | Change::Progressed(_)
        | Change::Logged(_)
        | Change::CancelAsked
        | Change::Retried
        | Change::Moved { .. }
        | Change::Reprioritised { .. } => false,
    }
}
