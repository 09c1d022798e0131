//! The bytes of a chunk: many records packed into one stored value.
//!
//! ```text
//! ┌─────────┬───────┬────────┬───────────────────────────────────────────────┐
//! │ version │ flags │ crc32  │ body, lz4 when flag 1 is set (4 B raw length) │
//! │  1 B    │  1 B  │ 4 B LE │   postcard: Header, then `count` records      │
//! └─────────┴───────┴────────┴───────────────────────────────────────────────┘
//! ```
//! The version is the number of the format of the body, see `src/store/formats.rs`.
//! The checksum covers everything after itself. Labels and actors are stored once per chunk, in the header.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::first_format::{self, FirstHeader, FirstRecord};
use super::nodes::{NodeId, NodeNote};
pub use super::seal::{format_of, seal, unseal};
use crate::job::{
    AccessChange, AccessSubject, Actor, Change, Event, Fact, Job, JobId, Kind, KindChange, Labels,
    QueueChange, QueueName, ScheduleChange, ScheduleName, State, Time, WorkerChange, WorkerName,
};
use crate::store::formats::{self, Unreadable};

/// The uncompressed size in bytes at which a chunk is closed. Compressed, it then usually fits into one piece of the
/// log.
const CHUNK_BYTES: usize = 14 * 1_024;

/// A decoded chunk.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// The number of its first event, or of the next event if it has none.
    pub first_seq: u64,
    /// When its group was committed.
    pub at: Time,
    pub records: Vec<Record>,
    /// The size of its body before compression, in bytes.
    pub bytes: usize,
}

/// One record of the journal.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A public event, which has a number.
    Event(Event),
    /// The whole record of a job, copied forward so that older chunks can be removed, or back from the archive.
    Carried(Box<Job>),
    /// A finished job was removed by retention.
    Pruned(JobId),
    /// What the nodes that share a log have to know besides the events.
    Note(NodeNote),
}

#[derive(Serialize, Deserialize)]
struct Header {
    first_seq: u64,
    at: Time,
    count: u32,
    labels: Vec<Arc<Labels>>,
    actors: Vec<Actor>,
}

