//! Inputs made of a kind's schema: from a payload to what stands in each of them, and back. A payload that
//! the inputs cannot make again, digit by digit, is not theirs: it is edited as JSON.

use std::collections::{BTreeMap, HashMap};

use serde_json::value::RawValue;

use crate::job::schema::{Field, Shape, entries};
use crate::job::{Json, Schema, same};

use crate::ui::parts::json_text;

/// What stands in the inputs, by property, as it was typed. What is empty or missing is left out.
pub type Typed = BTreeMap<String, String>;

/// What the inputs make of a payload.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// The properties that can be read, as JSON, each as it was typed.
    pub payload: String,
    /// What is wrong, by property; under `""` what belongs to none.
    pub wrong: Vec<(String, String)>,
}

/// The most inputs of a form: pages must stay small, and nobody reads more.
const MAX_INPUTS: usize = 100;
/// The most options of one input, for the same reasons.
const MAX_OPTIONS: usize = 1_000;

/// The properties that inputs are drawn for; `None` when the payload has to be written as JSON.
pub fn drawable(schema: Option<&Schema>) -> Option<&[Field]> {
    let fields = schema.and_then(Schema::fields).filter(|fields| !fields.is_empty());
    fields.filter(|fields| !is_too_large(fields))
}

/// Why a kind that declares properties has no inputs for them; empty when it has.
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

/// What a value, or each entry of it, may be chosen from.
fn choices_of(shape: &Shape) -> Option<&[Json]> {
    match shape {
        Shape::Choice(choices) => Some(choices),
        Shape::Texts { each, .. } => choices_of(each),
        Shape::Text(_) | Shape::Integer(_) | Shape::Number(_) | Shape::Boolean | Shape::Any => None,
    }
}

/// What must stand in the inputs to make this payload; `None` when they cannot make exactly it.
pub fn fill(fields: &[Field], payload: &str) -> Option<Typed> {
    let mut typed = Typed::new();
    for (name, value) in entries(payload)? {
        let field = fields.iter().find(|field| field.name == name)?;
        // One that is there twice is no object that inputs can make.
        let text = write(&field.shape, field.required, value)?;
        if typed.insert(name.into_owned(), text).is_some() {
            return None;
        }
    }
    same(&compose(fields, &typed, Unreadable::LeftOut), payload).then_some(typed)
}

/// What stands in the inputs before anybody has typed: what is required and has a default.
pub fn blank(fields: &[Field]) -> Typed {
    let given = |field: &Field| {
        let default = field.default.as_ref().filter(|_| field.required)?;
        Some((field.name.clone(), write(&field.shape, true, default.as_str())?))
    };
    fields.iter().filter_map(given).collect()
}

/// The payload that the inputs make, and everything wrong with it by the kind's schema.
pub fn make(schema: &Schema, typed: &Typed) -> Made {
    let fields = drawable(Some(schema)).unwrap_or_default();
    let payload = compose(fields, typed, Unreadable::LeftOut);
    let unread = |field: &Field| Some((field.name.clone(), value(field, typed).err()?));
    let mut wrong: Vec<(String, String)> = fields.iter().filter_map(unread).collect();
    let judged = Json::parse(&payload).map(|payload| schema.check(&payload)).unwrap_or_default();
    for it in judged {
        let known = fields.iter().any(|field| field.name == it.field);
        let field = if known { it.field } else { String::new() };
        if !wrong.iter().any(|(name, _)| *name == field) {
            wrong.push((field, it.message));
        }
    }
    Made { payload, wrong }
}

/// What was typed as one JSON text to go on with: what cannot be read stays in it as a text.
pub fn draft(fields: &[Field], typed: &Typed) -> String {
    let text = compose(fields, typed, Unreadable::AsText);
    Json::parse(&text).as_ref().map(json_text::editable).unwrap_or(text)
}

/// What becomes of an input that cannot be read.
#[derive(Clone, Copy)]
enum Unreadable {
    LeftOut,
    AsText,
}

