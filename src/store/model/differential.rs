//! Runs the same verbs at the same times on two stores, and compares their answers and content.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use super::moves::{AccessMove, How, KindMove, Move, Pick, Want};
use super::same;
use crate::access::tests::{new_session, new_token, password, user};
use crate::access::{AccessCommand, AccessRecord, NewSession, NewToken, SecretHash, SessionOwner};
use crate::clock::{Clock, ManualClock};
use crate::job::{
    Actor, Cursor, Event, Failure, FailureClass, Job, JobId, JobQuery, Json, NewJob, Origin,
    Overlap, Progress, ScheduleSpec, State, Time, Verdict, WorkerName,
};
use crate::store::conformance::schedule::{every, named};
use crate::store::conformance::{Harness, clock, draft, kinds, lines, queue, secs};
use crate::store::{
    Claim, Control, Events, KindCommand, LeaseRef, Note, QueueStats, ScheduleCommand, Settlement,
    Stats, Store, StoreLimits, Ticked, WorkerPlace,
};

pub(super) struct Pair<A, B> {
    clock: ManualClock,
    left: Side<A>,
    right: Side<B>,
    /// Every job submitted so far, whether or not it was accepted.
    jobs: Vec<JobId>,
    /// Every lease granted so far; most are stale.
    leases: Vec<LeaseRef>,
    /// The number of steps so far, which decides in whose name the next one is.
    steps: usize,
    /// The last event up to which the logs have been compared.
    compared: u64,
}

impl<A: Harness, B: Harness> Pair<A, B> {
    pub(super) async fn open(limits: StoreLimits) -> Self {
        let clock = clock();
        let left = Side::open(clock.clone(), limits.clone()).await;
        let right = Side::open(clock.clone(), limits).await;
        Pair { clock, left, right, jobs: Vec::new(), leases: Vec::new(), steps: 0, compared: 0 }
    }

    pub(super) async fn play(&mut self, step: &Move) -> Result<(), String> {
        self.steps += 1;
        match step {
            Move::Enqueue(wants) => self.enqueue(wants).await,
            Move::Claim { queues, kinds: names, is_remote, max, ttl } => {
                let place = if *is_remote { WorkerPlace::Remote } else { WorkerPlace::InProcess };
                let worker = WorkerName::parse("w1").map_err(|error| error.to_string())?;
                let claim = Claim {
                    queues: queues.iter().map(|queue| queue_of(*queue)).collect(),
                    kinds: kinds(names),
                    max: *max,
                    worker,
                    place,
                    ttl: secs(*ttl),
                };
                let leases = self.ask(async |store| store.claim(claim.clone()).await).await?;
                let leases = leases.iter().flat_map(|claimed| &claimed.leases);
                self.leases.extend(leases.map(|lease| lease.key()));
                Ok(())
            }
            Move::Settle(ends) => {
                let end = |(lease, how): &(Pick, How)| {
                    self.lease(*lease).map(|lease| Settlement { lease, verdict: verdict(how) })
                };
                let settlements: Vec<Settlement> = ends.iter().filter_map(end).collect();
                self.ask(async |store| store.settle(settlements.clone()).await).await.map(drop)
            }
            Move::Extend { leases, ttl } => {
                let leases: Vec<LeaseRef> =
                    leases.iter().filter_map(|pick| self.lease(*pick)).collect();
                self.ask(async |store| store.extend(leases.clone(), secs(*ttl)).await)
                    .await
                    .map(drop)
            }
            Move::Annotate { lease, lines: count, progress } => {
                let texts = ["", "a line", "a rather longer line of text", "z", "zz", "zzz"];
                let lines = lines(&texts[..*count]);
                let progress = progress.map(|done| Progress { done, total: None, message: None });
                let note = |lease| Note { lease, lines: lines.clone(), progress: progress.clone() };
                let notes: Vec<Note> = self.lease(*lease).map(note).into_iter().collect();
                self.ask(async |store| store.annotate(notes.clone()).await).await.map(drop)
            }
            Move::Cancel(jobs) => self.control(Control::Cancel(self.picked(jobs))).await,
            Move::Retry(jobs) => self.control(Control::Retry(self.picked(jobs))).await,
            Move::Delete(jobs) => self.control(Control::Delete(self.picked(jobs))).await,
            Move::Shift { jobs, queue } => {
                let control = Control::Move { jobs: self.picked(jobs), queue: queue_of(*queue) };
                self.control(control).await
            }
            Move::Reprioritise { jobs, priority } => {
                let (jobs, priority) = (self.picked(jobs), *priority);
                self.control(Control::Reprioritise { jobs, priority }).await
            }
            Move::SetQueue { queue, change } => {
                self.control(Control::SetQueue(queue_of(*queue), *change)).await
            }
            Move::SetSchedule { schedule, every: seconds, overlap, max_late } => {
                let spec = every(&format!("every {seconds}s"), draft().queue("q0"));
                let overlap = if *overlap { Overlap::Allow } else { Overlap::Skip };
                let spec = ScheduleSpec { overlap, max_late_ms: *max_late, ..spec };
                self.schedule(ScheduleCommand::Set(schedule_of(*schedule), spec.into())).await
            }
            Move::DeleteSchedule(schedule) => {
                let name = schedule_of(*schedule);
                self.schedule(ScheduleCommand::Delete(name, Origin::Api)).await
            }
            Move::PauseSchedule(schedule) => {
                self.schedule(ScheduleCommand::Pause(schedule_of(*schedule))).await
            }
            Move::ResumeSchedule(schedule) => {
                self.schedule(ScheduleCommand::Resume(schedule_of(*schedule))).await
            }
            Move::Fire(schedule) => {
                self.schedule(ScheduleCommand::Fire(schedule_of(*schedule))).await
            }
            Move::Access(change) => {
                let command = access_command(change, self.steps);
                self.ask(async |store| store.access(command.clone(), self.by()).await)
                    .await
                    .map(drop)
            }
            Move::Kind(change) => {
                let command = kind_command(change);
                self.ask(async |store| store.kind(command.clone(), self.by()).await).await.map(drop)
            }
            Move::Pass(time) => {
                self.clock.advance(secs(*time));
                self.tick().await
            }
            Move::Tick => self.tick().await,
            Move::Reopen => {
                self.left.reopen().await;
                self.right.reopen().await;
                Ok(())
            }
            Move::Crash => {
                self.same_log().await?; // waits until every answered change is durable on both sides
                self.left.crash().await;
                self.right.crash().await;
                Ok(())
            }
        }
    }

