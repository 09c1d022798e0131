//! A random load on a store, and a ledger of what the store has answered. Whatever happens to the disk, the store must
//! agree with the ledger afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use tokio::time::sleep;

use crate::access::tests::new_token;
use crate::access::{AccessCommand, Role};
use crate::job::{
    AccessChange, AccessSubject, Change, Event, Fact, Job, JobId, JobQuery, Json, NewJob, State,
    TokenId, Verdict,
};
use crate::store::conformance::{Harness, Outage, Rig, draft, failed, secs};
use crate::store::{Control, Events, Lease, Settlement, Stats, Store, StoreError};

/// What the store has answered.
#[derive(Default)]
pub(crate) struct Ledger {
    random: Rng,
    /// Accepted jobs with their payloads.
    pub accepted: BTreeMap<JobId, Json>,
    /// Refused jobs. They must not be stored, unless the process ended right after the refusal.
    pub refused: BTreeSet<JobId>,
    /// Jobs that were settled as completed, with their results.
    completed: BTreeMap<JobId, Json>,
    /// Jobs that were deleted.
    deleted: BTreeSet<JobId>,
    /// Jobs that may have been deleted.
    maybe_deleted: BTreeSet<JobId>,
    /// Tokens, and what was last acknowledged about each; `None` when the last change was refused.
    tokens: BTreeMap<TokenId, Option<Acknowledged>>,
    held: Vec<Lease>,
    /// Settlements that were refused and will be repeated.
    unsettled: Vec<(JobId, Settlement)>,
    count: u64,
    /// Set when the power is off for good, so that nothing waits any more.
    pub dark: Arc<AtomicBool>,
}

/// What was acknowledged about a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Acknowledged {
    Added,
    Revoked,
}

impl Ledger {
    pub fn new(random: Rng) -> Ledger {
        Ledger { random, ..Ledger::default() }
    }

    /// Calls a random verb and records the answer. Returns an error when the store refuses it.
    pub async fn step<H: Harness>(&mut self, rig: &Rig<H>) -> Result<(), StoreError> {
        match self.random.u8(0..14) {
            0..4 => self.enqueue(rig).await,
            4 | 5 => self.claim(rig).await,
            6..8 => self.settle(rig).await,
            8 => self.delete(rig).await,
            9 => self.add_token(rig).await,
            10 => self.revoke_token(rig).await,
            _ => rig.store.tick().await.map(drop),
        }
    }

    async fn enqueue<H: Harness>(&mut self, rig: &Rig<H>) -> Result<(), StoreError> {
        let count = self.random.usize(1..12);
        let batch: Vec<NewJob> = (0..count).map(|_| self.any_job()).collect();
        let answer = rig.store.enqueue(batch.clone()).await;
        for new in batch {
            match &answer {
                Ok(_) => drop(self.accepted.insert(new.id, new.spec.payload.clone())),
                Err(_) => drop(self.refused.insert(new.id)),
            }
        }
        answer.map(drop).map_err(Outage::outage)
    }

    fn any_job(&mut self) -> NewJob {
        self.count += 1;
        let len = if self.random.u8(0..20) == 0 { 30_000 } else { self.random.usize(0..2_000) };
        let noise: String = (0..len).map(|_| self.random.alphanumeric()).collect();
        let payload = Json::parse(&format!("{{\"n\":{},\"noise\":\"{noise}\"}}", self.count));
        // Some jobs never run, so that old chunks stay needed.
        let priority = if self.random.u8(0..10) == 0 { -1 } else { 0 };
        draft().attempts(1_000).priority(priority).payload(payload.unwrap()).job()
    }

