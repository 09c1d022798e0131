//! A worker over plain requests: a long poll claims jobs, and another request extends, notes and settles.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use reqwest::Method;
use tokio::time::Instant;

use super::attempts::Attempts;
use super::delays::RetryDelays;
use super::link::{LinkNews, WorkerLink};
use super::messages::{ClaimBody, ClaimedLeases, MAX_ENTRIES, UpdateResponse, json};
use super::outbox::UpdateBatch;
use super::settings::WorkerSettings;
use super::socket_link::NOTE_DELAY;
use crate::client::backoff::jittered;
use crate::client::error::ClientError;
use crate::client::http::{ApiRequest, RepeatRule, ServerApi};
use crate::client::submit::millis;

/// How long a claim waits for a job.
const CLAIM_WAIT: Duration = Duration::from_secs(20);
/// How much longer than that the response may take.
const CLAIM_MARGIN: Duration = Duration::from_secs(15);
/// How soon a worker asks again whose claim was answered without jobs before its time, as when it is quieted.
const EARLY: Duration = Duration::from_secs(2);
/// With more settles waiting than this, no further jobs are claimed until the server has confirmed some.
const MAX_UNSENT: usize = 2_000;
/// How long the loop sleeps when nothing is due.
const IDLE: Duration = Duration::from_secs(60);

const LEASES_PATH: &str = "/api/v1/leases";

type PendingText = Pin<Box<dyn Future<Output = Result<String, ClientError>> + Send>>;

/// The requests of a worker.
pub struct HttpLink {
    api: ServerApi,
    settings: Arc<WorkerSettings>,
    claim: Option<RunningClaim>,
    update: Option<RunningUpdate>,
    sign_off: Option<PendingText>,
    claim_delays: RetryDelays,
    update_delays: RetryDelays,
    /// No claim is sent before this time.
    next_claim: Instant,
    /// No update is sent before this time.
    next_update: Instant,
    next_beat: Instant,
    /// Leases that are to be extended now.
    extend: Vec<Box<str>>,
    notes_due: Option<Instant>,
    /// Whether a claim has succeeded. Until then, a refusal is final.
    has_claimed: bool,
    phase: ClaimPhase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ClaimPhase {
    Claiming,
    /// The worker stops.
    Stopping,
    SignedOff,
}

/// A claim that waits for its answer.
pub struct RunningClaim {
    response: PendingText,
    asked_at: Instant,
}

/// A report that waits for its answer.
pub struct RunningUpdate {
    response: PendingText,
    batch: UpdateBatch,
    extend: Vec<Box<str>>,
}

/// What arrives.
pub enum HttpArrival {
    Claimed(RunningClaim, Result<String, ClientError>),
    Updated(RunningUpdate, Result<String, ClientError>),
    SignedOff(Result<String, ClientError>),
}

impl HttpLink {
    /// Creates a link that claims at once.
    pub fn new(api: ServerApi, settings: Arc<WorkerSettings>) -> HttpLink {
        let now = Instant::now();
        HttpLink {
            api,
            claim: None,
            update: None,
            sign_off: None,
            claim_delays: RetryDelays::new(&settings),
            update_delays: RetryDelays::new(&settings),
            next_claim: now,
            next_update: now,
            next_beat: now + settings.lease / 3,
            settings,
            extend: Vec::new(),
            notes_due: None,
            has_claimed: false,
            phase: ClaimPhase::Claiming,
        }
    }

    fn send(&self, request: ApiRequest) -> PendingText {
        let api = self.api.clone();
        Box::pin(async move { api.text(request).await })
    }

    fn start_claim(&mut self, now: Instant, attempts: &Attempts) {
        let is_full = attempts.free() == 0 || attempts.outbox.unsent_count() > MAX_UNSENT;
        let is_due = self.phase == ClaimPhase::Claiming && now >= self.next_claim;
        if self.claim.is_some() || is_full || !is_due {
            return;
        }
        let body = ClaimBody {
            queues: Some(&self.settings.queues),
            kinds: &self.settings.kinds,
            max: Some(attempts.free().min(MAX_ENTRIES)),
            lease_ms: Some(self.settings.lease_ms()),
            wait_ms: Some(millis(CLAIM_WAIT)),
            about: Some(&self.settings.about),
        };
        let path = self.settings.claim_path();
        let request = ApiRequest {
            timeout: Some(CLAIM_WAIT + CLAIM_MARGIN),
            ..ApiRequest::post(path, Some(json(&body)), RepeatRule::Never)
        };
        self.claim = Some(RunningClaim { response: self.send(request), asked_at: now });
    }

    fn start_update(&mut self, now: Instant, attempts: &mut Attempts) {
        if self.update.is_some() || now < self.next_update {
            return;
        }
        let mut waits = false;
        if attempts.outbox.has_only_notes() {
            waits = now < *self.notes_due.get_or_insert(now + NOTE_DELAY);
        }
        let batch = if waits { None } else { attempts.outbox.take() };
        if batch.is_none() && self.extend.is_empty() {
            return;
        }
        if !waits {
            self.notes_due = None;
        }
        let rest = self.extend.split_off(self.extend.len().min(MAX_ENTRIES));
        let extend = std::mem::replace(&mut self.extend, rest);
        let batch = batch.unwrap_or_default();
        let mut parts = batch.parts();
        (parts.extend, parts.lease) = (&extend, Some(self.settings.lease));
        let request = ApiRequest::post(LEASES_PATH, Some(parts.body()), RepeatRule::Never);
        self.update = Some(RunningUpdate { response: self.send(request), batch, extend });
    }

