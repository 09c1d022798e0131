//! One worker on a WebSocket, from its first message to the close frame. Its task claims jobs when the worker has credit,
//! and goes on reading while earlier reports are being stored.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until, timeout};

use super::connection_end::{ConnectionEnd, ThenWait};
use super::engine_answer::{EngineAnswer, next_done, under_way, woken};
use super::protocol::{self, NumberedUpdate, Ready, RefusedMessage, WorkerMessage};
use super::socket::{Inbound, ReadMode, WorkerSocket};
use crate::engine::{ClaimUnderWay, Grant, Granted, Push, StoreError, WorkerError, WorkerSession};
use crate::http::access::access_watch::AccessWatch;
use crate::http::access::job_scope::JobScope;
use crate::http::stream::ws::close_reason::CloseReason;
use crate::http::stream::ws::frames;
use crate::http::stream::ws::inbound::InboundMessage;
use crate::http::workers::leases::report_limits;
use crate::http::workers::read::DEFAULT_LEASE;
use crate::http::{Api, Problem};
use crate::job::WorkerName;

/// The most jobs in one claim.
const MAX_CLAIM: usize = 512;
/// The reports of a worker that may be unanswered before no more are read.
const MAX_PENDING: usize = 16;

/// What a worker may do, and for how long.
pub struct WorkerCredentials {
    pub scope: JobScope,
    pub watch: AccessWatch,
}

/// How far a worker has signed off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SignOff {
    /// It has not said `bye`.
    NotAsked,
    /// It has, and what it said before is not answered.
    Asked,
    /// It is being signed off.
    Begun,
}

/// The task of one worker.
pub struct WorkerConnection {
    api: Api,
    name: WorkerName,
    credentials: WorkerCredentials,
    socket: WorkerSocket,
    /// Exists once the worker has said what it can run.
    session: Option<Box<WorkerSession>>,
    /// Whether `hello` was sent. No job is sent before it.
    is_greeted: bool,
    /// How many jobs the worker can be sent.
    credit: usize,
    /// Whether there may be jobs for the worker.
    should_claim: bool,
    /// The claim under way.
    claim: Option<ClaimUnderWay>,
    /// What was asked and is not answered; exists only while there is some.
    asked: Option<FuturesUnordered<BoxFuture<'static, EngineAnswer>>>,
    /// Whether the worker signs off. Nothing more is read then, and it has signed off once everything before is answered.
    sign_off: SignOff,
    /// When the next ping is due, and by when the last one has to be answered.
    ping_at: Instant,
    pong_by: Option<Instant>,
}

impl WorkerConnection {
    /// A connection that was just opened.
    pub fn new(
        api: Api,
        name: WorkerName,
        credentials: WorkerCredentials,
        socket: WorkerSocket,
    ) -> WorkerConnection {
        let ping_at = Instant::now() + api.limits.socket_ping;
        WorkerConnection {
            api,
            name,
            credentials,
            socket,
            session: None,
            is_greeted: false,
            credit: 0,
            should_claim: false,
            claim: None,
            asked: None,
            sign_off: SignOff::NotAsked,
            ping_at,
            pong_by: None,
        }
    }

    /// Serves the worker until the connection ends.
    pub async fn run(&mut self) {
        let end = self.serve().await;
        tracing::debug!(worker = %self.name, ?end, "a worker's connection ends");
        self.claim = None; // what it brings is given back
        if end == ConnectionEnd::SignedOff {
            // It has left, whatever else there is to say.
            let _ = self.finish_reports().await;
        }
        self.session = None;
        self.close(end).await;
    }

    async fn serve(&mut self) -> ConnectionEnd {
        let engine = self.api.engine.clone();
        let must_leave = engine.workers_must_leave();
        let timer = sleep_until(self.ping_at);
        tokio::pin!(must_leave, timer);
        loop {
            self.begin_claim();
            self.begin_sign_off();
            let timer_at = self.next_timer();
            if timer.deadline() != timer_at {
                timer.as_mut().reset(timer_at);
            }
            let mode = self.read_mode();
            let Self { socket, session, claim, asked, credentials, .. } = self;
            let next = tokio::select! {
                inbound = socket.next(mode) => NextStep::Inbound(inbound),
                granted = under_way(claim.as_mut()) => NextStep::Granted(granted),
                done = next_done(asked) => NextStep::EngineAnswer(done),
                () = woken(session.as_deref()) => NextStep::Woken,
                () = &mut timer => NextStep::Timer,
                () = credentials.watch.revoked() => NextStep::AccessEnded,
                () = &mut must_leave => NextStep::MustLeave,
            };
            let handled = match next {
                NextStep::Inbound(Ok(inbound)) => self.on_inbound(inbound),
                NextStep::Inbound(Err(reason)) => Err(ConnectionEnd::Other(reason)),
                NextStep::Granted(granted) => self.on_granted(granted),
                NextStep::EngineAnswer(done) => self.on_done(done),
                NextStep::Woken => self.on_woken(),
                NextStep::Timer => self.on_timer(),
                NextStep::AccessEnded => Err(ConnectionEnd::Other(CloseReason::AccessEnded)),
                NextStep::MustLeave => {
                    let finished = self.finish_reports().await;
                    finished.and(Err(ConnectionEnd::Other(CloseReason::Delivered)))
                }
            };
            if let Err(end) = handled {
                return end;
            }
        }
    }

