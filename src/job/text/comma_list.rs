//! Comma-separated lists of names, as filters use them in queries, searches and pages.

use crate::job::Invalid;
use crate::job::shorten::MAX_ERRORS;

/// The most values that one field of a filter may have, even when several lists are combined.
pub const MAX_NAMES: usize = 100;

/// Adds the values that the names of a list stand for, each once; `read` maps a name to its values. Blanks around a
/// name and empty names are ignored. `what` is the name of the list in the API.
///
/// # Errors
/// The first invalid names, or an error that there are too many.
pub fn add_names<T: PartialEq, Values: IntoIterator<Item = T>>(
    what: &'static str,
    list: &mut Vec<T>,
    text: &str,
    read: impl Fn(&str) -> Result<Values, Invalid>,
) -> Result<(), Vec<Invalid>> {
    let mut wrong = Vec::new();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match read(name) {
            Ok(values) => {
                for value in values {
                    if list.contains(&value) {
                        continue;
                    }
                    if list.len() >= MAX_NAMES {
                        wrong.push(Invalid::new(what, text, "use at most 100 names in one field"));
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
        add_names("filter", list, text, |name| name.parse().map(Some))
    }

    #[test]
    fn each_value_is_there_once_and_empty_names_mean_nothing() {
        let mut list = Vec::new();
        for text in ["a,b", " c , a,,", "", ","] {
            queues(&mut list, text).unwrap();
        }
        assert_eq!(list.iter().map(QueueName::as_str).collect::<Vec<_>>(), ["a", "b", "c"]);
        let mut types = Vec::new();
        add_names("filter", &mut types, "queue.paused,queue.*", EventType::matching).unwrap();
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
        assert!(
            list.len() == MAX_NAMES && wrong[0].to_string().contains("at most 100"),
            "{wrong:?}"
        );
    }
}
