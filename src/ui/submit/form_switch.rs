//! Switches of the submit form: opening it from a URL, choosing another kind, and changing between inputs and
//! JSON. No switch loses what was typed.

use crate::engine::KindInfo;
use crate::job::schema::Field;
use crate::job::{Json, Schema, same};

use super::payload_form::{InputTexts, blank, draft, fill, input_fields, schema_of, too_large};
use super::submit_form::SubmitForm;
use crate::ui::layout::error::sentence;
use crate::ui::parts::json_text;

/// How the payload is edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// One input for each property.
    Fields,
    /// One field with the payload as JSON.
    Json,
}

impl View {
    /// Parses `fields` or `json`; anything else requests nothing.
    pub fn parse(text: &str) -> Option<View> {
        match text {
            "fields" => Some(View::Fields),
            "json" => Some(View::Json),
            _ => None,
        }
    }
}

/// A form that is ready to be rendered.
pub struct SwitchedForm {
    /// The form; its `view` and `shown` say which inputs it has.
    pub form: SubmitForm,
    /// A note about how the payload is edited; usually empty.
    pub note: String,
}

const NO_JSON: &str = "This is not valid JSON, so it cannot be shown as fields.";
const NO_FIT: &str = "The fields cannot show all of this payload, so it is edited as JSON.";

impl SubmitForm {
    /// The form as it opens: for the kind it asks for, or else for `first`, with the example of the kind unless a
    /// payload was given.
    pub fn opened(
        mut self,
        asked: Option<&KindInfo>,
        first: Option<&KindInfo>,
        requested: Option<View>,
    ) -> SwitchedForm {
        let info = if self.kind.is_empty() { first } else { asked };
        if let Some(info) = info {
            self.kind = info.kind.to_string();
            if self.payload.trim().is_empty() && self.fields.is_empty() {
                self.payload = example(info);
            }
        }
        self.view = if self.fields.is_empty() { "json" } else { "fields" }.into();
        self.switch_to(schema_of(info), requested.unwrap_or(View::Fields))
    }

    /// The form for the kind that is chosen now, after inputs of the kind `old` were shown. The payload is edited
    /// as requested, or else as before.
    pub fn switched(
        mut self,
        old: Option<&KindInfo>,
        new: Option<&KindInfo>,
        requested: Option<View>,
    ) -> SwitchedForm {
        if self.shown.is_empty() || self.shown == self.kind {
            let before = self.input_schema(schema_of(new)).map_or(View::Json, |_| View::Fields);
            self.view = if before == View::Fields { "fields" } else { "json" }.into();
            return self.switch_to(schema_of(new), requested.unwrap_or(before));
        }
        let inputs = input_fields(schema_of(old));
        let by_fields = self.input_schema(schema_of(old)).is_some();
        let typed = match inputs.filter(|_| by_fields) {
            Some(fields) => draft(fields, &self.fields),
            None => self.payload.clone(),
        };
        // Only an example is replaced by an example; what somebody typed is kept.
        let untouched =
            typed.trim().is_empty() || old.is_some_and(|old| same(&typed, old.example.as_str()));
        let kept = std::mem::take(&mut self.fields);
        self.view = "json".into();
        self.payload = match new {
            Some(info) if untouched || by_fields => example(info),
            Some(_) | None => typed,
        };
        let stays_json = !by_fields && (inputs.is_some() || !untouched);
        let before = if stays_json { View::Json } else { View::Fields };
        let mut switched = self.switch_to(schema_of(new), requested.unwrap_or(before));
        if !untouched {
            switched.form.carry_over(kept, schema_of(new));
        }
        switched
    }

    /// Whether the inputs belong to another kind than the chosen one. Without JavaScript, nobody has seen the right
    /// inputs yet.
    pub fn is_of_another_kind(&self, schema: Option<&Schema>) -> bool {
        let other = !self.shown.is_empty() && self.shown != self.kind;
        other
            && self.view == "fields"
            && (input_fields(schema).is_some() || !self.fields.is_empty())
    }

    /// Switches to the requested view, where the payload allows it.
    fn switch_to(mut self, schema: Option<&Schema>, requested: View) -> SwitchedForm {
        self.shown = self.kind.clone();
        let fields = input_fields(schema);
        let by_fields = self.view == "fields" && fields.is_some();
        let mut note = too_large(schema);
        match (fields, requested, by_fields) {
            (Some(fields), View::Json, true) => {
                self.payload = draft(fields, &self.fields);
                self.fields = InputTexts::new();
                self.view = "json".into();
            }
            (Some(fields), View::Fields, false) => match self.fitting(fields) {
                Ok(typed) => {
                    self.fields = typed;
                    self.payload.clear();
                    self.view = "fields".into();
                }
                Err(why) => {
                    note = why;
                    self.view = "json".into();
                }
            },
            (Some(_), View::Json, false) | (Some(_), View::Fields, true) => {}
            (None, View::Json | View::Fields, _) => self.view = "json".into(),
        }
        SwitchedForm { form: self, note }
    }

    fn fitting(&self, fields: &[Field]) -> Result<InputTexts, String> {
        let text = self.payload.trim();
        if text.is_empty() {
            return Ok(blank(fields));
        }
        if let Err(why) = self.limits.check(text) {
            return Err(sentence(&why.to_string()));
        }
        match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) => fill(fields, text).ok_or(NO_FIT.into()),
            Err(_) => Err(NO_JSON.into()),
        }
    }

    /// Keeps what was typed for another kind in the properties that have the same name.
    fn carry_over(&mut self, typed: InputTexts, schema: Option<&Schema>) {
        let Some(fields) = input_fields(schema).filter(|_| self.view == "fields") else { return };
        let known = |name: &String| fields.iter().any(|field| field.name == *name);
        let typed = typed.into_iter().filter(|(name, text)| known(name) && !text.is_empty());
        self.fields.extend(typed);
    }
}

/// The example of a kind; a kind without one starts with empty inputs.
fn example(info: &KindInfo) -> String {
    let none = info.example == Json::null() && input_fields(info.schema.as_ref()).is_some();
    if none { String::new() } else { json_text::editable(&info.example) }
}
