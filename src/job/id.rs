//! Job ids: UUIDs of version 7 (RFC 9562), which sort by the time of submission.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use uuid::{ContextV7, Timestamp, Uuid};

use super::{Invalid, Time};

/// The id of a job. The ids that one process generates are strictly increasing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(u128);

impl JobId {
    /// Generates an id. This is the only impure function of this layer, because an id needs the time and random bits.
    pub fn generate() -> Self {
        JobId(fresh_uuid().as_u128())
    }

    /// The id with this value, for tests and for stored ids.
    pub const fn from_u128(value: u128) -> Self {
        JobId(value)
    }

    /// Returns the 128 bits of the id.
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// The id with these bytes, the most significant first.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        JobId(u128::from_be_bytes(bytes))
    }

    /// Returns the bytes of the id, the most significant first.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The smallest id that can have been generated at `at`, because an id begins with its time (RFC 9562, 5.7).
    pub fn first_of(at: Time) -> Self {
        const BITS: u32 = 48;
        let ms = u128::try_from(at.millis()).unwrap_or(0).min((1 << BITS) - 1);
        JobId(ms << (u128::BITS - BITS))
    }

    /// The time with which the id begins.
    pub fn time(self) -> Time {
        const BITS: u32 = 48;
        Time::from_millis(i64::try_from(self.0 >> (u128::BITS - BITS)).unwrap_or(i64::MAX))
    }

    /// The last eight hexadecimal digits, which are enough to distinguish the jobs on a page.
    pub fn short(self) -> String {
        format!("{:08x}", self.0 as u32)
    }
}

/// Keeps the ids of one process increasing, whatever its clock does.
static CONTEXT: Mutex<ContextV7> = Mutex::new(ContextV7::new());

/// Generates a version 7 UUID by the system's clock. `Uuid::now_v7` would panic for a time before 1970.
pub fn fresh_uuid() -> Uuid {
    uuid_at(SystemTime::now(), &CONTEXT)
}

/// A time before 1970 counts as 1970, and a time beyond 48 bits as the largest one.
fn uuid_at(clock: SystemTime, context: &Mutex<ContextV7>) -> Uuid {
    const MAX_TIMESTAMP: Duration = Duration::from_millis((1 << 48) - 1);
    let since = clock.duration_since(UNIX_EPOCH).unwrap_or_default().min(MAX_TIMESTAMP);
    Uuid::new_v7(Timestamp::from_unix(context, since.as_secs(), since.subsec_nanos()))
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_u128(self.0).hyphenated().fmt(f)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobId({self})")
    }
}

impl FromStr for JobId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text)
            .map(|id| JobId(id.as_u128()))
            .map_err(|_| Invalid::new("job id", text, "expected a UUID"))
    }
}

impl Serialize for JobId {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        Uuid::from_u128(self.0).serialize(out)
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        if input.is_human_readable() {
            return Cow::<str>::deserialize(input)?.parse().map_err(D::Error::custom);
        }
        Uuid::deserialize(input).map(|id| JobId(id.as_u128()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_and_survive_text() {
        let ids: Vec<JobId> = (0..1_000).map(|_| JobId::generate()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(ids[0].to_string().parse::<JobId>().unwrap(), ids[0]);
        assert!("42".parse::<JobId>().is_err());
    }

    #[test]
    fn an_id_can_be_made_at_any_time_of_the_clock() {
        let year = Duration::from_secs(365 * 86_400);
        let mut made = std::collections::BTreeSet::new();
        // The context of the process would not go back to the present afterwards.
        let context = Mutex::new(ContextV7::new());
        for clock in [
            UNIX_EPOCH - year * 100_000,
            UNIX_EPOCH - Duration::from_nanos(1),
            UNIX_EPOCH,
            UNIX_EPOCH + year * 8_500,
            UNIX_EPOCH + year * 1_000_000,
        ] {
            let id = uuid_at(clock, &context);
            assert_eq!(id.get_version_num(), 7);
            assert!(made.insert(id));
        }
    }

    #[test]
    fn an_id_begins_with_its_time() {
        let id: JobId = "019ab001-7c3e-7d10-8a55-0242ac120002".parse().unwrap();
        let at = Time::from_millis(0x019a_b001_7c3e);
        assert!(JobId::first_of(at) <= id);
        assert!(JobId::first_of(Time::from_millis(at.millis() + 1)) > id);
        assert_eq!(JobId::first_of(Time::from_millis(-1)), JobId::from_u128(0));
    }
}
