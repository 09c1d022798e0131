//! The other values of a store: runs of archived jobs, and the rows of queues, schedules, kinds, users and figures.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::choice;
use crate::job::{DeclaredKind, Job, Schedule};
use crate::store::Piece;
use crate::store::access_row;
use crate::store::formats::{self, StoredFormat, Unreadable};
use crate::store::log::{Write, WriteBatch};
use crate::store::log_store::archive::runs::{Run, decode_jobs};
use crate::store::log_store::commit::meta::Meta;
use crate::store::log_store::journal::codec::{seal, unseal};
use crate::store::log_store::journal::{
    access_rows, history_rows, limits_row, named_rows, queue_rows,
};

/// Either lines of an export, which are stored, or a line with the sort of a value, and its key where that matters, and then
/// the value before it is compressed and gets its checksum. What is read is written with the same content, and any damage
/// is noticed.
pub fn stored_row(input: &[u8]) {
    if input.starts_with(b"{") {
        for line in input.split(|byte| *byte == b'\n') {
            if let Some((sort, key, raw)) = Piece::from_line(line).ok().and_then(stored) {
                row(sort, &key, &raw);
                row(sort, &key, &with_changed_byte(&raw));
            }
        }
        return;
    }
    let Some((sort, raw)) = choice(input) else { return };
    let (sort, key) = sort.split_once(' ').unwrap_or((sort, ""));
    row(sort, key, raw);
}

/// The value that is stored for a line of an export, with its sort and its key.
fn stored(piece: Piece) -> Option<(&'static str, String, Vec<u8>)> {
    let raw = |bytes: postcard::Result<Vec<u8>>| bytes.unwrap_or_default();
    match piece {
        Piece::Queue { name, settings } => {
            Some(("queue", name.to_string(), raw(postcard::to_stdvec(&settings))))
        }
        Piece::Schedule(schedule) => {
            Some(("schedule", String::new(), raw(postcard::to_stdvec(&*schedule))))
        }
        Piece::Kind(kind) => Some(("kind", String::new(), raw(postcard::to_stdvec(&*kind)))),
        Piece::Access(record) => {
            let key = String::from_utf8(access_row::key(&record)).ok()?;
            Some(("access", key, access_row::encode(&record).ok()?))
        }
        Piece::Job(job) => Some((
            "jobs",
            String::new(),
            [&[1, 0, 0, 0], &*raw(postcard::to_stdvec(&*job))].concat(),
        )),
        Piece::Head(_) | Piece::Event(_) | Piece::End(_) => None,
    }
}

/// The value with a bit changed. Which one it is depends on the value, so that all of them are tried in the end.
pub fn with_changed_byte(raw: &[u8]) -> Vec<u8> {
    let chosen = crc32fast::hash(raw) as usize;
    let mut changed = raw.to_vec();
    if let Some(byte) = changed.get_mut(chosen % raw.len().max(1)) {
        *byte ^= 1 << (chosen % 8);
    }
    changed
}

fn row(sort: &str, key: &str, raw: &[u8]) {
    match sort {
        "run" => written_again(formats::RUN_HEADER, raw, Run::decode),
        "schedule" => {
            written_again(formats::SCHEDULE, raw, named_rows::decode::<Schedule>);
        }
        "kind" => {
            written_again(formats::DECLARED_KIND, raw, named_rows::decode::<DeclaredKind>);
        }
        "jobs" => jobs(raw),
        "queue" => {
            let name = format!("q{key}");
            let decode = |value: &[u8]| queue_rows::decode(name.as_bytes(), value);
            written_again(formats::QUEUE_SETTINGS, raw, |value| {
                decode(value).map(|(_, settings)| settings)
            });
        }
        "limits" => limits(raw),
        "access" => access(key, raw),
        "history" => {
            let value = seal(formats::HISTORY, raw);
            damage_is_noticed(&value, |value| history_rows::check(b"h", value).is_err());
            drop(history_rows::check(b"h", &value));
            drop(history_rows::check(key.as_bytes(), &value));
        }
        "meta" => {
            for version in 1..=formats::STORE.newest {
                let value = with_checksum(version, 0, raw);
                drop(Meta::decode(&value));
            }
        }
        // The prefix is part of the input, so that older versions and compressed values occur as well.
        "sealed" => {
            let Some((&[version, flags], body)) = raw.split_first_chunk::<2>() else { return };
            let value = with_checksum(version, flags, body);
            drop(unseal(formats::ARCHIVED_JOBS, &value));
            drop(decode_jobs(&value));
        }
        _ => {}
    }
}

