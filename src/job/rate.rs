//! Rate limits of queues: how many attempts may start within a sliding window of time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::parse_duration;

/// A rate limit: at most `starts` attempts start in any window of length `within`; written as `100/1m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// The number of starts, at least 1.
    pub starts: u32,
    /// The length of the window, longer than zero.
    pub within: Duration,
}

/// A rate set for a queue at run time, which overrides the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateRule {
    /// There is no limit; written as `none`.
    Unlimited,
    /// Attempts start at most at this rate.
    Limit(RateLimit),
}

impl RateRule {
    /// Returns the limit, if there is one.
    pub fn limit(self) -> Option<RateLimit> {
        match self {
            RateRule::Unlimited => None,
            RateRule::Limit(limit) => Some(limit),
        }
    }
}

impl RateLimit {
    /// The limit as people say it: `2 starts per hour`, `100 starts per 10m`.
    pub fn in_words(&self) -> String {
        let starts =
            if self.starts == 1 { "1 start".to_owned() } else { format!("{} starts", self.starts) };
        match (self.within.as_secs(), self.within.subsec_nanos()) {
            (1, 0) => format!("{starts} per second"),
            (60, 0) => format!("{starts} per minute"),
            (3_600, 0) => format!("{starts} per hour"),
            (86_400, 0) => format!("{starts} per day"),
            (_, _) => format!("{starts} per {:#}", self.within()),
        }
    }

    fn within(&self) -> jiff::SignedDuration {
        jiff::SignedDuration::try_from(self.within).unwrap_or(jiff::SignedDuration::MAX)
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:#}", self.starts, self.within())
    }
}

impl fmt::Display for RateRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RateRule::Unlimited => f.write_str("none"),
            RateRule::Limit(limit) => limit.fmt(f),
        }
    }
}

/// Parses `100/1m` or `5 / 1s`: a number of starts and the length of the window. The error says what is accepted.
impl FromStr for RateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || {
            format!(
                "{text:?} is not a rate limit: expected at least 1 start per period, such as 100/1m"
            )
        };
        let (starts, within) = text.split_once('/').ok_or_else(refused)?;
        let starts = starts.trim().parse().ok().filter(|starts| *starts > 0).ok_or_else(refused)?;
        let within = parse_duration(within).ok().filter(|within| !within.is_zero());
        Ok(RateLimit { starts, within: within.ok_or_else(refused)? })
    }
}

/// Parses `none` or a [`RateLimit`].
impl FromStr for RateRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "none" {
            return Ok(RateRule::Unlimited);
        }
        text.parse().map(RateRule::Limit).map_err(|error| format!("{error}, or none"))
    }
}

impl Serialize for RateLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for RateRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RateLimit {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        String::deserialize(input)?.parse().map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for RateRule {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        String::deserialize(input)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(starts: u32, seconds: u64) -> RateLimit {
        RateLimit { starts, within: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_limit_is_shown_in_words() {
        for (starts, seconds, words) in [
            (1, 1, "1 start per second"),
            (2, 3_600, "2 starts per hour"),
            (100, 600, "100 starts per 10m"),
            (5, 86_400, "5 starts per day"),
        ] {
            assert_eq!(limit(starts, seconds).in_words(), words);
        }
    }

    #[test]
    fn rates_are_read_as_people_write_them() {
        assert_eq!("100/1m".parse(), Ok(limit(100, 60)));
        assert_eq!(" 5 / 1m 30s ".parse(), Ok(limit(5, 90)));
        assert_eq!("7/1 day".parse(), Ok(limit(7, 86_400)));
        assert_eq!(" none ".parse(), Ok(RateRule::Unlimited));
        for refused in
            ["", "100", "0/1m", "-1/1m", "1.5/1m", "100/", "100/0s", "100/soon", "5000000000/1s"]
        {
            let message = refused.parse::<RateLimit>().unwrap_err();
            assert!(message.contains("100/1m"), "{refused}: {message}");
            let message = refused.parse::<RateRule>().unwrap_err();
            assert!(message.contains("100/1m") && message.contains("none"), "{refused}: {message}");
        }
    }

    #[test]
    fn a_rate_reads_as_it_is_written() {
        assert_eq!(limit(100, 60).to_string(), "100/1m");
        assert_eq!(limit(1, 90).to_string(), "1/1m 30s");
        let odd = RateLimit { starts: u32::MAX, within: Duration::new(86_399, 1_000_001) };
        let longest = RateLimit { starts: 1, within: Duration::from_secs(365 * 86_400) };
        for limit in [odd, longest] {
            let rule = RateRule::Limit(limit);
            assert_eq!(rule.to_string().parse(), Ok(rule));
            let packed = postcard::to_stdvec(&rule).unwrap();
            assert_eq!(postcard::from_bytes::<RateRule>(&packed).unwrap(), rule);
        }
        assert_eq!(RateRule::Unlimited.to_string(), "none");
    }
}
