//! The errors of deserializers in the words of this crate. serde and the parsers that use it describe a value in terms of Rust
//! ("invalid type: string "x", expected u16"); people and programs get the words of [`Fields`](super::Fields) instead.

use super::IntegerRange;

/// Why a deserializer refused a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The member that is missing, unknown or repeated, if the error is about one.
    member: Option<String>,
    /// What is wrong, and what is accepted.
    pub message: String,
    /// Whether an integer was expected, so that a caller who knows its range can say more.
    pub expects_integer: bool,
}

impl Refusal {
    /// Translates a message of serde, without a position. `object` is what the format calls an object.
    pub fn of(message: &str, object: &str) -> Refusal {
        let own = |message: String| Refusal { member: None, message, expects_integer: false };
        let of_member =
            |member: &str, message: String| Refusal { member: Some(member.into()), ..own(message) };
        for prefix in ["invalid type: ", "invalid value: "] {
            let parts = message.strip_prefix(prefix).and_then(|it| it.rsplit_once(", expected "));
            if let Some((found, expected)) = parts {
                let message =
                    format!("must be {}, but is {}", accepted(expected, object), is(found, object));
                return Refusal { expects_integer: range(expected).is_some(), ..own(message) };
            }
        }
        let length =
            message.strip_prefix("invalid length ").and_then(|it| it.split_once(", expected "));
        if let Some((count, expected)) = length {
            let elements = if count == "1" { "element" } else { "elements" };
            let expected = accepted(expected, object);
            return own(format!("must be {expected}, but has {count} {elements}"));
        }
        if let Some(member) = quoted(message.strip_prefix("missing field ")) {
            return of_member(member, "is required".into());
        }
        if let Some(member) = quoted(message.strip_prefix("duplicate field ")) {
            return of_member(member, super::fields::REPEATED.into());
        }
        let unknown = message.strip_prefix("unknown field ").and_then(|it| it.split_once(", "));
        if let Some((member, known)) = unknown {
            let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
            return of_member(member.trim_matches('`'), super::fields::unknown(&known));
        }
        let variant = message.strip_prefix("unknown variant ").and_then(|it| it.split_once(", "));
        if let Some((found, known)) = variant {
            let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
            let known = one_of(&known);
            return own(format!("must be {known}, but is {:?}", found.trim_matches('`')));
        }
        match message {
            // serde_json says this of anything in place of an enumeration.
            "expected value" => own(format!("must be a string, or {object} with one known member")),
            other => own(other.to_owned()),
        }
    }

    /// The path of what is wrong, given the path at which the deserializer was.
    pub fn path(&self, at: &str) -> String {
        match &self.member {
            None => at.to_owned(),
            Some(member) if at.rsplit('.').next() == Some(member) => at.to_owned(),
            Some(member) if at.is_empty() => member.clone(),
            Some(member) => format!("{at}.{member}"),
        }
    }
}

/// The text between the first two backquotes.
fn quoted(text: Option<&str>) -> Option<&str> {
    text?.strip_prefix('`')?.split('`').next()
}

fn one_of(known: &[&str]) -> String {
    match known {
        [one] => (*one).to_owned(),
        [one, other] => format!("{one} or {other}"),
        all => format!("one of {}", all.join(", ")),
    }
}

/// The integers of a type of Rust.
fn range(expected: &str) -> Option<IntegerRange> {
    Some(match expected {
        "u8" => IntegerRange::new(0, u8::MAX.into()),
        "u16" => IntegerRange::new(0, u16::MAX.into()),
        "u32" => IntegerRange::new(0, u32::MAX.into()),
        "u64" | "usize" => IntegerRange::new(0, i64::MAX),
        "i8" => IntegerRange::new(i8::MIN.into(), i8::MAX.into()),
        "i16" => IntegerRange::new(i16::MIN.into(), i16::MAX.into()),
        "i32" => IntegerRange::new(i32::MIN.into(), i32::MAX.into()),
        "i64" | "isize" => IntegerRange::new(i64::MIN, i64::MAX),
        _ => return None,
    })
}

fn accepted(expected: &str, object: &str) -> String {
    if let Some(range) = range(expected) {
        return range.to_string();
    }
    match expected {
        "a borrowed string" | "string" | "path string" | "str" => "a string".into(),
        "a boolean" => "true or false".into(),
        "f32" | "f64" => "a number".into(),
        "a sequence" => "an array".into(),
        "unit" => "null".into(),
        "a map" => object.into(),
        _ if expected.starts_with("struct ") => object.into(),
        _ if expected.starts_with("tuple ") || expected.starts_with("a tuple ") => {
            let count = expected.split(' ').find(|word| word.parse::<u32>().is_ok());
            format!("an array of {} elements", count.unwrap_or("some"))
        }
        // Types with rules of their own describe them in words.
        other => other.to_owned(),
    }
}

