//! The settings in force as a flat list, for the system page of a running server. Secrets are left out.

use std::time::Duration;

use serde_json::Value;

use super::FileConfig;

/// One setting: its key in the file, and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key in the file, such as `store.max_waiting`.
    pub key: String,
    /// The value in force.
    pub value: Shown,
}

/// A value as the page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// A length of time.
    Duration(Duration),
    /// Anything else.
    Text(String),
    /// The setting has no value.
    Unset,
    /// The setting has a value that must not be shown.
    Secret,
}

/// Keys, by their ends, whose values are never shown.
const SECRETS: [&str; 3] = ["token", "secret", ".env"];

/// Every setting with the value in force, in the order of the file.
pub(super) fn in_force(file: &FileConfig) -> Vec<Setting> {
    let mut settings = Vec::new();
    // Every part of the file can be serialized as JSON, because all keys are strings.
    let whole = serde_json::to_value(file).unwrap_or_default();
    flatten(String::new(), &whole, &mut settings);
    settings
}

fn is_payload(key: &str) -> bool {
    key.starts_with("schedules.") && key.ends_with(".payload")
}

fn flatten(key: String, value: &Value, settings: &mut Vec<Setting>) {
    let shown = match value {
        Value::Null => Shown::Unset,
        // A payload is one setting, because it may have thousands of values, some of them secret.
        Value::Object(_) | Value::Array(_) if is_payload(&key) => {
            Shown::Text(format!("JSON of {} bytes", value.to_string().len()))
        }
        _ if SECRETS.iter().any(|end| key.ends_with(end)) => Shown::Secret,
        Value::Object(fields) => match duration(fields) {
            Some(length) => Shown::Duration(length),
            None => {
                for (name, value) in fields {
                    let dot = if key.is_empty() { "" } else { "." };
                    flatten(format!("{key}{dot}{name}"), value, settings);
                }
                return;
            }
        },
        Value::String(text) => Shown::Text(text.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => Shown::Text(value.to_string()),
    };
    settings.push(Setting { key, value: shown });
}

/// Parses a [`Duration`] as serde serializes it.
fn duration(fields: &serde_json::Map<String, Value>) -> Option<Duration> {
    let part = |name: &str| fields.get(name)?.as_u64();
    let nanos = u32::try_from(part("nanos")?).ok()?;
    (fields.len() == 2).then_some(Duration::new(part("secs")?, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(settings: &[Setting], key: &str) -> Shown {
        let found = settings.iter().find(|setting| setting.key == key);
        found.unwrap_or_else(|| panic!("no {key}: {settings:?}")).value.clone()
    }

    #[test]
    fn every_setting_is_told_and_no_secret() {
        let text = r#"
            [auth]
            token = "do-not-tell-this-token"
            [handlers.http]
            signing_secret = "do-not-tell-this-either"
            [queues.mail]
            concurrency = 3
            rate_limit = "100 / 60s"
            [commands.resize]
            program = "convert"
            env = { KEY = "do-not-tell-that" }
        "#;
        let settings = in_force(&toml::from_str(text).unwrap());
        assert_eq!(value(&settings, "store.max_waiting"), Shown::Text("10000000".into()));
        assert_eq!(value(&settings, "stop.grace"), Shown::Duration(Duration::from_secs(25)));
        assert_eq!(value(&settings, "queues.mail.concurrency"), Shown::Text("3".into()));
        assert_eq!(value(&settings, "queues.mail.weight"), Shown::Unset);
        assert_eq!(value(&settings, "queues.mail.rate_limit"), Shown::Text("100/1m".into()));
        assert_eq!(value(&settings, "auth.token"), Shown::Secret);
        assert_eq!(value(&settings, "commands.resize.env"), Shown::Secret);
        let text = format!("{settings:?}");
        assert!(!text.contains("do-not-tell"), "{text}");
    }
}
