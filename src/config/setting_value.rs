//! A value that a program gives a setting.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The value of a setting, for [`Builder::set`](crate::Builder::set). Integers, booleans, numbers, texts, paths, durations and
/// lists of them convert into it. Everything that the file writes as a text (`"10s"`, `"8MiB"`, `"100/1m"`) can be a text here.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingValue(Literal);

/// The value as TOML has it, or why it has no such value.
#[derive(Debug, Clone, PartialEq)]
enum Literal {
    Toml(String),
    Refused(String),
}

impl SettingValue {
    /// The value as TOML writes it.
    ///
    /// # Errors
    /// Why no setting can have the value.
    pub(super) fn toml(&self) -> Result<&str, &str> {
        match &self.0 {
            Literal::Toml(text) => Ok(text),
            Literal::Refused(why) => Err(why),
        }
    }

    fn literal(text: impl Into<String>) -> SettingValue {
        SettingValue(Literal::Toml(text.into()))
    }

    fn list(values: impl IntoIterator<Item = SettingValue>) -> SettingValue {
        let mut list = String::from("[");
        for value in values {
            match value.0 {
                Literal::Toml(text) => list.extend([text.as_str(), ", "]),
                refused @ Literal::Refused(_) => return SettingValue(refused),
            }
        }
        list.push(']');
        SettingValue::literal(list)
    }
}

/// A string of TOML, with every character escaped that could end it.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if control.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

impl From<&str> for SettingValue {
    fn from(text: &str) -> Self {
        SettingValue::literal(quoted(text))
    }
}

impl From<String> for SettingValue {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<bool> for SettingValue {
    fn from(is: bool) -> Self {
        SettingValue::literal(is.to_string())
    }
}

impl From<f64> for SettingValue {
    fn from(number: f64) -> Self {
        // `{:?}` keeps the point, without which the number would be an integer.
        SettingValue::literal(format!("{number:?}").replace("NaN", "nan"))
    }
}

/// A length of time, to the nanosecond.
impl From<Duration> for SettingValue {
    fn from(length: Duration) -> Self {
        let (seconds, nanoseconds) = (length.as_secs(), length.subsec_nanos());
        let text = match nanoseconds {
            0 => format!("{seconds}s"),
            whole if whole % 1_000_000 == 0 => format!("{}ms", length.as_millis()),
            _ => format!("{seconds}s {nanoseconds}ns"),
        };
        text.into()
    }
}

/// A path. It must be UTF-8, as the file must be.
impl From<&Path> for SettingValue {
    fn from(path: &Path) -> Self {
        match path.to_str() {
            Some(text) => text.into(),
            None => {
                let why = format!("must be UTF-8, but is {}", path.display());
                SettingValue(Literal::Refused(why))
            }
        }
    }
}

impl From<PathBuf> for SettingValue {
    fn from(path: PathBuf) -> Self {
        path.as_path().into()
    }
}

impl<T: Into<SettingValue>> From<Vec<T>> for SettingValue {
    fn from(values: Vec<T>) -> Self {
        SettingValue::list(values.into_iter().map(Into::into))
    }
}

impl<T: Into<SettingValue>, const N: usize> From<[T; N]> for SettingValue {
    fn from(values: [T; N]) -> Self {
        SettingValue::list(values.into_iter().map(Into::into))
    }
}

impl<T: Clone + Into<SettingValue>> From<&[T]> for SettingValue {
    fn from(values: &[T]) -> Self {
        SettingValue::list(values.iter().cloned().map(Into::into))
    }
}

macro_rules! from_integers {
    ($($integer:ty),*) => {
        $(impl From<$integer> for SettingValue {
            fn from(number: $integer) -> Self {
                SettingValue::literal(number.to_string())
            }
        })*
    };
}

from_integers!(i8, i16, i32, i64, isize, u8, u16, u32, u64, usize);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::parse_duration;

    #[test]
    fn values_are_written_as_toml_reads_them() {
        for (value, expected) in [
            (SettingValue::from(7), "7"),
            (u64::MAX.into(), "18446744073709551615"),
            (true.into(), "true"),
            (1.0.into(), "1.0"),
            ("a \"b\" \\ \n".into(), r#""a \"b\" \\ \u000A""#),
            (["a", "b"].into(), r#"["a", "b", ]"#),
            (vec![vec![1], vec![]].into(), "[[1, ], [], ]"),
            (Duration::from_millis(1_500).into(), r#""1500ms""#),
        ] {
            assert_eq!(value.toml(), Ok(expected));
        }
    }

    #[test]
    fn a_duration_stays_the_same() {
        for nanoseconds in [0, 1, 1_000_000, 25_000_000_000, 86_400_000_000_007] {
            let length = Duration::from_nanos(nanoseconds);
            let value = SettingValue::from(length);
            let text = value.toml().unwrap().trim_matches('"').to_owned();
            assert_eq!(parse_duration(&text), Ok(length), "{text}");
        }
    }

    #[test]
    fn a_path_that_is_no_text_is_refused() {
        use std::os::unix::ffi::OsStrExt as _;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"da\xfft"));
        assert!(SettingValue::from(path).toml().unwrap_err().contains("UTF-8"));
        assert!(SettingValue::from(vec![path]).toml().is_err());
    }
}
