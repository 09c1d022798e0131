//! How the error of an attempt differs from that of the attempt that failed before it, in one sentence.

use crate::job::{Failure, error_line, pattern};

use crate::ui::parts::job_row::excerpt;

/// The most characters of the words that differ; more of them are not quoted.
const MAX_QUOTED: usize = 80;

/// The sentence about the error of an attempt and the one of the attempt `number`, which failed before it.
pub fn error_change(earlier: &Failure, number: u16, error: &Failure) -> String {
    if earlier.message == error.message && earlier.class == error.class {
        return format!("The same error as in attempt {number}.");
    }
    if earlier.class == error.class && pattern(&earlier.message) == pattern(&error.message) {
        let same = format!("The same error as in attempt {number}, with other values");
        return match changed(error_line(&earlier.message), error_line(&error.message)) {
            Some((before, now)) => format!("{same}: {now} instead of {before}."),
            None => format!("{same}."),
        };
    }
    format!("Another error than in attempt {number}: {}", excerpt(&earlier.message))
}

/// The words of two lines between those with which both begin and those with which both end, if there are few of them.
fn changed(before: &str, now: &str) -> Option<(String, String)> {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let (mut before, mut now) = (words(before), words(now));
    let equal = before.iter().zip(&now).take_while(|(a, b)| a == b).count();
    before.drain(..equal);
    now.drain(..equal);
    let equal = before.iter().rev().zip(now.iter().rev()).take_while(|(a, b)| a == b).count();
    before.truncate(before.len() - equal);
    now.truncate(now.len() - equal);
    let (before, now) = (excerpt(&before.join(" ")), excerpt(&now.join(" ")));
    let is_short = |text: &str| !text.is_empty() && text.chars().count() <= MAX_QUOTED;
    (is_short(&before) && is_short(&now)).then_some((before, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::FailureClass;

    fn change(earlier: &str, error: &str) -> String {
        let failure = |message| Failure::new(FailureClass::Error, message);
        error_change(&failure(earlier), 2, &failure(error))
    }

    #[test]
    fn a_sentence_says_what_is_new_in_an_error() {
        for (earlier, error, sentence) in [
            ("no route", "no route", "The same error as in attempt 2."),
            (
                "took 120 ms to refuse",
                "took 340 ms to refuse",
                "The same error as in attempt 2, with other values: 340 instead of 120.",
            ),
            ("refused", "disk full", "Another error than in attempt 2: refused"),
            (
                "same line\nfirst",
                "same line\nsecond",
                "The same error as in attempt 2, with other values.",
            ),
        ] {
            assert_eq!(change(earlier, error), sentence, "{earlier:?}, {error:?}");
        }
        let timeout = Failure::new(FailureClass::Timeout, "x");
        let error = Failure::new(FailureClass::Error, "x");
        assert_eq!(error_change(&timeout, 1, &error), "Another error than in attempt 1: x");
    }
}