    /// Compares everything that can be read about jobs.
    pub(super) async fn same_content(&self) -> Result<(), String> {
        for states in [Vec::new(), vec![State::Discarded], vec![State::Available]] {
            let (left, right) = (self.left.jobs(&states).await?, self.right.jobs(&states).await?);
            same("jobs", &left, &right)?;
        }
        same("counters", &self.left.counters().await?, &self.right.counters().await?)?;
        self.ask(async |store| store.schedules().await.map(|(all, _)| all)).await.map(drop)?;
        self.ask(async |store| records(store)).await?;
        self.ask(async |store| store.kinds().borrow().clone()).await?;
        for id in self.jobs.iter().rev().take(12) {
            self.ask(async |store| store.get(*id).await.map(|(job, _)| job)).await.map(drop)?;
        }
        Ok(())
    }

    /// Compares the logs, except for their epochs.
    pub(super) async fn same_log(&mut self) -> Result<(), String> {
        let head = self.left.head().max(self.right.head());
        let (left, right) =
            (self.left.log(self.compared, head).await?, self.right.log(self.compared, head).await?);
        same("logs", &left, &right)?;
        self.compared = head;
        Ok(())
    }

    /// Calls a verb on both stores and compares the answers.
    async fn ask<T: Debug>(&self, verb: impl AsyncFn(&dyn Store) -> T) -> Result<T, String> {
        let left = verb(self.left.store()).await;
        same("answers", &left, &verb(self.right.store()).await)?;
        Ok(left)
    }

    async fn enqueue(&mut self, wants: &[Want]) -> Result<(), String> {
        let mut batch: Vec<NewJob> = Vec::new();
        for want in wants {
            let n = self.jobs.len() as u128;
            let place = if n % 6 == 5 { n - 2 } else { n }; // some ids are older than the last
            let id = JobId::from_u128(1_000_000 + place * 256 + n);
            self.jobs.push(id);
            batch.push(NewJob { id, by: self.by(), ..wanted(want) });
        }
        self.ask(async |store| store.enqueue(batch.clone()).await).await.map(drop)
    }

    async fn control(&self, control: Control) -> Result<(), String> {
        self.ask(async |store| store.control(control.clone(), self.by()).await).await.map(drop)
    }

    async fn schedule(&self, command: ScheduleCommand) -> Result<(), String> {
        self.ask(async |store| store.schedule(command.clone(), self.by()).await).await.map(drop)
    }

    /// Ticks both stores until no more work is due. The right one may ask for its next tick earlier than necessary.
    async fn tick(&self) -> Result<(), String> {
        let now = self.clock.now();
        let (left, right) = (self.left.tick(now).await?, self.right.tick(now).await?);
        let done = |ticked: &Ticked| {
            (ticked.fired, ticked.skipped, ticked.due, ticked.rescued, ticked.pruned)
        };
        same("fired, skipped, due, rescued, pruned", &done(&left), &done(&right))?;
        match (left.next, right.next) {
            (Some(left), right) if right.is_none_or(|right| right > left) => {
                Err(format!("the next tick is needed at {left} and asked for at {right:?}"))
            }
            (Some(_) | None, _) => Ok(()),
        }
    }

