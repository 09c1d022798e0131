//! Configuration files.

use serde_json::Value;

use crate::config::layers::SettingLayers;
use crate::config::{Config, FileConfig, ServeArgs, quoted};
use crate::job::secret::NOT_SHOWN;

/// The text of a configuration file. What is accepted has the same meaning when a program that embeds the server sets it,
/// and when the settings that the system page shows are written into a file again.
pub fn configuration(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let args = ServeArgs::default();
    let file = match FileConfig::parse(text) {
        Ok(file) => file,
        Err(message) => {
            assert!(!message.is_empty() && message.len() <= 100_000, "{} bytes", message.len());
            return;
        }
    };
    shown_again(&file);
    let settings = match Config::build(file, &args) {
        Ok(config) => config.settings,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let mut layers = SettingLayers::default();
    layers.text(text.to_owned());
    match layers.resolve(&args) {
        Ok(config) => assert_eq!(config.settings, settings),
        Err(error) => panic!("a file is accepted, but not as settings of a program: {error}"),
    }
}

/// The settings without secrets, written as TOML, are the same settings.
fn shown_again(file: &FileConfig) {
    let shown = visible(serde_json::to_value(file).unwrap()).unwrap_or_default();
    let mut text = String::new();
    for (name, value) in shown.as_object().into_iter().flatten() {
        text += &format!("{} = {}\n", quoted(name), toml(value));
    }
    let again = FileConfig::parse(&text).unwrap_or_else(|why| panic!("{why}:\n{text}"));
    let again = visible(serde_json::to_value(&again).unwrap()).unwrap_or_default();
    assert_eq!(again, shown, "{text}");
}

/// A value without those that are not set, and without secrets.
fn visible(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) if text.contains(NOT_SHOWN) => None,
        Value::Object(fields) => {
            let fields = fields.into_iter();
            let fields = fields.filter_map(|(name, value)| Some((name, visible(value)?)));
            Some(Value::Object(fields.collect()))
        }
        Value::Array(values) => {
            Some(Value::Array(values.into_iter().filter_map(visible).collect()))
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(value),
    }
}

fn toml(value: &Value) -> String {
    match value {
        Value::Object(fields) => match (fields.get("secs"), fields.get("nanos")) {
            (Some(secs), Some(nanos)) => format!("\"{secs}s {nanos}ns\""),
            _ => {
                let fields = fields.iter().map(|(k, v)| format!("{} = {}", quoted(k), toml(v)));
                format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
            }
        },
        Value::Array(values) => {
            format!("[{}]", values.iter().map(toml).collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => quoted(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}
