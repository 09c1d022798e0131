//! The rows that say which archived job has an idempotency key.

use crate::job::{IdempotencyKey, Job, JobId};
use crate::store::StoreError;
use crate::store::log::{Log, WriteBatch};

/// The row of a key.
pub fn row(key: &IdempotencyKey) -> Vec<u8> {
    [b"k", key.as_str().as_bytes()].concat()
}

/// The archived job that a row names; `None` when there is no such row.
pub fn owner(log: &dyn Log, key: &IdempotencyKey) -> Result<Option<JobId>, StoreError> {
    let value = log.get(&row(key))?;
    let id = value.and_then(|value| Some(u128::from_be_bytes(value.try_into().ok()?)));
    Ok(id.map(JobId::from_u128))
}

/// Writes the row of a job that has a key.
pub fn put(writes: &mut WriteBatch, job: &Job) {
    if let Some(key) = &job.spec.idempotency_key {
        writes.put(row(key), job.id.as_u128().to_be_bytes().into());
    }
}

/// Removes the row of a job that has a key.
pub fn remove(writes: &mut WriteBatch, job: &Job) {
    if let Some(key) = &job.spec.idempotency_key {
        writes.remove(row(key), 1);
    }
}
