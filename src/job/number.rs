//! Numbers that people and programs choose. Each of them has one range, and every interface checks it here, so that the
//! same mistake is described in the same words everywhere.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::job::decimal::Decimal;
use crate::job::shorten::shorten;

/// The integers that a field accepts, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntegerRange {
    min: i64,
    max: i64,
}

/// The most characters of a wrong value that an error repeats.
const MAX_REPEATED: usize = 40;

impl IntegerRange {
    /// The integers from `min` to `max`.
    pub const fn new(min: i64, max: i64) -> Self {
        IntegerRange { min, max }
    }

    /// The integers from `min` on.
    pub const fn at_least(min: i64) -> Self {
        IntegerRange { min, max: i64::MAX }
    }

    /// The smallest accepted integer.
    pub const fn min(self) -> i64 {
        self.min
    }

    /// The largest accepted integer.
    pub const fn max(self) -> i64 {
        self.max
    }

    /// Checks an integer.
    ///
    /// # Errors
    /// Says what is accepted, and what the value is.
    pub fn check(self, number: impl Into<i128>) -> Result<i64, String> {
        let number = number.into();
        let checked = i64::try_from(number).ok().filter(|number| self.contains(*number));
        checked.ok_or_else(|| self.refusal(&number.to_string()))
    }

    /// Reads an integer that somebody has typed.
    ///
    /// # Errors
    /// As [`IntegerRange::check`].
    pub fn parse(self, text: &str) -> Result<i64, String> {
        let text = text.trim();
        match text.parse::<i64>() {
            Ok(number) if self.contains(number) => Ok(number),
            Ok(_) | Err(_) if is_number(text) => Err(self.refusal(text)),
            Ok(_) | Err(_) => Err(self.refusal(&format!("{:?}", shorten(text, MAX_REPEATED)))),
        }
    }

    /// Reads an integer from a JSON value. As in JSON Schema, `5.0` and `5e2` are integers, because their value has no
    /// fraction; some languages write whole numbers like that.
    ///
    /// # Errors
    /// As [`IntegerRange::check`].
    pub fn from_json(self, value: &str) -> Result<i64, String> {
        let exact = || Decimal::parse(value).and_then(Decimal::to_integer);
        match value.parse::<i64>().ok().or_else(exact) {
            Some(number) if self.contains(number) => Ok(number),
            Some(_) | None => Err(self.refusal(&describe(value))),
        }
    }

    /// The error about a value that is not in the range.
    pub fn refusal(self, found: &str) -> String {
        format!("must be {self}, but is {}", shorten(found, MAX_REPEATED))
    }

    fn contains(self, number: i64) -> bool {
        (self.min..=self.max).contains(&number)
    }
}

impl fmt::Display for IntegerRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (i64::MIN, i64::MAX) => f.write_str("an integer"),
            (min, i64::MAX) => write!(f, "an integer of at least {min}"),
            (min, max) => write!(f, "an integer from {min} to {max}"),
        }
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
}

/// What a JSON value is, in words; a number is repeated.
pub fn describe(value: &str) -> String {
    let inner = |end: char| value[1..].trim_start().starts_with(end);
    match value.as_bytes().first() {
        Some(b'"') if value == "\"\"" => "an empty string".into(),
        Some(b'"') => "a string".into(),
        Some(b'{') if inner('}') => "an empty object".into(),
        Some(b'{') => "an object".into(),
        Some(b'[') if inner(']') => "an empty array".into(),
        Some(b'[') => "an array".into(),
        Some(b't' | b'f') => value.into(),
        Some(b'n') => "null".into(),
        Some(_) => shorten(value, MAX_REPEATED),
        None => "missing".into(),
    }
}

/// How many attempts of a queue may run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Concurrency(u32);

impl Concurrency {
    /// The accepted numbers. A queue is stopped by pausing it, not with a concurrency of 0.
    pub const RANGE: IntegerRange = IntegerRange::new(1, 1_000_000);

    /// Checks a number.
    ///
    /// # Errors
    /// Says what is accepted.
    pub fn new(number: impl Into<i128>) -> Result<Self, String> {
        Self::checked(Self::RANGE.check(number))
    }

    /// Reads a number from a JSON value.
    ///
    /// # Errors
    /// Says what is accepted.
    pub fn from_json(value: &str) -> Result<Self, String> {
        Self::checked(Self::RANGE.from_json(value))
    }

    fn checked(number: Result<i64, String>) -> Result<Self, String> {
        let hint =
            |error: &str| if error.ends_with("is 0") { "; pause a queue to stop it" } else { "" };
        number.map(Self::clamped).map_err(|error| format!("{error}{}", hint(&error)))
    }

    /// The accepted number that is closest to this one. Stores of older versions may hold numbers outside the range;
    /// those versions counted a 0 as 1, too, when they started.
    pub const fn clamped(number: i64) -> Self {
        let (min, max) = (Self::RANGE.min, Self::RANGE.max);
        if number < min {
            Concurrency(min as u32)
        } else if number > max {
            Concurrency(max as u32)
        } else {
            Concurrency(number as u32)
        }
    }

    /// The number.
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for Concurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Concurrency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::checked(Self::RANGE.parse(text))
    }
}

/// Texts, such as configuration files and exports, must hold an accepted number. What a store holds is clamped.
impl<'de> Deserialize<'de> for Concurrency {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        if input.is_human_readable() {
            let number = Self::RANGE.deserialize_integer(input)?;
            Concurrency::new(number).map_err(D::Error::custom)
        } else {
            u32::deserialize(input).map(|stored| Self::clamped(stored.into()))
        }
    }
}

