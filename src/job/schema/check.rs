//! Validation of payloads.

use serde_json::value::RawValue;

use super::field::{Bounds, Field, Format, Object, Shape, Text, Violation};
use super::read::entries;
use crate::job::shorten::{MAX_ERRORS, MAX_NAME, first_few, shorten};
use crate::job::{Json, Time};

impl Object {
    /// Returns at most [`MAX_ERRORS`] violations, followed by the number of the others.
    pub(super) fn check(&self, payload: &str) -> Vec<Violation> {
        let wrong =
            |field: &str, message: String| Violation { field: shorten(field, MAX_NAME), message };
        let Ok(given) = entries(payload) else {
            return vec![wrong("", "an object is expected".into())];
        };
        let mut values: Vec<Option<&RawValue>> = vec![None; self.fields.len()];
        let (mut unknown, mut more) = (Vec::new(), 0);
        for (name, value) in &given {
            match self.positions.get(name.as_ref()) {
                Some(position) => drop(values[*position].get_or_insert(value)),
                None if self.closed && unknown.len() < MAX_ERRORS => unknown.push(name.as_ref()),
                None if self.closed => more += 1,
                None => {}
            }
        }
        let mut all = Vec::new();
        for (field, value) in self.fields.iter().zip(values) {
            match value.map(|value| field.accepts(value)) {
                None if field.required => {
                    all.push(wrong(&field.name, "a value is required".into()))
                }
                Some(Err(message)) => all.push(wrong(&field.name, message)),
                None | Some(Ok(())) => {}
            }
        }
        if !unknown.is_empty() {
            let names = self.fields.iter().map(|field| shorten(&field.name, MAX_NAME));
            let known = first_few(names, MAX_ERRORS, ", ");
            let message = format!("there is no such property; known: {known}");
            all.extend(unknown.into_iter().map(|name| wrong(name, message.clone())));
        }
        more += all.len().saturating_sub(MAX_ERRORS);
        all.truncate(MAX_ERRORS);
        if more > 0 {
            all.push(wrong("", format!("and {more} more properties do not fit")));
        }
        all
    }
}

impl Field {
    fn accepts(&self, value: &RawValue) -> Result<(), String> {
        if value.get() == "null" && !matches!(self.shape, Shape::Any) {
            return if self.nullable { Ok(()) } else { Err("null is not accepted".into()) };
        }
        self.shape.accepts(value.get())
    }
}

impl Shape {
    /// Checks the text of a JSON value.
    ///
    /// # Errors
    /// The message says what is expected.
    pub fn accepts(&self, value: &str) -> Result<(), String> {
        match self {
            Shape::Any => Ok(()),
            Shape::Text(rules) => match serde_json::from_str::<String>(value) {
                Ok(text) => rules.accept(&text),
                Err(_) => Err("a text is expected".into()),
            },
            Shape::Integer(bounds) => {
                if is_integer(value) {
                    bounds.accept(value, "")
                } else {
                    Err("a whole number is expected".into())
                }
            }
            Shape::Number(bounds) => {
                if value.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
                    bounds.accept(value, "")
                } else {
                    Err("a number is expected".into())
                }
            }
            Shape::Boolean => match value {
                "true" | "false" => Ok(()),
                _ => Err("true or false is expected".into()),
            },
            Shape::Choice(choices) => {
                let found = choices.iter().any(|choice| same_scalar(choice.as_str(), value));
                let told = || first_few(choices.iter().map(Json::as_str), MAX_ERRORS, ", ");
                if found { Ok(()) } else { Err(format!("one of {} is expected", told())) }
            }
            Shape::Texts { each, count } => match serde_json::from_str::<Vec<&RawValue>>(value) {
                Ok(items) => {
                    count.accept(&items.len().to_string(), " entries")?;
                    let mut items = (1..).zip(items);
                    items.try_for_each(|(n, item)| {
                        each.accepts(item.get()).map_err(|message| format!("entry {n}: {message}"))
                    })
                }
                Err(_) => Err("an array is expected".into()),
            },
        }
    }
}

fn is_integer(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Strings are equal whatever their escapes.
fn same_scalar(a: &str, b: &str) -> bool {
    if a == b || !(a.contains('\\') || b.contains('\\')) {
        return a == b;
    }
    let text = |json: &str| serde_json::from_str::<String>(json).ok();
    text(a).is_some_and(|a| text(b) == Some(a))
}

impl Text {
    fn accept(&self, text: &str) -> Result<(), String> {
        self.length.accept(&text.chars().count().to_string(), " characters")?;
        if let Some(pattern) = self.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
            return Err(format!("it does not match the pattern {}", pattern.as_str()));
        }
        let fits = match self.format {
            None => true,
            Some(Format::DateTime) => text.parse::<Time>().is_ok(),
            Some(Format::Uri) => url::Url::parse(text).is_ok(),
            Some(Format::Email) => text
                .split_once('@')
                .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty()),
        };
        match (fits, self.format) {
            (false, Some(format)) => Err(format!("{} is expected", format.words())),
            (true, _) | (false, None) => Ok(()),
        }
    }
}

impl Format {
    /// Describes the format with an example.
    pub fn words(self) -> &'static str {
        match self {
            Format::DateTime => "a time such as 2026-11-23T08:00:00Z",
            Format::Uri => "an address such as https://example.com/",
            Format::Email => "an address such as somebody@example.com",
        }
    }
}

impl Bounds {
    fn accept(self, number: &str, of_what: &str) -> Result<(), String> {
        let Ok(number) = number.parse::<f64>() else { return Ok(()) };
        let below = self.least.is_some_and(|least| number < least);
        let above = self.most.is_some_and(|most| number > most);
        if below || above { Err(format!("{}{of_what} is expected", self.words())) } else { Ok(()) }
    }

    /// Describes the bounds: `at least 1`, `at most 9`, `1 to 9`; empty without bounds.
    pub fn words(self) -> String {
        match (self.least, self.most) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            (Some(least), None) => format!("at least {least}"),
            (None, Some(most)) => format!("at most {most}"),
            (None, None) => String::new(),
        }
    }
}