/// A record as it is written. `by` is the position of the actor among those of the chunk, counted from 1; 0 means none.
#[derive(Serialize)]
enum RecordRef<'a> {
    Job { id: JobId, label: u32, by: u32, state: State, attempt: u16, change: &'a Change },
    Queue { queue: &'a QueueName, by: u32, change: QueueChange },
    Carried(&'a Job),
    Pruned(JobId),
    Schedule { schedule: &'a ScheduleName, by: u32, change: ScheduleChange },
    Access { subject: &'a AccessSubject, by: u32, change: AccessChange },
    Kind { kind: &'a Kind, by: u32, change: KindChange },
    Worker { worker: &'a WorkerName, by: u32, change: WorkerChange },
    Note(NodeNote),
}

#[derive(Deserialize)]
enum StoredRecord {
    Job { id: JobId, label: u32, by: u32, state: State, attempt: u16, change: Change },
    Queue { queue: QueueName, by: u32, change: QueueChange },
    Carried(Box<Job>),
    Pruned(JobId),
    Schedule { schedule: ScheduleName, by: u32, change: ScheduleChange },
    Access { subject: AccessSubject, by: u32, change: AccessChange },
    Kind { kind: Kind, by: u32, change: KindChange },
    Worker { worker: WorkerName, by: u32, change: WorkerChange },
    Note(NodeNote),
}

impl From<FirstHeader> for Header {
    fn from(header: FirstHeader) -> Header {
        let FirstHeader { first_seq, at, count, labels } = header;
        Header { first_seq, at, count, labels, actors: Vec::new() }
    }
}

impl From<FirstRecord> for StoredRecord {
    fn from(record: FirstRecord) -> StoredRecord {
        match record {
            FirstRecord::Job { id, label, state, attempt, change } => {
                StoredRecord::Job { id, label, by: 0, state, attempt, change }
            }
            FirstRecord::Queue { queue, change } => StoredRecord::Queue { queue, by: 0, change },
            FirstRecord::Carried(job) => StoredRecord::Carried(Box::new((*job).into())),
            FirstRecord::Pruned(id) => StoredRecord::Pruned(id),
            FirstRecord::Schedule { schedule, change } => {
                StoredRecord::Schedule { schedule, by: 0, change }
            }
        }
    }
}

/// Packs records into chunks, in order.
pub struct Packer {
    at: Time,
    next_seq: u64,
    first_seq: u64,
    count: u32,
    labels: Vec<Arc<Labels>>,
    actors: Vec<Actor>,
    body: Vec<u8>,
    done: Vec<RawChunk>,
    /// The node that writes the chunks, which each of them begins with; `None` where the log is not shared.
    node: Option<NodeId>,
    /// The size of the events packed so far before compression, in bytes.
    pub event_bytes: u64,
}

/// A complete chunk before compression.
#[derive(Debug)]
pub struct RawChunk {
    pub first_seq: u64,
    raw: Vec<u8>,
}

impl RawChunk {
    /// Compresses the chunk and adds its prefix.
    pub fn seal(&self) -> Vec<u8> {
        seal(formats::JOURNAL_CHUNK, &self.raw)
    }
}

impl Packer {
    /// Starts a group committed at `at` whose first event has number `next_seq`.
    pub fn new(at: Time, next_seq: u64) -> Self {
        Packer {
            node: None,
            at,
            next_seq,
            first_seq: next_seq,
            count: 0,
            labels: Vec::new(),
            actors: Vec::new(),
            body: Vec::with_capacity(CHUNK_BYTES + 2_048),
            done: Vec::new(),
            event_bytes: 0,
        }
    }

    /// Begins every chunk with the node that writes it.
    pub fn written_by(self, node: Option<NodeId>) -> Self {
        Packer { node, ..self }
    }

    /// Adds a public event. Like the other methods that add records, it returns which chunk of the group holds it; 0
    /// is the first.
    pub fn event(&mut self, event: &Event) -> Result<usize, String> {
        self.next_seq += 1;
        let before = self.body.len();
        let by = event.by.as_ref().map_or(0, |actor| self.actor(actor));
        let wire = match &event.fact {
            Fact::Job { id, labels, state, attempt, change } => {
                let label = self.label(labels);
                RecordRef::Job { id: *id, label, by, state: *state, attempt: *attempt, change }
            }
            Fact::Queue { queue, change } => RecordRef::Queue { queue, by, change: *change },
            Fact::Schedule { schedule, change } => {
                RecordRef::Schedule { schedule, by, change: *change }
            }
            Fact::Access { subject, change } => RecordRef::Access { subject, by, change: *change },
            Fact::Kind { kind, change } => RecordRef::Kind { kind, by, change: *change },
            Fact::Worker { worker, change } => RecordRef::Worker { worker, by, change: *change },
        };
        self.encode(&wire)?;
        self.event_bytes += (self.body.len() - before) as u64;
        self.added()
    }

    /// Adds the whole record of a job.
    pub fn carried(&mut self, job: &Job) -> Result<usize, String> {
        self.encode(&RecordRef::Carried(job))?;
        self.added()
    }

    /// Adds that a finished job was removed.
    pub fn pruned(&mut self, id: JobId) -> Result<usize, String> {
        self.encode(&RecordRef::Pruned(id))?;
        self.added()
    }

    /// Adds something that the other nodes have to know.
    pub fn note(&mut self, note: NodeNote) -> Result<usize, String> {
        self.encode(&RecordRef::Note(note))?;
        self.added()
    }

    /// Adds a record of any sort.
    #[cfg(any(test, feature = "fuzzing"))]
    pub fn push(&mut self, record: &Record) -> Result<usize, String> {
        match record {
            Record::Event(event) => self.event(event),
            Record::Carried(job) => self.carried(job),
            Record::Pruned(id) => self.pruned(*id),
            Record::Note(note) => self.note(*note),
        }
    }

    fn encode(&mut self, wire: &RecordRef<'_>) -> Result<(), String> {
        if self.count == 0
            && let Some(node) = self.node
        {
            self.count += 1;
            self.append(&RecordRef::Note(NodeNote::WrittenBy(node)))?;
        }
        self.append(wire)
    }

    fn append(&mut self, wire: &RecordRef<'_>) -> Result<(), String> {
        let body = std::mem::take(&mut self.body);
        self.body = postcard::to_extend(wire, body).map_err(|error| error.to_string())?;
        Ok(())
    }

    /// Counts the record that was just encoded and closes a full chunk.
    fn added(&mut self) -> Result<usize, String> {
        self.count += 1;
        let place = self.done.len();
        if self.body.len() >= CHUNK_BYTES {
            self.close()?;
        }
        Ok(place)
    }

    /// Closes the current chunk and returns all chunks. It does so even when the chunk is empty, because its header
    /// records how far the numbers go, and when.
    pub fn finish_with_marker(mut self) -> Result<Vec<RawChunk>, String> {
        self.close()?;
        Ok(self.done)
    }

    /// Closes the current chunk, unless it is empty, and returns all chunks.
    pub fn finish(mut self) -> Result<Vec<RawChunk>, String> {
        if self.count > 0 {
            self.close()?;
        }
        Ok(self.done)
    }

    fn label(&mut self, labels: &Arc<Labels>) -> u32 {
        let known = self.labels.iter().position(|l| Arc::ptr_eq(l, labels) || l == labels);
        known.unwrap_or_else(|| {
            self.labels.push(labels.clone());
            self.labels.len() - 1
        }) as u32
    }

    /// The position of an actor among those of the chunk, counted from 1.
    fn actor(&mut self, actor: &Actor) -> u32 {
        let known = self.actors.iter().position(|known| known == actor);
        let position = known.unwrap_or_else(|| {
            self.actors.push(actor.clone());
            self.actors.len() - 1
        });
        position as u32 + 1
    }

    fn close(&mut self) -> Result<(), String> {
        let header = Header {
            first_seq: self.first_seq,
            at: self.at,
            count: self.count,
            labels: std::mem::take(&mut self.labels),
            actors: std::mem::take(&mut self.actors),
        };
        let mut raw = postcard::to_stdvec(&header).map_err(|error| error.to_string())?;
        raw.extend_from_slice(&self.body);
        self.done.push(RawChunk { first_seq: self.first_seq, raw });
        self.body.clear();
        self.count = 0;
        self.first_seq = self.next_seq;
        Ok(())
    }
}

impl Chunk {
    /// Decodes a chunk.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Chunk, Unreadable> {
        let raw = unseal(formats::JOURNAL_CHUNK, bytes)?;
        let is_first = bytes.first() == Some(&first_format::CHUNK);
        let header = if is_first {
            take::<FirstHeader>(&raw).map(|(header, rest)| (Header::from(header), rest))
        } else {
            take::<Header>(&raw)
        };
        let (header, mut rest) = header.map_err(|e| format!("chunk header: {e}"))?;
        let actor = |by: u32| match by {
            0 => Ok(None),
            _ => {
                let actor = header.actors.get(by as usize - 1);
                actor.cloned().map(Some).ok_or("unknown actor")
            }
        };
        let mut seq = header.first_seq;
        // A record has at least one byte, so a wrong count takes no more memory than the chunk.
        let mut records = Vec::with_capacity(rest.len().min(header.count as usize));
        for _ in 0..header.count {
            let stored = if is_first {
                take::<FirstRecord>(rest).map(|(record, tail)| (StoredRecord::from(record), tail))
            } else {
                take::<StoredRecord>(rest)
            };
            let (stored, tail) = stored.map_err(|e| format!("record: {e}"))?;
            rest = tail;
            let (by, fact) = match stored {
                StoredRecord::Job { id, label, by, state, attempt, change } => {
                    let labels = header.labels.get(label as usize).ok_or("unknown label")?.clone();
                    (by, Fact::Job { id, labels, state, attempt, change })
                }
                StoredRecord::Queue { queue, by, change } => (by, Fact::Queue { queue, change }),
                StoredRecord::Schedule { schedule, by, change } => {
                    (by, Fact::Schedule { schedule, change })
                }
                StoredRecord::Access { subject, by, change } => {
                    (by, Fact::Access { subject, change })
                }
                StoredRecord::Kind { kind, by, change } => (by, Fact::Kind { kind, change }),
                StoredRecord::Worker { worker, by, change } => {
                    (by, Fact::Worker { worker, change })
                }
                StoredRecord::Carried(job) => {
                    records.push(Record::Carried(job));
                    continue;
                }
                StoredRecord::Pruned(id) => {
                    records.push(Record::Pruned(id));
                    continue;
                }
                StoredRecord::Note(note) => {
                    records.push(Record::Note(note));
                    continue;
                }
            };
            records.push(Record::Event(Event { seq, at: header.at, by: actor(by)?, fact }));
            seq = seq.checked_add(1).ok_or("the numbers of its events are too great")?;
        }
        let bytes = raw.len();
        Ok(Chunk { first_seq: header.first_seq, at: header.at, records, bytes })
    }
}

fn take<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> postcard::Result<(T, &'de [u8])> {
    postcard::take_from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Json, Spec, Tag};

    fn enqueued(n: u64, payload: &str) -> Record {
        let labels = Labels {
            queue: QueueName::default(),
            kind: Kind::parse("echo").unwrap(),
            tags: Box::new([Tag::parse("t").unwrap()]),
        };
        let spec = Spec {
            payload: Json::parse(payload).unwrap(),
            priority: -3,
            retry: Default::default(),
            timeout_ms: Some(n),
            idempotency_key: None,
        };
        let fact = Fact::Job {
            id: JobId::from_u128(n.into()),
            labels: labels.into(),
            state: State::Available,
            attempt: 0,
            change: Change::Enqueued { spec: spec.into(), run_at: Time::from_millis(5) },
        };
        Record::Event(Event { seq: 100 + n, at: Time::from_millis(9), by: None, fact })
    }

    fn pack(records: &[Record]) -> Vec<Chunk> {
        let mut packer = Packer::new(Time::from_millis(9), 100);
        records.iter().for_each(|record| {
            packer.push(record).unwrap();
        });
        packer.finish().unwrap().iter().map(|raw| Chunk::decode(&raw.seal()).unwrap()).collect()
    }

    #[test]
    fn records_survive_the_bytes() {
        let mut records: Vec<Record> = (0..500).map(|n| enqueued(n, "{\"a\": 1}")).collect();
        records.push(Record::Pruned(JobId::from_u128(3)));
        let Record::Event(event) = &records[0] else { unreachable!() };
        records.push(Record::Carried(Box::new(Job::from_enqueued(event).unwrap())));
        let chunks = pack(&records);
        assert!(chunks.len() > 1);
        assert_eq!(chunks[0].first_seq, 100);
        let back: Vec<Record> = chunks.into_iter().flat_map(|chunk| chunk.records).collect();
        assert_eq!(back, records);
    }

    #[test]
    fn a_flipped_byte_is_noticed() {
        let mut packer = Packer::new(Time::default(), 1);
        packer.push(&enqueued(1, "\"some payload\"")).unwrap();
        let bytes = packer.finish().unwrap()[0].seal();
        for place in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[place] ^= 0x10;
            assert!(Chunk::decode(&bad).is_err(), "byte {place}");
        }
        assert!(Chunk::decode(&[]).is_err());
    }
}