    /// Whether the worker is read. It is not while much of what it has sent is not answered, or while it does not read the
    /// answers, so that they take bounded memory whatever it sends.
    fn read_mode(&self) -> ReadMode {
        let unanswered = self.asked.as_ref().map_or(0, FuturesUnordered::len);
        if self.sign_off != SignOff::NotAsked || unanswered >= MAX_PENDING {
            ReadMode::Paused
        } else if self.socket.is_full() {
            ReadMode::UntilRoom
        } else {
            ReadMode::Reading
        }
    }

    /// Signs the worker off when it has said `bye` and everything that it said before is answered.
    fn begin_sign_off(&mut self) {
        let is_answered = self.asked.is_none() && self.claim.is_none();
        if self.sign_off == SignOff::Asked
            && is_answered
            && let Some(session) = &mut self.session
        {
            self.sign_off = SignOff::Begun;
            let signed_off = session.sign_off();
            self.ask(signed_off.map(EngineAnswer::SignedOff).boxed());
        }
    }

    /// Begins a claim when the worker has credit and there may be jobs for it.
    fn begin_claim(&mut self) {
        let may_claim = self.is_greeted && self.claim.is_none() && self.should_claim;
        let Some(session) = self.session.as_mut().filter(|_| may_claim) else { return };
        if self.socket.is_full() {
            // The next read resolves when the worker has read what waits. Until then, other workers are woken instead.
            return session.stop_waiting();
        }
        self.should_claim = false;
        let max = self.credit.min(MAX_CLAIM);
        self.claim = session.claim(max);
    }

    fn on_granted(&mut self, granted: Result<Granted, StoreError>) -> Result<(), ConnectionEnd> {
        if self.claim.take().is_none() {
            return Ok(());
        }
        let Some(session) = &mut self.session else { return Ok(()) };
        session.claimed(&granted);
        let Ok(granted) = granted else { return Ok(()) };
        self.should_claim |= granted.is_full();
        let mut grants = granted.grants;
        if !session.is_current() {
            return Ok(()); // the connection is about to end; the jobs are given back
        }
        // The worker may have lowered its credit meanwhile. What is too much is given back.
        drop(grants.split_off(grants.len().min(self.credit)));
        self.credit -= grants.len();
        while !grants.is_empty() {
            let rest = grants.split_off(Grant::fitting(&grants));
            self.socket.push_jobs(protocol::jobs(&grants), grants);
            grants = rest;
        }
        Ok(())
    }

    fn on_woken(&mut self) -> Result<(), ConnectionEnd> {
        let Some(session) = &mut self.session else { return Ok(()) };
        self.should_claim |= session.take_wake_up();
        for push in session.take_pushes() {
            match push {
                Push::Cancel(lease) => self.socket.push(protocol::cancel(&session.text(lease))),
                Push::Lost(lease) => self.socket.push(protocol::lost(&session.text(lease))),
                Push::Command(command) => {
                    self.should_claim = true; // `begin_claim` stops waiting if the worker is to get no jobs
                    self.socket.push(protocol::command(command));
                }
                Push::Replaced => return Err(ConnectionEnd::Replaced),
                Push::SignedOff => return Err(ConnectionEnd::SignedOff),
                Push::NotSignedOff => self.should_claim = true,
            }
        }
        Ok(())
    }

