//! `[schedules.NAME]`: the schedules that the configuration declares.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::toml_json::to_json;
use crate::engine::{FieldError, Kinds, ScheduleSubmission};
use crate::job::{JsonLimits, Origin, Overlap, ScheduleName, ScheduleSpec, Secret, Time};
use crate::units::duration;

/// `[schedules.NAME]`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // each field is described in docs/cortado.example.toml
pub struct ScheduleSection {
    pub cron: String,
    pub zone: Option<String>,
    pub kind: String,
    /// Any TOML value. It is converted to JSON, in which dates and times become strings.
    pub payload: Option<Secret<toml::Value>>,
    pub queue: Option<String>,
    pub priority: Option<i64>,
    pub max_attempts: Option<u64>,
    #[serde(default, deserialize_with = "maybe_duration")]
    pub timeout: Option<Duration>,
    pub tags: Option<Vec<String>>,
    #[serde(default)]
    pub overlap: Overlap,
    #[serde(default, deserialize_with = "maybe_duration")]
    pub max_late: Option<Duration>,
}

pub(super) fn maybe_duration<'de, D: Deserializer<'de>>(
    input: D,
) -> Result<Option<Duration>, D::Error> {
    duration(input).map(Some)
}

/// A key, and why its value is invalid.
pub(super) type Wrong = (String, String);

/// A schedule that the configuration declares.
#[derive(Debug)]
pub(super) struct ParsedSchedule {
    pub name: ScheduleName,
    pub submission: ScheduleSubmission,
    /// The schedule with the defaults of the kinds that the configuration knows.
    pub spec: ScheduleSpec,
}

/// The declared schedules, or what is wrong with each key.
pub(super) fn parse(
    sections: &BTreeMap<String, ScheduleSection>,
    limits: JsonLimits,
    kinds: &Kinds,
    now: Time,
) -> Result<Vec<ParsedSchedule>, Vec<Wrong>> {
    let (mut schedules, mut wrong) = (Vec::new(), Vec::new());
    for (name, section) in sections {
        let key = format!("schedules.{name}");
        let parsed =
            ScheduleName::parse(name).map_err(|error| vec![(key.clone(), error.to_string())]);
        let parsed = parsed.and_then(|name| {
            let submission = submission(section, &key, limits)?;
            let spec = submission.clone().into_spec(Origin::Config, kinds, now);
            let spec = spec.map_err(|errors| of_section(&key, errors))?;
            Ok(ParsedSchedule { name, submission, spec })
        });
        match parsed {
            Ok(schedule) => schedules.push(schedule),
            Err(more) => wrong.extend(more),
        }
    }
    if wrong.is_empty() { Ok(schedules) } else { Err(wrong) }
}

fn submission(
    section: &ScheduleSection,
    key: &str,
    limits: JsonLimits,
) -> Result<ScheduleSubmission, Vec<Wrong>> {
    let payload = section.payload.as_ref().map(|value| to_json(value.expose(), limits));
    let payload = payload.transpose().map_err(|why| vec![(format!("{key}.payload"), why)])?;
    let section = section.clone();
    Ok(ScheduleSubmission {
        cron: section.cron,
        zone: section.zone,
        kind: section.kind,
        payload,
        queue: section.queue,
        priority: section.priority,
        max_attempts: section.max_attempts,
        backoff: None,
        timeout_ms: section.timeout.map(milliseconds),
        tags: section.tags,
        overlap: section.overlap,
        max_late_ms: section.max_late.map(milliseconds),
    })
}

/// The keys of invalid fields. Durations have a unit in the file, where a submission has the suffix `_ms`.
pub(super) fn of_section(key: &str, errors: Vec<FieldError>) -> Vec<Wrong> {
    let named = |FieldError { field, message }| {
        (format!("{key}.{}", field.trim_end_matches("_ms")), message)
    };
    errors.into_iter().map(named).collect()
}

/// A duration as a submission has it.
pub(super) fn milliseconds(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(text: &str) -> BTreeMap<String, ScheduleSection> {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_schedule_is_declared_with_a_payload_of_toml() {
        let text = r#"
            [nightly]
            cron = "30 2 * * *"
            zone = "Europe/Berlin"
            kind = "http"
            payload = { url = "https://example.com/clean", since = 2027-01-01, deep = { list = [1, 2.5, true] } }
            queue = "maintenance"
            timeout = "5m"
            max_late = "1h"
            overlap = "skip"
        "#;
        let found =
            parse(&sections(text), JsonLimits::default(), &Kinds::default(), Time::default())
                .unwrap();
        let ParsedSchedule { name, spec, .. } = &found[0];
        assert_eq!((name.as_str(), spec.cron.zone()), ("nightly", "Europe/Berlin"));
        let payload: serde_json::Value = serde_json::from_str(spec.spec.payload.as_str()).unwrap();
        assert_eq!(payload["deep"]["list"], serde_json::json!([1, 2.5, true]));
        assert_eq!(payload["since"], "2027-01-01");
        assert_eq!((spec.spec.timeout_ms, spec.max_late_ms), (Some(300_000), Some(3_600_000)));
        assert_eq!((spec.overlap, spec.origin), (Overlap::Skip, Origin::Config));
    }

    #[test]
    fn every_key_that_is_wrong_is_named() {
        let text = r#"
            [nightly]
            cron = "at night"
            kind = "two words"
            ["bad name"]
            cron = "@daily"
            kind = "echo"
            [zoned]
            cron = "@daily"
            zone = "Nowhere/City"
            kind = "echo"
            timeout = "0s"
            max_late = "10ms"
            [endless]
            cron = "@daily"
            kind = "echo"
            payload = { size = [1, inf] }
        "#;
        let wrong =
            parse(&sections(text), JsonLimits::default(), &Kinds::default(), Time::default())
                .unwrap_err();
        let keys: Vec<&str> = wrong.iter().map(|(key, _)| key.as_str()).collect();
        let expected = [
            "schedules.bad name",
            "schedules.endless.payload",
            "schedules.nightly.cron",
            "schedules.nightly.kind",
            "schedules.zoned.zone",
            "schedules.zoned.max_late",
            "schedules.zoned.timeout",
        ];
        assert_eq!(keys, expected);
        assert!(
            toml::from_str::<ScheduleSection>("cron = \"@daily\"").is_err(),
            "a kind is required"
        );
        let unknown = "cron = \"@daily\"\nkind = \"echo\"\nevery = 1";
        assert!(toml::from_str::<ScheduleSection>(unknown).is_err());
    }
}
