//! Verifies a store that no server uses, without changing it. It shares as little code as possible with the store
//! itself, so that a mistake in one of them is noticed.

mod access;
mod archived;
mod kinds;
mod live;
mod report;

use std::panic::{AssertUnwindSafe, catch_unwind};

use self::access::LastChanges;
use self::kinds::LastKindChanges;
pub use self::report::{Report, VerifyProblem};
use super::commit::meta::{Meta, StoredMeta};
use super::journal::access_rows;
use super::journal::chunks;
use super::journal::codec::{Chunk, Record, format_of, unseal};
use super::journal::fold::JournalFold;
use super::journal::history_rows;
use super::journal::limits_row;
use super::journal::named_rows;
use super::journal::queue_rows::{self, QueueTable};
use super::snapshot::reader;
use crate::access::AccessTable;
use crate::job::{DeclaredKind, Fact, Schedule};
use crate::store::kinds::DeclaredKinds;
use crate::store::log::Log;
use crate::store::{Storage, StoreError};

/// Verifies a store that no server uses: every stored value, the numbers of chunks and events, the events of every job,
/// the archive, the keys, and the index that a server would build. Nothing is changed. [`Report::problems`] says what
/// is wrong.
pub fn verify(
    mut report: Report,
    open: impl FnOnce() -> Result<Box<dyn Log>, StoreError>,
) -> Report {
    let checked = catch_unwind(AssertUnwindSafe(|| check(open()?, &mut report)));
    match checked {
        Ok(Ok(())) => {}
        Ok(Err(StoreError::Unavailable(why))) => report.unchecked = Some(why),
        Ok(Err(StoreError::Corrupt(why))) => report.problem("", why),
        Ok(Err(error)) => report.problem("", error),
        Err(_) => report.problem("", "the files are damaged: reading them panicked"),
    }
    report
}

fn check(log: Box<dyn Log>, report: &mut Report) -> Result<(), StoreError> {
    if report.disk_bytes == 0 {
        let mut storage = Storage::default();
        log.measure(&mut storage)?;
        report.disk_bytes = storage.disk_bytes;
    }
    if let Err(error) = log.check_values() {
        report.problem("", error.to_string());
    }
    let Some(meta) = log.get(Meta::KEY)? else {
        report.problem(
            "meta",
            "missing: an import or a restore was interrupted, or this is not a store",
        );
        return Ok(());
    };
    let StoredMeta { meta, format: _, older_settings } = match Meta::decode(&meta) {
        Ok(stored) => stored,
        Err(why) => {
            report.problem("meta", why);
            return Ok(());
        }
    };
    report.epoch = Some(meta.epoch);
    let mut rows = check_keys(&*log, report)?;
    rows.queues = older_settings.unwrap_or(rows.queues);
    let mut fold = check_journal(&*log, &rows, report)?;
    match log.recorded_head(meta.epoch) {
        Ok(Some(seq)) if seq > report.head => {
            report.problem(
                "head",
                format!("event {seq} was durable; the log ends at {}", report.head),
            );
        }
        Ok(None) if report.chunks > 0 => {
            report.problem("head", "the file is missing: nothing says how far the log reached");
        }
        Ok(_) => {}
        Err(StoreError::Unavailable(why) | StoreError::Corrupt(why)) => report.problem("head", why),
        Err(error) => report.problem("head", error),
    }
    if meta.archived > report.head {
        let (archived, head) = (meta.archived, report.head);
        report.problem("meta", format!("archived up to event {archived}; the log ends at {head}"));
    }
    let archived = archived::check(&*log, &meta, &fold, report)?;
    fold.forget_archived(meta.archived);
    match reader::load(log) {
        Ok((core, _)) => live::check(&core, &fold, &archived, report)?,
        Err(error) => report.problem("", format!("the store does not open: {error}")),
    }
    Ok(())
}

/// The rows that are compared with the events about them.
#[derive(Default)]
struct CheckedRows {
    queues: QueueTable,
    kinds: DeclaredKinds,
    access: AccessTable,
}

