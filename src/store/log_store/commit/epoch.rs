//! Reads a store for a start. When nothing is known to have been durable, as after a failover of a database, a new epoch
//! begins, which several processes that start at once agree on.

use std::sync::Arc;

use super::core::Core;
use super::meta::{Meta, StoredMeta};
use super::recover;
use super::shared::Shared;
use super::tuning::Tuning;
use crate::clock::Clock;
use crate::store::log::Log;
use crate::store::{StoreError, StoreLimits};

/// Reads everything before anything is written. When nothing is known to have been durable, a new epoch begins.
pub fn read(
    mut log: Box<dyn Log>,
    limits: &StoreLimits,
    clock: &Arc<dyn Clock>,
    tuning: Tuning,
) -> Result<Core, StoreError> {
    loop {
        let (mut stored, least) = read_start(&*log)?;
        // A shared log notes its server at the same time, so it begins an epoch even when it is empty.
        let has_no_record = least.is_none() && (log.is_shared() || log.scan(b"j").next().is_some());
        if has_no_record {
            tracing::warn!(
                data_dir = %log.location(),
                "it is not known up to which event this store was durable, as after a failover or when the head file \
                 is missing; starting a new epoch"
            );
            stored.meta.epoch = Meta::new().epoch;
        }
        let is_older = stored.is_older();
        let epoch = stored.meta.epoch;
        let shared = Arc::new(Shared::new(log, clock.clone(), limits.clone(), tuning, epoch));
        let mut core = recover::read_all(shared, stored, least.unwrap_or(0))?;
        core.shared.log.begin_writing()?;
        if has_no_record {
            let description =
                if is_older { recover::converted(&core)? } else { recover::meta_row(&core.meta)? };
            if core.shared.log.begin_epoch(description)?.is_lost() {
                log = into_log(core)?; // another process has begun an epoch
                continue;
            }
        } else if is_older {
            recover::convert(&core)?;
        }
        if core.access.signing_key().is_none() {
            recover::add_signing_key(&mut core)?;
        }
        return Ok(core);
    }
}

/// Reads the description of the store, and up to which event the log was durable. Another process may begin an epoch
/// meanwhile: then both are read again, so that they belong together.
fn read_start(log: &dyn Log) -> Result<(StoredMeta, Option<u64>), StoreError> {
    loop {
        let stored = recover::read_meta(log)?;
        let least = log.recorded_head(stored.meta.epoch)?;
        if !log.is_shared() || recover::read_meta(log)?.meta.epoch == stored.meta.epoch {
            return Ok((stored, least));
        }
    }
}

/// Takes the log out of a store that nobody has begun to use.
fn into_log(core: Core) -> Result<Box<dyn Log>, StoreError> {
    let shared = core.shared.clone();
    drop(core);
    let log = Arc::into_inner(shared).map(|shared| shared.log);
    log.ok_or_else(|| StoreError::Unavailable("another process has begun an epoch".into()))
}
