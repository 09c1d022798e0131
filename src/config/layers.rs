//! The settings of a program that embeds the server: files, texts and single settings, merged in the order in which they were
//! given. They become one table that is read as a file is, so that the checks and the messages are those of the file.

use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::args::{Cli, CliCommand, ServeArgs};
use super::setting_value::{SettingValue, quoted};
use super::toml_file::{parse, settings_of};
use super::{Config, ConfigError, FileConfig, InvalidSetting};

/// Settings by layers; a later one overrides earlier ones.
#[derive(Debug, Clone, Default)]
pub struct SettingLayers {
    layers: Vec<SettingLayer>,
}

#[derive(Debug, Clone)]
enum SettingLayer {
    File(PathBuf),
    Text(String),
    Setting { name: SettingName, value: SettingValue },
}

/// The name of a setting, as the program gave it or from its parts.
#[derive(Debug, Clone)]
enum SettingName {
    Dotted(String),
    Parts(Vec<String>),
}

/// The text of a layer.
struct LayerText {
    origin: LayerOrigin,
    text: String,
}

/// Where a text comes from, which its errors name.
enum LayerOrigin {
    File(PathBuf),
    Text,
    /// A single setting, whose errors need no line.
    Setting,
}

impl SettingLayers {
    /// Adds a file.
    pub fn file(&mut self, path: PathBuf) {
        self.layers.push(SettingLayer::File(path));
    }

    /// Adds the text of a file.
    pub fn text(&mut self, text: String) {
        self.layers.push(SettingLayer::Text(text));
    }

    /// Adds a setting by its name, such as `stop.grace`. A part of it that has other characters than letters, digits, `-` and
    /// `_` is in quotes.
    pub fn set(&mut self, name: &str, value: SettingValue) {
        self.layers
            .push(SettingLayer::Setting { name: SettingName::Dotted(name.to_owned()), value });
    }

    /// Adds a setting by the parts of its name.
    pub fn set_part(&mut self, name: &[&str], value: SettingValue) {
        let name = SettingName::Parts(name.iter().map(|&part| part.to_owned()).collect());
        self.layers.push(SettingLayer::Setting { name, value });
    }

    /// Whether nothing was set.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The configuration of all layers, which the arguments override.
    ///
    /// # Errors
    /// A file cannot be read, a text is no TOML, or settings are not acceptable: all of one text, or all of the result.
    pub fn resolve(self, args: &ServeArgs) -> Result<Config, ConfigError> {
        let mut wrong = Vec::new();
        let mut sources = Vec::new();
        for layer in self.layers {
            match layer {
                SettingLayer::File(path) => sources.push(LayerText::read(path)?),
                SettingLayer::Text(text) => {
                    sources.push(LayerText { origin: LayerOrigin::Text, text })
                }
                SettingLayer::Setting { name, value } => match assignment(&name, &value) {
                    Ok(text) => sources.push(LayerText { origin: LayerOrigin::Setting, text }),
                    Err(setting) => wrong.push(setting),
                },
            }
        }
        // Either half of a limit on what is kept can be set alone, because the other half is in this first table.
        let defaults = retention_defaults();
        let mut merged = parse(&defaults).map_err(ConfigError::Text)?;
        for source in &sources {
            let table = source.table()?;
            merge(merged.get_mut(), table.into_inner());
        }
        let (file, invalid) = settings_of(merged, None);
        wrong.extend(invalid);
        Config::merge(file, wrong, args).map_err(ConfigError::Invalid)
    }
}

impl ServeArgs {
    /// What the environment sets of a server, as for the command `cortado serve` without flags.
    ///
    /// # Errors
    /// The value of a variable is not acceptable; the text is that of the command line.
    pub fn of_environment() -> Result<ServeArgs, String> {
        match Cli::read(["cortado", "serve"]).map_err(|error| error.to_string())? {
            CliCommand::Serve(args) => Ok(args),
            other => Err(format!("the command line is that of another command: {other:?}")),
        }
    }
}

impl LayerText {
    fn read(path: PathBuf) -> Result<LayerText, ConfigError> {
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(LayerText { origin: LayerOrigin::File(path), text }),
            Err(source) => Err(ConfigError::Read { path, source }),
        }
    }

    /// The settings of this text alone, which are checked as far as they can be without the others, because only here the
    /// errors have the lines.
    fn table(&self) -> Result<Spanned<DeTable<'_>>, ConfigError> {
        let refused = |message| match &self.origin {
            LayerOrigin::File(path) => ConfigError::Parse { path: path.clone(), message },
            LayerOrigin::Text | LayerOrigin::Setting => ConfigError::Text(message),
        };
        let table = parse(&self.text).map_err(refused)?;
        if matches!(self.origin, LayerOrigin::Setting) {
            return Ok(table);
        }
        let (_, settings) = settings_of(table.clone(), Some(&self.text));
        match &self.origin {
            _ if settings.is_empty() => Ok(table),
            LayerOrigin::File(path) => {
                Err(ConfigError::InvalidFile { path: path.clone(), settings })
            }
            LayerOrigin::Text | LayerOrigin::Setting => Err(ConfigError::Invalid(settings)),
        }
    }
}

