//! The members of a JSON object, read one by one. Every member that is missing, unknown, repeated or of the wrong type is
//! reported, not only the first one, and the words are the same wherever the object comes from.

use std::borrow::Cow;

use serde_json::value::RawValue;

pub use crate::job::json::{NAME_IS_NO_TEXT, NOT_A_CHARACTER, REPEATED};
use crate::job::number::IntegerRange;
pub use crate::job::number::describe;
use crate::job::schema::members;
use crate::job::shorten::{MAX_ERRORS, MAX_NAME, first_few, shorten};

/// An invalid field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The path of the field, such as `priority`, `backoff.base_ms` or `tags[2]`; empty for the whole document.
    pub field: Cow<'static, str>,
    /// What is wrong, and what is accepted.
    pub message: String,
}

/// The invalid fields of one document, each of them once.
#[derive(Debug, Default)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// Adds an error, unless there is one about the same field: the first one is the cause of later ones.
    pub fn add(&mut self, field: impl Into<Cow<'static, str>>, message: impl Into<String>) {
        let field = field.into();
        if !self.0.iter().any(|known| known.field == field) {
            self.0.push(FieldError { field, message: message.into() });
        }
    }

    /// Adds the error of a result, and returns its value.
    pub fn take<T>(
        &mut self,
        field: impl Into<Cow<'static, str>>,
        result: Result<T, impl ToString>,
    ) -> Option<T> {
        result.map_err(|error| self.add(field, error.to_string())).ok()
    }

    /// Adds errors of a later check.
    pub fn extend(&mut self, errors: Vec<FieldError>) {
        errors.into_iter().for_each(|FieldError { field, message }| self.add(field, message));
    }

    /// The number of invalid fields.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether everything is valid so far.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All invalid fields.
    pub fn into_errors(self) -> Vec<FieldError> {
        self.0
    }

    /// Returns the value if everything is valid.
    ///
    /// # Errors
    /// All invalid fields.
    pub fn finish<T>(self, value: T) -> Result<T, Vec<FieldError>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }
}

/// The words for a member that is missing.
pub const REQUIRED: &str = "is required";
/// The words for a value that is empty, which is not the same as one that is left out.
pub const EMPTY: &str = "must not be empty: give it a value, or leave it out";

/// A JSON object that is being read. `null` counts as a missing member, except where a method says otherwise.
#[derive(Debug)]
pub struct Fields<'j> {
    /// The path of the object with a dot at the end; empty for the document itself.
    path: String,
    members: Vec<NamedValue<'j>>,
    /// The names that were asked for, which are the known ones.
    known: Vec<&'static str>,
}

#[derive(Debug)]
struct NamedValue<'j> {
    name: Cow<'j, str>,
    value: &'j RawValue,
}

impl<'j> Fields<'j> {
    /// Reads a valid JSON text as an object; `None` after adding an error. `path` is empty for the document itself.
    pub fn read(path: &str, json: &'j str, errors: &mut FieldErrors) -> Option<Fields<'j>> {
        let members = named_values(json).map_err(|why| errors.add(path.to_owned(), why)).ok()?;
        let path = if path.is_empty() { String::new() } else { format!("{path}.") };
        Some(Fields { path, members, known: Vec::new() })
    }

    /// Reads an item of a list as an object; `None` after adding an error. `list` is the path of the list.
    pub fn read_item(
        list: &str,
        at: usize,
        json: &'j str,
        errors: &mut FieldErrors,
    ) -> Option<Fields<'j>> {
        let members = named_values(json).map_err(|why| errors.add(format!("{list}[{at}]"), why));
        Some(Fields { path: format!("{list}[{at}]."), members: members.ok()?, known: Vec::new() })
    }

