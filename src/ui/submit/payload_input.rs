//! The inputs of a payload: which control each property gets, and the hint beside it.

use crate::job::Json;
use crate::job::schema::{Bounds, Field, Format, Shape};
use crate::job::shorten::{MAX_ERRORS, first_few};

use super::payload_form::{InputTexts, option_label, option_values};
use crate::ui::layout::error::sentence;

/// One input as the template renders it.
pub struct Input {
    /// The id of the element.
    pub id: String,
    /// The name of the form field: `payload.` and the property.
    pub name: String,
    /// The name of the property in the payload.
    pub property: String,
    /// The label.
    pub label: String,
    /// Whether a value is required.
    pub required: bool,
    /// The hint: the description, the accepted values and the default.
    pub hint: String,
    /// The error as a sentence; empty when the value is valid.
    pub wrong: String,
    /// The typed text.
    pub value: String,
    /// The placeholder.
    pub placeholder: String,
    /// The control.
    pub control: InputControl,
}

/// The control of an input.
pub enum InputControl {
    /// One line of text, with the `inputmode` of the keyboard.
    Line(&'static str),
    /// A text of any length, with the initial number of rows.
    Text(usize),
    /// A list with one entry per line, with the initial number of rows.
    Entries(usize),
    /// JSON, with the initial number of rows.
    Json(usize),
    /// A select with these options.
    Choice(Vec<Choice>),
    /// A checkbox, with the texts that it sends.
    Check {
        /// The text sent when it is checked.
        on: &'static str,
        /// The text sent when it is not checked.
        off: &'static str,
        /// Whether it is checked.
        ticked: bool,
    },
}

/// One option of a select.
pub struct Choice {
    /// The value that is sent.
    pub value: String,
    /// The label that is shown.
    pub label: String,
    /// Whether it is selected.
    pub chosen: bool,
}

/// A text with a higher maximum length starts with several rows.
const LONG_TEXT: f64 = 200.0;
/// Bounds beyond this come from the number type and are not shown.
const MAX_SHOWN_BOUND: f64 = 9e15;

impl Input {
    /// Builds the input of a property with its typed text and its error.
    pub fn new(at: usize, field: &Field, typed: &InputTexts, wrong: Option<&String>) -> Input {
        let value = typed.get(&field.name).cloned().unwrap_or_default();
        Input {
            id: format!("payload-{at}"),
            name: format!("payload.{}", field.name),
            property: field.name.clone(),
            label: if field.title.is_empty() { &field.name } else { &field.title }.clone(),
            required: field.required,
            hint: hint(field),
            wrong: wrong.map(|message| sentence(message)).unwrap_or_default(),
            placeholder: placeholder(&field.shape),
            control: control(field, &value),
            value,
        }
    }

    /// Whether the input must be visible and not folded away.
    pub fn is_needed(&self) -> bool {
        self.required || !self.value.is_empty() || !self.wrong.is_empty()
    }