/// Puts what is in `above` into a table: tables are merged, and everything else is replaced.
fn merge<'t>(below: &mut DeTable<'t>, above: DeTable<'t>) {
    for (name, value) in above {
        match below.get_mut(name.get_ref().as_ref()).map(Spanned::get_mut) {
            Some(DeValue::Table(inner)) if matches!(value.get_ref(), DeValue::Table(_)) => {
                if let DeValue::Table(value) = value.into_inner() {
                    merge(inner, value);
                }
            }
            Some(other) => *other = value.into_inner(),
            None => drop(below.insert(name, value)),
        }
    }
}

/// The line of TOML that sets a setting.
fn assignment(name: &SettingName, value: &SettingValue) -> Result<String, InvalidSetting> {
    let refused = |key: &str, message: String| InvalidSetting { key: key.to_owned(), message };
    let key = match name {
        SettingName::Parts(parts) => {
            let parts: Vec<String> = parts.iter().map(|part| quoted(part)).collect();
            parts.join(".")
        }
        SettingName::Dotted(name) => name.clone(),
    };
    let shown = match name {
        SettingName::Dotted(name) => name.clone(),
        SettingName::Parts(parts) => parts.join("."),
    };
    let value = value.toml().map_err(|why| refused(&shown, why.to_owned()))?;
    let line = format!("{key} = {value}\n");
    // What is no name by itself must not become one together with the value.
    if key.contains(['=', '#', '\n', '\r', '[', ']']) && matches!(name, SettingName::Dotted(_))
        || parse(&line).is_err()
    {
        let message =
            "is not the name of a setting, such as stop.grace or queues.\"my queue\".weight";
        return Err(refused(&shown, message.to_owned()));
    }
    Ok(line)
}

