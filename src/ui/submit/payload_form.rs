//! Conversions between a payload and the inputs that a kind's schema declares. A payload that the inputs cannot
//! reproduce exactly, digit by digit, is edited as JSON instead.

use std::collections::{BTreeMap, HashMap};

use serde_json::value::RawValue;

use crate::engine::KindInfo;
use crate::job::schema::{Field, Shape, Violation, entries};
use crate::job::{Json, Schema, same};

use super::form_value::json_fault;
use crate::ui::parts::json_text;

/// The typed texts by property. Properties with an empty or missing text are left out of the payload.
pub type InputTexts = BTreeMap<String, String>;

/// The result of reading the inputs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ParsedInputs {
    /// The valid properties as JSON, each as it was typed.
    pub payload: String,
    /// The errors by property; those that belong to no property have the key `""`.
    pub wrong: Vec<(String, String)>,
}

/// The most inputs of a form, so that pages stay small and readable.
const MAX_INPUTS: usize = 100;
/// The most options of one input, for the same reason.
const MAX_OPTIONS: usize = 1_000;

/// The schema of a kind.
pub fn schema_of(info: Option<&KindInfo>) -> Option<&Schema> {
    info.and_then(|info| info.schema.as_ref())
}

/// The properties that get an input; `None` when the payload must be edited as JSON.
pub fn input_fields(schema: Option<&Schema>) -> Option<&[Field]> {
    let fields = schema.and_then(Schema::fields).filter(|fields| !fields.is_empty());
    fields.filter(|fields| !is_too_large(fields))
}

/// Explains why a kind that declares properties has no inputs for them; empty when it has inputs.
pub fn too_large(schema: Option<&Schema>) -> String {
    match schema.and_then(Schema::fields) {
        Some(fields) if is_too_large(fields) => format!(
            "This kind has more than {MAX_INPUTS} properties, or one of more than {MAX_OPTIONS} choices, so its \
             payload is edited as JSON."
        ),
        Some(_) | None => String::new(),
    }
}

fn is_too_large(fields: &[Field]) -> bool {
    let options = |field: &Field| choices_of(&field.shape).map_or(0, <[Json]>::len);
    fields.len() > MAX_INPUTS || fields.iter().any(|field| options(field) > MAX_OPTIONS)
}

/// The choices of a value, or of each entry of a list.
fn choices_of(shape: &Shape) -> Option<&[Json]> {
    match shape {
        Shape::Choice(choices) => Some(choices),
        Shape::Texts { each, .. } => choices_of(each),
        Shape::Text(_) | Shape::Integer(_) | Shape::Number(_) | Shape::Boolean | Shape::Any => None,
    }
}

/// The texts of the inputs that produce exactly this payload; `None` when there are none.
pub fn fill(fields: &[Field], payload: &str) -> Option<InputTexts> {
    let mut typed = InputTexts::new();
    for (name, value) in entries(payload)? {
        let field = fields.iter().find(|field| field.name == name)?;
        // Inputs cannot produce an object with a duplicate property.
        let text = write(&field.shape, field.required, value)?;
        if typed.insert(name.into_owned(), text).is_some() {
            return None;
        }
    }
    same(&compose(fields, &typed, InvalidInput::LeftOut), payload).then_some(typed)
}

/// The initial texts of the inputs: the defaults of required properties.
pub fn blank(fields: &[Field]) -> InputTexts {
    let given = |field: &Field| {
        let default = field.default.as_ref().filter(|_| field.required)?;
        Some((field.name.clone(), write(&field.shape, true, default.as_str())?))
    };
    fields.iter().filter_map(given).collect()
}

