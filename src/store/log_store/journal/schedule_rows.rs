//! The rows of schedules: one each, written again with every change, in the same step as its event and its job.

use std::collections::BTreeMap;

use super::codec::{seal, unseal};
use crate::job::{Schedule, ScheduleName};
use crate::store::StoreError;
use crate::store::formats::{self, Unreadable};
use crate::store::log::{Log, WriteBatch};
use crate::store::schedules::Schedules;

/// What the rows' keys begin with.
pub const PREFIX: &[u8] = b"s";

/// How long the value of each row is, so that no piece of a longer one is left behind.
pub type Rows = BTreeMap<ScheduleName, usize>;

/// Reads every row.
pub fn read(log: &dyn Log) -> Result<(Schedules, Rows), StoreError> {
    let (mut schedules, mut rows) = (Schedules::default(), Rows::default());
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

/// Writes a row; `before` is how long its value was, where there was one.
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

/// Whether a row is sound and stands under its name.
pub fn check(row: &[u8], value: &[u8]) -> Result<(), Unreadable> {
    let schedule = decode(value)?;
    match key(&schedule.name) == row {
        true => Ok(()),
        false => Err(format!("it holds schedule {}", schedule.name).into()),
    }
}

/// Removes a row; `before` is how long its value was.
pub fn remove(writes: &mut WriteBatch, name: &ScheduleName, before: usize) {
    writes.remove(key(name), before);
}
