//! Writes a snapshot into an empty directory: the events as a journal, the finished jobs as runs of the
//! archive, the others copied behind the events. The store begins a new life.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::job::{Cursor, Event, Job, Time};
use crate::store::StoreError;
use crate::store::log_store::archive::runs::Run;
use crate::store::log_store::commit::archiver::RUN;
use crate::store::log_store::commit::schedules;
use crate::store::log_store::commit::shared::{Meta, unique_key};
use crate::store::log_store::journal::chunks;
use crate::store::log_store::journal::codec::Packer;
use crate::store::log_store::verify::verify;
use crate::store::sled::dir_lock::DirLock;
use crate::store::sled::disk::Disk;
use crate::store::sled::durable;
use crate::store::sled::head_file::Watermark;
use crate::store::sled::ops::Ops;
use crate::store::sled::staging;
use crate::store::sled::staging::Staging;
use crate::store::snapshot::{Head, Piece, Totals};

/// Bytes handed to the disk in one step.
const STEP: u64 = 1_024 * 1_024;
/// Bytes of payloads and logs after which a run is written, however few its jobs are.
const RUN_BYTES: usize = 16 * 1_024 * 1_024;

/// A store in the making, in a directory of its own. Without [`Builder::finish`] the data directory holds
/// no store, and a start says so instead of beginning a new one.
pub struct Builder {
    dir: PathBuf,
    disk: Disk,
    staging: Staging,
    _lock: DirLock,
    ops: Ops,
    meta: Meta,
    head: Option<Head>,
    packer: Packer,
    /// When the packer's records were committed.
    at: Time,
    chunk: u64,
    /// The number of the next event.
    next_seq: u64,
    run: Vec<Job>,
    run_bytes: usize,
    /// The end of the job that finished last.
    finished: u64,
    totals: Totals,
    is_whole: bool,
}

impl Builder {
    /// Begins in a directory that is empty or not there.
    ///
    /// # Errors
    /// When there is something in it, or it cannot be written.
    pub fn create(dir: &Path) -> Result<Builder, StoreError> {
        let fail =
            |error: io::Error| StoreError::Unavailable(format!("{}: {error}", dir.display()));
        if dir.parent().is_some_and(|parent| parent.join("db").exists()) {
            return Err(fail(io::Error::other("it is inside of a data directory")));
        }
        // What is somebody else's is refused before anything is made.
        check_empty(dir).map_err(fail)?;
        let begin = || {
            durable::create_dir_all(dir)?;
            let lock = DirLock::take(dir)?;
            check_empty(dir)?; // another command may have filled it while its lock was waited for
            Ok((lock, Staging::begin(dir, staging::INCOMPLETE)?))
        };
        let (lock, staging) = begin().map_err(fail)?;
        Ok(Builder {
            dir: dir.to_owned(),
            disk: Disk::create(staging.path())?,
            staging,
            _lock: lock,
            ops: Ops::default(),
            meta: Meta::new(),
            head: None,
            packer: Packer::new(Time::default(), 1),
            at: Time::default(),
            chunk: 0,
            next_seq: 1,
            run: Vec::new(),
            run_bytes: 0,
            finished: 0,
            totals: Totals::default(),
            is_whole: false,
        })
    }

