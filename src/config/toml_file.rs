//! Reads the text of the file. Every value that is not accepted is reported with its key and line, not only the first one, and
//! in the words of this crate instead of those of the TOML parser.

use std::path::Path;

use serde_path_to_error::Segment;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, InvalidSetting, MAX_LISTED};
use super::file::FileConfig;
use super::ranges;
use crate::job::refusal::Refusal;
use crate::job::shorten::{MAX_MESSAGE, MAX_NAME, shorten};

/// The settings of a text, and those that are not accepted, which have their defaults.
pub type ReadSettings = (FileConfig, Vec<InvalidSetting>);

/// A parsed text, before anything is known about the names and types of its settings.
pub(super) type RawSettings<'t> = Spanned<DeTable<'t>>;

impl FileConfig {
    /// Reads a file. Settings that are not accepted are returned, too, and have their defaults.
    ///
    /// # Errors
    /// The file cannot be read, or is no TOML.
    pub fn read(path: &Path) -> Result<ReadSettings, ConfigError> {
        let path = path.to_owned();
        match std::fs::read_to_string(&path) {
            Ok(text) => read(&text).map_err(|message| ConfigError::Parse { path, message }),
            Err(source) => Err(ConfigError::Read { path, source }),
        }
    }

    /// Reads TOML.
    ///
    /// # Errors
    /// The text cannot be parsed, or has settings that are not accepted; the error names their keys and lines.
    pub fn parse(text: &str) -> Result<FileConfig, String> {
        let (file, wrong) = read(text)?;
        if wrong.is_empty() { Ok(file) } else { Err(ConfigError::Invalid(wrong).to_string()) }
    }
}

/// Reads TOML.
///
/// # Errors
/// The text is no TOML; the error names the line.
fn read(text: &str) -> Result<ReadSettings, String> {
    Ok(settings_of(parse(text)?, Some(text)))
}

/// Parses TOML.
///
/// # Errors
/// The text is no TOML; the error names the line.
pub(super) fn parse(text: &str) -> Result<RawSettings<'_>, String> {
    DeTable::parse(text).map_err(|error| {
        let whole = error.to_string();
        // The text begins with the position. After that, it quotes the line, which may hold a secret.
        let position = whole.lines().next().unwrap_or_default();
        format!("{position}: {}", shorten(error.message().trim_end(), MAX_MESSAGE))
    })
}

/// The settings of a parsed text. Without the text, errors do not name lines.
pub(super) fn settings_of(mut table: RawSettings<'_>, text: Option<&str>) -> ReadSettings {
    let mut wrong = Vec::new();
    loop {
        let input = toml::de::Deserializer::from(table.clone());
        let error = match serde_path_to_error::deserialize::<_, FileConfig>(input) {
            Ok(file) => return (file, wrong),
            Err(error) => error,
        };
        let path: Vec<&Segment> = error.path().iter().collect();
        wrong.push(describe(text, &table, &path, error.inner()));
        // What is left may have more errors. Each round removes a value, and the number of rounds is bounded.
        if wrong.len() >= MAX_LISTED || !remove(table.get_mut(), &path) {
            return (FileConfig::default(), wrong);
        }
    }
}

/// The error about one value.
fn describe(
    text: Option<&str>,
    table: &Spanned<DeTable<'_>>,
    path: &[&Segment],
    error: &toml::de::Error,
) -> InvalidSetting {
    let mut refusal = Refusal::of(error.message().trim_end(), "a table");
    if let Some(closest) = closest(error.message()) {
        refusal.message = format!("is not known; did you mean {closest}?");
    }
    let value = value_at(table.get_ref(), path);
    let key = refusal.path(&key(path));
    if let Some(value) = value {
        if let (true, Some(range)) = (refusal.expects_integer, ranges::of(&key)) {
            refusal.message = range.refusal(&found(value));
        } else if matches!(value, DeValue::Datetime(_)) {
            refusal.message = refusal.message.replace("but is a table", "but is a date or time");
        }
    }
    let line = text
        .zip(error.span())
        .map(|(text, span)| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let position = line.map(|line| format!(" (line {line})")).unwrap_or_default();
    let message = format!("{}{position}", shorten(&refusal.message, MAX_MESSAGE));
    InvalidSetting { key: shorten(&key, MAX_NAME), message }
}

/// The known name that was probably meant, if serde's message is about a name that is not known.
fn closest(message: &str) -> Option<&str> {
    let (name, known) = message.strip_prefix("unknown field `")?.split_once('`')?;
    let known = known.split('`').skip(1).step_by(2);
    let (distance, closest) =
        known.map(|known| (strsim::osa_distance(name, known), known)).min()?;
    (distance <= closest.len().div_ceil(3)).then_some(closest)
}

/// The key of a path, such as `handlers.http.allow[1]`.
fn key(path: &[&Segment]) -> String {
    let mut key = String::new();
    for segment in path {
        match segment {
            Segment::Map { key: name } => {
                key.push_str(if key.is_empty() { "" } else { "." });
                key.push_str(name);
            }
            Segment::Seq { index } => key.push_str(&format!("[{index}]")),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    key
}

fn value_at<'t, 'i>(table: &'t DeTable<'i>, path: &[&Segment]) -> Option<&'t DeValue<'i>> {
    let (first, rest) = path.split_first()?;
    let Segment::Map { key } = first else { return None };
    let value = table.get(key.as_str())?.get_ref();
    match (rest, value) {
        ([], value) => Some(value),
        ([Segment::Seq { index }], DeValue::Array(array)) => {
            array.get(*index).map(Spanned::get_ref)
        }
        (rest, DeValue::Table(inner)) => value_at(inner, rest),
        ([..], _) => None,
    }
}

/// What a value is, for an error about a setting that is no secret.
fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(is) => is.to_string(),
        DeValue::String(text) if text.is_empty() => "an empty string".into(),
        DeValue::String(_) => "a string".into(),
        DeValue::Datetime(_) => "a date or time".into(),
        DeValue::Array(_) => "an array".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

/// Removes the value that a path leads to, or the innermost table around it that can be removed. Returns whether it has
/// removed anything.
fn remove(table: &mut DeTable<'_>, path: &[&Segment]) -> bool {
    let Some((Segment::Map { key }, rest)) = path.split_first().map(|(first, rest)| (*first, rest))
    else {
        return false;
    };
    if let Some(DeValue::Table(inner)) = table.get_mut(key.as_str()).map(Spanned::get_mut)
        && remove(inner, rest)
    {
        return true;
    }
    table.remove(key.as_str()).is_some()
}
