//! The rows of users, tokens, sessions, share links and the signing key. Each is written again with every change, in the
//! same batch as its event.

use std::collections::BTreeMap;

use super::codec::{seal, unseal};
use crate::access::{AccessRecord, AccessTable, RecordChange};
use crate::store::StoreError;
use crate::store::access_row;
use crate::store::formats::{self, Unreadable};
use crate::store::log::{Log, WriteBatch};

pub use crate::store::access_row::PREFIXES;

/// The length of each row by its key, so that no part of a longer one is left behind when it is replaced.
pub type AccessRowLengths = BTreeMap<Vec<u8>, usize>;

/// Reads every row.
pub fn read(log: &dyn Log) -> Result<(AccessTable, AccessRowLengths), StoreError> {
    let (mut table, mut lengths) = (AccessTable::default(), AccessRowLengths::new());
    for row in PREFIXES.into_iter().flat_map(|prefix| log.scan(prefix)) {
        let (key, value) = row?;
        let record = decode(&key, &value).map_err(|why| {
            let name = String::from_utf8_lossy(&key).into_owned();
            why.at(format!("row {name} in {}", log.location()))
        })?;
        lengths.insert(key, value.len());
        table.put(record);
    }
    Ok((table, lengths))
}

/// Writes or removes a row.
pub fn write(
    writes: &mut WriteBatch,
    lengths: &mut AccessRowLengths,
    change: &RecordChange,
) -> Result<(), StoreError> {
    match change {
        RecordChange::Put(record) => put(writes, lengths, record),
        RecordChange::Remove(record) => {
            let key = access_row::key(record);
            let before = lengths.remove(&key).unwrap_or_default();
            writes.remove(key, before);
            Ok(())
        }
    }
}

/// Writes a row.
pub fn put(
    writes: &mut WriteBatch,
    lengths: &mut AccessRowLengths,
    record: &AccessRecord,
) -> Result<(), StoreError> {
    let key = access_row::key(record);
    let value = seal(formats::ACCESS, &access_row::encode(record).map_err(StoreError::Corrupt)?);
    let before = lengths.insert(key.clone(), value.len()).unwrap_or_default();
    writes.replace(key, before, value);
    Ok(())
}

/// Reads a row.
///
/// # Errors
/// Says what is wrong with it.
pub fn decode(key: &[u8], value: &[u8]) -> Result<AccessRecord, Unreadable> {
    Ok(access_row::decode(key, &unseal(formats::ACCESS, value)?)?)
}
