//! Builds a store from a snapshot in an empty log: the events as a journal, the finished jobs as runs of the archive,
//! and copies of the others behind the events. The store gets an epoch of its own.

use crate::access::AccessRecord;
use crate::job::{Cursor, Event, Job, Time};
use crate::store::StoreError;
use crate::store::log::{Log, WriteBatch};
use crate::store::log_store::archive::keys;
use crate::store::log_store::archive::runs::{MAX_JOBS, Run};
use crate::store::log_store::commit::meta::Meta;
use crate::store::log_store::commit::recover;
use crate::store::log_store::journal::access_rows;
use crate::store::log_store::journal::chunks;
use crate::store::log_store::journal::codec::{Packer, RawChunk};
use crate::store::log_store::journal::named_rows;
use crate::store::log_store::journal::queue_rows::{self, QueueTable};
use crate::store::log_store::journal::row_lengths::RowLengths;
use crate::store::snapshot::{Head, Piece, Totals};

/// The size of a batch in bytes.
const BATCH_BYTES: u64 = 1_024 * 1_024;
/// The size of payloads and logs in bytes at which a run is written, however few jobs it has.
const RUN_BYTES: usize = 16 * 1_024 * 1_024;

/// Builds a store. Until [`LogBuilder::finish`] the log holds none.
pub struct LogBuilder {
    log: Box<dyn Log>,
    writes: WriteBatch,
    meta: Meta,
    /// Older exports have several pieces for a queue, so its row is written at the end.
    queues: QueueTable,
    /// The lengths of the rows that were written.
    rows: RowLengths,
    head: Option<Head>,
    packer: Packer,
    /// When the records in the packer were committed.
    at: Time,
    chunk: u64,
    /// The number of the next event.
    next_seq: u64,
    run: Vec<Job>,
    run_bytes: usize,
    /// The event that ended the last finished job.
    finished: u64,
    totals: Totals,
    /// Whether there was a key that signs share links. Exports have none.
    has_signing_key: bool,
    is_whole: bool,
}

impl LogBuilder {
    /// Starts with an empty log.
    pub fn new(log: Box<dyn Log>) -> LogBuilder {
        LogBuilder {
            log,
            writes: WriteBatch::default(),
            meta: Meta::new(),
            queues: QueueTable::new(),
            rows: RowLengths::default(),
            head: None,
            packer: Packer::new(Time::default(), 1),
            at: Time::default(),
            chunk: 0,
            next_seq: 1,
            run: Vec::new(),
            run_bytes: 0,
            finished: 0,
            totals: Totals::default(),
            has_signing_key: false,
            is_whole: false,
        }
    }

    /// Adds the next piece, in the order of [`Snapshot::next`](crate::store::Snapshot::next).
    ///
    /// # Errors
    /// When the piece cannot follow the ones before it, or the log cannot be written.
    pub fn push(&mut self, piece: Piece) -> Result<(), StoreError> {
        if self.is_whole {
            return Err(wrong("there is more after the end"));
        }
        let head = match (&piece, self.head) {
            (Piece::Head(head), None) => {
                self.head = Some(*head);
                self.meta.archived = head.head;
                self.next_seq = head.oldest + 1;
                self.packer = Packer::new(self.at, self.next_seq);
                return Ok(());
            }
            (Piece::Head(_), Some(_)) => return Err(wrong("there is a second head")),
            (_, None) => return Err(wrong("it does not begin with a head")),
            (_, Some(head)) => head,
        };
        self.totals.count(&piece);
        match piece {
            Piece::Head(_) => {}
            Piece::Queue { name, settings } => {
                let queue = self.queues.entry(name).or_default();
                *queue = settings.or(*queue);
            }
            Piece::Access(record) => {
                self.has_signing_key |= matches!(record, AccessRecord::SigningKey(_));
                access_rows::put(&mut self.writes, &mut self.rows, &record)?;
            }
            Piece::Schedule(schedule) => {
                named_rows::put(&mut self.writes, &mut self.rows, &*schedule)?;
            }
            Piece::Kind(kind) => named_rows::put(&mut self.writes, &mut self.rows, &*kind)?,
            Piece::Event(event) => self.event(event, head)?,
            Piece::Job(job) => self.job(*job, head)?,
            Piece::End(totals) => self.end(totals, head)?,
        }
        if self.writes.bytes() >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes the collected batch.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        self.log.apply_alone(std::mem::take(&mut self.writes))
    }

