//! Arguments with placeholders: `{key}` is replaced by a value of the payload, `{{` and `}}` are braces.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A declared argument. Its text may be a secret, so that it is never shown; the names of its placeholders are public.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<TemplatePart>,
}

/// Whether an argument that begins with a placeholder may begin with `-` once it is filled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dashes {
    /// It may not: a submitter could pass options that the operator did not intend to offer.
    #[default]
    Refuse,
    /// It may: the program is known to treat it as data.
    Allow,
}

#[derive(Clone, PartialEq, Eq)]
enum TemplatePart {
    Text(String),
    Value(String),
}

impl Template {
    /// The names of its placeholders.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            TemplatePart::Value(key) => Some(key.as_str()),
            TemplatePart::Text(_) => None,
        })
    }

    /// The argument with values in place of its placeholders.
    ///
    /// # Errors
    /// Which value is missing or cannot be used.
    pub(super) fn fill(
        &self,
        values: &BTreeMap<String, Box<RawValue>>,
        dashes: Dashes,
    ) -> Result<String, String> {
        let mut argument = String::new();
        for part in &self.parts {
            match part {
                TemplatePart::Text(text) => argument.push_str(text),
                TemplatePart::Value(key) => {
                    let raw = values.get(key).ok_or_else(|| format!("{key:?} is missing"))?;
                    argument.push_str(&plain(key, raw)?);
                }
            }
        }
        match (self.parts.first(), dashes) {
            (Some(TemplatePart::Value(key)), Dashes::Refuse) if argument.starts_with('-') => {
                Err(format!(
                    "{key:?} must not begin with \"-\"; the command's setting dashes = \"allow\" permits it"
                ))
            }
            (Some(_) | None, Dashes::Refuse | Dashes::Allow) => Ok(argument),
        }
    }
}

/// The text of a string, or a number or boolean as it was typed.
fn plain(key: &str, raw: &RawValue) -> Result<String, String> {
    let text = raw.get();
    let value = match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str(text).map_err(|error| error.to_string())?,
        Some(b'{' | b'[' | b'n') | None => {
            return Err(format!("{key:?} must be a string, a number or a boolean"));
        }
        Some(_) => text.to_owned(),
    };
    if value.contains('\0') {
        return Err(format!("{key:?} has a NUL character, which no argument can carry"));
    }
    Ok(value)
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = |why: &str| Err(format!("{why}; write {{{{ and }}}} for plain braces"));
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '{' | '}' if rest.next_if_eq(&c).is_some() => plain.push(c),
                '{' => {
                    let mut key = String::new();
                    loop {
                        match rest.next() {
                            Some('}') => break,
                            Some(c) if c.is_ascii_alphanumeric() || c == '_' => key.push(c),
                            Some(_) => return refused("a placeholder is letters, digits and _"),
                            None => return refused("a { is not closed"),
                        }
                    }
                    if key.is_empty() {
                        return refused("a placeholder has no name");
                    }
                    if !plain.is_empty() {
                        parts.push(TemplatePart::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(TemplatePart::Value(key));
                }
                '}' => return refused("a } was not opened"),
                '\0' => return refused("no argument can carry a NUL character"),
                c => plain.push(c),
            }
        }
        if !plain.is_empty() {
            parts.push(TemplatePart::Text(plain));
        }
        Ok(Template { parts })
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, args: &str, dashes: Dashes) -> Result<String, String> {
        let values = serde_json::from_str(args).unwrap();
        template.parse::<Template>().unwrap().fill(&values, dashes)
    }

    #[test]
    fn values_take_the_place_of_their_placeholders() {
        for (template, args, expected) in [
            ("--in={input}", r#"{"input":"a b"}"#, "--in=a b"),
            ("{a}{b}", r#"{"a":1,"b":true}"#, "1true"),
            ("{n}", r#"{"n":12345678901234567890123}"#, "12345678901234567890123"),
            ("{{{a}}}", r#"{"a":"x"}"#, "{x}"),
            ("", "{}", ""),
            ("{a}", r#"{"a":"{b}"}"#, "{b}"),
        ] {
            assert_eq!(
                filled(template, args, Dashes::Refuse).as_deref(),
                Ok(expected),
                "{template}"
            );
        }
    }

    #[test]
    fn what_no_argument_can_be_is_refused() {
        for (args, says) in [
            ("{}", "missing"),
            (r#"{"a":null}"#, "string"),
            (r#"{"a":[1]}"#, "string"),
            (r#"{"a":{}}"#, "string"),
            (r#"{"a":"x\u0000y"}"#, "NUL"),
            (r#"{"a":"-rf"}"#, "begin with"),
            (r#"{"a":-5}"#, "begin with"),
        ] {
            let error = filled("{a}", args, Dashes::Refuse).unwrap_err();
            assert!(error.contains(says), "{args}: {error}");
        }
        assert_eq!(filled("{a}", r#"{"a":-5}"#, Dashes::Allow).as_deref(), Ok("-5"));
        assert_eq!(filled("x{a}", r#"{"a":-5}"#, Dashes::Refuse).as_deref(), Ok("x-5"));
    }

    #[test]
    fn a_template_shows_only_its_placeholders_and_nonsense_is_refused() {
        for (text, shown) in
            [("--in={input}", r#"["input"]"#), ("{a}{b_2}", r#"["a", "b_2"]"#), ("s3cret", "[]")]
        {
            assert_eq!(format!("{:?}", text.parse::<Template>().unwrap()), shown);
        }
        for bad in ["s3cret{", "s3cret}", "s3cret{}", "{a b}", "{s3cret", "a}", "{a{b}}"] {
            let why = bad.parse::<Template>().expect_err(bad);
            assert!(!why.contains("s3cret"), "{why}");
        }
    }
}
