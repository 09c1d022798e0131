//! The rows of what was counted over time: their keys, and how they are read. They are no part of the index, because only
//! charts need them.

use super::codec::{seal, unseal};
use crate::job::{Kind, QueueName};
use crate::store::formats::{self, Unreadable};
use crate::store::log::Log;
use crate::store::{
    HistoryBatch, HistoryKey, HistoryProgress, HistoryRow, HistorySeries, HistoryStep,
    MAX_HISTORY_VALUE, StoreError,
};

/// The key of the progress. The keys of rows are longer: a letter for the step, the name of the queue (empty for the
/// whole server), a zero byte and the number. Those of a kind have the letter in upper case and the name of the kind.
pub const PROGRESS: &[u8] = b"h";
/// The most rows that one batch removes.
const MAX_REMOVED: usize = 5_000;

/// A batch as it is written.
#[derive(Debug, Clone)]
pub struct HistoryWrites {
    pub progress: HistoryProgress,
    /// The sealed progress.
    pub sealed: Vec<u8>,
    pub rows: Vec<(Vec<u8>, Vec<u8>)>,
    /// The keys that are removed, each with the length of its value.
    pub removed: Vec<(Vec<u8>, usize)>,
}

/// Turns a batch into writes, and looks up what it removes.
pub fn prepare(log: &dyn Log, batch: HistoryBatch) -> Result<HistoryWrites, StoreError> {
    let HistoryBatch { progress, rows, forget } = batch;
    let raw = postcard::to_stdvec(&progress);
    let raw = raw.map_err(|error| StoreError::Corrupt(error.to_string()))?;
    let mut removed = Vec::new();
    for (step, before) in forget {
        find_older(log, step, before, &mut removed)?;
    }
    let (rows, gone): (Vec<HistoryRow>, Vec<HistoryRow>) =
        rows.into_iter().partition(|(_, value)| !value.is_empty());
    for (key, _) in gone {
        let key = encode(&key);
        if let Some(value) = log.get(&key)? {
            removed.push((key, value.len()));
        }
    }
    let fits = |row: &HistoryRow| row.1.len() <= MAX_HISTORY_VALUE;
    let rows = rows.into_iter().filter(fits);
    let rows = rows.map(|(key, value)| (encode(&key), seal(formats::HISTORY, &value)));
    Ok(HistoryWrites {
        progress,
        sealed: seal(formats::HISTORY, &raw),
        rows: rows.collect(),
        removed,
    })
}

/// Reads the progress; `None` when nothing was counted yet.
pub fn progress(log: &dyn Log) -> Result<Option<HistoryProgress>, StoreError> {
    let Some(value) = log.get(PROGRESS)? else { return Ok(None) };
    let decoded = decode_progress(&value);
    decoded.map(Some).map_err(|why| why.at(format!("the history in {}", log.location())))
}

/// The rows of a series, from a number on.
pub fn rows_of(
    log: &dyn Log,
    step: HistoryStep,
    series: HistorySeries,
    from: u64,
) -> Result<Vec<HistoryRow>, StoreError> {
    let prefix = prefix_of(step, &series);
    let first = encode(&HistoryKey { step, series, number: from });
    log.scan_from(&prefix, &first).map(|row| row.and_then(|row| read(log, row))).collect()
}

/// The rows of all series with the same number. It reads one row of each, not all of them.
pub fn rows_at(
    log: &dyn Log,
    step: HistoryStep,
    number: u64,
) -> Result<Vec<HistoryRow>, StoreError> {
    let mut rows = Vec::new();
    for_each_series(log, step, |series, _| {
        let key = HistoryKey { step, series, number };
        if let Some(value) = log.get(&encode(&key))? {
            rows.push(read(log, (encode(&key), value))?);
        }
        Ok(true)
    })?;
    Ok(rows)
}

/// Checks a row of any of these keys.
///
/// # Errors
/// Says what is wrong with it.
pub fn check(key: &[u8], value: &[u8]) -> Result<(), Unreadable> {
    if key == PROGRESS {
        return decode_progress(value).map(drop);
    }
    decode(key)?;
    unseal(formats::HISTORY, value).map(drop)
}

fn find_older(
    log: &dyn Log,
    step: HistoryStep,
    before: u64,
    found: &mut Vec<(Vec<u8>, usize)>,
) -> Result<(), StoreError> {
    for_each_series(log, step, |series, prefix| {
        let first = encode(&HistoryKey { step, series, number: 0 });
        for row in log.scan_from(prefix, &first) {
            let (key, value) = row?;
            let is_older = decode(&key).is_ok_and(|key| key.number < before);
            if !is_older || found.len() >= MAX_REMOVED {
                break;
            }
            found.push((key, value.len()));
        }
        Ok(found.len() < MAX_REMOVED)
    })
}

