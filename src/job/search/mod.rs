//! The search syntax, such as `queue:mail payload.user.id:42 "timed out"`. The parser is pure: the caller passes in the
//! time that `since:1h` counts back from.

mod case_fold;
pub mod matcher;
pub mod query;
pub mod reading;
pub mod term;
pub mod value_path;

use super::{FilterValue, Invalid, JobQuery, Needle, Term, Time, Value, add_names, parse_duration};
use value_path::MAX_STEPS;

const FIELDS: &str = "use state, queue, kind, tag, error, payload, payload.NAME, since, until, \
                      ended_since or ended_until; to search for text that contains a colon, put it in quotes";
const LENGTH: &str = "use at most 1000 characters and 20 conditions";
const STEPS: &str = "use a path of at most 20 names";
const MAX_CHARS: usize = 1_000;

impl JobQuery {
    /// Adds the conditions of a search. Durations count back from `now`.
    ///
    /// # Errors
    /// Every word that is invalid, with what is accepted.
    pub fn narrow(&mut self, search: &str, now: Time) -> Result<(), Vec<Invalid>> {
        if search.chars().count() > MAX_CHARS {
            return Err(vec![Invalid::new("search", search, LENGTH)]);
        }
        let mut rest = search.trim_start();
        let mut wrong = Vec::new();
        while !rest.is_empty() {
            match Word::read(rest) {
                Ok((word, after)) => {
                    rest = after.trim_start();
                    wrong.extend(self.add(word, now).err());
                }
                Err(invalid) => {
                    wrong.push(invalid);
                    break; // the text after an unclosed quote cannot be parsed
                }
            }
        }
        if self.terms.len() > JobQuery::MAX_TERMS {
            wrong.push(Invalid::new("search", search, LENGTH));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn add(&mut self, word: Word, now: Time) -> Result<(), Invalid> {
        let Word { field, value } = word;
        let Some((name, path)) = field.split_first() else {
            self.terms.push(Term::Text(needle("search", &value)?));
            return Ok(());
        };
        match (&**name, path) {
            ("state", []) => many(&mut self.states, value.text()),
            ("queue", []) => many(&mut self.queues, value.text()),
            ("kind", []) => many(&mut self.kinds, value.text()),
            ("tag", []) => many(&mut self.tags, value.text()),
            ("since", []) => {
                let since = moment("since", value.text(), now)?;
                self.since = Some(self.since.map_or(since, |known| known.max(since)));
                Ok(())
            }
            ("until", []) => {
                let until = moment("until", value.text(), now)?;
                self.until = Some(self.until.map_or(until, |known| known.min(until)));
                Ok(())
            }
            ("ended_since", []) => {
                let since = moment("ended_since", value.text(), now)?;
                self.ended_since = Some(self.ended_since.map_or(since, |known| known.max(since)));
                Ok(())
            }
            ("ended_until", []) => {
                let until = moment("ended_until", value.text(), now)?;
                self.ended_until = Some(self.ended_until.map_or(until, |known| known.min(until)));
                Ok(())
            }
            ("error", []) => {
                self.terms.push(Term::Error(needle("error", &value)?));
                Ok(())
            }
            ("payload", []) => {
                self.terms.push(Term::Payload(needle("payload", &value)?));
                Ok(())
            }
            ("payload", path) if path.iter().all(|key| !key.is_empty()) => {
                if value == Value::Bare("".into()) {
                    return Err(Invalid::new("payload", "", "add a value, or \"\" for empty text"));
                }
                if path.len() > MAX_STEPS {
                    return Err(Invalid::new("payload", &path.join("."), STEPS));
                }
                self.terms.push(Term::At { path: path.into(), value });
                Ok(())
            }
            (_, _) => Err(Invalid::new("field", &field.join("."), FIELDS)),
        }
    }
}

/// One word of a search: `value`, or `field.more:value`.
struct Word {
    field: Vec<Box<str>>,
    value: Value,
}

impl Word {
    /// Parses the first word of a text and returns the rest.
    fn read(text: &str) -> Result<(Word, &str), Invalid> {
        let (mut field, mut rest) = (Vec::new(), text);
        loop {
            let (part, after) = part(rest)?;
            field.push(part);
            match after.chars().next() {
                Some('.') => rest = &after[1..],
                Some(':') => {
                    let (value, rest) = value(&after[1..])?;
                    return Ok((Word { field, value }, rest));
                }
                Some(_) | None => break,
            }
        }
        let (value, rest) = value(text)?;
        Ok((Word { field: Vec::new(), value }, rest))
    }
}

/// Parses a part of a field name, which is quoted or ends where the next part or the value begins.
fn part(text: &str) -> Result<(Box<str>, &str), Invalid> {
    if text.starts_with('"') {
        return quoted(text);
    }
    let end = text.find(|c: char| ".:\"".contains(c) || c.is_whitespace()).unwrap_or(text.len());
    Ok((text[..end].into(), &text[end..]))
}

fn value(text: &str) -> Result<(Value, &str), Invalid> {
    if text.starts_with('"') {
        return quoted(text).map(|(text, rest)| (Value::Quoted(text), rest));
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    Ok((Value::Bare(text[..end].into()), &text[end..]))
}

/// Parses a quoted text, in which `\` escapes the next character.
fn quoted(text: &str) -> Result<(Box<str>, &str), Invalid> {
    let mut taken = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((taken.into(), &text[at + 1..])),
            '\\' => taken.extend(chars.next().map(|(_, c)| c)),
            c => taken.push(c),
        }
    }
    Err(Invalid::new("search", text, "add the closing quote"))
}

fn needle(what: &'static str, value: &Value) -> Result<Needle, Invalid> {
    match value.text() {
        "" => Err(Invalid::new(what, "", "add the text to search for")),
        text => Ok(Needle::new(text)),
    }
}

/// Adds the values of a comma-separated list.
fn many<T: FilterValue>(list: &mut Vec<T>, text: &str) -> Result<(), Invalid> {
    if text.is_empty() {
        return T::read(text).map(drop); // says what a name looks like
    }
    let added = add_names("search", list, text, |name| T::read(name).map(Some));
    added.map_err(|mut wrong| wrong.swap_remove(0))
}

/// Parses a point in time: RFC 3339, a day or a local time in UTC, or a duration before `now`.
///
/// # Errors
/// [`Invalid`] names `what` and says what is accepted.
pub fn moment(what: &'static str, text: &str, now: Time) -> Result<Time, Invalid> {
    const ACCEPTED: &str = "use a time such as 2026-11-23T08:00:00Z, a day such as 2026-11-23 (UTC), \
                            or a duration before now such as 90s, 15m, 2h or 7d";
    let civil = |text: &str| {
        let day = text.parse::<jiff::civil::Date>().map(|day| day.at(0, 0, 0, 0));
        let at = text.parse::<jiff::civil::DateTime>().or(day).ok()?;
        let at = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        let at = Time::from_millis(at.timestamp().as_millisecond());
        (Time::MIN..=Time::MAX).contains(&at).then_some(at)
    };
    let back = |text: &str| {
        let ms = i64::try_from(parse_duration(text).ok()?.as_millis()).ok()?;
        Some(Time::from_millis(now.millis().saturating_sub(ms).max(0)))
    };
    let read = text.parse::<Time>().ok().or_else(|| civil(text)).or_else(|| back(text));
    read.ok_or_else(|| Invalid::new(what, text, ACCEPTED))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::State;

    const NOW: Time = Time::from_millis(1_800_000_000_000);

    fn read(text: &str) -> Result<JobQuery, Vec<String>> {
        let mut query = JobQuery::default();
        let read = query.narrow(text, NOW);
        read.map(|()| query).map_err(|all| all.iter().map(ToString::to_string).collect())
    }

    fn names(count: usize) -> String {
        (0..count).map(|n| format!("n{n}")).collect::<Vec<_>>().join(",")
    }

    /// The terms as they show themselves.
    fn terms(text: &str) -> Vec<String> {
        let query = read(text).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"));
        query.terms.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn words_mean_what_they_say_and_show_themselves_so_that_they_mean_it_again() {
        for (text, shown) in [
            ("", &[][..]),
            ("boom", &["boom"]),
            ("  two   words ", &["two", "words"]),
            ("\"two words\"", &["\"two words\""]),
            ("\"a \\\"b\\\\\"", &["\"a \\\"b\\\\\""]),
            ("\"12:30\" plain.text", &["\"12:30\"", "plain.text"]),
            ("5\" 4\"x", &["5\"", "4\"x"]),
            ("error:timeout error:\"timed out\"", &["error:timeout", "error:\"timed out\""]),
            ("payload:x payload:\"\\\"a\\\":1\"", &["payload:x", "payload:\"\\\"a\\\":1\""]),
            ("payload.user.id:42", &["payload.user.id:42"]),
            ("payload.user.id:\"42\"", &["payload.user.id:\"42\""]),
            ("payload.\"odd.key\".\"a b\":x", &["payload.\"odd.key\".\"a b\":x"]),
            ("payload.url:http://a/b?c:d", &["payload.url:http://a/b?c:d"]),
            ("payload.x:\"\"", &["payload.x:\"\""]),
            ("\"x.\\\"a\"", &["\"x.\\\"a\""]),
        ] {
            let first = terms(text);
            assert_eq!(first, shown, "{text:?}");
            assert_eq!(terms(&first.join(" ")), first, "{text:?} again");
        }
    }

    #[test]
    fn labels_and_times_go_into_their_fields() {
        let query = read("queue:mail queue:web,mail kind:http tag:\"a b\" state:running").unwrap();
        assert_eq!((query.queues.len(), query.kinds.len(), query.tags.len()), (2, 1, 1));
        assert_eq!((query.states, query.terms), (vec![State::Running], vec![]));
        let query = read("since:2h since:1d until:2027-01-02").unwrap();
        assert_eq!(query.since, Some(Time::from_millis(NOW.millis() - 7_200_000)));
        assert_eq!(query.until.unwrap().to_string(), "2027-01-02T00:00:00.000Z");
        for (text, at) in [
            ("2026-11-23T08:00:00+01:00", "2026-11-23T07:00:00.000Z"),
            ("2026-11-23T08:00", "2026-11-23T08:00:00.000Z"),
            ("90s", "2027-01-15T07:58:30.000Z"),
            ("15m", "2027-01-15T07:45:00.000Z"),
            ("1h 30m", "2027-01-15T06:30:00.000Z"),
            ("2 weeks", "2027-01-01T08:00:00.000Z"),
        ] {
            assert_eq!(moment("since", text, NOW).unwrap().to_string(), at, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_accepted() {
        for (text, what, accepted) in [
            ("colour:red", "field \"colour\"", "payload.NAME"),
            ("https://x", "field \"https\"", "in quotes"),
            ("queue.x:1", "field \"queue.x\"", "ended_since or ended_until"),
            ("state:done", "state \"done\"", "one of scheduled"),
            ("queue:\"two words\"", "queue \"two words\"", "a-z"),
            ("queue:", "queue \"\"", "a-z"),
            ("error:", "error \"\"", "the text to search for"),
            ("\"open", "search \"\\\"open\"", "add the closing quote"),
            ("payload.:1", "field \"payload.\"", "payload.NAME"),
            ("payload.a:", "payload \"\"", "a value"),
            ("since:yesterday", "since \"yesterday\"", "2026-11-23"),
            ("since:é", "since \"é\"", "15m"),
            ("until:-009998-01-02", "until \"-009998-01-02\"", "2026-11-23"),
            (&"x ".repeat(21), "search", "20 conditions"),
            (&"x".repeat(1_001), "search", "1000 characters"),
            (&format!("payload{}:1", ".a".repeat(21)), "payload \"a.a", "20 names"),
            (&format!("tag:{}", names(101)), "search", "100 names"),
        ] {
            let wrong = read(text).unwrap_err();
            assert_eq!(wrong.len(), 1, "{text}: {wrong:?}");
            assert!(wrong[0].contains(what) && wrong[0].contains(accepted), "{text}: {wrong:?}");
        }
        assert_eq!(read("a:1 b:2 state:x ok").unwrap_err().len(), 3);
    }
}
