//! Comma-separated lists of names, as filters use them in queries, searches and pages.

use crate::job::shorten::MAX_ERRORS;
use crate::job::{Actor, Invalid, JobId, Kind, QueueName, State, Tag};

/// The most values that one field of a filter may have, even when several lists are combined.
pub const MAX_NAMES: usize = 100;

/// A value that a filter compares with what is stored.
pub trait FilterValue: Sized + PartialEq {
    /// The name of the field of a filter that has such values, as the API calls it.
    const FIELD: &'static str;

    /// Reads the value. A filter finds everything that a store can hold, also names that are no longer accepted.
    ///
    /// # Errors
    /// [`Invalid`] says what is accepted.
    fn read(text: &str) -> Result<Self, Invalid>;
}

impl FilterValue for State {
    const FIELD: &'static str = "state";

    fn read(text: &str) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl FilterValue for JobId {
    const FIELD: &'static str = "job";

    fn read(text: &str) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl FilterValue for QueueName {
    const FIELD: &'static str = "queue";

    fn read(text: &str) -> Result<Self, Invalid> {
        QueueName::stored(text)
    }
}

impl FilterValue for Kind {
    const FIELD: &'static str = "kind";

    fn read(text: &str) -> Result<Self, Invalid> {
        Kind::stored(text)
    }
}

impl FilterValue for Actor {
    const FIELD: &'static str = "by";

    fn read(text: &str) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl FilterValue for Tag {
    const FIELD: &'static str = "tag";

    fn read(text: &str) -> Result<Self, Invalid> {
        Tag::stored(text)
    }
}

/// The names of a list, without blanks around them and without empty ones.
pub fn names_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty())
}

/// Whether one of the names in a list is empty, as in `a,,b`.
pub fn has_empty_name(text: &str) -> bool {
    text.split(',').any(|name| name.trim().is_empty())
}

/// Adds the values that the names of a list stand for, each once; `read` maps a name to its values. Blanks around a
/// name and empty names beside others are ignored. `what` is the name of the list in the API.
///
/// # Errors
/// The first invalid names, or an error that there are too many or none: a list without names would match everything.
pub fn add_names<T: PartialEq, Values: IntoIterator<Item = T>>(
    what: &'static str,
    list: &mut Vec<T>,
    text: &str,
    read: impl Fn(&str) -> Result<Values, Invalid>,
) -> Result<(), Vec<Invalid>> {
    let mut wrong = Vec::new();
    let mut names = names_of(text).peekable();
    if names.peek().is_none() {
        return Err(vec![Invalid::new(what, text, "use at least one name, or leave it out")]);
    }
    for name in names {
        match read(name) {
            Ok(values) => {
                for value in values {
                    if list.contains(&value) {
                        continue;
                    }
                    if list.len() >= MAX_NAMES {
                        wrong.push(Invalid::new(
                            what,
                            "more than 100 names",
                            "use at most 100 names in one field",
                        ));
                        return Err(wrong);
                    }
                    list.push(value);
                }
            }
            Err(invalid) => wrong.push(invalid),
        }
        if wrong.len() >= MAX_ERRORS {
            break;
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{EventType, QueueName};

    fn queues(list: &mut Vec<QueueName>, text: &str) -> Result<(), Vec<Invalid>> {
        add_names(QueueName::FIELD, list, text, |name| QueueName::read(name).map(Some))
    }

    #[test]
    fn each_value_is_there_once_and_a_list_without_names_is_refused() {
        let mut list = Vec::new();
        for text in ["a,b", " c , a,,"] {
            queues(&mut list, text).unwrap();
        }
        for text in ["", ",", " ", " , ,"] {
            let wrong = queues(&mut list, text).unwrap_err();
            assert!(wrong[0].to_string().contains("at least one name"), "{wrong:?}");
        }
        assert_eq!(list.iter().map(QueueName::as_str).collect::<Vec<_>>(), ["a", "b", "c"]);
        let mut types = Vec::new();
        add_names("type", &mut types, "queue.paused,queue.*", EventType::matching).unwrap();
        assert!(types.len() > 1 && types[1..].iter().all(|kind| *kind != types[0]), "{types:?}");
    }

    #[test]
    fn what_is_wrong_is_listed_up_to_a_bound_and_so_are_values() {
        let mut list = Vec::new();
        let wrong = queues(&mut list, "two words,good,another one").unwrap_err();
        assert_eq!((wrong.len(), wrong[0].got.as_str(), list.len()), (2, "two words", 1));
        assert_eq!(queues(&mut list, &"x y,".repeat(90_000)).unwrap_err().len(), MAX_ERRORS);
        let numbers = |to: usize| (1..=to).map(|n| format!("q{n},")).collect::<String>();
        let mut list = Vec::new();
        queues(&mut list, &numbers(MAX_NAMES)).unwrap();
        queues(&mut list, "q1,q100").unwrap();
        let wrong = queues(&mut list, "q101").unwrap_err();
        let says = "queue \"more than 100 names\" is not valid: use at most 100 names in one field";
        assert_eq!((list.len(), wrong[0].to_string().as_str()), (MAX_NAMES, says));
    }
}
