//! Times of the API: texts of RFC 3339, which the client writes in UTC and with milliseconds.

use std::time::{SystemTime, UNIX_EPOCH};

/// A time in a request: a [`SystemTime`], or a text that the API takes, such as `2026-11-23T08:00:00Z`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiTime(String);

impl ApiTime {
    pub(super) fn into_text(self) -> String {
        self.0
    }
}

impl From<SystemTime> for ApiTime {
    fn from(time: SystemTime) -> ApiTime {
        ApiTime(rfc3339(time))
    }
}

impl From<String> for ApiTime {
    fn from(text: String) -> ApiTime {
        ApiTime(text)
    }
}

impl From<&str> for ApiTime {
    fn from(text: &str) -> ApiTime {
        ApiTime(text.to_owned())
    }
}

impl From<&String> for ApiTime {
    fn from(text: &String) -> ApiTime {
        ApiTime(text.clone())
    }
}

/// Formats a time; one before 1970 counts as 1970.
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (since.as_secs(), since.subsec_millis());
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// The year, month and day of a number of days since 1970, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years begin in March here, so that the leap day is the last one; an era has 400 of them.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year_of_era + later, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_795_420_801_500, "2026-11-23T08:00:01.500Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_millis(millis)), text);
        }
    }
}
