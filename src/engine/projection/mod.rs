//! Keeps up the rows of jobs for queries beside the store: one process at a time reads the log and writes what has changed.
//! When there is a gap in the log, or another epoch, all rows are read again from a snapshot.

mod rows;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use self::rows::ChangedJobs;
use crate::job::{Cursor, State};
use crate::logging::RetryLog;
use crate::store::{
    Events, Piece, Projection, ProjectionCharge, ProjectionStep, Store, StoreError,
};
use crate::supervise::{Part, pass};

/// The wait before this process asks again who is in charge, or tries again after an error.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How often the head of the log is compared with the rows.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How often the process in charge says so when nothing changes.
const HOLD_INTERVAL: Duration = Duration::from_secs(1);
/// How often rows of jobs that are past their retention are looked for. Their removal has no event.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// How many of the oldest rows in each state are looked at together.
const SWEPT: usize = 20;
/// The most events or jobs in one step.
const STEP: usize = 1_000;

/// The loop that keeps the rows up.
pub(super) struct Projector {
    pub store: Arc<dyn Store>,
    /// Whether the configuration asks for it.
    pub is_on: bool,
    /// Ends the loop. Another process goes on.
    pub draining: CancellationToken,
}

/// Why a process no longer keeps up the rows.
enum ChargeEnd {
    /// The server stops.
    Stopping,
    /// Another process is in charge.
    Elsewhere,
}

impl Projector {
    /// Keeps up the rows until the stop begins, whenever no other process does.
    pub(super) async fn run(self) {
        pass(Part::Projection);
        let Some(rows) = self.store.projection().filter(|_| self.is_on) else {
            return self.draining.cancelled().await;
        };
        let mut retry = RetryLog::new("keeping up cortado.jobs", RETRY_DELAY, RETRY_DELAY);
        while !self.draining.is_cancelled() {
            pass(Part::Projection);
            let wait = match self.keep_up(rows).await {
                Ok(ChargeEnd::Stopping) => break,
                Ok(ChargeEnd::Elsewhere) => {
                    retry.worked();
                    RETRY_DELAY
                }
                Err(StoreError::Closed) => return,
                Err(error) => retry.failed(&error),
            };
            tokio::select! {
                () = self.draining.cancelled() => break,
                () = sleep(wait) => {}
            }
        }
        if let Err(error) = rows.release().await {
            tracing::debug!(%error, "another node goes on with cortado.jobs in some seconds");
        }
    }

    /// Keeps up the rows for as long as this process is in charge.
    async fn keep_up(&self, rows: &dyn Projection) -> Result<ChargeEnd, StoreError> {
        let ProjectionCharge::Here(cursor) = rows.hold().await? else {
            return Ok(ChargeEnd::Elsewhere);
        };
        let mut place = cursor;
        let (mut written_at, mut swept_at) = (Instant::now(), Instant::now());
        while !self.draining.is_cancelled() {
            pass(Part::Projection);
            let Some(cursor) = place else {
                match self.read_all(rows).await? {
                    Some(complete) => place = Some(complete),
                    None => return Ok(ChargeEnd::Elsewhere),
                }
                continue;
            };
            let is_due = written_at.elapsed() >= HOLD_INTERVAL;
            if self.store.head() == cursor && !is_due {
                sleep(LOOK_INTERVAL).await;
                continue;
            }
            let mut step = ProjectionStep { from: place, to: place, ..ProjectionStep::default() };
            match self.store.events(cursor, STEP).await? {
                Events::Gap { .. } => {
                    tracing::info!("the log has a gap, cortado.jobs is read again");
                    place = None;
                    continue;
                }
                Events::Some(events) => {
                    if let Some(last) = events.last() {
                        step.to = Some(Cursor { seq: last.seq, ..cursor });
                        let is_behind = last.seq < self.store.head().seq;
                        step.as_of = is_behind.then_some(last.at);
                    }
                    let mut changed = ChangedJobs::default();
                    events.iter().for_each(|event| changed.add(event));
                    (step.changed, step.removed) = changed.into_parts();
                }
            }
            let to = step.to;
            if !rows.write(step).await? {
                return Ok(ChargeEnd::Elsewhere);
            }
            (place, written_at) = (to, Instant::now());
            if swept_at.elapsed() >= SWEEP_INTERVAL {
                self.sweep(rows, place).await?;
                swept_at = Instant::now();
            }
        }
        Ok(ChargeEnd::Stopping)
    }

    /// Reads all jobs again. Returns the place in the log up to which the rows are then, or `None` when another process has
    /// taken charge.
    async fn read_all(&self, rows: &dyn Projection) -> Result<Option<Cursor>, StoreError> {
        if !rows.clear().await? {
            return Ok(None);
        }
        let mut snapshot = self.store.snapshot().await?;
        let (mut cursor, mut step) = (None, ProjectionStep::default());
        let mut held_at = Instant::now();
        loop {
            pass(Part::Projection);
            // The events of the log come first, and may be many.
            if held_at.elapsed() >= HOLD_INTERVAL {
                if rows.hold().await? != ProjectionCharge::Here(None) {
                    return Ok(None);
                }
                held_at = Instant::now();
            }
            let pieces = snapshot.next().await?;
            if pieces.is_empty() {
                return Err(StoreError::Unavailable("the snapshot has no end".into()));
            }
            let mut is_over = false;
            for piece in pieces {
                match piece {
                    Piece::Head(head) => {
                        cursor = Some(Cursor { epoch: head.epoch, seq: head.head })
                    }
                    Piece::Job(job) => step.changed.push(rows::row_of(&job)),
                    Piece::End(_) => is_over = true,
                    Piece::Queue { .. }
                    | Piece::Event(_)
                    | Piece::Schedule(_)
                    | Piece::Kind(_)
                    | Piece::Access(_) => {}
                }
            }
            if is_over {
                step.to = cursor;
            }
            if (is_over || step.changed.len() >= STEP)
                && !rows.write(std::mem::take(&mut step)).await?
            {
                return Ok(None);
            }
            if is_over {
                return Ok(cursor);
            }
        }
    }

    /// Removes the rows of jobs that are gone without an event. They are removed in the order in which they ended.
    async fn sweep(&self, rows: &dyn Projection, at: Option<Cursor>) -> Result<(), StoreError> {
        for state in [State::Completed, State::Discarded, State::Cancelled] {
            loop {
                let mut removed = Vec::new();
                for id in rows.oldest(state, SWEPT).await? {
                    if self.store.get(id).await?.0.is_none() {
                        removed.push(id);
                    }
                }
                if removed.is_empty() {
                    break;
                }
                let step =
                    ProjectionStep { from: at, to: at, removed, ..ProjectionStep::default() };
                if !rows.write(step).await? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
