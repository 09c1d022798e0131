//! The builder of the form of a schedule: how often it repeats, from which a pattern is made and which is read from a pattern.
//! The pattern remains a field of its own, which is what is stored.

use crate::job::names_of;
use crate::job::shorten::shorten;
use crate::ui::submit::form_value::cut;

/// The prefix of the names of its fields.
pub const PREFIX: &str = "repeat";
/// The weekdays in patterns, and their names.
pub const WEEKDAYS: [(&str, &str); 7] = [
    ("mon", "Monday"),
    ("tue", "Tuesday"),
    ("wed", "Wednesday"),
    ("thu", "Thursday"),
    ("fri", "Friday"),
    ("sat", "Saturday"),
    ("sun", "Sunday"),
];
/// The choices of how often, and their words.
pub const CHOICES: [(&str, &str); 7] = [
    ("", "By a pattern"),
    ("minutes", "Every few minutes"),
    ("hours", "Every hour or every few hours"),
    ("daily", "Every day"),
    ("weekdays", "Every weekday (Monday to Friday)"),
    ("weekly", "Every week"),
    ("monthly", "Every month"),
];
/// The longest text of a field that is repeated in an error.
const SHOWN: usize = 60;
/// The most times of day.
const MAX_TIMES: usize = 24;

/// The fields of the builder as they were typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepeatForm {
    /// How often; empty for a pattern that the builder does not make.
    pub often: String,
    /// The minutes between two runs.
    pub minutes: String,
    /// The hours between two runs.
    pub hours: String,
    /// The minute of the hour.
    pub minute: String,
    /// The times of day, separated by commas.
    pub times: String,
    /// The weekday.
    pub weekday: String,
    /// The day of the month, or `last`.
    pub day: String,
    /// The pattern that the fields stood for when the page was made. If they stand for another one by now, the builder was
    /// used after that, and replaces the pattern.
    pub built: String,
}

