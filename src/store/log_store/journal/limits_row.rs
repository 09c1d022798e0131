//! The row of the limits that all nodes of a shared log apply: those in the configuration of the node that was started last.
//! It is written with every start. A log that is not shared has none.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::codec::{seal, unseal};
use crate::job::{QueueName, QueueSettings, RateRule};
use crate::store::formats::{self, Unreadable};
use crate::store::log::{Log, WriteBatch};
use crate::store::{ConfiguredLimits, Retention, SharedLimits, StoreError};

/// The key.
pub const KEY: &[u8] = b"c";

/// The limits as they are stored.
#[derive(Serialize, Deserialize)]
struct StoredLimits {
    queues: BTreeMap<QueueName, QueueSettings>,
    retention: Retention,
}

/// Reads the row; `None` when there is none.
pub fn read(log: &dyn Log) -> Result<Option<SharedLimits>, StoreError> {
    let Some(value) = log.get(KEY)? else { return Ok(None) };
    let limits = decode(&value);
    limits.map(Some).map_err(|why| why.at(format!("the shared limits in {}", log.location())))
}

/// Writes the row.
pub fn put(writes: &mut WriteBatch, limits: &SharedLimits) -> Result<(), StoreError> {
    let settings = |configured: &ConfiguredLimits| QueueSettings {
        concurrency: configured.concurrency,
        rate_limit: configured.rate_limit.map(RateRule::Limit),
        ..QueueSettings::default()
    };
    let queues = limits.queues.iter().map(|(name, one)| (name.clone(), settings(one)));
    let stored = StoredLimits { queues: queues.collect(), retention: limits.retention };
    let raw = postcard::to_stdvec(&stored);
    let raw = raw.map_err(|error| StoreError::Corrupt(error.to_string()))?;
    writes.put(KEY, seal(formats::SHARED_LIMITS, &raw));
    Ok(())
}

/// Reads the value of the row.
///
/// # Errors
/// Says what is wrong with it.
pub fn decode(value: &[u8]) -> Result<SharedLimits, Unreadable> {
    let raw = unseal(formats::SHARED_LIMITS, value)?;
    let stored: StoredLimits = postcard::from_bytes(&raw).map_err(|error| error.to_string())?;
    let configured = |settings: QueueSettings| ConfiguredLimits {
        concurrency: settings.concurrency,
        rate_limit: settings.rate_limit.and_then(RateRule::limit),
    };
    let queues = stored.queues.into_iter().map(|(name, one)| (name, configured(one)));
    Ok(SharedLimits { queues: queues.collect(), retention: stored.retention })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Concurrency;
    use crate::store::StoreLimits;
    use crate::store::log::Write;

    #[test]
    fn limits_come_back_as_they_were_stored() {
        let mut limits = StoreLimits::default().shared();
        let mail = QueueName::parse("mail").unwrap();
        let configured = ConfiguredLimits {
            concurrency: Some(Concurrency::clamped(3)),
            rate_limit: Some("100/1m".parse().unwrap()),
        };
        limits.queues.insert(mail, configured);
        limits.queues.insert(QueueName::parse("none").unwrap(), ConfiguredLimits::default());
        limits.retention.events.count = 17;
        let mut writes = WriteBatch::default();
        put(&mut writes, &limits).unwrap();
        let Some(Write::Put { value, .. }) = writes.into_writes().next() else { panic!("no row") };
        assert_eq!(decode(&value).unwrap(), limits);
    }
}
