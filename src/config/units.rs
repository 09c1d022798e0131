//! Durations and sizes as people write them: `25s`, `1m 30s`, `2 days`; `64kB`, `1 MiB`, `4096`.
//! Parsed once here; everything inside uses `Duration` and bytes.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

use crate::engine::RateLimit;

/// Reads a duration with units, such as `500ms`, `25s`, `1m 30s` or `30 days`.
///
/// # Errors
/// Says what is accepted.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let refused = || format!("{text:?} is not a duration such as 500ms, 25s, 1m 30s or 30 days");
    let text = text.trim();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let span: jiff::Span = text.parse().map_err(|_| refused())?;
    let length = span
        .to_duration(jiff::SpanRelativeTo::days_are_24_hours())
        .map_err(|_| format!("{} (months and years have no fixed length)", refused()))?;
    Duration::try_from(length).map_err(|_| format!("{text:?} is a negative duration"))
}

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

/// Reads how often something may happen, such as `100/1m` or `5 / 1s`: a number of times in any stretch of a
/// length.
///
/// # Errors
/// Says what is accepted.
pub fn parse_rate_limit(text: &str) -> Result<RateLimit, String> {
    let refused =
        || format!("{text:?} is not a rate such as 100/1m: a number from 1, a slash, a time");
    let (starts, within) = text.split_once('/').ok_or_else(refused)?;
    let starts = starts.trim().parse().ok().filter(|starts| *starts > 0).ok_or_else(refused)?;
    let within = parse_duration(within).ok().filter(|within| !within.is_zero());
    Ok(RateLimit { starts, within: within.ok_or_else(refused)? })
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

/// A duration in a TOML file.
pub(super) fn duration<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(input)?).map_err(D::Error::custom)
}

/// A rate in a TOML file.
pub(super) fn rate_limit<'de, D: Deserializer<'de>>(
    input: D,
) -> Result<Option<RateLimit>, D::Error> {
    parse_rate_limit(&String::deserialize(input)?).map(Some).map_err(D::Error::custom)
}

/// An address in a TOML file.
pub(super) fn listen<'de, D: Deserializer<'de>>(input: D) -> Result<SocketAddr, D::Error> {
    parse_listen(&String::deserialize(input)?).map_err(D::Error::custom)
}

/// A size in a TOML file: a number of bytes, or a text with a unit.
pub(super) fn size<'de, D: Deserializer<'de>>(input: D) -> Result<usize, D::Error> {
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

    input.deserialize_any(Size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let ms = |text| parse_duration(text).map(|d| d.as_millis());
        assert_eq!(ms("500ms"), Ok(500));
        assert_eq!(ms("25s"), Ok(25_000));
        assert_eq!(ms("1m 30s"), Ok(90_000));
        assert_eq!(ms("1m30s"), Ok(90_000));
        assert_eq!(ms("30 days"), Ok(30 * 86_400_000));
        assert_eq!(ms("2 weeks"), Ok(14 * 86_400_000));
        assert_eq!(ms("0"), Ok(0));
        for bad in ["", "25", "-5s", "5s ago", "soon", "1 month", "1e3s"] {
            assert!(parse_duration(bad).is_err(), "{bad:?} should be refused");
        }
        assert!(parse_duration("25").unwrap_err().contains("25s"));
    }

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

    #[test]
    fn rates_are_read_as_people_write_them() {
        let limit = |starts, seconds| RateLimit { starts, within: Duration::from_secs(seconds) };
        assert_eq!(parse_rate_limit("100/1m"), Ok(limit(100, 60)));
        assert_eq!(parse_rate_limit(" 5 / 1m 30s "), Ok(limit(5, 90)));
        for refused in
            ["", "100", "0/1m", "-1/1m", "1.5/1m", "100/", "100/0s", "100/soon", "5000000000/1s"]
        {
            let told = parse_rate_limit(refused).unwrap_err();
            assert!(told.contains("100/1m"), "{refused}: {told}");
        }
    }
}