fn compose(fields: &[Field], typed: &Typed, unreadable: Unreadable) -> String {
    let part = |field: &Field| {
        let value = match (value(field, typed), unreadable) {
            (Ok(value), _) => value?,
            (Err(_), Unreadable::LeftOut) => return None,
            (Err(_), Unreadable::AsText) => quote(typed.get(&field.name)?),
        };
        Some(format!("{}:{value}", quote(&field.name)))
    };
    let parts: Vec<String> = fields.iter().filter_map(part).collect();
    format!("{{{}}}", parts.join(","))
}

/// The JSON of one input; `None` when it is left out.
fn value(field: &Field, typed: &Typed) -> Result<Option<String>, String> {
    let text = typed.get(&field.name).map(String::as_str).unwrap_or_default();
    // Browsers send line ends as CR LF.
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

/// The JSON of a typed text; `None` when nothing was typed.
fn read(shape: &Shape, text: &str) -> Result<Option<String>, String> {
    let trimmed = text.trim();
    let unread = |text: &str| shape.accepts(&quote(text)).err().unwrap_or_default();
    Ok(match shape {
        Shape::Text(rules) => {
            let text = if rules.format.is_some() { trimmed } else { text };
            (!text.is_empty()).then(|| quote(text))
        }
        _ if trimmed.is_empty() => None,
        Shape::Integer(_) | Shape::Number(_) => match is_number(trimmed) {
            true => Some(trimmed.to_owned()),
            false => return Err(unread(trimmed)),
        },
        Shape::Boolean => match trimmed {
            "true" | "false" => Some(trimmed.to_owned()),
            _ => return Err(unread(trimmed)),
        },
        Shape::Choice(choices) => match by_option(choices).get(text) {
            Some(choice) => Some(choice.as_str().to_owned()),
            None => return Err(unread(text)),
        },
        Shape::Any | Shape::Texts { .. } => match serde_json::from_str::<&RawValue>(trimmed) {
            Ok(raw) => Some(raw.get().to_owned()),
            Err(error) => return Err(format!("this is not JSON (a text needs quotes): {error}")),
        },
    })
}

/// What must be typed for this value; `None` when nothing can be.
fn write(shape: &Shape, required: bool, value: &str) -> Option<String> {
    match shape {
        Shape::Text(rules) => {
            let text: String = serde_json::from_str(value).ok()?;
            let kept = rules.format.is_none() || text.trim() == text;
            (kept && can_be_typed(&text)).then_some(text)
        }
        Shape::Integer(_) | Shape::Number(_) => is_number(value).then(|| value.to_owned()),
        Shape::Boolean => matches!(value, "true" | "false").then(|| value.to_owned()),
        Shape::Choice(choices) => by_value(choices).remove(&known_as(value)),
        Shape::Texts { each, .. } => {
            let items: Vec<&RawValue> = serde_json::from_str(value).ok()?;
            let options = choices_of(each).map(by_value);
            let line = |item: &RawValue| {
                let line = match &options {
                    Some(options) => options.get(&known_as(item.get()))?.clone(),
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

/// What stands for each choice in a form, in their order: a text as itself where that is clear, else its JSON.
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

/// The choices by what stands for them in a form.
fn by_option(choices: &[Json]) -> HashMap<String, &Json> {
    option_values(choices).into_iter().zip(choices).rev().collect()
}

/// What stands for the choices in a form, by what they are.
fn by_value(choices: &[Json]) -> HashMap<String, String> {
    choices
        .iter()
        .map(|choice| known_as(choice.as_str()))
        .zip(option_values(choices))
        .rev()
        .collect()
}

/// The same for two scalars that say the same, whatever their escapes.
fn known_as(scalar: &str) -> String {
    match serde_json::from_str::<String>(scalar) {
        Ok(text) => format!("\"{text}"),
        Err(_) => scalar.trim().to_owned(),
    }
}

/// How a choice is called: a text without its quotes.
pub fn option_label(choice: &Json) -> String {
    choice.read::<String>().unwrap_or_else(|_| choice.as_str().to_owned())
}

/// Browsers change other control characters, and an empty input is one that is left out.
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
