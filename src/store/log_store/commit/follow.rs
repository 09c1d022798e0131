//! Follows a log that several nodes share: what the other nodes have appended is folded into the index, the loops of
//! this process that it concerns are woken, and its events are published here as well.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::core::Core;
use super::entry::JobPlace;
use super::recover::{self, ReplayedJob};
use crate::job::{Change, Event, Fact, QueueChange, QueueName, State};
use crate::store::StoreError;
use crate::store::log::Row;
use crate::store::log_store::journal::chunks;
use crate::store::log_store::journal::codec::Record;
use crate::store::log_store::journal::nodes::ChangedRows;

/// What was read, as far as others have to be told.
#[derive(Default)]
struct Followed {
    events: Vec<Event>,
    /// The queues whose dispatchers may have new work.
    woken: BTreeSet<u32>,
    /// Whether a queue has its first job or another setting, so that this process has to look at the queues again.
    queues_changed: bool,
}

impl Core {
    /// Reads the log to its end. Afterwards this node knows everything that any node had answered when this was called.
    ///
    /// # Errors
    /// When the log cannot be read. What was read before stays.
    pub fn catch_up(&mut self) -> Result<(), StoreError> {
        loop {
            let mut followed = Followed::default();
            let outcome = self.read_on(&mut followed);
            let outcome = outcome.and_then(|()| self.read_stale_rows());
            self.publish_followed(followed);
            // Rows are read as they are now, which may be newer than the chunks. Then there are more chunks.
            if !outcome? {
                self.turns.read_up_to(self.journal.next_chunk());
                return Ok(());
            }
        }
    }

    /// Reads chunks that others have appended, which begin with the next one. There may be more of them.
    ///
    /// # Errors
    /// When they, or the rows that have changed with them, cannot be read.
    pub fn read_found(&mut self, rows: Vec<Row>) -> Result<(), StoreError> {
        let mut followed = Followed::default();
        let mut rows = rows.into_iter();
        let outcome = rows.try_for_each(|row| self.follow_chunk(row, &mut followed));
        self.publish_followed(followed);
        outcome?;
        if self.stale_rows.any() { self.catch_up() } else { Ok(()) }
    }

    /// Folds the next chunks as far as others have announced them with their content.
    ///
    /// # Errors
    /// As [`Core::read_found`].
    pub fn read_announced(&mut self) -> Result<(), StoreError> {
        let rows = self.shared.log.announced_chunks(self.journal.next_chunk());
        if rows.is_empty() { Ok(()) } else { self.read_found(rows) }
    }

    /// Folds all further chunks.
    fn read_on(&mut self, followed: &mut Followed) -> Result<(), StoreError> {
        let shared = self.shared.clone();
        let from = chunks::key(self.journal.next_chunk());
        for row in shared.log.scan_from(b"j", &from) {
            self.follow_chunk(row?, followed)?;
        }
        Ok(())
    }

    fn follow_chunk(
        &mut self,
        (key, value): Row,
        followed: &mut Followed,
    ) -> Result<(), StoreError> {
        let (number, chunk) = recover::decode_chunk(&*self.shared.log, &key, &value)?;
        recover::fold_chunk(self, number, chunk, value.len(), |core, record| {
            core.follow_record(number, record, followed)
        })?;
        self.future_waits.began.clear(); // they matter only at a start
        if let (Some(writer), Some(own)) = (self.writer, self.shared.node) {
            self.turns.appended(number, writer, own, Instant::now());
        }
        Ok(())
    }

    fn follow_record(
        &mut self,
        number: u64,
        record: Record,
        followed: &mut Followed,
    ) -> Result<(), StoreError> {
        let carried = match &record {
            Record::Carried(job) => Some((job.id, self.index.leases.get(&job.id).cloned())),
            Record::Event(_) | Record::Pruned(_) | Record::Note(_) => None,
        };
        let replayed = recover::replay_record(self, number, &record)?;
        if let Some((id, Some(lease))) = carried {
            self.index.put_lease(id, lease); // a copy of the record does not change it
        }
        self.wake_for(replayed, followed);
        if let Record::Event(event) = record {
            if let Fact::Queue { queue, change } = &event.fact {
                self.follow_queue(queue, *change, followed);
            }
            let is_from_inbox = self.is_from_inbox(&event);
            if self.writer == self.shared.node && !is_from_inbox {
                self.refused.push(event.clone());
            }
            followed.events.push(event);
        }
        Ok(())
    }