/// The defaults of `[retention]`, as the file would have them.
fn retention_defaults() -> String {
    let retention = FileConfig::default().retention;
    let mut text = String::new();
    for (name, keep) in [
        ("completed", retention.completed),
        ("cancelled", retention.cancelled),
        ("discarded", retention.discarded),
        ("events", retention.events),
    ] {
        let (age, count) = (keep.age.as_secs(), keep.count);
        text += &format!("[retention.{name}]\nage = \"{age}s\"\ncount = {count}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const EXAMPLE: &str = include_str!("../../docs/cortado.example.toml");

    fn resolved(fill: impl FnOnce(&mut SettingLayers)) -> Result<Config, ConfigError> {
        let mut layers = SettingLayers::default();
        fill(&mut layers);
        layers.resolve(&ServeArgs::default())
    }

    fn refused(fill: impl FnOnce(&mut SettingLayers)) -> String {
        resolved(fill).unwrap_err().to_string()
    }

    /// The example with every setting that is commented out, and without those that exclude others.
    fn whole_example() -> toml::Table {
        let mut text = String::new();
        for line in EXAMPLE.lines() {
            let bare = line.strip_prefix("# ").unwrap_or(line);
            let is_setting = bare.starts_with('[')
                || bare.split_once(" = ").is_some_and(|(name, _)| {
                    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
                });
            let excluded = ["client_secret_file", "url = \"postgres", "token =", "signing_secret"];
            if is_setting && !excluded.iter().any(|start| bare.starts_with(start)) {
                text.extend([bare, "\n"]);
            }
        }
        let text = text.replace("trusted_proxies = []", "trusted_proxies = ['127.0.0.1']");
        let text = text.replace("signing_secret = \"whsec_…\"", "");
        toml::from_str(&text).unwrap()
    }

    fn value_of(value: &toml::Value) -> SettingValue {
        match value {
            toml::Value::String(text) => text.as_str().into(),
            toml::Value::Integer(number) => (*number).into(),
            toml::Value::Float(number) => (*number).into(),
            toml::Value::Boolean(is) => (*is).into(),
            toml::Value::Array(values) => {
                values.iter().map(value_of).collect::<Vec<SettingValue>>().into()
            }
            other => panic!("{other:?} is set by its parts"),
        }
    }

    /// Every setting of a table by its name.
    fn flatten(prefix: &str, table: &toml::Table, settings: &mut Vec<(String, SettingValue)>) {
        for (name, value) in table {
            let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match value {
                toml::Value::Table(inner) => flatten(&name, inner, settings),
                value => settings.push((name, value_of(value))),
            }
        }
    }

    #[test]
    fn every_setting_of_the_example_can_be_set_by_its_name() {
        let example = whole_example();
        let mut settings = Vec::new();
        flatten("", &example, &mut settings);
        assert!(settings.len() > 150, "only {} settings were found", settings.len());
        let by_name = resolved(|layers| {
            for (name, value) in settings {
                layers.set(&name, value);
            }
        });
        let file: FileConfig = example.try_into().unwrap();
        let by_file = Config::build(file, &ServeArgs::default()).unwrap();
        assert_eq!(format!("{:?}", by_name.unwrap()), format!("{by_file:?}"));
    }

    #[test]
    fn a_later_layer_overrides_earlier_ones_and_leaves_their_other_settings() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cortado.toml");
        let file = "[stop]\ngrace = '1s'\nclose = '3s'\n[queues.mail]\nconcurrency = 2\nweight = 5";
        std::fs::write(&path, file).unwrap();
        let config = resolved(|layers| {
            layers.set("stop.close", "9s".into());
            layers.file(path.clone());
            layers.text("stop.grace = '2s'\nqueues.mail.weight = 6".to_owned());
            layers.set("stop.grace", Duration::from_secs(4).into());
            layers.set_part(&["queues", "my.own", "concurrency"], 7.into());
            layers.set("queues.\"my.own\".weight", 3.into());
            layers.set("retention.completed.count", 5.into());
        });
        let config = config.unwrap();
        let (grace, close) = (config.stop.grace, config.stop.close);
        assert_eq!((grace, close), (Duration::from_secs(4), Duration::from_secs(3)));
        let queues: Vec<_> = config.engine.queues.iter().collect();
        let [(mail, of_mail), (own, of_own)] = queues[..] else { panic!("{queues:?}") };
        assert_eq!((mail.as_str(), of_mail.concurrency.get(), of_mail.weight), ("mail", 2, 6));
        assert_eq!((own.as_str(), of_own.concurrency.get(), of_own.weight), ("my.own", 7, 3));
        let default = FileConfig::default().retention.completed.age;
        let kept = config.limits.retention.completed;
        assert_eq!((kept.count, kept.age), (5, default));
    }

    #[test]
    fn wrong_names_and_values_are_those_of_the_file_and_name_what_was_meant() {
        let error = refused(|layers| {
            layers.set("stop.grase", "10s".into());
            layers.set("stop.close", 10.into());
            layers.set("engine.concurrency", "many".into());
            layers.set("engine.lease", "soon".into());
            layers.set("stop.grace = 1 #", "10s".into());
            layers.set("", 1.into());
        });
        for expected in [
            "\n  stop.grase: is not known; did you mean grace?",
            "\n  stop.close: must be a duration such as \"25s\" or \"1m 30s\", but is 10",
            "\n  engine.concurrency: must be an integer from 1 to 1000000, but is a string",
            "\n  engine.lease: ",
            "\n  stop.grace = 1 #: is not the name of a setting",
            "\n  : is not the name of a setting",
        ] {
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }

    #[test]
    fn the_environment_overrides_what_the_program_sets() {
        let token = |set: Option<&str>, variable: Option<&str>| {
            let mut layers = SettingLayers::default();
            if let Some(token) = set {
                layers.set("auth.token", token.into());
            }
            let auth_token = variable.map(Into::into);
            let config = layers.resolve(&ServeArgs { auth_token, ..ServeArgs::default() });
            config.map(|config| config.auth.map(|auth| auth.token.expose().clone()))
        };
        let (one, other) = ("0123456789abcdef", "fedcba9876543210");
        assert_eq!(token(None, None).unwrap(), None);
        assert_eq!(token(Some(one), None).unwrap().as_deref(), Some(one));
        assert_eq!(token(Some(one), Some(other)).unwrap().as_deref(), Some(other));
        for bad in ["", "short", "sixteen letters ", "with-ä-umlaut-0123"] {
            let why = token(Some(bad), None).unwrap_err().to_string();
            assert!(why.contains("auth.token: ") && why.contains("16 visible ASCII"), "{why}");
            let why = token(None, Some(bad)).unwrap_err().to_string();
            assert!(why.contains("CORTADO_AUTH_TOKEN"), "{why}");
        }
    }

    #[test]
    fn an_error_in_a_file_names_the_file_and_the_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cortado.toml");
        assert!(refused(|layers| layers.file(path.clone())).contains("cannot read"));
        std::fs::write(&path, "[stop]\ngrase = '1s'").unwrap();
        let error = refused(|layers| layers.file(path.clone()));
        assert!(error.contains("cortado.toml") && error.contains("(line 2)"), "{error}");
        std::fs::write(&path, "[stop").unwrap();
        assert!(refused(|layers| layers.file(path.clone())).contains("cannot parse"));
        let error = refused(|layers| layers.text("[stop".to_owned()));
        assert!(error.starts_with("invalid configuration text: "), "{error}");
        let error = refused(|layers| layers.text("[stop]\ngrase = '1s'".to_owned()));
        assert!(error.contains("stop.grase: ") && error.contains("(line 2)"), "{error}");
    }
}