fn is(found: &str, object: &str) -> String {
    if let Some(text) = found.strip_prefix("string ") {
        return if text == "\"\"" { "an empty string" } else { "a string" }.into();
    }
    if let Some((_, value)) = found.split_once(" `") {
        return value.trim_end_matches('`').to_owned();
    }
    match found {
        "unit value" | "Option value" => "null".into(),
        "sequence" => "an array".into(),
        "map" => object.into(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    #[allow(dead_code)]
    enum Colour {
        Red,
        Green(u8),
        Blue {
            #[allow(dead_code)]
            depth: u16,
        },
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    #[allow(dead_code)]
    struct Whole {
        small: u8,
        big: u64,
        index: usize,
        signed: i32,
        real: f64,
        text: String,
        owned: Box<str>,
        path: std::path::PathBuf,
        flag: bool,
        list: Vec<u32>,
        pair: Option<(u8, String)>,
        map: BTreeMap<String, u8>,
        colour: Option<Colour>,
        part: Option<Part>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Part {
        needed: u32,
    }

    /// What serde says of every sort of value, in our words. The test fails when serde changes its own.
    #[test]
    fn every_error_of_a_deserializer_is_in_our_words() {
        for (json, expected) in [
            (r#"{"small":256}"#, "small: must be an integer from 0 to 255, but is 256"),
            (r#"{"small":-1}"#, "small: must be an integer from 0 to 255, but is -1"),
            (r#"{"small":1.5}"#, "small: must be an integer from 0 to 255, but is 1.5"),
            (
                r#"{"small":"x, expected y"}"#,
                "small: must be an integer from 0 to 255, but is a string",
            ),
            (r#"{"big":-1}"#, "big: must be an integer of at least 0, but is -1"),
            (r#"{"index":""}"#, "index: must be an integer of at least 0, but is an empty string"),
            (
                r#"{"signed":2147483648}"#,
                "signed: must be an integer from -2147483648 to 2147483647, but is 2147483648",
            ),
            (r#"{"real":"1"}"#, "real: must be a number, but is a string"),
            (r#"{"text":7}"#, "text: must be a string, but is 7"),
            (r#"{"text":null}"#, "text: must be a string, but is null"),
            (r#"{"owned":[]}"#, "owned: must be a string, but is an array"),
            (r#"{"path":true}"#, "path: must be a string, but is true"),
            (r#"{"flag":"yes"}"#, "flag: must be true or false, but is a string"),
            (r#"{"list":{}}"#, "list: must be an array, but is an object"),
            (
                r#"{"list":[1,"2"]}"#,
                "list[1]: must be an integer from 0 to 4294967295, but is a string",
            ),
            (r#"{"pair":[1]}"#, "pair: must be an array of 2 elements, but has 1 element"),
            (r#"{"map":[]}"#, "map: must be an object, but is an array"),
            (r#"{"map":{"a":"b"}}"#, "map.a: must be an integer from 0 to 255, but is a string"),
            (r#"{"colour":"pink"}"#, "colour: must be one of red, green, blue, but is \"pink\""),
            (r#"{"colour":5}"#, "colour: must be a string, or an object with one known member"),
            (
                r#"{"colour":{"green":"x"}}"#,
                "colour.green: must be an integer from 0 to 255, but is a string",
            ),
            (r#"{"colour":{"blue":7}}"#, "colour.blue: must be an object, but is 7"),
            (r#"{"part":{}}"#, "part.needed: is required"),
            (r#"{"part":{"needed":1,"needed":2}}"#, "part.needed: occurs more than once"),
            (r#"{"part":{"other":1}}"#, "part.other: is not known; expected one of needed"),
            (r#"{"part":7}"#, "part: must be an object, but is 7"),
        ] {
            let mut input = serde_json::Deserializer::from_str(json);
            let error = serde_path_to_error::deserialize::<_, Whole>(&mut input).unwrap_err();
            let whole = error.inner().to_string();
            let refusal = Refusal::of(whole.split(" at line ").next().unwrap(), "an object");
            let path = refusal.path(&error.path().to_string());
            assert_eq!(format!("{path}: {}", refusal.message), expected, "{json}: {whole}");
        }
    }
}