    /// Whether the label differs from the name of the property.
    pub fn has_title(&self) -> bool {
        !self.label.eq_ignore_ascii_case(&self.property)
    }
}

fn control(field: &Field, value: &str) -> InputControl {
    let lines = value.lines().count();
    match &field.shape {
        Shape::Text(rules) => match rules.format {
            Some(Format::Uri) => InputControl::Line("url"),
            Some(Format::Email) => InputControl::Line("email"),
            Some(Format::DateTime) => InputControl::Line("text"),
            None if rules.pattern.is_some() && lines < 2 => InputControl::Line("text"),
            None if rules.length.most.is_some_and(|most| most <= LONG_TEXT) && lines < 2 => {
                InputControl::Line("text")
            }
            None if rules.length.most.is_some() => InputControl::Text(lines.clamp(4, 12)),
            None => InputControl::Text(lines.clamp(1, 12)),
        },
        Shape::Integer(_) => InputControl::Line("numeric"),
        Shape::Number(_) => InputControl::Line("decimal"),
        Shape::Boolean => check(field, value),
        Shape::Choice(choices) => {
            let none = Choice { value: String::new(), label: unchosen(field), chosen: false };
            let one = |(choice, choice_value): (&Json, String)| {
                let chosen = choice_value == value;
                Choice { value: choice_value, label: option_label(choice), chosen }
            };
            let choices = choices.iter().zip(option_values(choices)).map(one);
            let mut all: Vec<Choice> = std::iter::once(none).chain(choices).collect();
            if !value.is_empty() && !all.iter().any(|choice| choice.chosen) {
                let (value, label) = (value.to_owned(), format!("{value} (not valid)"));
                all.push(Choice { value, label, chosen: true });
            }
            InputControl::Choice(all)
        }
        Shape::Texts { .. } => InputControl::Entries((lines + 1).clamp(3, 12)),
        Shape::Any => InputControl::Json(lines.clamp(2, 12)),
    }
}

/// A cleared checkbox leaves the property out, unless the payload holds `false` or the property is required. So a
/// payload stays as it is whether or not it has the property.
fn check(field: &Field, value: &str) -> InputControl {
    let usual = default(field) == Some("true");
    let ticked = if value.is_empty() { usual } else { value == "true" };
    let silent = value.is_empty() && !field.required;
    let (on, off) = match (silent, usual) {
        (false, _) => ("true", "false"),
        (true, true) => ("", "false"),
        (true, false) => ("true", ""),
    };
    InputControl::Check { on, off, ticked }
}

fn unchosen(field: &Field) -> String {
    match (&field.default, field.required) {
        (Some(default), false) => format!("{} (default)", option_label(default)),
        (None, false) => "not set".into(),
        (_, true) => "choose one".into(),
    }
}

fn default(field: &Field) -> Option<&str> {
    field.default.as_ref().map(|default| default.as_str())
}

fn placeholder(shape: &Shape) -> String {
    let Shape::Text(rules) = shape else { return String::new() };
    let example = match rules.format {
        Some(Format::DateTime) => "2026-11-23T08:00:00Z",
        Some(Format::Uri) => "https://example.com/",
        Some(Format::Email) => "somebody@example.com",
        None => "",
    };
    example.to_owned()
}

/// The hint as sentences, each only where it adds information.
fn hint(field: &Field) -> String {
    let mut all = Vec::new();
    if !field.description.is_empty() {
        all.push(sentence(&field.description));
    }
    all.extend(accepted(&field.shape).map(|words| sentence(&words)));
    // The input of a required property starts with the default, and a select shows it as an option.
    let default = field.default.as_ref();
    let default = default.filter(|_| !field.required && !matches!(field.shape, Shape::Choice(_)));
    all.extend(default.map(|default| format!("Default: {}.", option_label(default))));
    all.join(" ")
}

fn accepted(shape: &Shape) -> Option<String> {
    let in_words = |bounds: Bounds, of_what: &str| {
        let is_worth_showing = |bound: f64| bound.abs() < MAX_SHOWN_BOUND;
        let bounds = Bounds {
            least: bounds.least.filter(|least| is_worth_showing(*least)),
            most: bounds.most.filter(|most| is_worth_showing(*most)),
        };
        let words = bounds.words();
        (!words.is_empty()).then(|| format!("{words}{of_what}"))
    };
    match shape {
        Shape::Text(rules) => in_words(rules.length, " characters"),
        Shape::Integer(bounds) | Shape::Number(bounds) => in_words(*bounds, ""),
        Shape::Texts { each, count } => {
            let of = match &**each {
                Shape::Choice(choices) => {
                    format!(" of {}", first_few(choices.iter().map(option_label), MAX_ERRORS, ", "))
                }
                _ => String::new(),
            };
            let count = in_words(*count, " entries").map(|count| format!("; {count}"));
            Some(format!("one{of} per line{}", count.unwrap_or_default()))
        }
        Shape::Boolean | Shape::Choice(_) | Shape::Any => None,
    }
}
