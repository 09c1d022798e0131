//! Stores the notes and the ends of attempts, many at a time. There is one settler, so that the notes of an
//! attempt are always stored before its end. Attempts that end while others are being settled do not wait for those, so
//! that they can be in the next group of the store.

use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use super::end_line;
use super::leases::{Leases, Running};
use super::report::{AttemptReport, Ended};
use crate::engine::AttemptContext;
use crate::engine::queues::slots::Slots;
use crate::engine::workers::callbacks::Callbacks;
use crate::job::Verdict;
use crate::logging::RetryLog;
use crate::store::{Note, Settlement, Store, StoreError};
use crate::supervise::{Part, pass};

/// The most reports that are handled at once.
const MAX_REPORTS: usize = 4_096;
/// How many times the store is asked to settle attempts before it has answered. More would make many small requests of few
/// large ones.
const MAX_SETTLING: usize = 4;
/// How long notes are collected before they are stored, so that a handler that logs a lot costs few writes.
const NOTES_DELAY: Duration = Duration::from_millis(100);
/// The first and the longest wait between two tries while the store fails.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// The number of attempts that were settled since the start.
#[derive(Debug, Default)]
pub struct Settled {
    /// Attempts that ended on their own.
    pub finished: AtomicU64,
    /// Attempts that were given back without being charged.
    pub interrupted: AtomicU64,
}

/// The loop that settles attempts.
pub struct Settler {
    pub store: Arc<dyn Store>,
    pub leases: Arc<Leases>,
    pub slots: Arc<Slots>,
    pub callbacks: Arc<Callbacks>,
    pub settled: Arc<Settled>,
    /// Ends the loop.
    pub end: CancellationToken,
}

impl Settler {
    /// Settles reported attempts until `end` is cancelled.
    pub async fn run(self, mut reports: mpsc::UnboundedReceiver<AttemptReport>) {
        let mut inbox = Vec::with_capacity(MAX_REPORTS);
        let mut with_notes: Vec<(Arc<Running>, AttemptContext)> = Vec::new();
        let mut flush_at = Instant::now();
        // While the store fails, full notes are not tried again at once.
        let mut not_before = Instant::now();
        let mut settling = FuturesUnordered::new();
        loop {
            pass(Part::Settler);
            tokio::select! {
                biased;
                Some(()) = settling.next(), if !settling.is_empty() => {}
                taken = reports.recv_many(&mut inbox, MAX_REPORTS), if settling.len() < MAX_SETTLING => {
                    if taken == 0 {
                        // The engine was dropped, so no more reports can arrive.
                        settling.collect::<()>().await;
                        return self.end.cancelled().await;
                    }
                }
                () = sleep_until(flush_at), if !with_notes.is_empty() => {}
                // What is being settled ends with an answer of the store, or before the next try.
                () = self.end.cancelled() => return settling.collect().await,
            }
            let mut ended = Vec::with_capacity(inbox.len());
            for report in inbox.drain(..) {
                match report {
                    AttemptReport::Notes(running, context) => {
                        if context.is_log_full() {
                            flush_at = Instant::now().max(not_before);
                        } else if with_notes.is_empty() {
                            flush_at = Instant::now() + NOTES_DELAY;
                        }
                        with_notes.push((running, context));
                    }
                    AttemptReport::Ended(end) => ended.push(end),
                }
            }
            if !with_notes.is_empty() && Instant::now() >= flush_at {
                let attempts = with_notes.iter().map(|(running, context)| (&**running, context));
                // Notes that the store refused are back in their contexts and are stored with the next ones.
                if let Err(error) = self.annotate(attempts).await {
                    debug!(%error, "storing notes failed, retrying with the next notes");
                    not_before = Instant::now() + NOTES_DELAY;
                }
                with_notes.clear();
            }
            if !ended.is_empty() {
                settling.push(self.settle(ended));
            }
        }
    }

    /// Stores the notes that the contexts hold. On an error they are put back.
    async fn annotate<'a>(
        &self,
        attempts: impl Iterator<Item = (&'a Running, &'a AttemptContext)>,
    ) -> Result<(), StoreError> {
        let (mut notes, mut contexts) = (Vec::new(), Vec::new());
        for (running, context) in attempts {
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
        let result = self.store.annotate(notes.clone()).await;
        if result.is_err() {
            for (context, note) in contexts.into_iter().zip(notes) {
                let Note { lines, progress, .. } = note;
                context.put_back_notes(crate::engine::handler::Pending { lines, progress });
            }
        }
        result
    }

    /// Settles attempts, and retries until the store accepts them. Drops an attempt whose lease has expired by then,
    /// because the store starts another attempt of its job.
    async fn settle(&self, mut ended: Vec<Ended>) {
        let mut retry = RetryLog::new("settling attempts", RETRY_DELAYS.0, RETRY_DELAYS.1);
        loop {
            let lapsed = ended.extract_if(.., |end| !self.leases.is_valid(&end.running));
            let lapsed: Vec<Ended> = lapsed.collect();
            if !lapsed.is_empty() {
                debug!(count = lapsed.len(), "leases expired, dropping the ends of attempts");
                self.release(lapsed);
            }
            if ended.is_empty() {
                return;
            }
            let pause = match self.settle_once(&mut ended).await {
                Ok(()) => {
                    retry.worked();
                    return self.release(ended);
                }
                Err(StoreError::Closed) => {
                    error!(
                        count = ended.len(),
                        "the store closed before all attempts were settled"
                    );
                    return self.release(ended);
                }
                Err(
                    error @ (StoreError::Unavailable(_)
                    | StoreError::Corrupt(_)
                    | StoreError::Newer { .. }
                    | StoreError::Replaced(_)),
                ) => retry.failed(&error),
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.end.cancelled() => {
                    error!(count = ended.len(), "stopping with unsettled attempts; their leases will expire");
                    return self.release(ended);
                }
            }
        }
    }

    async fn settle_once(&self, ended: &mut [Ended]) -> Result<(), StoreError> {
        let attempts = ended.iter().filter_map(|end| Some((&*end.running, end.context.as_ref()?)));
        self.annotate(attempts).await?;
        let settlements = ended
            .iter()
            .map(|end| Settlement { lease: end.running.key, verdict: end.verdict.clone() })
            .collect();
        let mut answers = pin!(self.store.settle(settlements));
        let answers = tokio::select! {
            biased;
            answers = &mut answers => answers,
            () = ready(()) => {
                // The request is on its way now.
                self.slots.release_all(ended.iter_mut().filter_map(|end| end.slot.take()));
                answers.await
            }
        }?;
        let (mut finished, mut interrupted) = (0, 0);
        for (end, answer) in ended.iter().zip(answers) {
            if let Ok(status) = &answer {
                end_line::log(end, *status);
            }
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
                (Err(error), _) => {
                    debug!(job.id = %end.running.key.job, %error, "the store refused the end of an attempt")
                }
            }
        }
        self.settled.finished.fetch_add(finished, Ordering::Relaxed);
        self.settled.interrupted.fetch_add(interrupted, Ordering::Relaxed);
        Ok(())
    }

    fn release(&self, ended: Vec<Ended>) {
        self.callbacks.ended(ended.iter().map(|end| end.running.key));
        self.leases.ended(ended.iter().map(|end| &*end.running));
        self.slots.release_all(ended.into_iter().filter_map(|end| end.slot));
    }
}