/// Adds the prefix of a stored value, with the right checksum.
pub fn with_checksum(version: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let crc = crc32fast::hash(body).to_le_bytes();
    [&[version, flags], &crc[..], body].concat()
}

/// Checks that a changed byte behind the version and the flags is noticed, and that a value which was cut off is. Which
/// byte it is depends on the value, so that all of them are tried in the end.
pub fn damage_is_noticed(value: &[u8], is_refused: impl Fn(&[u8]) -> bool) {
    let chosen = crc32fast::hash(value) as usize;
    let at = 2 + chosen % (value.len() - 2);
    let mut damaged = value.to_vec();
    damaged[at] ^= 1 << (chosen % 8);
    assert!(is_refused(&damaged), "byte {at} of {value:02x?} was changed");
    assert!(is_refused(&value[..at]), "{value:02x?} was cut off at byte {at}");
}

fn written_again<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    format: StoredFormat,
    raw: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, Unreadable>,
) {
    let value = seal(format, raw);
    damage_is_noticed(&value, |value| decode(value).is_err());
    let Ok(read) = decode(&value) else { return };
    let written = postcard::to_stdvec(&read).unwrap();
    let again = decode(&seal(format, &written)).unwrap_or_else(|why| panic!("{why:?}"));
    assert_eq!(again, read);
    assert_eq!(postcard::to_stdvec(&again).unwrap(), written);
}

fn jobs(raw: &[u8]) {
    let value = seal(formats::ARCHIVED_JOBS, raw);
    damage_is_noticed(&value, |value| decode_jobs(value).is_err());
    let Ok(jobs) = decode_jobs(&value) else { return };
    assert!(jobs.len() <= raw.len() && jobs.capacity() <= 2 * raw.len() + 8);
    let written = |jobs: &[Job]| {
        let mut raw = (jobs.len() as u32).to_le_bytes().to_vec();
        jobs.iter().for_each(|job| raw.extend(postcard::to_stdvec(job).unwrap()));
        seal(formats::ARCHIVED_JOBS, &raw)
    };
    let first = written(&jobs);
    let again = decode_jobs(&first).unwrap_or_else(|why| panic!("{why:?}"));
    assert_eq!(again, jobs);
    assert_eq!(written(&again), first);
}

fn limits(raw: &[u8]) {
    let value = seal(formats::SHARED_LIMITS, raw);
    damage_is_noticed(&value, |value| limits_row::decode(value).is_err());
    let Ok(read) = limits_row::decode(&value) else { return };
    let mut writes = WriteBatch::default();
    limits_row::put(&mut writes, &read).unwrap();
    let Some(Write::Put { value, .. }) = writes.into_writes().next() else { panic!("no row") };
    assert_eq!(limits_row::decode(&value).unwrap(), read);
}

fn access(key: &str, raw: &[u8]) {
    let value = seal(formats::ACCESS, raw);
    damage_is_noticed(&value, |value| access_rows::decode(key.as_bytes(), value).is_err());
    let Ok(read) = access_rows::decode(key.as_bytes(), &value) else { return };
    assert_eq!(access_row::key(&read), key.as_bytes());
    let written = access_row::encode(&read).unwrap();
    let again = access_row::decode(key.as_bytes(), &written).unwrap();
    assert_eq!(access_row::encode(&again).unwrap(), written);
}
