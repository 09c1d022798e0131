//! `[kinds.NAME]`: the kinds that the configuration declares for workers outside this process, and the defaults of all kinds.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::schedules::{Wrong, maybe_duration, milliseconds, of_section};
use super::toml_json::to_json;
use crate::engine::{BackoffFields, ConfiguredKinds, KindSubmission};
use crate::job::{JsonLimits, Kind, KindSpec};

/// `[kinds.NAME]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // each field is described in docs/cortado.example.toml
pub struct KindSection {
    pub about: Option<String>,
    /// Any TOML value. It is converted to JSON.
    #[serde(serialize_with = "as_text")]
    pub example: Option<toml::Value>,
    /// A table, or the text of a JSON Schema.
    #[serde(serialize_with = "as_text")]
    pub schema: Option<toml::Value>,
    pub queue: Option<String>,
    pub max_attempts: Option<u64>,
    pub backoff: Option<BackoffSection>,
    #[serde(deserialize_with = "maybe_duration")]
    pub timeout: Option<Duration>,
}

/// `backoff` of `[kinds.NAME]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // as above
pub struct BackoffSection {
    #[serde(deserialize_with = "maybe_duration")]
    pub base: Option<Duration>,
    #[serde(deserialize_with = "maybe_duration")]
    pub cap: Option<Duration>,
}

/// The list of settings shows the whole value in one line.
fn as_text<S: Serializer>(value: &Option<toml::Value>, output: S) -> Result<S::Ok, S::Error> {
    let json = value.as_ref().and_then(|value| to_json(value, JsonLimits::NONE).ok());
    json.map(|json| json.get().to_owned()).serialize(output)
}

/// The configured kinds, or what is wrong with each key.
pub(super) fn parse(
    sections: &BTreeMap<String, KindSection>,
    limits: JsonLimits,
) -> Result<ConfiguredKinds, Vec<Wrong>> {
    let (mut kinds, mut wrong) = (ConfiguredKinds::new(), Vec::new());
    for (name, section) in sections {
        let key = format!("kinds.{name}");
        let kind = Kind::parse(name).map_err(|error| vec![(key.clone(), error.to_string())]);
        match kind.and_then(|kind| Ok((one(section, &key, &kind, limits)?, kind))) {
            Ok((spec, kind)) => drop(kinds.insert(kind, spec)),
            Err(more) => wrong.extend(more),
        }
    }
    if wrong.is_empty() { Ok(kinds) } else { Err(wrong) }
}

fn one(
    section: &KindSection,
    key: &str,
    kind: &Kind,
    limits: JsonLimits,
) -> Result<KindSpec, Vec<Wrong>> {
    let json = |name: &str, value: Option<Result<Box<RawValue>, String>>| {
        value.transpose().map_err(|why| vec![(format!("{key}.{name}"), why)])
    };
    let example = section.example.as_ref().map(|value| to_json(value, limits));
    let schema = section.schema.as_ref().map(|value| match value.as_str() {
        Some(text) => RawValue::from_string(text.to_owned())
            .map_err(|error| format!("must be a table or the text of a JSON Schema: {error}")),
        None => to_json(value, limits),
    });
    let submission = KindSubmission {
        about: section.about.clone(),
        example: json("example", example)?,
        schema: json("schema", schema)?,
        queue: section.queue.clone(),
        max_attempts: section.max_attempts,
        backoff: section.backoff.as_ref().map(|backoff| BackoffFields {
            base_ms: backoff.base.map(milliseconds),
            cap_ms: backoff.cap.map(milliseconds),
        }),
        timeout_ms: section.timeout.map(milliseconds),
    };
    submission.into_spec(kind, limits).map_err(|errors| of_section(key, errors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Backoff;

    fn sections(text: &str) -> BTreeMap<String, KindSection> {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_kind_is_declared_with_a_schema_of_toml_or_of_json() {
        let text = r#"
            [resize]
            about = "Resizes a picture."
            example = { width = 640 }
            schema = { type = "object", required = ["width"], properties.width = { type = "integer" } }
            queue = "media"
            max_attempts = 3
            backoff = { base = "2s" }
            timeout = "5m"
            [mail]
            schema = '{"type": "string"}'
            [plain]
        "#;
        let kinds = parse(&sections(text), JsonLimits::default()).unwrap();
        let kind = |name: &str| &kinds[&Kind::parse(name).unwrap()];
        let resize = kind("resize");
        let wrong = resize.schema.as_ref().unwrap().check(&crate::engine::example("{}"));
        assert_eq!(wrong[0].field, "width");
        let defaults = &resize.defaults;
        assert_eq!(defaults.queue().as_str(), "media");
        assert_eq!((defaults.max_attempts, defaults.timeout_ms), (Some(3), Some(300_000)));
        let usual = Kind::parse("resize").unwrap().default_retry().backoff;
        assert_eq!(defaults.backoff, Some(Backoff { base_ms: 2_000, ..usual }));
        assert!(
            kind("mail").schema.as_ref().unwrap().check(&crate::engine::example("7")).len() == 1
        );
        assert_eq!(*kind("plain"), KindSpec::default());
    }

    #[test]
    fn every_key_that_is_wrong_is_named() {
        let text = r#"
            ["bad name"]
            [about]
            about = " "
            [example]
            schema = { type = "string" }
            example = 7
            [options]
            queue = "two words"
            max_attempts = 0
            backoff = { base = "2h", cap = "1h" }
            timeout = "0s"
            [schema]
            schema = { type = "objekt" }
            [text]
            schema = "{"
        "#;
        let wrong = parse(&sections(text), JsonLimits::default()).unwrap_err();
        let keys: Vec<&str> = wrong.iter().map(|(key, _)| key.as_str()).collect();
        let expected = [
            "kinds.about.about",
            "kinds.bad name",
            "kinds.example.example",
            "kinds.options.queue",
            "kinds.options.max_attempts",
            "kinds.options.backoff.base",
            "kinds.options.timeout",
            "kinds.schema.schema",
            "kinds.text.schema",
        ];
        assert_eq!(keys, expected, "{wrong:?}");
        assert!(toml::from_str::<KindSection>("handler = 1").is_err());
    }
}