    /// In whose name the present step is.
    fn by(&self) -> Option<Actor> {
        let actors = ["", "user:anna", "token:ci", "link:7"];
        actors[self.steps % actors.len()].parse().ok()
    }

    fn lease(&self, pick: Pick) -> Option<LeaseRef> {
        chosen(&self.leases, pick)
    }

    fn picked(&self, picks: &[Pick]) -> Vec<JobId> {
        picks.iter().filter_map(|pick| chosen(&self.jobs, *pick)).collect()
    }
}

fn chosen<T: Copy>(all: &[T], Pick(back): Pick) -> Option<T> {
    all.iter().rev().nth(back).or(all.first()).copied()
}

/// Users, tokens, sessions and share links; each store has a signing key of its own.
fn records(store: &dyn Store) -> Vec<AccessRecord> {
    let mut records: Vec<AccessRecord> = store.access_table().borrow().records().collect();
    records.retain(|record| !matches!(record, AccessRecord::SigningKey(_)));
    records
}

/// The command for a step. Nothing in it is random, so that both stores have the same ids and hashes.
fn access_command(change: &AccessMove, step: usize) -> AccessCommand {
    let name = |n: u8| user(&format!("u{n}"));
    let of = |n: u8| format!("{n}");
    let hash = |text: &str| SecretHash::of(text);
    match change {
        AccessMove::AddUser(n, role) => {
            AccessCommand::AddUser { name: name(*n), password: password(1), role: *role }
        }
        AccessMove::SetPassword(n) => {
            AccessCommand::SetPassword { name: name(*n), password: password(2), replaces: None }
        }
        AccessMove::SetRole(n, role) => AccessCommand::SetRole { name: name(*n), role: *role },
        AccessMove::DisableUser(n) => AccessCommand::DisableUser(name(*n)),
        AccessMove::EnableUser(n) => AccessCommand::EnableUser(name(*n)),
        AccessMove::DeleteUser(n) => AccessCommand::DeleteUser(name(*n)),
        AccessMove::AddToken(n, role) => AccessCommand::AddToken(NewToken {
            id: of(*n).parse().unwrap(),
            secret: hash(&format!("token {step}")),
            ..new_token(&format!("t{n}"), *role).0
        }),
        AccessMove::RevokeToken(n) => AccessCommand::RevokeToken(of(*n).parse().unwrap()),
        AccessMove::OpenSession(n) => {
            let credential = Some(password(1).fingerprint());
            AccessCommand::OpenSession(NewSession {
                id: of(*n).parse().unwrap(),
                secret: hash(&format!("session {step}")),
                ..new_session(SessionOwner::User(name(*n)), credential)
            })
        }
        AccessMove::CloseSession(n) => AccessCommand::CloseSession(of(*n).parse().unwrap()),
    }
}

fn kind_command(change: &KindMove) -> KindCommand {
    let name = |n: &u8| kinds::kind(&format!("k{n}"));
    match change {
        KindMove::Set(n, 0) => KindCommand::Set(name(n), Box::default()),
        // Usually small, sometimes large enough that a store writes it in several pieces.
        KindMove::Set(n, about) => {
            let spec = kinds::spec(&"x".repeat(1 << (5 * usize::from(*about))));
            KindCommand::Set(name(n), spec.into())
        }
        KindMove::Announce(all) => KindCommand::Announce(all.iter().map(name).collect()),
        KindMove::Delete(n) => KindCommand::Delete(name(n)),
    }
}

fn schedule_of(n: u8) -> crate::job::ScheduleName {
    named(&format!("s{n}"))
}

fn queue_of(n: u8) -> crate::job::QueueName {
    queue(&format!("q{n}"))
}

fn wanted(want: &Want) -> NewJob {
    let text: String = (0..want.payload).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
    let payload = Json::of(&text).unwrap_or(Json::null());
    let mut job = draft()
        .queue(&format!("q{}", want.queue))
        .kind(["even", "odd"][want.payload % 2])
        .priority(want.priority)
        .attempts(want.max_attempts)
        .payload(payload);
    if let Some(key) = want.key {
        job = job.key(&format!("key {key}"));
    }
    if let Some(delay) = want.delay {
        job = job.after(secs(delay));
    }
    job.job()
}

