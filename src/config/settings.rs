//! The settings in force as a flat list, for the system page of a running server. Secrets serialize as
//! [`NOT_SHOWN`](crate::job::secret::NOT_SHOWN).

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
}

/// Every setting with the value in force, in the order of the file.
pub(super) fn in_force(file: &FileConfig) -> Vec<Setting> {
    let mut settings = Vec::new();
    // Every part of the file can be serialized as JSON, because all keys are strings.
    let whole = serde_json::to_value(file).unwrap_or_default();
    flatten(String::new(), &whole, &mut settings);
    settings
}

fn flatten(key: String, value: &Value, settings: &mut Vec<Setting>) {
    let shown = match value {
        Value::Null => Shown::Unset,
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
            base_url = "https://me:do-not-tell-3@jobs.example.com"
            [auth]
            token = "do-not-tell-this-token"
            [handlers.http]
            signing_secret = "do-not-tell-this-either"
            [queues.mail]
            concurrency = 3
            rate_limit = "100 / 60s"
            [commands.resize]
            program = "convert"
            args = ["--password=do-not-tell-1", "{input}"]
            env = { KEY = "do-not-tell-that" }
            [schedules.nightly]
            cron = "@daily"
            kind = "http"
            payload = "do-not-tell-2"
        "#;
        let settings = in_force(&toml::from_str(text).unwrap());
        assert_eq!(value(&settings, "store.max_waiting"), Shown::Text("10000000".into()));
        assert_eq!(value(&settings, "stop.grace"), Shown::Duration(Duration::from_secs(25)));
        assert_eq!(value(&settings, "queues.mail.concurrency"), Shown::Text("3".into()));
        assert_eq!(value(&settings, "queues.mail.weight"), Shown::Unset);
        assert_eq!(value(&settings, "queues.mail.rate_limit"), Shown::Text("100/1m".into()));
        for (key, shown) in [
            ("auth.token", "(not shown)"),
            ("commands.resize.env", "(not shown)"),
            ("commands.resize.args", "(not shown)"),
            ("schedules.nightly.payload", "(not shown)"),
            ("base_url", "https://***@jobs.example.com/"),
        ] {
            assert_eq!(value(&settings, key), Shown::Text(shown.into()), "{key}");
        }
        let told = format!("{settings:?}");
        assert!(!told.contains("do-not-tell"), "{told}");
    }
}
