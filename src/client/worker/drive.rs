//! The loop of a worker and the phases of its stop.

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep_until};

use super::attempts::Attempts;
use super::link::{LinkNews, WorkerLink};
use crate::client::error::ClientError;

/// How long a stopping worker waits until the server has confirmed its last settles.
const LAST_SETTLES: Duration = Duration::from_secs(5);
/// How long the server has to confirm that the worker has signed off.
const SIGN_OFF: Duration = Duration::from_secs(3);
/// The most messages that are taken before an answer to them is sent.
const MOST_ARRIVALS: usize = 16;

/// Why a worker has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCause {
    /// The program asked it to stop.
    Asked,
    /// An operator told it to stop, on the server.
    Commanded,
}

/// How a worker has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerEnd {
    /// Why it has ended.
    pub cause: StopCause,
    /// The number of jobs that it gave back, because they were not done in time.
    pub returned: usize,
    /// The number of outcomes that the server has not confirmed. Their jobs may run again.
    pub unconfirmed: usize,
}

#[derive(Clone, Copy)]
enum StopPhase {
    Running,
    /// Waits for handlers to end.
    Draining(StopCause, Instant),
    /// Waits for the server to confirm the last outcomes.
    Settling(StopCause, Instant),
    SigningOff(StopCause, Instant, usize),
    Ended(WorkerEndCounts),
}

#[derive(Clone, Copy)]
struct WorkerEndCounts {
    cause: StopCause,
    unconfirmed: usize,
}

/// Runs jobs until `until` is ready or the server says so, and then stops in order.
///
/// # Errors
/// The server refuses the worker, or another one took its name.
pub async fn drive<L: WorkerLink>(
    mut link: L,
    mut attempts: Attempts,
    grace: Duration,
    until: impl Future<Output = ()>,
) -> Result<WorkerEnd, ClientError> {
    let mut until = pin!(until);
    let mut phase = StopPhase::Running;
    loop {
        attempts.collect();
        let now = Instant::now();
        phase = phase.advance(now, &mut link, &mut attempts);
        link.advance(now, &mut attempts)?;
        if let StopPhase::Ended(WorkerEndCounts { cause, unconfirmed }) = phase {
            return Ok(WorkerEnd { cause, returned: attempts.returned(), unconfirmed });
        }
        let is_running = matches!(phase, StopPhase::Running);
        let due = phase.due().map_or(link.due(), |due| due.min(link.due()));
        tokio::select! {
            arrival = link.next() => {
                let mut news = link.take(arrival, &mut attempts)?;
                // What has arrived at the same time shares one answer.
                for _ in 1..MOST_ARRIVALS {
                    let Some(arrival) = link.next().now_or_never() else { break };
                    let more = link.take(arrival, &mut attempts)?;
                    news = if more == LinkNews::Nothing { news } else { more };
                }
                if news == LinkNews::StopCommanded && is_running {
                    phase = begin_stop(StopCause::Commanded, grace, &mut link, &mut attempts);
                }
            }
            () = attempts.changed() => {}
            () = sleep_until(due) => {}
            () = &mut until, if is_running => {
                phase = begin_stop(StopCause::Asked, grace, &mut link, &mut attempts);
            }
        }
    }
}

fn begin_stop(
    cause: StopCause,
    grace: Duration,
    link: &mut impl WorkerLink,
    attempts: &mut Attempts,
) -> StopPhase {
    attempts.close_intake();
    link.end_claims(attempts);
    StopPhase::Draining(cause, Instant::now() + grace)
}

impl StopPhase {
    /// Goes on to the next phases that have begun.
    fn advance(
        self,
        now: Instant,
        link: &mut impl WorkerLink,
        attempts: &mut Attempts,
    ) -> StopPhase {
        let mut phase = self;
        if let StopPhase::Draining(cause, until) = phase
            && (attempts.busy() == 0 || now >= until)
        {
            attempts.give_back();
            phase = StopPhase::Settling(cause, now + LAST_SETTLES);
        }
        if let StopPhase::Settling(cause, until) = phase {
            let unconfirmed = attempts.outbox.unsent_count() + link.unconfirmed();
            if unconfirmed == 0 || now >= until {
                link.sign_off();
                phase = StopPhase::SigningOff(cause, now + SIGN_OFF, unconfirmed);
            }
        }
        if let StopPhase::SigningOff(cause, until, unconfirmed) = phase
            && (link.has_ended() || now >= until)
        {
            phase = StopPhase::Ended(WorkerEndCounts { cause, unconfirmed });
        }
        phase
    }

    fn due(self) -> Option<Instant> {
        match self {
            StopPhase::Running | StopPhase::Ended(_) => None,
            StopPhase::Draining(_, until)
            | StopPhase::Settling(_, until)
            | StopPhase::SigningOff(_, until, _) => Some(until),
        }
    }
}
