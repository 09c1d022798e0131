//! The worker that holds the lease of an attempt, and what happens to the lease when the server restarts.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::job::WorkerName;

/// Who holds the lease of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseHolder {
    /// A worker in the process of the server. Its attempts end with the process.
    InProcess(WorkerName),
    /// A worker in a process of its own. It goes on while the server restarts, so the next process keeps its lease for
    /// `ttl` more.
    Remote {
        /// The name of the worker.
        worker: WorkerName,
        /// The length of the lease that it took, in whole milliseconds.
        ttl: Duration,
    },
}

/// What separates the name of a remote worker from the length of its lease in its stored form. No name contains it.
const SEPARATOR: char = '\t';

impl LeaseHolder {
    /// The name of the worker.
    pub fn name(&self) -> &WorkerName {
        match self {
            LeaseHolder::InProcess(worker) | LeaseHolder::Remote { worker, .. } => worker,
        }
    }

    /// How long the lease is kept after a restart of the server; `None` when the attempt ends with the server.
    pub fn kept_for(&self) -> Option<Duration> {
        match self {
            LeaseHolder::InProcess(_) => None,
            LeaseHolder::Remote { ttl, .. } => Some(*ttl),
        }
    }

    fn read(text: &str) -> Result<LeaseHolder, std::num::ParseIntError> {
        let Some((name, ttl)) = text.split_once(SEPARATOR) else {
            return Ok(LeaseHolder::InProcess(WorkerName::unchecked(text)));
        };
        let ttl = Duration::from_millis(ttl.parse()?);
        Ok(LeaseHolder::Remote { worker: WorkerName::unchecked(name), ttl })
    }
}

impl From<WorkerName> for LeaseHolder {
    fn from(worker: WorkerName) -> LeaseHolder {
        LeaseHolder::InProcess(worker)
    }
}

/// Shows the name of the worker.
impl fmt::Display for LeaseHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}

/// A worker in the process is its name, as in all earlier versions. A remote one is its name, a tab and the length of
/// its lease in milliseconds.
impl Serialize for LeaseHolder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            LeaseHolder::InProcess(worker) => serializer.serialize_str(worker.as_str()),
            LeaseHolder::Remote { worker, ttl } => {
                serializer.collect_str(&format_args!("{worker}{SEPARATOR}{}", ttl.as_millis()))
            }
        }
    }
}

impl<'de> Deserialize<'de> for LeaseHolder {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_str(HolderText)
    }
}

struct HolderText;

impl Visitor<'_> for HolderText {
    type Value = LeaseHolder;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a worker")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<LeaseHolder, E> {
        LeaseHolder::read(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_in_the_process_is_stored_as_in_earlier_versions_and_a_remote_one_with_its_lease() {
        let worker = WorkerName::parse("web-1 (blue)").unwrap();
        let here = LeaseHolder::from(worker.clone());
        let remote = LeaseHolder::Remote { worker: worker.clone(), ttl: Duration::from_secs(30) };
        for (holder, json) in [(here, r#""web-1 (blue)""#), (remote, r#""web-1 (blue)\t30000""#)] {
            assert_eq!(serde_json::to_string(&holder).unwrap(), json);
            assert_eq!(serde_json::from_str::<LeaseHolder>(json).unwrap(), holder);
            let bytes = postcard::to_stdvec(&holder).unwrap();
            assert_eq!(postcard::from_bytes::<LeaseHolder>(&bytes).unwrap(), holder);
            assert_eq!((holder.name(), holder.to_string()), (&worker, worker.to_string()));
        }
        let stored = postcard::to_stdvec(&worker).unwrap();
        let read = postcard::from_bytes::<LeaseHolder>(&stored).unwrap();
        assert_eq!(read, LeaseHolder::InProcess(worker));
        assert!(serde_json::from_str::<LeaseHolder>(r#""web\tsoon""#).is_err());
    }
}
