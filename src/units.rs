//! Durations (`25s`, `1m 30s`, `2 days`), sizes (`64kB`, `1 MiB`, `4096`) and addresses as the configuration file and the
//! command line have them.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::de::{Deserializer, Error, Unexpected, Visitor};

pub use crate::job::parse_duration;

/// Reads a size in bytes: a number, or a number with `kB`, `MB`, `GB` (powers of 1000) or `KiB`, `MiB`,
/// `GiB` (powers of 1024); the case of the letters does not matter.
///
/// # Errors
/// Says what is accepted.
pub fn parse_size(text: &str) -> Result<usize, String> {
    let refused = || format!("{text:?} is not a size such as 4096, 64kB or 2MiB");
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: usize = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return Err(refused()),
    };
    let number: usize = number.parse().map_err(|_| refused())?;
    number.checked_mul(factor).ok_or_else(|| format!("{text:?} is too large a size"))
}

/// Reads `ADDRESS:PORT`; `localhost:PORT` means 127.0.0.1.
///
/// # Errors
/// Says what is accepted.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse::<u16>().ok());
    match local {
        Some(port) => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        None => text.parse().map_err(|_| {
            format!("{text:?} is not an address with a port such as 127.0.0.1:8080 or [::1]:8080")
        }),
    }
}

/// Reads a text in a TOML file with a parser. Values of other types are refused with what is expected.
fn parsed<'de, D: Deserializer<'de>, T>(
    input: D,
    expected: &'static str,
    parse: fn(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    struct Parsed<T>(&'static str, fn(&str) -> Result<T, String>);

    impl<T> Visitor<'_> for Parsed<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            self.1(text).map_err(E::custom)
        }
    }

    input.deserialize_any(Parsed(expected, parse))
}

/// A duration in a TOML file.
pub(crate) fn duration<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    parsed(input, "a duration such as \"25s\" or \"1m 30s\"", parse_duration)
}

/// A size in a TOML file: a number of bytes, or a text with a unit.
pub(crate) fn size<'de, D, N>(input: D) -> Result<N, D::Error>
where
    D: Deserializer<'de>,
    N: TryFrom<usize>,
{
    struct Size;

    impl Visitor<'_> for Size {
        type Value = usize;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a size such as 4096, \"64kB\" or \"2MiB\"")
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<usize, E> {
            usize::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<usize, E> {
            parse_size(text).map_err(E::custom)
        }
    }

    let bytes = input.deserialize_any(Size)?;
    N::try_from(bytes).map_err(|_| D::Error::custom(format!("{bytes} is too large a size")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("4096", 4096),
            ("64kB", 64_000),
            ("64 KiB", 65_536),
            ("2mib", 2 << 20),
            ("1GB", 1_000_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "kB", "-1", "1.5MiB", "1 TB", "99999999999999999999", "99999999999999GiB"] {
            assert!(parse_size(bad).is_err(), "{bad:?} should be refused");
        }
    }
}
