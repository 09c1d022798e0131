//! The rows of records that have a name: schedules and declared kinds. Each is written again with every change, in the same
//! batch as its event, and as the job that it made.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{seal, unseal};
use super::row_lengths::RowLengths;
use crate::job::{DeclaredKind, Schedule};
use crate::store::StoreError;
use crate::store::formats::{self, StoredFormat, Unreadable};
use crate::store::log::{Log, WriteBatch};

/// A record that has a row under its name.
pub trait NamedRecord: Serialize + DeserializeOwned {
    /// The first letter of the keys; the name follows.
    const PREFIX: &'static [u8];
    /// The format of the values.
    const FORMAT: StoredFormat;

    /// The name.
    fn name(&self) -> &str;
}

impl NamedRecord for Schedule {
    const PREFIX: &'static [u8] = b"s";
    const FORMAT: StoredFormat = formats::SCHEDULE;

    fn name(&self) -> &str {
        self.name.as_str()
    }
}

impl NamedRecord for DeclaredKind {
    const PREFIX: &'static [u8] = b"d";
    const FORMAT: StoredFormat = formats::DECLARED_KIND;

    fn name(&self) -> &str {
        self.name.as_str()
    }
}

/// Reads every row.
pub fn read<T: NamedRecord>(log: &dyn Log, lengths: &mut RowLengths) -> Result<Vec<T>, StoreError> {
    let mut records = Vec::new();
    for row in log.scan(T::PREFIX) {
        let (key, value) = row?;
        records.push(decode(&value).map_err(|why| {
            let name = String::from_utf8_lossy(&key[T::PREFIX.len()..]).into_owned();
            why.at(format!("{} {name} in {}", T::FORMAT.name, log.location()))
        })?);
        lengths.note(key, value.len());
    }
    Ok(records)
}

/// Writes a row.
pub fn put<T: NamedRecord>(
    writes: &mut WriteBatch,
    lengths: &mut RowLengths,
    record: &T,
) -> Result<(), StoreError> {
    let raw = postcard::to_stdvec(record);
    let raw = raw.map_err(|error| StoreError::Corrupt(error.to_string()))?;
    lengths.put(writes, key(record), seal(T::FORMAT, &raw));
    Ok(())
}

/// Removes a row.
pub fn remove<T: NamedRecord>(writes: &mut WriteBatch, lengths: &mut RowLengths, record: &T) {
    lengths.remove(writes, key(record));
}

/// Reads a row and checks that it has the key of its record.
///
/// # Errors
/// Says what is wrong with it.
pub fn check<T: NamedRecord>(row: &[u8], value: &[u8]) -> Result<T, Unreadable> {
    let record: T = decode(value)?;
    if key(&record) == row {
        return Ok(record);
    }
    Err(format!("it holds {} {}", T::FORMAT.name, record.name()).into())
}

fn key<T: NamedRecord>(record: &T) -> Vec<u8> {
    [T::PREFIX, record.name().as_bytes()].concat()
}

/// Reads the value of a row.
///
/// # Errors
/// Says what is wrong with it.
pub fn decode<T: NamedRecord>(value: &[u8]) -> Result<T, Unreadable> {
    let raw = unseal(T::FORMAT, value)?;
    Ok(postcard::from_bytes(&raw).map_err(|error| error.to_string())?)
}