/// Checks that every key is a known one, and that every value has the right checksum.
fn check_keys(log: &dyn Log, report: &mut Report) -> Result<CheckedRows, StoreError> {
    let mut rows = CheckedRows::default();
    for row in log.scan(b"") {
        let (key, value) = row?;
        report.value_bytes += (key.len() + value.len()) as u64;
        let name = report::key_name(&key);
        match (key.first(), key.len()) {
            (Some(b'j' | b'r' | b't'), 9) | (Some(b'a'), 13) => {}
            (Some(b'm'), _) if key == Meta::KEY => {}
            (Some(b's'), _) => {
                report.schedules += 1;
                if let Err(why) = named_rows::check::<Schedule>(&key, &value) {
                    report.problem(&name, why);
                }
                continue;
            }
            (Some(b'd'), _) => {
                report.kinds += 1;
                match named_rows::check::<DeclaredKind>(&key, &value) {
                    Ok(kind) => rows.kinds.put(kind.into()),
                    Err(why) => report.problem(&name, why),
                }
                continue;
            }
            (Some(b'q'), _) => {
                match queue_rows::decode(&key, &value) {
                    Ok((queue, settings)) => drop(rows.queues.insert(queue, settings)),
                    Err(why) => report.problem(&name, why),
                }
                continue;
            }
            (Some(b'u' | b'o' | b'x' | b'l' | b'v' | b'i'), _) => {
                report.access_rows += 1;
                match access_rows::decode(&key, &value) {
                    Ok(record) => rows.access.put(record),
                    Err(why) => report.problem(&name, why),
                }
                continue;
            }
            (Some(b'c'), _) if key == limits_row::KEY => {
                if let Err(why) = limits_row::decode(&value) {
                    report.problem(&name, why);
                }
                continue;
            }
            (Some(b'h'), _) => {
                if let Err(why) = history_rows::check(&key, &value) {
                    report.problem(&name, why);
                }
                continue;
            }
            (Some(b'k'), _) => {
                report.keys += 1;
                continue; // a plain id, which is checked with the archive
            }
            _ => {
                report.problem(&name, "unknown key");
                continue;
            }
        }
        if let Err(why) = unseal(format_of(&key), &value) {
            report.problem(&name, why);
        }
    }
    Ok(rows)
}

/// Checks that no chunk or event is missing, that every event can follow the ones before it, and that queues, kinds, users,
/// tokens, sessions and share links are stored as the last events about them left them.
fn check_journal(
    log: &dyn Log,
    rows: &CheckedRows,
    report: &mut Report,
) -> Result<JournalFold, StoreError> {
    let mut folded_queues = rows.queues.clone();
    let mut fold = JournalFold::default();
    let (mut last_changes, mut last_kinds) = (LastChanges::default(), LastKindChanges::default());
    let (mut next_chunk, mut next_seq) = (None, None);
    for row in log.scan(b"j") {
        let (key, value) = row?;
        let name = report::key_name(&key);
        let Some(number) = chunks::number(&key) else { continue }; // was reported as an unknown key
        if next_chunk.is_some_and(|next| next != number) {
            report.problem(&name, format!("chunk {} is missing before it", number - 1));
        }
        next_chunk = Some(number + 1);
        let chunk = match Chunk::decode(&value) {
            Ok(chunk) => chunk,
            Err(why) => {
                report.problem(&name, why);
                next_seq = None; // it is not known which events it held
                continue;
            }
        };
        if next_seq.is_some_and(|next| next != chunk.first_seq) {
            let next = next_seq.unwrap_or_default();
            let first = chunk.first_seq;
            report.problem(&name, format!("begins with event {first}, not with {next}"));
        }
        if report.chunks == 0 {
            report.oldest = chunk.first_seq.saturating_sub(1);
        }
        report.chunks += 1;
        let mut seq = chunk.first_seq;
        for record in &chunk.records {
            if let Record::Event(event) = record {
                report.events += 1;
                seq += 1;
                match &event.fact {
                    Fact::Queue { queue, change } => {
                        folded_queues.entry(queue.clone()).or_default().apply(*change);
                    }
                    Fact::Access { subject, change } => last_changes.note(subject, *change),
                    Fact::Kind { kind, change } => last_kinds.note(kind, *change),
                    Fact::Job { .. } | Fact::Schedule { .. } | Fact::Worker { .. } => {}
                }
            }
            if let Err(why) = fold.take(number, record) {
                report.problem(&name, why);
            }
        }
        report.head = seq.saturating_sub(1);
        next_seq = Some(seq);
    }
    for (queue, folded) in folded_queues {
        // The settings whose events have left the journal are those of the row, because the fold began with it.
        if rows.queues.get(&queue).copied().unwrap_or_default() != folded {
            let name = format!("q {:?}", queue.as_str());
            report.problem(&name, "the settings of the queue and the journal disagree");
        }
    }
    last_changes.check(&rows.access, report);
    last_kinds.check(&rows.kinds, report);
    Ok(fold)
}

#[cfg(test)]
mod tests;
