//! A random load on a store, and a ledger of what the store has answered, kept outside of it: whatever
//! happens to the disk, the ledger must be found true afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use tokio::time::sleep;

use crate::job::{Change, Event, Fact, Job, JobId, JobQuery, Json, NewJob, State, Verdict};
use crate::store::conformance::{Harness, Rig, draft, failed, secs};
use crate::store::{Control, Events, Lease, Settlement, Stats, Store, StoreError};

/// What was answered.
#[derive(Default)]
pub(crate) struct Ledger {
    random: Rng,
    /// Accepted, with payload.
    pub accepted: BTreeMap<JobId, Json>,
    /// Refused: not there, unless the refusal was the process's last word.
    pub refused: BTreeSet<JobId>,
    /// Settled as completed, with the result.
    completed: BTreeMap<JobId, Json>,
    /// Deleted, or asked to.
    deleted: BTreeSet<JobId>,
    /// Deleted, perhaps.
    maybe_deleted: BTreeSet<JobId>,
    held: Vec<Lease>,
    /// Settlements that were refused, to be told again.
    unsettled: Vec<(JobId, Settlement)>,
    count: u64,
    /// The power is off for good: nothing is waited for any more.
    pub dark: Arc<AtomicBool>,
}

impl Ledger {
    pub fn new(random: Rng) -> Ledger {
        Ledger { random, ..Ledger::default() }
    }

    /// One random verb, and what it was answered. An error is the store's refusal.
    pub async fn step<H: Harness>(&mut self, rig: &Rig<H>) -> Result<(), StoreError> {
        match self.random.u8(0..12) {
            0..4 => self.enqueue(rig).await,
            4 | 5 => self.claim(rig).await,
            6..8 => self.settle(rig).await,
            8 => self.delete(rig).await,
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
        answer.map(drop)
    }

    fn any_job(&mut self) -> NewJob {
        self.count += 1;
        let len = if self.random.u8(0..20) == 0 { 30_000 } else { self.random.usize(0..2_000) };
        let noise: String = (0..len).map(|_| self.random.alphanumeric()).collect();
        let payload = Json::parse(&format!("{{\"n\":{},\"noise\":\"{noise}\"}}", self.count));
        // Some wait for ever, so that old chunks stay needed.
        let priority = if self.random.u8(0..10) == 0 { -1 } else { 0 };
        draft().attempts(1_000).priority(priority).payload(payload.unwrap()).job()
    }

    async fn claim<H: Harness>(&mut self, rig: &Rig<H>) -> Result<(), StoreError> {
        let wish = rig.wish(self.random.usize(1..40));
        let dark = async {
            while !self.dark.load(Ordering::SeqCst) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        // A claim that was answered sits an outage out.
        let leases = tokio::select! {
            leases = rig.store.claim(wish) => leases?,
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
        let answer = rig.store.control(Control::Delete(some.clone())).await;
        match answer {
            Ok(answers) => {
                let gone = answers.into_iter().filter(|(_, answer)| answer.is_ok());
                self.deleted.extend(gone.map(|(id, _)| id));
                Ok(())
            }
            Err(error) => {
                self.maybe_deleted.extend(some);
                Err(error)
            }
        }
    }

    /// Holds a store to everything it has answered.
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
        audit(rig).await;
    }
}

/// Reads everything that a store has: the log has no hole, and records and counters agree with it.
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
        let told = newest.get(&job.id).copied().unwrap_or(Some(job.status.state));
        assert_eq!(Some(job.status.state), told, "the log says otherwise of {}", job.id);
    }
    if stats.oldest.seq == 0 {
        let alive = newest.values().flatten().count();
        assert_eq!(alive, jobs.len(), "the log knows of other jobs than the store");
    }
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

/// Everything that a store has.
#[derive(Debug, PartialEq)]
pub(crate) struct Content {
    jobs: Vec<Job>,
    log: Vec<Event>,
    stats: Stats,
}

/// Reads everything.
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