    /// Whether the object has no members at all.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The path of a member, as errors name it.
    pub fn path(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// The value of a member, or `None` after adding its error. The path is only made for an error, because large reports
    /// have thousands of members.
    fn take<T>(
        &self,
        name: &str,
        value: Result<T, impl ToString>,
        errors: &mut FieldErrors,
    ) -> Option<T> {
        value.map_err(|error| errors.add(self.path(name), error.to_string())).ok()
    }

    /// A member as JSON, also when it is `null`.
    pub fn raw(&mut self, name: &'static str) -> Option<&'j RawValue> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        self.members.iter().find(|member| member.name == name).map(|member| member.value)
    }

    /// A member as JSON; `null` counts as missing.
    pub fn optional(&mut self, name: &'static str) -> Option<&'j str> {
        self.raw(name).map(RawValue::get).filter(|value| *value != "null")
    }

    /// A member as JSON that must be there, although it may be `null`.
    pub fn present(&mut self, name: &'static str, errors: &mut FieldErrors) -> Option<&'j str> {
        let value = self.raw(name).map(RawValue::get);
        if value.is_none() {
            errors.add(self.path(name), REQUIRED);
        }
        value
    }

    /// An optional string.
    pub fn text(&mut self, name: &'static str, errors: &mut FieldErrors) -> Option<Cow<'j, str>> {
        let value = self.optional(name)?;
        self.take(name, text(value), errors)
    }

    /// A string that must be there.
    pub fn required_text(
        &mut self,
        name: &'static str,
        errors: &mut FieldErrors,
    ) -> Option<Cow<'j, str>> {
        let value = self.present(name, errors)?;
        self.take(name, text(value), errors)
    }

    /// An optional integer.
    pub fn integer(
        &mut self,
        name: &'static str,
        range: IntegerRange,
        errors: &mut FieldErrors,
    ) -> Option<i64> {
        let value = self.optional(name)?;
        self.take(name, range.from_json(value), errors)
    }

    /// An integer that must be there.
    pub fn required_integer(
        &mut self,
        name: &'static str,
        range: IntegerRange,
        errors: &mut FieldErrors,
    ) -> Option<i64> {
        let value = self.present(name, errors)?;
        self.take(name, range.from_json(value), errors)
    }

    /// An optional list of strings.
    pub fn texts(
        &mut self,
        name: &'static str,
        errors: &mut FieldErrors,
    ) -> Option<Vec<Cow<'j, str>>> {
        let value = self.optional(name)?;
        texts(&self.path(name), value, errors)
    }

    /// An optional object.
    pub fn object(&mut self, name: &'static str, errors: &mut FieldErrors) -> Option<Fields<'j>> {
        let value = self.optional(name)?;
        Fields::read(&self.path(name), value, errors)
    }

    /// An optional `true` or `false`.
    pub fn flag(&mut self, name: &'static str, errors: &mut FieldErrors) -> Option<bool> {
        let value = self.optional(name)?;
        let flag = match value {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(format!("must be true or false, but is {}", describe(other))),
        };
        self.take(name, flag, errors)
    }

    /// Takes every member in turn, so that none is unknown; for objects whose names the caller checks.
    pub fn into_members(self) -> impl Iterator<Item = (Cow<'j, str>, &'j str)> {
        self.members.into_iter().map(|member| (member.name, member.value.get()))
    }

    /// Reports members that nobody has asked for, and those that occur more than once.
    pub fn finish(self, errors: &mut FieldErrors) {
        let mut seen: Vec<&str> = Vec::with_capacity(self.members.len().min(MAX_ERRORS));
        for NamedValue { name, .. } in &self.members {
            let at = || format!("{}{}", self.path, shorten(name, MAX_NAME));
            if !self.known.contains(&name.as_ref()) {
                errors.add(at(), unknown(&self.known));
            } else if seen.contains(&name.as_ref()) {
                errors.add(at(), REPEATED);
            } else {
                seen.push(name);
            }
            if errors.len() > 2 * MAX_ERRORS {
                break; // the answer lists fewer
            }
        }
    }
}

/// The members of a valid JSON text, or why it is not an object with members.
fn named_values(json: &str) -> Result<Vec<NamedValue<'_>>, String> {
    let json = json.trim();
    if !json.starts_with('{') {
        return Err(format!("must be an object, but is {}", describe(json)));
    }
    let members = members(json).ok_or(NAME_IS_NO_TEXT)?;
    Ok(members.into_iter().map(|(name, value)| NamedValue { name, value }).collect())
}

/// The words for a name that is not known.
pub fn unknown(known: &[&str]) -> String {
    if known.is_empty() {
        return "is not known; this address takes no fields".to_owned();
    }
    format!("is not known; expected one of {}", first_few(known.iter(), MAX_ERRORS, ", "))
}

/// Reads a JSON value as a string.
///
/// # Errors
/// Says what the value is instead.
pub fn text(value: &str) -> Result<Cow<'_, str>, String> {
    let refused = || format!("must be a string, but is {}", describe(value));
    match value.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
        Some(_) => {
            serde_json::from_str(value).map(Cow::Owned).map_err(|_| NOT_A_CHARACTER.to_owned())
        }
        None => Err(refused()),
    }
}