/// The error of a field of the builder: the name of the field and the message.
pub type RepeatError = (&'static str, String);

impl Default for RepeatForm {
    fn default() -> Self {
        RepeatForm {
            often: String::new(),
            minutes: "15".into(),
            hours: "1".into(),
            minute: "0".into(),
            times: "09:00".into(),
            weekday: "mon".into(),
            day: "1".into(),
            built: String::new(),
        }
    }
}

impl RepeatForm {
    /// The field of this name.
    pub fn field(&mut self, name: &str) -> Option<&mut String> {
        match name {
            "repeat" => Some(&mut self.often),
            "repeat_minutes" => Some(&mut self.minutes),
            "repeat_hours" => Some(&mut self.hours),
            "repeat_minute" => Some(&mut self.minute),
            "repeat_times" => Some(&mut self.times),
            "repeat_weekday" => Some(&mut self.weekday),
            "repeat_day" => Some(&mut self.day),
            "repeat_built" => Some(&mut self.built),
            _ => None,
        }
    }

    /// The pattern for what was chosen; `None` when nothing was.
    ///
    /// # Errors
    /// The field that is wrong, and what it accepts.
    pub fn pattern(&self) -> Result<Option<String>, RepeatError> {
        let pattern = match self.often.as_str() {
            "minutes" => format!("every {}m", number("repeat_minutes", &self.minutes, 1, 1_440)?),
            "hours" => {
                let minute = number("repeat_minute", &self.minute, 0, 59)?;
                match number("repeat_hours", &self.hours, 1, 23)? {
                    1 => format!("{minute} * * * *"),
                    hours => format!("{minute} */{hours} * * *"),
                }
            }
            "daily" => format!("{} * * *", self.minute_and_hour()?),
            "weekdays" => format!("{} * * mon-fri", self.minute_and_hour()?),
            "weekly" => {
                let day = WEEKDAYS.iter().find(|(day, _)| *day == self.weekday);
                let Some((day, _)) = day else {
                    let accepted = "use mon, tue, wed, thu, fri, sat or sun";
                    let wrong = shorten(&self.weekday, SHOWN);
                    return Err(("repeat_weekday", format!("{wrong:?} is no weekday; {accepted}")));
                };
                format!("{} * * {day}", self.minute_and_hour()?)
            }
            "monthly" => {
                let day = self.day.trim();
                let day = if day.eq_ignore_ascii_case("last") {
                    "L".to_owned()
                } else {
                    let wrong = |(field, why)| (field, format!("{why}, or last"));
                    number("repeat_day", day, 1, 31).map_err(wrong)?.to_string()
                };
                format!("{} {day} * *", self.minute_and_hour()?)
            }
            _ => return Ok(None),
        };
        Ok(Some(pattern))
    }

    /// The fields for a pattern, or none chosen if the builder does not make it.
    pub fn of_pattern(pattern: &str) -> RepeatForm {
        let form = read(pattern.trim()).unwrap_or_default();
        // A pattern with another spelling would be replaced by the one of the builder.
        let built = form.pattern().ok().flatten().unwrap_or_default();
        RepeatForm { built, ..form }
    }

    /// The form as a page repeats it.
    pub fn shown(mut self) -> RepeatForm {
        cut([&mut self.minutes, &mut self.hours, &mut self.minute, &mut self.times]);
        cut([&mut self.often, &mut self.weekday, &mut self.day, &mut self.built]);
        self
    }

    /// The first two fields of a pattern: all times have the same minute, or the same hour.
    fn minute_and_hour(&self) -> Result<String, RepeatError> {
        let wrong = |why: String| ("repeat_times", why);
        let times = self.times.split([',', ' ']).map(str::trim).filter(|time| !time.is_empty());
        let times: Vec<&str> = times.take(MAX_TIMES + 1).collect();
        if times.is_empty() || times.len() > MAX_TIMES {
            return Err(wrong(format!(
                "1 to {MAX_TIMES} times of day are accepted, separated by commas, such as 08:00, 20:00"
            )));
        }
        let mut read = Vec::new();
        for time in times {
            let Some(time) = time_of_day(time) else {
                let time = shorten(time, SHOWN);
                return Err(wrong(format!(
                    "{time:?} is no time of day; use 00:00 to 23:59, separated by commas"
                )));
            };
            read.push(time);
        }
        read.sort_unstable();
        read.dedup();
        let all = |values: &mut dyn Iterator<Item = u8>| {
            let mut values: Vec<u8> = values.collect();
            values.sort_unstable();
            values.dedup();
            values
        };
        let hours = all(&mut read.iter().map(|(hour, _)| *hour));
        let minutes = all(&mut read.iter().map(|(_, minute)| *minute));
        if hours.len() > 1 && minutes.len() > 1 {
            return Err(wrong(
                "the times of one pattern have the same minute (08:30, 20:30) or the same hour \
                 (08:00, 08:30); make one schedule for each of the others"
                    .into(),
            ));
        }
        let list = |values: Vec<u8>| {
            let texts: Vec<String> = values.iter().map(u8::to_string).collect();
            texts.join(",")
        };
        Ok(format!("{} {}", list(minutes), list(hours)))
    }
}

fn number(field: &'static str, text: &str, least: u32, most: u32) -> Result<u32, RepeatError> {
    let parsed = text.trim().parse::<u32>().ok().filter(|number| (least..=most).contains(number));
    parsed.ok_or_else(|| {
        (
            field,
            format!("{:?} is not valid; use a number from {least} to {most}", shorten(text, SHOWN)),
        )
    })
}

fn time_of_day(text: &str) -> Option<(u8, u8)> {
    let (hour, minute) = text.split_once(':')?;
    let part = |text: &str, most: u8| {
        let is_short = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u8>().ok().filter(|value| is_short && *value <= most)
    };
    Some((part(hour, 23)?, part(minute, 59).filter(|_| minute.len() == 2)?))
}

fn read(pattern: &str) -> Option<RepeatForm> {
    let form = RepeatForm::default();
    let often = |often: &str| RepeatForm { often: often.into(), ..form.clone() };
    if let Some(minutes) = pattern.strip_prefix("every ").and_then(|rest| rest.strip_suffix('m')) {
        let minutes = plain(minutes, 1, 1_440)?.to_string();
        return Some(RepeatForm { minutes, ..often("minutes") });
    }
    let fields: Vec<&str> = match pattern {
        "@hourly" => vec!["0", "*", "*", "*", "*"],
        "@daily" => vec!["0", "0", "*", "*", "*"],
        "@weekly" => vec!["0", "0", "*", "*", "sun"],
        "@monthly" => vec!["0", "0", "1", "*", "*"],
        _ => pattern.split_whitespace().collect(),
    };
    let [minute, hour, day, "*", weekday] = fields[..] else { return None };
    if let Some(minutes) = minute.strip_prefix("*/").and_then(|step| plain(step, 1, 30))
        && (hour, day, weekday) == ("*", "*", "*")
        && 60 % minutes == 0
    {
        return Some(RepeatForm { minutes: minutes.to_string(), ..often("minutes") });
    }
    let hours =
        if hour == "*" { Some(1) } else { hour.strip_prefix("*/").and_then(|n| plain(n, 2, 23)) };
    if let Some(hours) = hours {
        let minute = plain(minute, 0, 59)?.to_string();
        let is_every_day = (day, weekday) == ("*", "*");
        return is_every_day.then(|| RepeatForm {
            hours: hours.to_string(),
            minute,
            ..often("hours")
        });
    }
    let values = |list: &str, most: u32| -> Option<Vec<u32>> {
        names_of(list).map(|value| plain(value, 0, most)).collect()
    };
    let (minutes, hours) = (values(minute, 59)?, values(hour, 23)?);
    if (minutes.len() > 1 && hours.len() > 1) || minutes.len() * hours.len() > MAX_TIMES {
        return None;
    }
    let times = hours
        .iter()
        .flat_map(|hour| minutes.iter().map(move |minute| format!("{hour:02}:{minute:02}")));
    let times = times.collect::<Vec<String>>().join(", ");
    let kind = match (day, weekday) {
        ("*", "*") => often("daily"),
        ("*", "mon-fri" | "1-5") => often("weekdays"),
        ("*", weekday) => {
            let number = plain(weekday, 0, 7).map(|number| (number as usize + 6) % 7);
            let named = WEEKDAYS.iter().position(|(day, _)| *day == weekday);
            let (day, _) = WEEKDAYS[number.or(named)?];
            RepeatForm { weekday: day.into(), ..often("weekly") }
        }
        ("L", "*") => RepeatForm { day: "last".into(), ..often("monthly") },
        (day, "*") => RepeatForm { day: plain(day, 1, 31)?.to_string(), ..often("monthly") },
        (_, _) => return None,
    };
    Some(RepeatForm { times, ..kind })
}

fn plain(text: &str, least: u32, most: u32) -> Option<u32> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_plain && (least..=most).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Cron, Time};

    fn chosen(fields: &[(&str, &str)]) -> RepeatForm {
        let mut form = RepeatForm::default();
        for (name, value) in fields {
            *form.field(name).unwrap() = (*value).to_owned();
        }
        form
    }

    #[test]
    fn a_choice_makes_a_pattern_and_the_pattern_shows_the_choice_again() {
        for (fields, pattern) in [
            (&[("repeat", "minutes"), ("repeat_minutes", "20")][..], "every 20m"),
            (&[("repeat", "hours"), ("repeat_minute", "5")], "5 * * * *"),
            (&[("repeat", "hours"), ("repeat_hours", "6")], "0 */6 * * *"),
            (&[("repeat", "daily"), ("repeat_times", "02:30")], "30 2 * * *"),
            (&[("repeat", "daily"), ("repeat_times", "20:00, 08:00")], "0 8,20 * * *"),
            (&[("repeat", "daily"), ("repeat_times", "8:00 8:30")], "0,30 8 * * *"),
            (&[("repeat", "weekdays")], "0 9 * * mon-fri"),
            (&[("repeat", "weekly"), ("repeat_weekday", "sun")], "0 9 * * sun"),
            (&[("repeat", "monthly"), ("repeat_day", "31")], "0 9 31 * *"),
            (&[("repeat", "monthly"), ("repeat_day", "Last")], "0 9 L * *"),
        ] {
            let form = chosen(fields);
            assert_eq!(form.pattern(), Ok(Some(pattern.into())));
            assert!(Cron::parse(pattern, "", Time::default()).is_ok(), "{pattern}");
            let again = RepeatForm::of_pattern(pattern);
            assert_eq!(again.often, form.often, "{pattern}");
            assert_eq!(again.pattern(), Ok(Some(pattern.into())));
            assert_eq!(again.built, pattern);
        }
        assert_eq!(RepeatForm::default().pattern(), Ok(None));
    }

    #[test]
    fn a_pattern_of_the_same_meaning_shows_the_choice_and_others_show_none() {
        for (pattern, often) in [
            ("@daily", "daily"),
            ("@hourly", "hours"),
            ("@weekly", "weekly"),
            ("*/15 * * * *", "minutes"),
            ("0 7 * * 1", "weekly"),
            ("0 7 * * 1-5", "weekdays"),
            ("*/7 * * * *", ""),
            ("0 0 1 1 *", ""),
            ("0 7 1 * mon", ""),
            ("0 7 * * mon#2", ""),
            ("10 30 2 * * *", ""),
            ("1,2 3,4 * * *", ""),
            ("every 90s", ""),
            ("soon", ""),
            ("", ""),
        ] {
            let form = RepeatForm::of_pattern(pattern);
            assert_eq!(form.often, often, "{pattern}");
            assert_eq!(form.built.is_empty(), often.is_empty(), "{pattern}");
        }
        assert_eq!(RepeatForm::of_pattern("0 7 * * 7").weekday, "sun");
        assert_eq!(RepeatForm::of_pattern("0 7 * * 0").weekday, "sun");
    }

    #[test]
    fn what_is_wrong_is_said_with_what_is_accepted() {
        for (fields, field, words) in [
            (&[("repeat", "minutes"), ("repeat_minutes", "0")][..], "repeat_minutes", "1 to 1440"),
            (&[("repeat", "hours"), ("repeat_hours", "x")], "repeat_hours", "1 to 23"),
            (&[("repeat", "hours"), ("repeat_minute", "60")], "repeat_minute", "0 to 59"),
            (&[("repeat", "daily"), ("repeat_times", "24:00")], "repeat_times", "00:00 to 23:59"),
            (&[("repeat", "daily"), ("repeat_times", "8:5")], "repeat_times", "00:00 to 23:59"),
            (&[("repeat", "daily"), ("repeat_times", " , ")], "repeat_times", "1 to 24 times"),
            (&[("repeat", "daily"), ("repeat_times", "8:00,9:30")], "repeat_times", "same minute"),
            (&[("repeat", "weekly"), ("repeat_weekday", "x")], "repeat_weekday", "use mon"),
            (&[("repeat", "monthly"), ("repeat_day", "32")], "repeat_day", "1 to 31, or last"),
        ] {
            let (wrong, why) = chosen(fields).pattern().unwrap_err();
            assert_eq!(wrong, field);
            assert!(why.contains(words), "{why}");
        }
    }
}
