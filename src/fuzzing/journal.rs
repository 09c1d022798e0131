//! Chunks of the journal.

use super::NOW;
use super::rows::{damage_is_noticed, with_changed_byte, with_checksum};
use crate::job::Time;
use crate::store::log_store::journal::codec::{Chunk, Packer, Record, unseal};
use crate::store::{Piece, formats};

/// Either lines of an export, which become the records of a chunk, or the version, the flags and the body of a chunk, to
/// which the right checksum is added. Records are read as they were written, the same records have the same bytes, and any
/// damage is noticed.
pub fn journal_chunk(input: &[u8]) {
    if input.starts_with(b"{") {
        let records: Vec<Record> = input.split(|byte| *byte == b'\n').filter_map(record).collect();
        for bytes in written(NOW, 1, &records) {
            let raw = unseal(formats::JOURNAL_CHUNK, &bytes);
            let raw = raw.unwrap_or_else(|why| panic!("{why:?}"));
            body(formats::JOURNAL_CHUNK.newest, 0, &with_changed_byte(&raw));
        }
        return;
    }
    // Without a checksum, any bytes are refused or read, but nothing else happens.
    drop(Chunk::decode(input));
    if let Some((&[version, flags], bytes)) = input.split_first_chunk::<2>() {
        body(version, flags, bytes);
    }
}

/// Reads a chunk with this body.
fn body(version: u8, flags: u8, body: &[u8]) {
    let bytes = with_checksum(version, flags, body);
    damage_is_noticed(&bytes, |bytes| Chunk::decode(bytes).is_err());
    let Ok(chunk) = Chunk::decode(&bytes) else { return };
    // Every record has at least one byte.
    assert!(chunk.records.len() <= chunk.bytes && chunk.records.capacity() <= 2 * chunk.bytes + 8);
    written(chunk.at, chunk.first_seq, &chunk.records);
}

/// The record that is made from a line of an export.
fn record(line: &[u8]) -> Option<Record> {
    match Piece::from_line(line).ok()? {
        Piece::Event(event) => Some(Record::Event(event)),
        Piece::Job(job) if job.log.is_empty() => Some(Record::Pruned(job.id)),
        Piece::Job(job) => Some(Record::Carried(job)),
        Piece::Head(_)
        | Piece::Queue { .. }
        | Piece::Schedule(_)
        | Piece::Kind(_)
        | Piece::Access(_)
        | Piece::End(_) => None,
    }
}

/// Writes records and reads them. Returns the chunks.
fn written(at: Time, first_seq: u64, records: &[Record]) -> Vec<Vec<u8>> {
    let chunks = packed(at, first_seq, records);
    let mut read = Vec::new();
    for bytes in &chunks {
        damage_is_noticed(bytes, |bytes| Chunk::decode(bytes).is_err());
        let chunk = Chunk::decode(bytes).unwrap_or_else(|why| panic!("{why:?}"));
        assert_eq!(chunk.at, at);
        read.extend(chunk.records);
    }
    let mut expected = records.to_vec();
    // A chunk has the time and the numbers of all of its events.
    let mut next = first_seq;
    for record in &mut expected {
        if let Record::Event(event) = record {
            (event.seq, event.at) = (next, at);
            next += 1;
        }
    }
    assert_eq!(read, expected);
    assert_eq!(packed(at, first_seq, &read), chunks);
    chunks
}

fn packed(at: Time, first_seq: u64, records: &[Record]) -> Vec<Vec<u8>> {
    let mut packer = Packer::new(at, first_seq);
    for record in records {
        packer.push(record).unwrap_or_else(|why| panic!("{why}"));
    }
    let chunks = packer.finish_with_marker().unwrap_or_else(|why| panic!("{why}"));
    chunks.iter().map(|chunk| chunk.seal()).collect()
}