fn verdict(how: &How) -> Verdict {
    let failure = Failure::new(FailureClass::Error, "it broke");
    match how {
        How::Completed => Verdict::Completed { result: Json::null() },
        How::Failed(wait) => Verdict::Failed { failure, retry_in: secs(*wait) },
        How::Snoozed(wait) => Verdict::Snoozed { delay: secs(*wait) },
        How::Discarded => Verdict::Discarded { failure },
        How::Cancelled => Verdict::Cancelled,
        How::Interrupted(why) => Verdict::Interrupted { why: *why },
    }
}

/// One of the two stores.
struct Side<H> {
    harness: H,
    /// `None` only during a restart.
    store: Option<Arc<dyn Store>>,
}

impl<H: Harness> Side<H> {
    async fn open(clock: ManualClock, limits: StoreLimits) -> Self {
        let mut harness = H::new(clock);
        let store = Some(harness.open(limits).await);
        Side { harness, store }
    }

    fn store(&self) -> &dyn Store {
        self.store.as_deref().expect("it is open between moves")
    }

    async fn reopen(&mut self) {
        let store = self.store.take().expect("it is open between moves");
        self.store = Some(self.harness.reopen(store).await);
    }

    async fn crash(&mut self) {
        let store = self.store.take().expect("it is open between moves");
        self.store = Some(self.harness.crash(store).await);
    }

    /// Ticks until no more work is due, because each store decides how much one tick does.
    async fn tick(&self, now: Time) -> Result<Ticked, String> {
        let mut all = Ticked::default();
        for _ in 0..1_000 {
            let ticked = self.store().tick().await.map_err(|error| error.to_string())?;
            all.fired += ticked.fired;
            all.skipped += ticked.skipped;
            all.due += ticked.due;
            all.rescued += ticked.rescued;
            all.pruned += ticked.pruned;
            all.next = ticked.next;
            if ticked.next.is_none_or(|next| next > now) {
                return Ok(all);
            }
        }
        Err("the ticks never finish".to_owned())
    }

    fn head(&self) -> u64 {
        self.store().head().seq
    }

    /// Every job in these states, newest first, read in short pages.
    async fn jobs(&self, states: &[State]) -> Result<Vec<Job>, String> {
        let mut query = JobQuery { states: states.into(), limit: 5, ..JobQuery::default() };
        let mut jobs = Vec::new();
        loop {
            let page = self.store().list(query.clone()).await.map_err(|error| error.to_string())?;
            jobs.extend(page.jobs);
            let Some(next) = page.next else { return Ok(jobs) };
            if query.after.is_some_and(|after| next.0 >= after.0) {
                return Err(format!(
                    "the page after {after:?} leads to {next}",
                    after = query.after
                ));
            }
            query.after = Some(next);
        }
    }

    /// The counters without zeros and without the cursor.
    async fn counters(&self) -> Result<String, String> {
        let Stats { states, queues, kinds, .. } =
            self.store().stats().await.map_err(|error| error.to_string())?;
        let counted = |counts: BTreeMap<State, u64>| -> Vec<(State, u64)> {
            counts.into_iter().filter(|(_, count)| *count > 0).collect()
        };
        let queues: Vec<_> = queues
            .into_iter()
            .map(|(name, stats)| {
                let QueueStats {
                    states,
                    settings,
                    configured,
                    waiting_since,
                    concurrency,
                    rate_wait,
                } = stats;
                let limits = (settings, configured, concurrency, rate_wait);
                (name, counted(states), waiting_since, limits)
            })
            .collect();
        let kinds: Vec<_> = kinds
            .into_iter()
            .map(|(kind, states)| (kind, counted(states)))
            .filter(|(_, states)| !states.is_empty())
            .collect();
        Ok(format!("{states:?} {queues:?} {kinds:?}"))
    }

    /// Waits until event `to` is durable, and returns the log after `after` up to it.
    async fn log(&self, after: u64, to: u64) -> Result<Vec<Event>, String> {
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while self.head() < to {
                tokio::task::yield_now().await;
            }
        });
        if waited.await.is_err() {
            return Err(format!("event {to} never arrives, the log ends at {}", self.head()));
        }
        let mut place = Cursor { seq: after, ..self.store().head() };
        let mut log = Vec::new();
        loop {
            match self.store().events(place, 7).await.map_err(|error| error.to_string())? {
                Events::Some(events) if events.is_empty() => return Ok(log),
                Events::Some(events) if events[0].seq <= place.seq => {
                    return Err(format!("event {} comes after {place}", events[0].seq));
                }
                Events::Some(events) => log.extend(events),
                gap @ Events::Gap { .. } => return Err(format!("after {place}: {gap:?}")),
            }
            place = log.last().map_or(place, |event| event.cursor(place));
        }
    }
}