    fn on_inbound(&mut self, inbound: Inbound) -> Result<(), ConnectionEnd> {
        for message in inbound.messages {
            if self.sign_off != SignOff::NotAsked {
                break; // the worker has said `bye`
            }
            match message {
                InboundMessage::Text(text) => self.on_text(&text),
                InboundMessage::Fragment => {}
                InboundMessage::Ping(payload) => self.socket.push(frames::pong(&payload)),
                InboundMessage::Pong => self.pong_by = None,
                InboundMessage::Close(code) => {
                    return Err(ConnectionEnd::Other(CloseReason::ClientClosed(code)));
                }
            }
        }
        inbound.fault.map_or(Ok(()), |fault| Err(ConnectionEnd::Other(fault)))
    }

    fn on_text(&mut self, text: &str) {
        let lease = self.session.as_ref().map_or(DEFAULT_LEASE, |session| session.lease());
        let limits = report_limits(&self.api, lease);
        let handled = WorkerMessage::parse(text, &limits).and_then(|message| {
            let (id, watch) = (message.id(), &self.credentials.watch);
            let checked = watch.check_worker_message(message.access());
            let handled = checked.and_then(|()| self.on_message(message));
            handled.map_err(|problem| RefusedMessage::of(problem, id))
        });
        if let Err(refusal) = handled {
            self.socket.push(protocol::refused(&refusal));
        }
    }

    fn on_message(&mut self, message: WorkerMessage) -> Result<(), Problem> {
        match message {
            WorkerMessage::Ping => self.socket.push(protocol::pong()),
            WorkerMessage::Ready(ready) => self.on_ready(*ready)?,
            WorkerMessage::Update(NumberedUpdate { id, free, update }) => {
                let session = self.session.as_mut().ok_or_else(not_ready)?;
                self.api.engine.check_leases(update.leases())?;
                let updated = session.update(update);
                self.ask(updated.map(move |answer| EngineAnswer::Updated(id, answer)).boxed());
                if free > 0 {
                    self.credit = (self.credit + free).min(MAX_CREDIT);
                    self.should_claim = true;
                }
            }
            WorkerMessage::Bye => {
                self.session.as_ref().ok_or_else(not_ready)?;
                (self.credit, self.sign_off) = (0, SignOff::Asked);
            }
        }
        Ok(())
    }

    fn on_ready(&mut self, ready: Ready) -> Result<(), Problem> {
        let Ready { free, registration, held } = ready;
        let (engine, interest) = (self.api.engine.clone(), registration.interest.clone());
        self.credentials.scope.check_claim(&interest.queues, &interest.kinds)?;
        let announced = async move { engine.announce_interest(&interest).await };
        match &mut self.session {
            Some(session) => {
                session.change(registration)?;
                self.ask(announced.map(EngineAnswer::Announced).boxed());
            }
            None => {
                self.api.engine.check_leases(held.iter().map(String::as_str))?;
                let mut session =
                    self.api.engine.connect_worker(self.name.clone(), registration)?;
                let kept = session.keep(held);
                self.session = Some(Box::new(session));
                let kept = async move {
                    announced.await?;
                    kept.await
                };
                self.ask(kept.map(EngineAnswer::Kept).boxed());
            }
        }
        (self.credit, self.should_claim) = (free, true);
        Ok(())
    }

    /// Adds an operation of the engine and polls it once, so that it begins before a later claim does, if it does not wait for
    /// an earlier one.
    fn ask(&mut self, mut question: BoxFuture<'static, EngineAnswer>) {
        match (&mut question).now_or_never() {
            Some(done) => self.asked.get_or_insert_default().push(async move { done }.boxed()),
            None => self.asked.get_or_insert_default().push(question),
        }
    }

    fn on_done(&mut self, done: EngineAnswer) -> Result<(), ConnectionEnd> {
        if self.asked.as_ref().is_some_and(FuturesUnordered::is_empty) {
            self.asked = None;
        }
        match done {
            EngineAnswer::Kept(Ok(held)) => {
                let Some(session) = &self.session else { return Ok(()) };
                self.socket.push(protocol::hello(session.lease(), &held, session.command()));
                self.is_greeted = true;
            }
            EngineAnswer::Announced(Ok(())) => {}
            EngineAnswer::Kept(Err(_)) | EngineAnswer::Announced(Err(_)) => {
                return Err(ConnectionEnd::Other(CloseReason::StoreFailed));
            }
            EngineAnswer::Updated(id, Ok(answer)) => {
                self.socket.push(protocol::updated(id, &answer))
            }
            // The worker sends it again when it has connected again, and then gets the answer.
            EngineAnswer::Updated(id, Err(error)) => {
                let refusal = RefusedMessage::of(error, Some(id));
                self.socket.push(protocol::refused(&refusal));
                return Err(ConnectionEnd::Other(CloseReason::StoreFailed));
            }
            // Nobody has this name any more, so there is nothing to give back.
            EngineAnswer::SignedOff(Ok(_) | Err(WorkerError::NotFound(_))) => {
                return Err(ConnectionEnd::SignedOff);
            }
            // The worker still holds its leases. It can connect and sign off again, or let them expire.
            EngineAnswer::SignedOff(Err(error)) => {
                tracing::debug!(worker = %self.name, %error, "a worker was not signed off");
                self.socket.push(protocol::refused(&RefusedMessage::of(error, None)));
                return Err(ConnectionEnd::Other(CloseReason::StoreFailed));
            }
        }
        Ok(())
    }