/// Calls `visit` with each series that has rows of a step and with the prefix of their keys, until it returns false.
fn for_each_series(
    log: &dyn Log,
    step: HistoryStep,
    mut visit: impl FnMut(HistorySeries, &[u8]) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    for letter in [step.letter(), letter_of_kinds(step)] {
        let all = [PROGRESS, &[letter]].concat();
        let mut from = all.clone();
        while let Some(row) = log.scan_from(&all, &from).next() {
            let (key, _) = row?;
            let decoded = decode(&key).map_err(|why| unreadable(log, &key, &why))?;
            let mut prefix = prefix_of(step, &decoded.series);
            if !visit(decoded.series, &prefix)? {
                return Ok(());
            }
            // Behind the zero byte, and before every longer name: no name has such a character.
            prefix.pop();
            prefix.push(1);
            from = prefix;
        }
    }
    Ok(())
}

fn read(log: &dyn Log, (key, value): (Vec<u8>, Vec<u8>)) -> Result<HistoryRow, StoreError> {
    let row = decode(&key).and_then(|it| Ok((it, unseal(formats::HISTORY, &value)?)));
    row.map_err(|why| unreadable(log, &key, &why))
}

fn unreadable(log: &dyn Log, key: &[u8], why: &Unreadable) -> StoreError {
    why.clone().at(format!("the history {key:02x?} in {}", log.location()))
}

fn prefix_of(step: HistoryStep, series: &HistorySeries) -> Vec<u8> {
    let (letter, name) = match series {
        HistorySeries::Server => (step.letter(), ""),
        HistorySeries::Queue(queue) => (step.letter(), queue.as_str()),
        HistorySeries::Kind(kind) => (letter_of_kinds(step), kind.as_str()),
    };
    [PROGRESS, &[letter], name.as_bytes(), &[0]].concat()
}

/// Kinds have letters of their own, because a queue may have the name of a kind.
fn letter_of_kinds(step: HistoryStep) -> u8 {
    step.letter().to_ascii_uppercase()
}

fn encode(key: &HistoryKey) -> Vec<u8> {
    let mut bytes = prefix_of(key.step, &key.series);
    bytes.extend_from_slice(&key.number.to_be_bytes());
    bytes
}

fn decode(key: &[u8]) -> Result<HistoryKey, Unreadable> {
    let parts = || {
        let (letter, rest) = key.strip_prefix(PROGRESS)?.split_first()?;
        let is_of = |step: &HistoryStep| step.letter() == letter.to_ascii_lowercase();
        let step = HistoryStep::ALL.into_iter().find(is_of)?;
        let (name, number) = rest.split_at_checked(rest.len().checked_sub(8)?)?;
        let name = std::str::from_utf8(name.strip_suffix(&[0])?).ok()?;
        let series = match name {
            _ if letter.is_ascii_uppercase() => HistorySeries::Kind(Kind::stored(name).ok()?),
            "" => HistorySeries::Server,
            _ => HistorySeries::Queue(QueueName::stored(name).ok()?),
        };
        Some(HistoryKey { step, series, number: u64::from_be_bytes(number.try_into().ok()?) })
    };
    parts().ok_or_else(|| format!("{key:02x?} is no key of a history").into())
}

fn decode_progress(value: &[u8]) -> Result<HistoryProgress, Unreadable> {
    let raw = unseal(formats::HISTORY, value)?;
    Ok(postcard::from_bytes(&raw).map_err(|error| error.to_string())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of the server and of queues were written before kinds had any, and are still read.
    #[test]
    fn the_keys_of_servers_and_queues_stay_the_same_and_kinds_have_other_letters() {
        let (queue, kind) = (QueueName::parse("mail").unwrap(), Kind::parse("mail").unwrap());
        let keys = [
            (HistorySeries::Server, &b"hm\0\0\0\0\0\0\0\0\x07"[..]),
            (HistorySeries::Queue(queue), b"hmmail\0\0\0\0\0\0\0\0\x07"),
            (HistorySeries::Kind(kind), b"hMmail\0\0\0\0\0\0\0\0\x07"),
        ];
        for (series, bytes) in keys {
            let key = HistoryKey { step: HistoryStep::Minute, series, number: 7 };
            assert_eq!(encode(&key), bytes);
            assert_eq!(decode(bytes), Ok(key));
        }
        assert!(decode(b"hM\0\0\0\0\0\0\0\0\x07").is_err(), "a kind has a name");
    }
}