    fn claimed(
        &mut self,
        asked_at: Instant,
        response: Result<String, ClientError>,
        attempts: &mut Attempts,
    ) -> Result<LinkNews, ClientError> {
        let read = response.and_then(|text| {
            let answer: ClaimedLeases<'_> = serde_json::from_str(&text)
                .map_err(|error| ClientError::InvalidAnswer(error.to_string()))?;
            attempts.start(&answer.leases);
            Ok((answer.leases.len(), LinkNews::of_command(answer.command.as_deref())))
        });
        match read {
            Ok((jobs, news)) => {
                self.has_claimed = true;
                self.claim_delays.succeeded();
                let is_early = asked_at.elapsed() < EARLY;
                if jobs == 0 && is_early {
                    self.next_claim = Instant::now() + jittered(EARLY);
                }
                Ok(news)
            }
            Err(error) if !self.has_claimed && error.is_permanent() => Err(error),
            Err(error) => {
                let delay = self.claim_delays.after(&error, &self.settings.name, "claiming");
                self.next_claim = Instant::now() + delay;
                Ok(LinkNews::Nothing)
            }
        }
    }

    fn updated(
        &mut self,
        batch: UpdateBatch,
        extend: Vec<Box<str>>,
        response: Result<String, ClientError>,
        attempts: &mut Attempts,
    ) {
        let text = response.as_deref();
        let answer = text.map(serde_json::from_str::<UpdateResponse<'_>>);
        let error = match answer {
            Ok(Ok(answer)) => {
                self.update_delays.succeeded();
                attempts.obey(&answer.extend);
                return attempts.outbox.confirm(batch, &answer.settle);
            }
            Ok(Err(error)) => &ClientError::InvalidAnswer(error.to_string()),
            Err(error) => error,
        };
        match error.problem() {
            Some(problem) if error.is_content_refused() => {
                attempts.outbox.refuse(batch, &problem.detail);
            }
            Some(_) | None => attempts.outbox.put_back(batch),
        }
        self.extend.extend(extend);
        let delay = self.update_delays.after(error, &self.settings.name, "reporting");
        self.next_update = Instant::now() + delay;
    }
}

/// The output of a pending request that is ready.
fn poll_pending(
    response: &mut PendingText,
    cx: &mut std::task::Context<'_>,
) -> Option<Result<String, ClientError>> {
    match response.as_mut().poll(cx) {
        Poll::Ready(text) => Some(text),
        Poll::Pending => None,
    }
}

impl WorkerLink for HttpLink {
    type Arrival = HttpArrival;

    async fn next(&mut self) -> HttpArrival {
        poll_fn(|cx| {
            if let Some(text) =
                self.update.as_mut().and_then(|update| poll_pending(&mut update.response, cx))
                && let Some(update) = self.update.take()
            {
                return Poll::Ready(HttpArrival::Updated(update, text));
            }
            if let Some(text) =
                self.claim.as_mut().and_then(|claim| poll_pending(&mut claim.response, cx))
                && let Some(claim) = self.claim.take()
            {
                return Poll::Ready(HttpArrival::Claimed(claim, text));
            }
            if let Some(text) =
                self.sign_off.as_mut().and_then(|sign_off| poll_pending(sign_off, cx))
            {
                self.sign_off = None;
                return Poll::Ready(HttpArrival::SignedOff(text));
            }
            Poll::Pending
        })
        .await
    }

    fn take(
        &mut self,
        arrival: HttpArrival,
        attempts: &mut Attempts,
    ) -> Result<LinkNews, ClientError> {
        match arrival {
            HttpArrival::Claimed(claim, response) => {
                return self.claimed(claim.asked_at, response, attempts);
            }
            HttpArrival::Updated(RunningUpdate { batch, extend, .. }, response) => {
                self.updated(batch, extend, response, attempts);
            }
            HttpArrival::SignedOff(Ok(_)) => {}
            // The server may have forgotten a worker that it has not heard from.
            HttpArrival::SignedOff(Err(error)) if error.code() == "worker_not_found" => {}
            HttpArrival::SignedOff(Err(error)) => {
                tracing::warn!(worker = %self.settings.name, "the worker could not sign off: {error}");
            }
        }
        Ok(LinkNews::Nothing)
    }

    fn advance(&mut self, now: Instant, attempts: &mut Attempts) -> Result<(), ClientError> {
        if self.phase == ClaimPhase::SignedOff {
            return Ok(());
        }
        if now >= self.next_beat {
            self.next_beat = now + self.settings.lease / 3;
            self.extend = attempts.leases();
        }
        self.start_update(now, attempts);
        self.start_claim(now, attempts);
        Ok(())
    }

    fn due(&self) -> Instant {
        let now = Instant::now();
        let mut due = self.next_beat.min(now + IDLE);
        for time in [Some(self.next_claim), Some(self.next_update), self.notes_due] {
            due = time.filter(|time| *time > now).map_or(due, |time| due.min(time));
        }
        due
    }

    fn end_claims(&mut self, _: &mut Attempts) {
        self.phase = ClaimPhase::Stopping;
        // If the server has just given jobs to the claim that waited, the sign-off gives them back.
        self.claim = None;
    }

    fn unconfirmed(&self) -> usize {
        self.update.as_ref().map_or(0, |update| update.batch.settle_count())
    }

    fn sign_off(&mut self) {
        self.phase = ClaimPhase::SignedOff;
        self.update = None;
        let request = ApiRequest {
            method: Method::DELETE,
            path: self.settings.path(),
            body: None,
            timeout: None,
            repeat: RepeatRule::Never,
        };
        self.sign_off = Some(self.send(request));
    }

    fn has_ended(&self) -> bool {
        self.phase == ClaimPhase::SignedOff && self.sign_off.is_none()
    }
}
