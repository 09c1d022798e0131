//! The rows of schedules. Each is written again with every change, in the same batch as its event and its job.

use std::collections::BTreeMap;

use super::codec::{seal, unseal};
use crate::job::{Schedule, ScheduleName};
use crate::store::StoreError;
use crate::store::formats::{self, Unreadable};
use crate::store::log::{Log, WriteBatch};
use crate::store::schedules::Schedules;

/// The prefix of the keys.
pub const PREFIX: &[u8] = b"s";

/// The length of each row, so that no part of a longer one is left behind when it is replaced.
pub type RowLengths = BTreeMap<ScheduleName, usize>;

/// Reads every row.
pub fn read(log: &dyn Log) -> Result<(Schedules, RowLengths), StoreError> {
    let (mut schedules, mut rows) = (Schedules::default(), RowLengths::default());
    for row in log.scan(PREFIX) {
        let (key, value) = row?;
        let schedule = decode(&value).map_err(|why| {
            let name = String::from_utf8_lossy(&key[PREFIX.len()..]).into_owned();
            why.at(format!("schedule {name} in {}", log.location()))
        })?;
        rows.insert(schedule.name.clone(), value.len());
        schedules.0.insert(schedule.name.clone(), schedule);
    }
    Ok((schedules, rows))
}

/// Writes a row and returns its length. `before` is the length of the one that it replaces, or 0.
pub fn put(
    writes: &mut WriteBatch,
    schedule: &Schedule,
    before: usize,
) -> Result<usize, StoreError> {
    let raw = postcard::to_stdvec(schedule);
    let raw = raw.map_err(|error| StoreError::Corrupt(error.to_string()))?;
    let value = seal(formats::SCHEDULE, &raw);
    let len = value.len();
    writes.replace(key(&schedule.name), before, value);
    Ok(len)
}

fn key(name: &ScheduleName) -> Vec<u8> {
    [PREFIX, name.as_str().as_bytes()].concat()
}

fn decode(value: &[u8]) -> Result<Schedule, Unreadable> {
    let raw = unseal(formats::SCHEDULE, value)?;
    Ok(postcard::from_bytes(&raw).map_err(|error| error.to_string())?)
}

/// Checks that a row can be read and has the key of its schedule.
pub fn check(row: &[u8], value: &[u8]) -> Result<(), Unreadable> {
    let schedule = decode(value)?;
    if key(&schedule.name) == row {
        return Ok(());
    }
    Err(format!("it holds schedule {}", schedule.name).into())
}

/// Removes a row of `before` bytes.
pub fn remove(writes: &mut WriteBatch, name: &ScheduleName, before: usize) {
    writes.remove(key(name), before);
}
