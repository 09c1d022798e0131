//! The rows of users, tokens, sessions, share links and the signing key. Each is written again with every change, in the
//! same batch as its event.

use super::codec::{seal, unseal};
use super::row_lengths::RowLengths;
use crate::access::{AccessRecord, AccessTable, RecordChange};
use crate::store::StoreError;
use crate::store::access_row;
use crate::store::formats::{self, Unreadable};
use crate::store::log::{Log, WriteBatch};

pub use crate::store::access_row::PREFIXES;

/// Reads every row.
pub fn read(log: &dyn Log, lengths: &mut RowLengths) -> Result<AccessTable, StoreError> {
    let mut table = AccessTable::default();
    for row in PREFIXES.into_iter().flat_map(|prefix| log.scan(prefix)) {
        let (key, value) = row?;
        let record = decode(&key, &value).map_err(|why| {
            let name = String::from_utf8_lossy(&key).into_owned();
            why.at(format!("row {name} in {}", log.location()))
        })?;
        lengths.note(key, value.len());
        table.put(record);
    }
    Ok(table)
}

/// Writes or removes a row.
pub fn write(
    writes: &mut WriteBatch,
    lengths: &mut RowLengths,
    change: &RecordChange,
) -> Result<(), StoreError> {
    match change {
        RecordChange::Put(record) => put(writes, lengths, record),
        RecordChange::Remove(record) => {
            lengths.remove(writes, access_row::key(record));
            Ok(())
        }
    }
}

/// Writes a row.
pub fn put(
    writes: &mut WriteBatch,
    lengths: &mut RowLengths,
    record: &AccessRecord,
) -> Result<(), StoreError> {
    let raw = access_row::encode(record).map_err(StoreError::Corrupt)?;
    lengths.put(writes, access_row::key(record), seal(formats::ACCESS, &raw));
    Ok(())
}

/// Reads a row.
///
/// # Errors
/// Says what is wrong with it.
pub fn decode(key: &[u8], value: &[u8]) -> Result<AccessRecord, Unreadable> {
    Ok(access_row::decode(key, &unseal(formats::ACCESS, value)?)?)
}
