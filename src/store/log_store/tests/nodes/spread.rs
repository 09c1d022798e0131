//! A store whose calls go to several nodes in turn, so that the rules of one store are checked between nodes. One of them
//! runs the jobs: it alone claims, extends and ticks, because only the node that has claimed a job knows when its lease
//! expires, and each node watches its own clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc, watch};

use crate::access::{AccessApplied, AccessCommand, AccessTable, Scope};
use crate::job::{
    Actor, Cursor, Event, Job, JobId, JobQuery, NewJob, QueueName, Schedule, Status, Time,
};
use crate::store::kinds::DeclaredKinds;
use crate::store::{
    AccessError, Claim, Claimed, Control, ControlError, EnqueueError, Enqueued, Events, Extension,
    HistoryTable, JobControlError, KindCommand, KindError, LeaseRef, MAX_STARTS, Note, Page,
    ScheduleCommand, ScheduleError, SettleError, Settlement, Snapshot, Stats, Storage, Store,
    StoreError, Ticked, WorkerNotice,
};

/// The nodes, and how many calls there were.
pub struct Spread {
    pub nodes: Vec<Arc<dyn Store>>,
    calls: AtomicUsize,
}

impl Spread {
    pub fn new(nodes: Vec<Arc<dyn Store>>) -> Spread {
        Spread { nodes, calls: AtomicUsize::new(0) }
    }

    fn next(&self) -> &Arc<dyn Store> {
        &self.nodes[self.calls.fetch_add(1, Ordering::Relaxed) % self.nodes.len()]
    }

    /// The node that runs jobs, whose loops are woken and whose events are followed.
    fn first(&self) -> &Arc<dyn Store> {
        &self.nodes[0]
    }
}

#[async_trait]
impl Store for Spread {
    async fn enqueue_within(
        &self,
        batch: Vec<NewJob>,
        scope: Option<&Scope>,
    ) -> Result<Vec<Enqueued>, EnqueueError> {
        self.next().enqueue_within(batch, scope).await
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        self.first().claim(claim).await
    }

    async fn extend(
        &self,
        leases: Vec<LeaseRef>,
        ttl: Duration,
    ) -> Result<Vec<Extension>, StoreError> {
        self.first().extend(leases, ttl).await
    }

    async fn settle(
        &self,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Result<Status, SettleError>>, StoreError> {
        self.next().settle(settlements).await
    }

    async fn annotate(&self, notes: Vec<Note>) -> Result<(), StoreError> {
        self.next().annotate(notes).await
    }

    async fn control(
        &self,
        control: Control,
        by: Option<Actor>,
    ) -> Result<Vec<(JobId, Result<Status, JobControlError>)>, ControlError> {
        self.next().control(control, by).await
    }

    async fn schedule(
        &self,
        command: ScheduleCommand,
        by: Option<Actor>,
    ) -> Result<Schedule, ScheduleError> {
        self.next().schedule(command, by).await
    }

    async fn schedules(&self) -> Result<(Vec<Schedule>, Cursor), StoreError> {
        self.next().schedules().await
    }

    async fn kind(&self, command: KindCommand, by: Option<Actor>) -> Result<(), KindError> {
        self.first().kind(command, by).await
    }

    async fn report(&self, notices: Vec<WorkerNotice>) -> Result<(), StoreError> {
        self.next().report(notices).await
    }

    fn kinds(&self) -> watch::Receiver<Arc<DeclaredKinds>> {
        self.first().kinds()
    }

    async fn access(
        &self,
        command: AccessCommand,
        by: Option<Actor>,
    ) -> Result<AccessApplied, AccessError> {
        self.first().access(command, by).await
    }

    fn access_table(&self) -> watch::Receiver<Arc<AccessTable>> {
        self.first().access_table()
    }

    fn history(&self) -> &dyn HistoryTable {
        self.first().history()
    }
    async fn tick(&self) -> Result<Ticked, StoreError> {
        let ticked = self.first().tick().await?;
        let acts = ticked.due + ticked.fired + ticked.skipped + ticked.rescued + ticked.pruned;
        // The others have nothing left to do either, but they notice that the clock was set, and that events are too old.
        if acts == 0 || ticked.clock_jump.is_some() {
            for node in &self.nodes[1..] {
                node.tick().await?;
            }
        }
        Ok(ticked)
    }

    async fn get(&self, id: JobId) -> Result<(Option<Job>, Cursor), StoreError> {
        self.next().get(id).await
    }

    async fn running(&self, ids: Vec<JobId>) -> Result<Vec<Job>, StoreError> {
        self.next().running(ids).await
    }

    async fn ahead(&self, id: JobId, most: u64) -> Result<Option<u64>, StoreError> {
        self.next().ahead(id, most).await
    }

    async fn list(&self, query: JobQuery) -> Result<Page, StoreError> {
        self.next().list(query).await
    }

    async fn stats(&self) -> Result<Stats, StoreError> {
        self.next().stats().await
    }

    async fn events(&self, after: Cursor, max: usize) -> Result<Events, StoreError> {
        self.next().events(after, max).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.next().snapshot().await
    }

    async fn storage(&self) -> Result<Storage, StoreError> {
        self.next().storage().await
    }

    fn starts(&self) -> Vec<Time> {
        let starts = self.first().starts();
        let is_full = starts.len() == MAX_STARTS;
        // Every node has recorded its own.
        starts.into_iter().step_by(if is_full { 1 } else { self.nodes.len() }).collect()
    }

    fn head(&self) -> Cursor {
        self.nodes.iter().map(|node| node.head()).max_by_key(|head| head.seq).unwrap()
    }

    fn follow(&self, capacity: usize) -> mpsc::Receiver<Arc<[Event]>> {
        self.first().follow(capacity)
    }

    fn wake(&self, queue: &QueueName) -> Arc<Notify> {
        self.first().wake(queue)
    }

    fn wake_timer(&self) -> Arc<Notify> {
        self.first().wake_timer()
    }

    fn end_searches(&self) {
        self.nodes.iter().for_each(|node| node.end_searches());
    }

    fn health(&self) -> Result<(), StoreError> {
        self.nodes.iter().try_for_each(|node| node.health())
    }

    async fn close(&self) -> Result<(), StoreError> {
        for node in &self.nodes {
            node.close().await?;
        }
        Ok(())
    }
}
