//! Tells the store what attempts said and how they ended: one loop for all, many at a time.
//! One loop, so that an attempt's notes are always stored before its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, error};

use super::leases::Running;
use crate::engine::queues::slots::Slot;
use crate::engine::{Context, Inner};
use crate::job::Verdict;
use crate::logging::RetryLog;
use crate::store::{Note, Settlement, StoreError};
use crate::supervise::{Part, pass};

/// Reports taken at once.
const BATCH: usize = 4_096;
/// How long notes gather before they are stored, so that a chatty handler costs a few writes.
const GATHER: Duration = Duration::from_millis(100);
/// The first and the longest wait between two tries while the store refuses.
const RETRY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// From an executor. At most two of each running attempt are under way, so the channel needs no bound.
pub enum Report {
    /// The handler said something: it waits in the context.
    Notes(Arc<Running>, Context),
    /// The attempt is over.
    Ended(Ended),
}

/// An attempt that is over but not yet settled.
pub struct Ended {
    pub running: Arc<Running>,
    /// Where the last notes wait; `None` when no handler ran.
    pub context: Option<Context>,
    pub verdict: Verdict,
    /// Held until the store knows, so that a queue never shows more running jobs than it may have.
    pub slot: Slot,
}

/// How many attempts were settled since the start.
#[derive(Debug, Default)]
pub struct Settled {
    /// With an end of their own.
    pub finished: AtomicU64,
    /// Given back, uncharged.
    pub interrupted: AtomicU64,
}

pub async fn run(inner: Arc<Inner>, mut reports: mpsc::UnboundedReceiver<Report>) {
    let mut inbox = Vec::with_capacity(BATCH);
    let mut noisy: Vec<(Arc<Running>, Context)> = Vec::new();
    let mut flush_at = Instant::now();
    loop {
        pass(Part::Settler);
        tokio::select! {
            biased;
            _ = reports.recv_many(&mut inbox, BATCH) => {}
            () = sleep_until(flush_at), if !noisy.is_empty() => {}
            () = inner.quiet.cancelled() => return,
        }
        let mut ended = Vec::with_capacity(inbox.len());
        for report in inbox.drain(..) {
            match report {
                Report::Notes(running, context) => {
                    if noisy.is_empty() {
                        flush_at = Instant::now() + GATHER;
                    }
                    noisy.push((running, context));
                }
                Report::Ended(end) => ended.push(end),
            }
        }
        if !noisy.is_empty() && Instant::now() >= flush_at {
            let speaking = noisy.iter().map(|(running, context)| (&**running, context));
            // What the store refused is back in the contexts and comes with the next notes.
            if let Err(error) = annotate(&inner, speaking).await {
                debug!(%error, "notes could not be stored");
            }
            noisy.clear();
        }
        if !ended.is_empty() {
            settle(&inner, ended).await;
        }
    }
}

/// Stores what waits in the contexts. On an error everything is put back.
async fn annotate<'a>(
    inner: &Inner,
    speaking: impl Iterator<Item = (&'a Running, &'a Context)>,
) -> Result<(), StoreError> {
    let (mut notes, mut contexts) = (Vec::new(), Vec::new());
    for (running, context) in speaking {
        let pending = context.take_notes();
        if !pending.is_empty() {
            let (lines, progress) = (pending.lines, pending.progress);
            notes.push(Note { lease: running.key, lines, progress });
            contexts.push(context);
        }
    }
    if notes.is_empty() {
        return Ok(());
    }
    let result = inner.store.annotate(notes.clone()).await;
    if result.is_err() {
        for (context, note) in contexts.into_iter().zip(notes) {
            let Note { lines, progress, .. } = note;
            context.put_back_notes(crate::engine::handler::Pending { lines, progress });
        }
    }
    result
}

/// Tells the store until it takes it. An attempt whose lease has run out meanwhile is let go: the
/// store gives its job to another attempt.
async fn settle(inner: &Inner, mut ended: Vec<Ended>) {
    let mut retry = RetryLog::new("settling attempts", RETRY.0, RETRY.1);
    loop {
        let lapsed = ended.extract_if(.., |end| !inner.leases.stands(&end.running));
        let lapsed: Vec<Ended> = lapsed.collect();
        if !lapsed.is_empty() {
            debug!(count = lapsed.len(), "attempts without a lease are not reported");
            let_go(inner, lapsed);
        }
        if ended.is_empty() {
            return;
        }
        let pause = match settle_once(inner, &ended).await {
            Ok(()) => {
                retry.worked();
                return let_go(inner, ended);
            }
            Err(StoreError::Closed) => {
                error!(count = ended.len(), "the store closed before attempts were settled");
                return let_go(inner, ended);
            }
            Err(
                error @ (StoreError::Unavailable(_)
                | StoreError::Corrupt(_)
                | StoreError::Newer { .. }
                | StoreError::Full { .. }
                | StoreError::TooManyQueues { .. }),
            ) => retry.failed(&error),
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = inner.quiet.cancelled() => {
                error!(count = ended.len(), "attempts are not settled: their leases run out");
                return let_go(inner, ended);
            }
        }
    }
}

async fn settle_once(inner: &Inner, ended: &[Ended]) -> Result<(), StoreError> {
    let speaking = ended.iter().filter_map(|end| Some((&*end.running, end.context.as_ref()?)));
    annotate(inner, speaking).await?;
    let settlements = ended
        .iter()
        .map(|end| Settlement { lease: end.running.key, verdict: end.verdict.clone() })
        .collect();
    let answers = inner.store.settle(settlements).await?;
    let (mut finished, mut interrupted) = (0, 0);
    for (end, answer) in ended.iter().zip(answers) {
        match (answer, &end.verdict) {
            (Ok(_), Verdict::Interrupted { .. }) => interrupted += 1,
            (
                Ok(_),
                Verdict::Completed { .. }
                | Verdict::Failed { .. }
                | Verdict::Snoozed { .. }
                | Verdict::Discarded { .. }
                | Verdict::Cancelled,
            ) => finished += 1,
            (Err(error), _) => debug!(job.id = %end.running.key.job, %error, "not settled"),
        }
    }
    inner.settled.finished.fetch_add(finished, Ordering::Relaxed);
    inner.settled.interrupted.fetch_add(interrupted, Ordering::Relaxed);
    Ok(())
}

fn let_go(inner: &Inner, ended: Vec<Ended>) {
    inner.leases.ended(ended.iter().map(|end| &*end.running));
    inner.slots.release_all(ended.into_iter().map(|end| end.slot));
}