/// Builds the payload from the inputs, and collects its violations of the kind's schema.
pub fn parse_inputs(schema: &Schema, typed: &InputTexts) -> ParsedInputs {
    let fields = input_fields(Some(schema)).unwrap_or_default();
    let payload = compose(fields, typed, InvalidInput::LeftOut);
    let unread = |field: &Field| Some((field.name.clone(), value(field, typed).err()?));
    let mut wrong: Vec<(String, String)> = fields.iter().filter_map(unread).collect();
    let judged = Json::parse(&payload).map(|payload| schema.check(&payload)).unwrap_or_default();
    for Violation { field, message } in judged {
        let (field, message) = by_input(fields, &field, message);
        if !wrong.iter().any(|(name, _)| *name == field) {
            wrong.push((field, message));
        }
    }
    ParsedInputs { payload, wrong }
}

/// The input that holds a property, and the message with the rest of the property's path. Errors about properties
/// without an input have an empty name.
pub fn by_input(fields: &[Field], path: &str, message: String) -> (String, String) {
    let rest = |field: &Field| Some(path.strip_prefix(&field.name)?.strip_prefix('.')?.to_owned());
    if fields.iter().any(|field| field.name == path) {
        return (path.to_owned(), message);
    }
    let nested = fields.iter().find_map(|field| Some((field.name.clone(), rest(field)?)));
    match nested {
        Some((field, rest)) => (field, format!("{rest}: {message}")),
        None => (String::new(), message),
    }
}

/// The typed texts as one JSON document, for editing as JSON. Invalid texts are kept in it as strings.
pub fn draft(fields: &[Field], typed: &InputTexts) -> String {
    let text = compose(fields, typed, InvalidInput::AsText);
    Json::parse(&text).as_ref().map(json_text::editable).unwrap_or(text)
}

/// How an invalid input is treated.
#[derive(Clone, Copy)]
enum InvalidInput {
    LeftOut,
    AsText,
}

fn compose(fields: &[Field], typed: &InputTexts, unreadable: InvalidInput) -> String {
    let part = |field: &Field| {
        let value = match (value(field, typed), unreadable) {
            (Ok(value), _) => value?,
            (Err(_), InvalidInput::LeftOut) => return None,
            (Err(_), InvalidInput::AsText) => quote(typed.get(&field.name)?),
        };
        Some(format!("{}:{value}", quote(&field.name)))
    };
    let parts: Vec<String> = fields.iter().filter_map(part).collect();
    format!("{{{}}}", parts.join(","))
}

/// The JSON of one input; `None` when the property is left out.
fn value(field: &Field, typed: &InputTexts) -> Result<Option<String>, String> {
    let text = typed.get(&field.name).map(String::as_str).unwrap_or_default();
    // Browsers send line breaks as CR LF.
    let text = text.replace("\r\n", "\n");
    match &field.shape {
        Shape::Texts { each, .. } => {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            let options = choices_of(each).map(by_option);
            let entry = |(n, line): (usize, &str)| {
                let chosen = options.as_ref().and_then(|options| options.get(line));
                let read = match chosen {
                    Some(choice) => Ok(Some(choice.as_str().to_owned())),
                    None => read(each, line),
                };
                read.map(Option::unwrap_or_default).map_err(|why| format!("entry {n}: {why}"))
            };
            let items = (1..).zip(lines).map(entry).collect::<Result<Vec<String>, String>>()?;
            let given = field.required || !items.is_empty();
            Ok(given.then(|| format!("[{}]", items.join(","))))
        }
        shape => read(shape, &text),
    }
}