    /// Adds the next piece, in the order of [`Snapshot::next`](crate::store::Snapshot::next).
    ///
    /// # Errors
    /// When the piece cannot follow the ones before, or the disk refuses.
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
            Piece::Paused(queue) => drop(self.meta.paused.insert(queue)),
            Piece::Concurrency(queue, most) => {
                self.meta.later.concurrency.insert(queue, most);
            }
            Piece::RateLimit(queue, rule) => {
                self.meta.later.rate_limits.insert(queue, rule);
            }
            Piece::Schedule(schedule) => drop(schedules::put(&mut self.ops, &schedule, 0)?),
            Piece::Event(event) => self.event(event, head)?,
            Piece::Job(job) => self.job(*job, head)?,
            Piece::End(totals) => self.end(totals, head)?,
        }
        if self.ops.bytes >= STEP {
            self.disk.apply(std::mem::take(&mut self.ops))?;
        }
        Ok(())
    }

    /// Verifies what was written, makes the directory a store and says what is in it.
    ///
    /// # Errors
    /// When the end was not among the pieces, what was written is not sound, or the disk refuses.
    pub fn finish(mut self) -> Result<Totals, StoreError> {
        if !self.is_whole {
            return Err(wrong("it breaks off before its end"));
        }
        self.disk.apply(std::mem::take(&mut self.ops))?;
        self.disk.sync()?;
        let seq = self.next_seq - 1;
        let head = Cursor { epoch: self.meta.epoch, seq };
        Watermark::open(self.staging.path())?.write(head)?;
        let mut ops = Ops::default();
        ops.put(Meta::KEY, &self.meta.encode()?);
        self.disk.apply(ops)?;
        self.disk.sync()?;
        self.disk.check_blobs()?;
        drop(self.disk);
        let report = verify(self.staging.path());
        if !report.is_sound() {
            let why = format!("what was written is not sound: {report}");
            return Err(StoreError::Corrupt(why));
        }
        self.staging.publish().map_err(|error| {
            StoreError::Unavailable(format!("cannot finish {}: {error}", self.dir.display()))
        })?;
        tracing::debug!(data_dir = %self.dir.display(), jobs = self.totals.jobs, "store built");
        Ok(self.totals)
    }

    fn event(&mut self, event: Event, head: Head) -> Result<(), StoreError> {
        if event.seq != self.next_seq || event.seq > head.head {
            let (got, expected) = (event.seq, self.next_seq);
            return Err(wrong(&format!("event {got} stands where {expected} was expected")));
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
        if let Some(key) = &job.spec.idempotency_key {
            self.ops.put(&unique_key(key), &job.id.as_u128().to_be_bytes());
        }
        self.run_bytes += job.spec.payload.as_str().len();
        self.run_bytes += job.log.iter().map(|line| line.text.len()).sum::<usize>();
        self.run.push(job);
        if self.run.len() >= RUN || self.run_bytes >= RUN_BYTES {
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
        self.commit_at(head.at)?;
        let packer = std::mem::replace(&mut self.packer, Packer::new(head.at, self.next_seq));
        self.put_chunks(packer.finish_marked())?;
        self.is_whole = true;
        Ok(())
    }

    fn events_end(&self, head: Head) -> Result<(), StoreError> {
        if self.next_seq == head.head + 1 {
            return Ok(());
        }
        Err(wrong(&format!("the events up to {} are not all there", head.head)))
    }

    /// A chunk has one time for all that is in it.
    fn commit_at(&mut self, at: Time) -> Result<(), StoreError> {
        if at == self.at {
            return Ok(());
        }
        self.at = at;
        let packer = std::mem::replace(&mut self.packer, Packer::new(at, self.next_seq));
        self.put_chunks(packer.finish())
    }

    fn put_chunks(
        &mut self,
        chunks: Result<Vec<crate::store::log_store::journal::codec::Raw>, String>,
    ) -> Result<(), StoreError> {
        for chunk in chunks.map_err(StoreError::Corrupt)? {
            self.ops.put(&chunks::key(self.chunk), &chunk.seal());
            self.chunk += 1;
        }
        Ok(())
    }

    fn write_run(&mut self) -> Result<(), StoreError> {
        let no = self.meta.take_run_number();
        let jobs = std::mem::take(&mut self.run);
        self.run_bytes = 0;
        Run::build(no, jobs, &mut self.ops).map(drop).map_err(StoreError::Corrupt)
    }
}

/// Refuses a directory with anything in it but a file that version control wants there, the directory that a
/// new file system comes with, and what an earlier try has left.
fn check_empty(dir: &Path) -> io::Result<()> {
    let names = match std::fs::read_dir(dir) {
        Ok(entries) => {
            entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let is_retry = names.iter().any(|name| name == staging::INCOMPLETE);
    let is_expected = |name: &OsString| {
        name == ".gitkeep"
            || name == "lost+found"
            || name == staging::INCOMPLETE
            || (is_retry && staging::is_of_store(name))
    };
    if names.iter().all(is_expected) {
        return Ok(());
    }
    Err(io::Error::other("the directory is not empty; nothing was changed"))
}

fn wrong(why: &str) -> StoreError {
    StoreError::Corrupt(format!("the snapshot cannot be used: {why}"))
}

#[cfg(test)]
mod tests;
