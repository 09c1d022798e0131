//! The rows of queues: one for each queue with settings. It is written again with every change, in the same batch as
//! its event, because the events that made the settings leave the log.

use std::collections::BTreeMap;

use super::codec::{seal, unseal};
use crate::job::{QueueName, QueueSettings};
use crate::store::StoreError;
use crate::store::formats::{self, Unreadable};
use crate::store::log::{Log, WriteBatch};

/// The prefix of the keys.
pub const PREFIX: &[u8] = b"q";

/// The settings of all queues that have any.
pub type QueueTable = BTreeMap<QueueName, QueueSettings>;

/// Reads every row.
pub fn read(log: &dyn Log) -> Result<QueueTable, StoreError> {
    let mut table = QueueTable::new();
    for row in log.scan(PREFIX) {
        let (key, value) = row?;
        let (name, settings) = decode(&key, &value).map_err(|why| {
            let name = String::from_utf8_lossy(&key[PREFIX.len()..]).into_owned();
            why.at(format!("queue {name} in {}", log.location()))
        })?;
        table.insert(name, settings);
    }
    Ok(table)
}

/// Writes the row of a queue, or removes it when nothing is set any more.
pub fn put(
    writes: &mut WriteBatch,
    name: &QueueName,
    settings: &QueueSettings,
) -> Result<(), StoreError> {
    let raw = postcard::to_stdvec(settings);
    let raw = raw.map_err(|error| StoreError::Corrupt(error.to_string()))?;
    let value = seal(formats::QUEUE_SETTINGS, &raw);
    if settings.is_default() {
        // Every row is as short as this one, so it is stored in one piece, too.
        writes.remove(key(name), value.len());
    } else {
        writes.put(key(name), value);
    }
    Ok(())
}

fn key(name: &QueueName) -> Vec<u8> {
    [PREFIX, name.as_str().as_bytes()].concat()
}

/// Reads a row: the name is in its key.
///
/// # Errors
/// Says what is wrong with it.
pub fn decode(key: &[u8], value: &[u8]) -> Result<(QueueName, QueueSettings), Unreadable> {
    let raw = unseal(formats::QUEUE_SETTINGS, value)?;
    let settings = postcard::from_bytes(&raw).map_err(|error| error.to_string())?;
    let name = key.strip_prefix(PREFIX).and_then(|name| std::str::from_utf8(name).ok());
    let name = name.ok_or("its key is not that of a queue")?;
    Ok((QueueName::parse(name).map_err(|error| error.to_string())?, settings))
}