/// The JSON of a typed text; `None` when it is empty.
fn read(shape: &Shape, text: &str) -> Result<Option<String>, String> {
    let trimmed = text.trim();
    Ok(match shape {
        Shape::Text(rules) => {
            let text = if rules.format.is_some() { trimmed } else { text };
            (!text.is_empty()).then(|| quote(text))
        }
        _ if trimmed.is_empty() => None,
        Shape::Integer(_) | Shape::Number(_) => {
            if is_number(trimmed) {
                Some(trimmed.to_owned())
            } else {
                return Err(shape.expected());
            }
        }
        Shape::Boolean => match trimmed {
            "true" | "false" => Some(trimmed.to_owned()),
            _ => return Err(shape.expected()),
        },
        Shape::Choice(choices) => match by_option(choices).get(text) {
            Some(choice) => Some(choice.as_str().to_owned()),
            None => return Err(shape.expected()),
        },
        Shape::Any | Shape::Texts { .. } => match serde_json::from_str::<&RawValue>(trimmed) {
            Ok(raw) => Some(raw.get().to_owned()),
            Err(error) => {
                let invalid = "this is not valid JSON (a string needs quotes)";
                return Err(json_fault(text, invalid, &error));
            }
        },
    })
}

/// The text that produces this value; `None` when no text does.
fn write(shape: &Shape, required: bool, value: &str) -> Option<String> {
    match shape {
        Shape::Text(rules) => {
            let text: String = serde_json::from_str(value).ok()?;
            let kept = rules.format.is_none() || text.trim() == text;
            (kept && can_be_typed(&text)).then_some(text)
        }
        Shape::Integer(_) | Shape::Number(_) => is_number(value).then(|| value.to_owned()),
        Shape::Boolean => matches!(value, "true" | "false").then(|| value.to_owned()),
        Shape::Choice(choices) => by_value(choices).remove(&scalar_key(value)),
        Shape::Texts { each, .. } => {
            let items: Vec<&RawValue> = serde_json::from_str(value).ok()?;
            let options = choices_of(each).map(by_value);
            let line = |item: &RawValue| {
                let line = match &options {
                    Some(options) => options.get(&scalar_key(item.get()))?.clone(),
                    None => write(each, true, item.get())?,
                };
                (!line.trim().is_empty() && !line.contains('\n')).then_some(line)
            };
            let lines = items.into_iter().map(line).collect::<Option<Vec<String>>>()?;
            (required || !lines.is_empty()).then(|| lines.join("\n"))
        }
        Shape::Any => Json::parse(value).ok().as_ref().map(json_text::editable),
    }
}

/// The form value of each choice, in order: a string as itself where that is unambiguous, or else as JSON.
pub fn option_values(choices: &[Json]) -> Vec<String> {
    let labels: Vec<String> = choices.iter().map(option_label).collect();
    let mut alike: HashMap<&str, usize> = HashMap::new();
    for label in &labels {
        *alike.entry(label).or_default() += 1;
    }
    let is_clear = |label: &str| {
        let is_plain = can_be_typed(label) && !label.contains('\n') && label.trim() == label;
        is_plain && alike.get(label) == Some(&1)
    };
    let both = choices.iter().zip(&labels);
    both.map(|(choice, label)| if is_clear(label) { label.as_str() } else { choice.as_str() })
        .map(str::to_owned)
        .collect()
}

/// The choices by their form value.
fn by_option(choices: &[Json]) -> HashMap<String, &Json> {
    option_values(choices).into_iter().zip(choices).rev().collect()
}

/// The form values by their choice.
fn by_value(choices: &[Json]) -> HashMap<String, String> {
    choices
        .iter()
        .map(|choice| scalar_key(choice.as_str()))
        .zip(option_values(choices))
        .rev()
        .collect()
}

/// A key that is equal for two scalars with the same meaning, whatever their escapes.
fn scalar_key(scalar: &str) -> String {
    match serde_json::from_str::<String>(scalar) {
        Ok(text) => format!("\"{text}"),
        Err(_) => scalar.trim().to_owned(),
    }
}

/// The label of a choice: a string without its quotes.
pub fn option_label(choice: &Json) -> String {
    choice.read::<String>().unwrap_or_else(|_| choice.as_str().to_owned())
}

/// Whether an input can hold this string. Browsers change other control characters, and an empty input counts as
/// left out.
fn can_be_typed(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'))
}

fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get() == text)
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
#[path = "../tests/payload_form.rs"]
mod tests;
