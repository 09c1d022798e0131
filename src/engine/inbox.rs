//! Enqueues the jobs that programs submit in SQL, in transactions of their own: reads them from the inbox beside the store,
//! checks them as the JSON API does, and moves those that are refused to where their submitters can see why.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::attempts::dispatchers::Dispatchers;
use super::{EngineConfig, FieldError, Kinds, PayloadError, Submission, run_blocking};
use crate::job::shorten::{MAX_ERRORS, MAX_MESSAGE, first_few, shorten};
use crate::job::{NewJob, Start};
use crate::logging::RetryLog;
use crate::store::{EnqueueError, Inbox, InboxAnswer, InboxRow, NotEnqueued, Store, StoreError};
use crate::supervise::{Part, pass};

/// How often the inbox is read while no notification arrives.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The wait before the inbox is read again when nothing of it can be enqueued, or after an error.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The loop that enqueues jobs from the inbox.
pub(super) struct InboxReader {
    pub store: Arc<dyn Store>,
    pub kinds: Kinds,
    pub config: Arc<EngineConfig>,
    pub dispatchers: Arc<Dispatchers>,
    /// Ends the loop. The other nodes go on.
    pub draining: CancellationToken,
}

/// What one look into the inbox has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InboxState {
    /// There may be more.
    MayHaveMore,
    /// It is empty.
    Empty,
    /// What is there cannot be enqueued now.
    Waits,
}

impl InboxReader {
    /// Reads the inbox until the stop begins, if the store has one.
    pub(super) async fn run(self) {
        pass(Part::Inbox);
        let Some(inbox) = self.store.inbox() else {
            return self.draining.cancelled().await;
        };
        let arrivals = inbox.arrivals();
        let mut retry = RetryLog::new("enqueuing from the inbox", RETRY_DELAY, RETRY_DELAY);
        let mut is_announced = false;
        while !self.draining.is_cancelled() {
            pass(Part::Inbox);
            let looked = async {
                if !is_announced {
                    inbox.set_max_payload(self.config.max_payload).await?;
                    is_announced = true;
                }
                self.look(inbox).await
            };
            let looked = looked.await;
            if looked.is_ok() {
                retry.worked();
            }
            // A submission ends only the wait of a reader that has found the inbox empty: after an error, or while nothing
            // can be enqueued, it would be read in a tight loop.
            let wait = match looked {
                Ok(InboxState::MayHaveMore) => {
                    tokio::task::yield_now().await;
                    continue;
                }
                Ok(InboxState::Empty) => {
                    tokio::select! {
                        () = self.draining.cancelled() => return,
                        () = arrivals.notified() => continue,
                        () = sleep(POLL_INTERVAL) => continue,
                    }
                }
                Ok(InboxState::Waits) => RETRY_DELAY,
                Err(StoreError::Closed) => return,
                Err(error) => retry.failed(&error),
            };
            tokio::select! {
                () = self.draining.cancelled() => return,
                () = sleep(wait) => {}
            }
        }
    }

    /// Reads a batch and enqueues it.
    async fn look(&self, inbox: &dyn Inbox) -> Result<InboxState, StoreError> {
        let kinds = self.kinds.names().iter().map(|kind| kind.as_str().to_owned()).collect();
        let rows = inbox.read(kinds).await?;
        if rows.is_empty() {
            return Ok(InboxState::Empty);
        }
        let size = rows.iter().map(|row| row.submission.len()).sum();
        let (mut jobs, mut refused) = (Vec::with_capacity(rows.len()), Vec::new());
        run_blocking(size, || {
            for row in rows {
                match self.read_job(&row) {
                    Ok(job) => jobs.push(job),
                    Err(refusal) => refused.push(refusal),
                }
            }
        });
        let ids: Vec<_> = jobs.iter().map(|job| (job.id, job.labels.clone())).collect();
        let answers = if jobs.is_empty() { Some(Vec::new()) } else { inbox.take(jobs).await? };
        let has_lost = answers.is_none();
        let mut enqueued = Vec::new();
        for ((id, labels), answer) in ids.into_iter().zip(answers.unwrap_or_default()) {
            match answer {
                InboxAnswer::Enqueued => enqueued.push(labels),
                InboxAnswer::Waits => {}
                InboxAnswer::Existing(job) => {
                    let reason = format!("job {job} stands for it");
                    let existing = Some(job);
                    refused.push(NotEnqueued { id, code: "existing", reason, existing });
                }
                InboxAnswer::Refused(error) => refused.push(NotEnqueued {
                    id,
                    code: code_of_store(&error),
                    reason: error.to_string(),
                    existing: None,
                }),
            }
        }
        self.dispatchers.ensure(enqueued.iter().map(|labels| &labels.queue));
        let has_progressed = has_lost || !enqueued.is_empty() || !refused.is_empty();
        if !refused.is_empty() {
            log_refused(&refused);
            inbox.dismiss(refused).await?;
        }
        Ok(if has_progressed { InboxState::MayHaveMore } else { InboxState::Waits })
    }

    /// Makes the job of a submission, if it is accepted.
    fn read_job(&self, row: &InboxRow) -> Result<NewJob, NotEnqueued> {
        let refused = |code, reason| NotEnqueued { id: row.id, code, reason, existing: None };
        let job = Submission::parse(&row.submission, &self.kinds)
            .map_err(|errors| refused("invalid_fields", describe(&errors)))?;
        let (kind, payload) = (&job.labels.kind, &job.spec.payload);
        let checked = self.config.check_payload(payload);
        checked
            .and_then(|()| self.kinds.check(kind, payload))
            .map_err(|error| refused(code_of(&error), error.to_string()))?;
        let start = match job.start {
            // It counts from the submission.
            Start::After(delay) => Start::After(delay.saturating_sub(row.age)),
            start @ (Start::Now | Start::At(_)) => start,
        };
        Ok(NewJob { id: row.id, start, ..job })
    }
}

/// The codes of the JSON API.
fn code_of(error: &PayloadError) -> &'static str {
    match error {
        PayloadError::UnknownKind { .. } => "unknown_kind",
        PayloadError::Invalid { .. } => "invalid_payload",
        PayloadError::TooLarge { .. } => "payload_too_large",
        PayloadError::TooComplex { why, .. } => why.code(),
    }
}

fn code_of_store(error: &EnqueueError) -> &'static str {
    match error {
        EnqueueError::TooManyQueues(_) => "too_many_queues",
        EnqueueError::KeyReused(_) => "idempotency_key_reused",
        EnqueueError::Full { .. } => "backlog_full",
        EnqueueError::Store(_) => "unavailable",
    }
}

fn describe(errors: &[FieldError]) -> String {
    let one = |error: &FieldError| match &*error.field {
        "" => error.message.clone(),
        field => format!("{field}: {}", error.message),
    };
    shorten(&first_few(errors.iter().map(one), MAX_ERRORS, "; "), MAX_MESSAGE)
}

/// One line for all, because there may be very many. The database has the others.
fn log_refused(refused: &[NotEnqueued]) {
    let wrong: Vec<&NotEnqueued> = refused.iter().filter(|row| row.existing.is_none()).collect();
    let Some(first) = wrong.first() else { return };
    tracing::warn!(
        refused = wrong.len(),
        job.id = %first.id,
        code = first.code,
        reason = first.reason,
        "jobs submitted in SQL were refused; cortado.not_enqueued has them"
    );
}
