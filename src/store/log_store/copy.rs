//! Copies a store from one log to another, row by row: the copy has the same epoch, the same events under the same
//! numbers and the same bytes, so every cursor stays valid.

use super::commit::meta::Meta;
use super::commit::recover;
use super::snapshot::reader;
use crate::job::Cursor;
use crate::store::StoreError;
use crate::store::access_row;
use crate::store::log::{Log, WriteBatch};

/// The size of a batch in bytes.
const BATCH_BYTES: u64 = 1_024 * 1_024;

/// Copies everything into an empty log. The description of the store, which makes the log one, comes last. `head` is the last
/// event. What a server adds at its first start is added here, because several may start at once on a shared log: an older
/// format is converted, and a missing key for share links is created. The log is closed and was not verified.
///
/// # Errors
/// When one of the logs cannot be read or written.
pub fn copy(from: &dyn Log, to: Box<dyn Log>, head: Cursor) -> Result<(), StoreError> {
    let (mut writes, mut meta) = (WriteBatch::default(), None);
    let mut has_signing_key = false;
    for row in from.scan(b"") {
        let (key, value) = row?;
        if key == Meta::KEY {
            meta = Some(value);
            continue;
        }
        has_signing_key |= key == access_row::SIGNING_KEY;
        writes.put(key, value);
        if writes.bytes() >= BATCH_BYTES {
            to.apply_alone(std::mem::take(&mut writes))?;
        }
    }
    to.apply_alone(writes)?;
    to.sync()?;
    to.record_head(head)?;
    let missing = || StoreError::Corrupt(format!("meta in {}: missing", from.location()));
    let meta = meta.ok_or_else(missing)?;
    let stored =
        Meta::decode(&meta).map_err(|why| why.at(format!("meta in {}", from.location())))?;
    let mut writes = WriteBatch::default();
    writes.put(Meta::KEY, meta);
    to.apply_alone(writes)?;
    to.sync()?;
    to.check_values()?;
    if has_signing_key && !stored.is_older() {
        return Ok(());
    }
    let (mut core, _) = reader::load(to)?;
    if stored.is_older() {
        recover::convert(&core)?;
    }
    if !has_signing_key {
        recover::add_signing_key(&mut core)?;
    }
    Ok(())
}