/// Reads a JSON value as a list of strings; `None` when it is none. An element that is no string is reported and read as an
/// empty text, so that the other elements are checked, too, and keep their indexes.
pub fn texts<'j>(
    path: &str,
    value: &'j str,
    errors: &mut FieldErrors,
) -> Option<Vec<Cow<'j, str>>> {
    let Some(items) = items(value) else {
        errors.add(
            path.to_owned(),
            format!("must be an array of strings, but is {}", describe(value)),
        );
        return None;
    };
    let mut read = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        let text = text(item).map_err(|wrong| errors.add(format!("{path}[{at}]"), wrong));
        read.push(text.unwrap_or_default());
        if errors.len() > 2 * MAX_ERRORS {
            break; // the answer lists fewer
        }
    }
    Some(read)
}

/// The elements of a JSON array; `None` when the value is no array.
pub fn items(value: &str) -> Option<Vec<&str>> {
    let items: Vec<&RawValue> = serde_json::from_str(value).ok()?;
    Some(items.into_iter().map(RawValue::get).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Vec<String> {
        let mut errors = FieldErrors::default();
        if let Some(mut fields) = Fields::read("", json, &mut errors) {
            fields.required_text("kind", &mut errors);
            fields.text("queue", &mut errors);
            fields.integer("priority", IntegerRange::new(-9, 9), &mut errors);
            fields.texts("tags", &mut errors);
            fields.flag("stats", &mut errors);
            fields.present("limit", &mut errors);
            if let Some(mut backoff) = fields.object("backoff", &mut errors) {
                backoff.integer("base_ms", IntegerRange::new(0, 9), &mut errors);
                backoff.finish(&mut errors);
            }
            fields.finish(&mut errors);
        }
        errors.0.into_iter().map(|error| format!("{}: {}", error.field, error.message)).collect()
    }

    #[test]
    fn every_fault_is_named_with_its_path_and_in_our_words() {
        let none: [&str; 0] = [];
        assert_eq!(read(r#"{"kind":"a","limit":null,"queue":null,"backoff":null}"#), none);
        let wrong = r#"{"kind":7,"queue":["a"],"priority":"x","tags":["a",1,null],"stats":"yes",
            "backoff":{"base_ms":1.5,"cap":1},"colour":1,"queue":"b"}"#;
        assert_eq!(
            read(wrong),
            [
                "kind: must be a string, but is 7",
                "queue: must be a string, but is an array",
                "priority: must be an integer from -9 to 9, but is a string",
                "tags[1]: must be a string, but is 1",
                "tags[2]: must be a string, but is null",
                "stats: must be true or false, but is a string",
                "limit: is required",
                "backoff.base_ms: must be an integer from 0 to 9, but is 1.5",
                "backoff.cap: is not known; expected one of base_ms",
                "colour: is not known; expected one of kind, queue, priority, tags, stats, limit, backoff",
            ]
        );
        assert_eq!(read(r#"{"kind":"a","limit":1,"kind":"b"}"#), ["kind: occurs more than once"]);
        for (json, found) in
            [("7", "7"), ("[]", "an empty array"), ("null", "null"), ("\"{}\"", "a string")]
        {
            assert_eq!(read(json), [format!(": must be an object, but is {found}")]);
        }
        for (json, found) in [("{}", "an empty object"), ("\"a\"", "a string")] {
            let json = format!(r#"{{"kind":"a","limit":1,"tags":{json}}}"#);
            assert_eq!(read(&json), [format!("tags: must be an array of strings, but is {found}")]);
        }
        assert_eq!(
            read(r#"{"kind":"\ud800","limit":1}"#),
            ["kind: must be a string, but has an escape that is not a character"]
        );
    }

    #[test]
    fn the_number_of_errors_is_bounded() {
        let many: String = (0..50_000).map(|n| format!(",\"x{n}\":1")).collect();
        assert!(read(&format!("{{\"kind\":\"a\"{many}}}")).len() < 50);
        let many = "1,".repeat(50_000);
        assert!(read(&format!("{{\"kind\":\"a\",\"tags\":[{many}1]}}")).len() < 50);
    }
}