    /// Whether an event enqueues a job from the inbox that this node has tried to enqueue. Whoever has written it, the job's
    /// row is gone now.
    fn is_from_inbox(&mut self, event: &Event) -> bool {
        match &event.fact {
            Fact::Job { id, change: Change::Enqueued { .. }, .. } => self.from_inbox.remove(id),
            Fact::Job { .. }
            | Fact::Queue { .. }
            | Fact::Schedule { .. }
            | Fact::Access { .. }
            | Fact::Kind { .. }
            | Fact::Worker { .. } => false,
        }
    }

    /// Records which loops a change of a job concerns, as the group did on the node that has made it.
    fn wake_for(&mut self, ReplayedJob { before, after }: ReplayedJob, followed: &mut Followed) {
        if after == before {
            return;
        }
        if let Some(JobPlace { counters, .. }) = after
            && before.is_none_or(|before| before.counters != counters)
        {
            let queue = &self.index.sets.queues[self.index.queue_of(counters) as usize];
            followed.queues_changed |= queue.jobs == 1;
        }
        match after {
            Some(JobPlace { state: State::Available, counters, .. }) => {
                followed.woken.insert(self.index.queue_of(counters));
            }
            Some(JobPlace { state: State::Scheduled | State::Retryable, run_at, .. }) => {
                self.expect_tick(run_at);
            }
            Some(JobPlace {
                state: State::Running | State::Completed | State::Discarded | State::Cancelled,
                ..
            })
            | None => {}
        }
        let is_running = after.is_some_and(|after| after.state == State::Running);
        if let Some(JobPlace { state: State::Running, counters, .. }) = before
            && !is_running
        {
            let number = self.index.queue_of(counters);
            let queue = &self.index.sets.queues[number as usize];
            if queue.limits.freed_slot(queue.running) && !queue.ready.is_empty() {
                followed.woken.insert(number);
            }
        }
    }

    fn follow_queue(&mut self, name: &QueueName, change: QueueChange, followed: &mut Followed) {
        let number = self.queue(name);
        let queue = self.index.queue_mut(number);
        let mut settings = queue.settings;
        settings.apply(change);
        queue.set(settings);
        followed.woken.insert(number);
        followed.queues_changed = true;
    }

    /// Reads the rows that other nodes have changed. Returns whether there were any.
    fn read_stale_rows(&mut self) -> Result<bool, StoreError> {
        let ChangedRows { archive, schedules, kinds, access } = self.stale_rows;
        let any = self.stale_rows.any();
        if archive {
            recover::read_archive_again(self)?;
            self.read_limits_again()?;
            self.publish_starts();
            self.foreign_archives += 1;
            self.waits_for_run_since = None;
            if self.archiving {
                self.abandon_run();
            }
            let archive = self.archive.clone();
            *self.shared.archive.write().unwrap_or_else(PoisonError::into_inner) = archive;
        }
        if schedules {
            recover::read_schedules(self)?;
            if let Some(timer) = self.schedules.timer() {
                self.expect_tick(timer);
            }
        }
        if kinds {
            recover::read_kinds(self)?;
        }
        if access {
            recover::read_access(self)?;
        }
        self.stale_rows = ChangedRows::default();
        Ok(any)
    }

    /// Makes what was read visible: the head of the log, and its events for the followers of this process.
    fn publish_followed(&mut self, followed: Followed) {
        let Followed { events, woken, queues_changed } = followed;
        let shared = Arc::clone(&self.shared);
        shared.head.store(self.next_seq - 1, Ordering::Release);
        for number in woken {
            self.index.sets.queues[number as usize].wake.notify_one();
        }
        if queues_changed {
            shared.queue_changes.notify_one();
        }
        shared.publish(&shared.followers(), events);
    }
}