impl IntegerRange {
    /// Reads an integer that still has to be checked. What is no integer is refused in the words of the range.
    ///
    /// # Errors
    /// The value is no integer.
    pub fn deserialize_integer<'de, D: Deserializer<'de>>(self, input: D) -> Result<i64, D::Error> {
        input.deserialize_any(Integer(self))
    }
}

/// Visits a value that should be an integer.
struct Integer(IntegerRange);

impl Integer {
    fn refused<E: Error>(&self, found: &str) -> E {
        E::custom(self.0.refusal(found))
    }
}

impl<'de> Visitor<'de> for Integer {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<i64, E> {
        Ok(number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i64, E> {
        i64::try_from(number).map_err(|_| self.refused(&number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<i64, E> {
        Err(self.refused(&number.to_string()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<i64, E> {
        Err(self.refused(&value.to_string()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<i64, E> {
        Err(self.refused(if text.is_empty() { "an empty string" } else { "a string" }))
    }

    fn visit_unit<E: Error>(self) -> Result<i64, E> {
        Err(self.refused("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<i64, A::Error> {
        Err(self.refused("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<i64, A::Error> {
        Err(self.refused("an object"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: IntegerRange = IntegerRange::new(-5, 10);

    #[test]
    fn an_integer_is_read_from_text_and_from_json_with_the_same_words() {
        for good in ["-5", "0", "10"] {
            assert_eq!(RANGE.parse(good), RANGE.from_json(good));
            assert_eq!(RANGE.parse(good), RANGE.check(good.parse::<i64>().unwrap()));
        }
        assert_eq!(RANGE.parse(" 7 "), Ok(7));
        for bad in ["-6", "11", "1.5", "11.0", "1e3", "1e400", "99999999999999999999999", "-0.1"] {
            let words = format!("must be an integer from -5 to 10, but is {bad}");
            assert_eq!(RANGE.parse(bad), Err(words.clone()), "{bad}");
            assert_eq!(RANGE.from_json(bad), Err(words), "{bad}");
        }
        for (typed, shown) in
            [("", "\"\""), ("ten", "\"ten\""), ("NaN", "\"NaN\""), ("5 6", "\"5 6\"")]
        {
            let words = format!("must be an integer from -5 to 10, but is {shown}");
            assert_eq!(RANGE.parse(typed), Err(words));
        }
        assert!(RANGE.parse(&"9".repeat(1_000_000)).unwrap_err().len() < 200);
    }

    #[test]
    fn a_json_number_without_a_fraction_is_an_integer_however_it_is_written() {
        let all = IntegerRange::new(i64::MIN, i64::MAX);
        for (text, number) in [
            ("290.0", 290),
            ("-5.000", -5),
            ("0.0", 0),
            ("-0.0", 0),
            ("0e999999999999999999999", 0),
            ("2.9e2", 290),
            ("29E+1", 290),
            ("2900e-1", 290),
            ("0.00029e6", 290),
            ("-0.5e1", -5),
            ("9007199254740993.0", 9_007_199_254_740_993),
            ("9223372036854775807.0", i64::MAX),
            ("9.223372036854775807e18", i64::MAX),
        ] {
            assert_eq!(all.from_json(text), Ok(number), "{text}");
        }
        for bad in [
            "1.5",
            "1e-1",
            "29e-1",
            "0.1e0",
            "9223372036854775808.0",
            "1e19",
            "1e99999999999999999999",
            "-1e-99999999999999999999",
        ] {
            let words = format!("must be an integer, but is {bad}");
            assert_eq!(all.from_json(bad), Err(words), "{bad}");
        }
        assert_eq!(RANGE.parse("1.0").unwrap_err(), "must be an integer from -5 to 10, but is 1.0");
        let long = format!("1{}.{}e-{}", "0".repeat(99_999), "0".repeat(99_999), 99_999);
        assert_eq!(all.from_json(&long), Ok(1));
    }

    #[test]
    fn a_json_value_of_another_type_is_named_by_its_type() {
        for (value, shown) in [
            ("\"x\"", "a string"),
            ("\"\"", "an empty string"),
            ("{}", "an empty object"),
            ("{ }", "an empty object"),
            ("{\"a\":1}", "an object"),
            ("[]", "an empty array"),
            ("[1]", "an array"),
            ("true", "true"),
            ("null", "null"),
        ] {
            let words = format!("must be an integer from -5 to 10, but is {shown}");
            assert_eq!(RANGE.from_json(value), Err(words), "{value}");
        }
    }

    #[test]
    fn a_concurrency_is_checked_in_texts_and_clamped_in_stores() {
        let json =
            |text: &str| serde_json::from_str::<Concurrency>(text).map_err(|e| e.to_string());
        assert_eq!(json("3"), Ok(Concurrency::clamped(3)));
        for bad in ["0", "-1", "1.5", "1000001", "\"3\"", "{}", "[]", "true", "null", "1e300"] {
            let error = json(bad).unwrap_err();
            assert!(
                error.contains("must be an integer from 1 to 1000000, but is "),
                "{bad}: {error}"
            );
        }
        for (stored, read) in [(0, 1), (7, 7), (u32::MAX, 1_000_000)] {
            let bytes = postcard::to_stdvec(&stored).unwrap();
            assert_eq!(postcard::from_bytes::<Concurrency>(&bytes).unwrap().get(), read);
        }
        let bytes = postcard::to_stdvec(&Concurrency::clamped(300)).unwrap();
        assert_eq!(bytes, postcard::to_stdvec(&300_u32).unwrap());
    }
}