    async fn claim<H: Harness>(&mut self, rig: &Rig<H>) -> Result<(), StoreError> {
        let request = rig.claim_request(self.random.usize(1..40));
        let dark = async {
            while !self.dark.load(Ordering::SeqCst) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        // A claim waits until the outage is over.
        let leases = tokio::select! {
            claimed = rig.store.claim(request) => claimed?.leases,
            () = dark => return Err(StoreError::Unavailable("the power is off".into())),
        };
        self.held.extend(leases);
        Ok(())
    }

    async fn settle<H: Harness>(&mut self, rig: &Rig<H>) -> Result<(), StoreError> {
        let mut all = std::mem::take(&mut self.unsettled);
        for _ in 0..self.random.usize(0..40).min(self.held.len()) {
            let lease = self.held.swap_remove(self.random.usize(0..self.held.len()));
            self.count += 1;
            let result = Json::parse(&format!("{{\"end\":{}}}", self.count)).unwrap();
            let verdict = match self.random.u8(0..8) {
                0 => failed(secs(0)),
                _ => Verdict::Completed { result },
            };
            all.push((lease.job.id, Settlement { lease: lease.key(), verdict }));
        }
        let settlements = all.iter().map(|(_, settlement)| settlement.clone()).collect();
        match rig.store.settle(settlements).await {
            Ok(answers) => {
                for ((id, settlement), answer) in all.into_iter().zip(answers) {
                    if let (Verdict::Completed { result }, Ok(_)) = (settlement.verdict, answer) {
                        self.completed.insert(id, result);
                    }
                }
                Ok(())
            }
            Err(error) => {
                self.unsettled = all;
                Err(error)
            }
        }
    }

    async fn delete<H: Harness>(&mut self, rig: &Rig<H>) -> Result<(), StoreError> {
        let some = self.random.choose_multiple(self.accepted.keys().copied(), 2);
        let answer = rig.store.control(Control::Delete(some.clone()), None).await;
        match answer {
            Ok(answers) => {
                let gone = answers.into_iter().filter(|(_, answer)| answer.is_ok());
                self.deleted.extend(gone.map(|(id, _)| id));
                Ok(())
            }
            Err(error) => {
                self.maybe_deleted.extend(some);
                Err(error.outage())
            }
        }
    }

    async fn add_token<H: Harness>(&mut self, rig: &Rig<H>) -> Result<(), StoreError> {
        self.count += 1;
        let token = new_token(&format!("token-{}", self.count), Role::Viewer).0;
        let id = token.id.clone();
        let answer = rig.store.access(AccessCommand::AddToken(token), None).await;
        self.tokens.insert(id, answer.is_ok().then_some(Acknowledged::Added));
        answer.map(drop).map_err(Outage::outage)
    }

    async fn revoke_token<H: Harness>(&mut self, rig: &Rig<H>) -> Result<(), StoreError> {
        let added = self.tokens.iter().filter(|(_, last)| **last == Some(Acknowledged::Added));
        let added: Vec<TokenId> = added.map(|(id, _)| id.clone()).collect();
        let Some(id) = self.random.choice(added) else { return Ok(()) };
        let answer = rig.store.access(AccessCommand::RevokeToken(id.clone()), None).await;
        self.tokens.insert(id, answer.is_ok().then_some(Acknowledged::Revoked));
        answer.map(drop).map_err(Outage::outage)
    }

    /// Checks that the store agrees with everything it has answered.
    pub async fn check<H: Harness>(&self, rig: &Rig<H>) {
        for (id, payload) in &self.accepted {
            let found = rig.find(*id).await;
            if self.deleted.contains(id) {
                assert!(found.is_none(), "{id} was deleted and is there");
                continue;
            }
            let Some(job) = found else {
                assert!(self.maybe_deleted.contains(id), "{id} was accepted and is lost");
                continue;
            };
            assert_eq!(job.spec.payload, *payload, "the payload of {id}");
            if let Some(result) = self.completed.get(id) {
                let shown = job.history.last().map(|moment| &moment.change);
                assert_eq!(shown, Some(&Change::Completed { result: result.clone() }), "{id}");
            }
        }
        let table = rig.store.access_table().borrow().clone();
        for (id, last) in &self.tokens {
            let Some(last) = last else { continue };
            let expected = *last == Acknowledged::Added;
            assert_eq!(table.token(id).is_some(), expected, "token {id}: {last:?}");
        }
        audit(rig).await;
    }
}

/// Reads everything in a store, and checks that no event is missing and that records and counters agree with the log.
pub(crate) async fn audit<H: Harness>(rig: &Rig<H>) {
    let (jobs, log) = (rig.jobs().await, rig.log().await);
    let stats = rig.stats().await;
    let whole = log.windows(2).all(|two| two[0].seq + 1 == two[1].seq);
    assert!(whole, "the log has a hole");
    if let Some(first) = log.first() {
        assert_eq!(first.seq, stats.oldest.seq + 1, "the log does not begin at its oldest place");
    }
    let end = log.last().map_or(stats.oldest.seq, |event| event.seq);
    assert_eq!(end, rig.store.head().seq, "the log does not reach its head");
    for (state, count) in &stats.states {
        let found = jobs.iter().filter(|job| job.status.state == *state).count() as u64;
        assert_eq!(*count, found, "jobs that are {state:?}");
    }
    let newest = newest_states(&log);
    for job in &jobs {
        let state = newest.get(&job.id).copied().unwrap_or(Some(job.status.state));
        assert_eq!(Some(job.status.state), state, "the log says otherwise of {}", job.id);
    }
    if stats.oldest.seq == 0 {
        let table = rig.store.access_table().borrow().clone();
        let stored: BTreeSet<TokenId> = table.tokens().iter().map(|it| it.id.clone()).collect();
        assert_eq!(tokens(&log), stored, "the log knows of other tokens than the table");
        let alive = newest.values().flatten().count();
        assert_eq!(alive, jobs.len(), "the log knows of other jobs than the store");
    }
}

/// The tokens that exist after these events.
fn tokens(log: &[Event]) -> BTreeSet<TokenId> {
    let mut tokens = BTreeSet::new();
    for event in log {
        match &event.fact {
            Fact::Access {
                subject: AccessSubject::Token { id, .. },
                change: AccessChange::TokenAdded { .. },
            } => drop(tokens.insert(id.clone())),
            Fact::Access {
                subject: AccessSubject::Token { id, .. },
                change: AccessChange::TokenRevoked,
            } => drop(tokens.remove(id)),
            Fact::Access { .. }
            | Fact::Job { .. }
            | Fact::Queue { .. }
            | Fact::Schedule { .. }
            | Fact::Kind { .. }
            | Fact::Worker { .. } => {}
        }
    }
    tokens
}

fn newest_states(log: &[Event]) -> BTreeMap<JobId, Option<State>> {
    let mut newest = BTreeMap::new();
    for event in log {
        if let Fact::Job { id, state, change, .. } = &event.fact {
            newest.insert(*id, (!matches!(change, Change::Deleted)).then_some(*state));
        }
    }
    newest
}

/// The content of a store.
#[derive(Debug, PartialEq)]
pub(crate) struct Content {
    jobs: Vec<Job>,
    log: Vec<Event>,
    stats: Stats,
}

/// Reads the content of a store.
pub(crate) async fn content(store: &dyn Store) -> Result<Content, StoreError> {
    let stats = store.stats().await?;
    let mut query = JobQuery { limit: 100, ..JobQuery::default() };
    let (mut jobs, mut log) = (Vec::new(), Vec::new());
    loop {
        let page = store.list(query.clone()).await?;
        jobs.extend(page.jobs);
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    let mut after = stats.oldest;
    while let Events::Some(events) = store.events(after, 1_000).await? {
        let Some(last) = events.last() else { break };
        after = last.cursor(after);
        log.extend(events);
    }
    Ok(Content { jobs, log, stats })
}
