//! The demo: a small online shop whose jobs show every state within seconds. Its kinds exist only while it runs.

mod feed;
mod kinds;
mod orders;
mod outages;

use serde_json::value::RawValue;

pub use self::feed::feed;
pub use self::kinds::register;
use self::orders::{IMAGES, INVENTORY, REPORTS, TENANT_IMAGES};
use crate::engine::{Kinds, ScheduleSubmission};
use crate::job::{Concurrency, Origin, Overlap, ScheduleName, ScheduleSpec, Time};

/// Queues with a lower concurrency than the default, so that waiting jobs can be seen.
pub const QUEUES: [(&str, Concurrency); 3] = [
    (IMAGES, Concurrency::clamped(4)),
    (TENANT_IMAGES, Concurrency::clamped(2)),
    (REPORTS, Concurrency::clamped(2)),
];

/// Name, pattern, time zone, kind, payload and queue of the demo's schedules, which are deleted after the demo. The first
/// one has fired when a visitor opens its page.
const SCHEDULES: [(&str, &str, &str, &str, &str, &str); 3] = [
    (
        "sync-inventory",
        "every 5s",
        "UTC",
        "sync-inventory",
        r#"{"warehouse":"rotterdam"}"#,
        INVENTORY,
    ),
    (
        "nightly-revenue",
        "30 2 * * *",
        "Europe/Rome",
        "nightly-report",
        r#"{"report":"revenue","tenant":"all"}"#,
        REPORTS,
    ),
    (
        "weekday-refunds",
        "0 6 * * mon-fri",
        "America/New_York",
        "nightly-report",
        r#"{"report":"refunds","tenant":"all"}"#,
        REPORTS,
    ),
];

/// The demo's schedules, except those whose time zone is unknown on this machine.
pub fn schedules(now: Time) -> impl Iterator<Item = (ScheduleName, ScheduleSpec)> {
    SCHEDULES.into_iter().filter_map(move |(name, cron, zone, kind, payload, queue)| {
        let submission = ScheduleSubmission {
            cron: cron.into(),
            zone: Some(zone.into()),
            kind: kind.into(),
            payload: RawValue::from_string(payload.into()).ok(),
            queue: Some(queue.into()),
            tags: Some(vec!["demo".into()]),
            overlap: Overlap::Skip,
            ..ScheduleSubmission::default()
        };
        let spec = submission.into_spec(Origin::Config, &Kinds::default(), now).ok()?;
        Some((ScheduleName::parse(name).ok()?, spec))
    })
}

#[cfg(test)]
mod tests;
