//! An error with its causes as one line.

use std::error::Error;

/// Formats an error with its causes, which many libraries leave out of its own text.
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot start")]
    struct Failed(#[source] std::num::ParseIntError);

    #[test]
    fn every_cause_follows_what_it_has_caused() {
        let error = Failed("x".parse::<i32>().unwrap_err());
        assert_eq!(causes(&error), "cannot start: invalid digit found in string");
    }
}