    /// Writes the description of the store, which makes the log one, and returns what is in it. The log is closed and
    /// was not verified.
    ///
    /// # Errors
    /// When the end was not among the pieces, or the log cannot be written.
    pub fn finish(mut self) -> Result<Totals, StoreError> {
        if !self.is_whole {
            return Err(wrong("it ends before its last piece"));
        }
        // The first start would create a missing one, but several nodes may start at once.
        if self.log.is_shared() && !self.has_signing_key {
            access_rows::put(&mut self.writes, &mut self.rows, &recover::new_signing_key()?)?;
        }
        self.flush()?;
        self.log.sync()?;
        let seq = self.next_seq - 1;
        self.log.record_head(Cursor { epoch: self.meta.epoch, seq })?;
        let mut writes = WriteBatch::default();
        writes.put(Meta::KEY, self.meta.encode()?);
        self.log.apply_alone(writes)?;
        self.log.sync()?;
        self.log.check_values()?;
        Ok(self.totals)
    }

    fn event(&mut self, event: Event, head: Head) -> Result<(), StoreError> {
        if event.seq != self.next_seq || event.seq > head.head {
            let (got, expected) = (event.seq, self.next_seq);
            return Err(wrong(&format!("event {got} follows where event {expected} was expected")));
        }
        self.commit_at(event.at)?;
        self.next_seq += 1;
        self.packer.event(&event).map_err(StoreError::Corrupt)?;
        Ok(())
    }

    fn job(&mut self, job: Job, head: Head) -> Result<(), StoreError> {
        self.events_end(head)?;
        if job.seq > head.head {
            return Err(wrong(&format!("job {} was changed after the snapshot", job.id)));
        }
        if !job.status.state.is_final() {
            self.commit_at(head.at)?;
            self.packer.carried(&job).map_err(StoreError::Corrupt)?;
            return Ok(());
        }
        if job.seq <= self.finished {
            return Err(wrong(&format!("finished job {} is out of order", job.id)));
        }
        self.finished = job.seq;
        keys::put(&mut self.writes, &job);
        self.run_bytes += job.spec.payload.as_str().len();
        self.run_bytes += job.log.iter().map(|line| line.text.len()).sum::<usize>();
        self.run.push(job);
        if self.run.len() >= MAX_JOBS || self.run_bytes >= RUN_BYTES {
            self.write_run()?;
        }
        Ok(())
    }

    fn end(&mut self, totals: Totals, head: Head) -> Result<(), StoreError> {
        self.events_end(head)?;
        if totals != self.totals {
            return Err(wrong(&format!(
                "it says that there are {} jobs and {} events, but there were {} and {}",
                totals.jobs, totals.events, self.totals.jobs, self.totals.events
            )));
        }
        self.write_run()?;
        for (name, settings) in std::mem::take(&mut self.queues) {
            queue_rows::put(&mut self.writes, &name, &settings)?;
        }
        self.commit_at(head.at)?;
        let packer = std::mem::replace(&mut self.packer, Packer::new(head.at, self.next_seq));
        self.put_chunks(packer.finish_with_marker())?;
        self.is_whole = true;
        Ok(())
    }

    fn events_end(&self, head: Head) -> Result<(), StoreError> {
        if self.next_seq == head.head + 1 {
            return Ok(());
        }
        Err(wrong(&format!("some events up to {} are missing", head.head)))
    }

    /// Starts a new chunk when the time differs, because a chunk has one time for all its records.
    fn commit_at(&mut self, at: Time) -> Result<(), StoreError> {
        if at == self.at {
            return Ok(());
        }
        self.at = at;
        let packer = std::mem::replace(&mut self.packer, Packer::new(at, self.next_seq));
        self.put_chunks(packer.finish())
    }

    fn put_chunks(&mut self, chunks: Result<Vec<RawChunk>, String>) -> Result<(), StoreError> {
        for chunk in chunks.map_err(StoreError::Corrupt)? {
            self.writes.put(chunks::key(self.chunk), chunk.seal());
            self.chunk += 1;
        }
        Ok(())
    }

    fn write_run(&mut self) -> Result<(), StoreError> {
        let no = self.meta.take_run_number();
        let jobs = std::mem::take(&mut self.run);
        self.run_bytes = 0;
        Run::build(no, jobs, &mut self.writes).map(drop).map_err(StoreError::Corrupt)
    }
}

fn wrong(why: &str) -> StoreError {
    StoreError::Corrupt(format!("the snapshot cannot be used: {why}"))
}