    fn next_timer(&self) -> Instant {
        let stalled =
            self.socket.stalled_since().map(|since| since + self.api.limits.write_timeout);
        let timers = [stalled, self.pong_by, self.finished_by()];
        timers.into_iter().flatten().fold(self.ping_at, Instant::min)
    }

    /// By when the worker has to finish the message that it has begun.
    fn finished_by(&self) -> Option<Instant> {
        self.socket.unfinished_since().map(|since| since + self.api.limits.body_timeout)
    }

    fn on_timer(&mut self) -> Result<(), ConnectionEnd> {
        let (now, limits) = (Instant::now(), &self.api.limits);
        if self.credentials.watch.has_ended() {
            return Err(ConnectionEnd::Other(CloseReason::AccessEnded));
        }
        if self.socket.stalled_since().is_some_and(|since| since + limits.write_timeout <= now) {
            return Err(ConnectionEnd::Other(CloseReason::Unwritable));
        }
        if self.read_mode() != ReadMode::Reading {
            // What it has sent meanwhile waits in the kernel.
            self.pong_by = self.pong_by.map(|_| now + limits.socket_pong);
            self.socket.excuse_unfinished();
        }
        if self.pong_by.is_some_and(|by| by <= now) {
            return Err(ConnectionEnd::Other(CloseReason::Silent));
        }
        if self.finished_by().is_some_and(|by| by <= now) {
            return Err(ConnectionEnd::Other(CloseReason::Unfinished));
        }
        if self.ping_at <= now {
            self.ping_at = now + limits.socket_ping;
            if self.socket.stalled_since().is_none() {
                self.pong_by.get_or_insert(now + limits.socket_pong);
                self.socket.push(frames::ping());
            }
        }
        Ok(())
    }

    /// Answers the reports that are being stored, before the connection is closed, and signs the worker off if it has said
    /// `bye`.
    ///
    /// # Errors
    /// The reason to leave that came with an answer.
    async fn finish_reports(&mut self) -> Result<(), ConnectionEnd> {
        let within = self.api.limits.close;
        let all = async {
            self.claim = None; // what it brings is given back
            loop {
                self.begin_sign_off();
                if self.asked.is_none() {
                    return Ok(());
                }
                let done = next_done(&mut self.asked).await;
                self.on_done(done)?;
            }
        };
        // What is not stored by then is sent again by the worker, to the server that follows.
        timeout(within, all).await.unwrap_or(Ok(()))
    }

    /// Sends the last frames, and waits for the worker to close.
    async fn close(&mut self, end: ConnectionEnd) {
        let limits = self.api.limits.clone();
        self.socket.keep_jobs_back();
        let frames = end.last_frames(limits.retry_ms());
        frames.into_iter().for_each(|frame| self.socket.push(frame));
        let closed = async {
            match end.then() {
                ThenWait::Nothing => return,
                ThenWait::PeerCloses => {
                    while let Ok(Inbound { messages, fault: None }) =
                        self.socket.next(ReadMode::Reading).await
                    {
                        if messages.iter().any(|one| matches!(one, InboundMessage::Close(_))) {
                            break;
                        }
                    }
                }
                ThenWait::PeerDisconnects => {}
            }
            if self.socket.flush().await.is_ok() {
                self.socket.discard_until_end().await;
            }
        };
        // A worker that does not close in time is disconnected.
        drop(timeout(limits.close, closed).await);
    }
}

/// What the task of a connection woke for.
enum NextStep {
    Inbound(Result<Inbound, CloseReason>),
    Granted(Result<Granted, StoreError>),
    EngineAnswer(EngineAnswer),
    Woken,
    Timer,
    AccessEnded,
    MustLeave,
}

/// The most credit that a worker can have.
const MAX_CREDIT: usize = 10_000;

fn not_ready() -> Problem {
    Problem::invalid_field("type", "must be \"ready\" in the first message")
}
