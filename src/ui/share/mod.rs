//! Share links: the form that creates one, their pages, and what they show to those who have them.

pub mod links;
pub mod shared;

use std::sync::Arc;
use std::time::Duration;

use crate::access::{ShareLink, SharedPayload};
use crate::engine::Engine;
use crate::http::access::share_links::in_words;
use crate::job::{Change, Job, Labels, Time, WorkerName};

use super::parts::time_format::TimeText;

/// The form that creates a share link, on the pages of jobs and queues.
pub struct ShareForm {
    /// After which times a link can expire.
    pub lifetimes: Vec<LifetimeChoice>,
    /// The position of the one that is selected at first.
    pub preset: usize,
}

/// A time after which a link can expire.
pub struct LifetimeChoice {
    /// The value of the field, in seconds.
    pub value: String,
    /// The text of the choice.
    pub words: String,
}

/// The choices, up to the longest lifetime of the configuration.
const LIFETIMES_S: [u64; 4] = [3_600, 86_400, 7 * 86_400, 30 * 86_400];

impl ShareForm {
    /// The form of a server.
    pub fn of(engine: &Engine) -> ShareForm {
        ShareForm::up_to(engine.config().access.max_link_lifetime)
    }

    fn up_to(longest: Duration) -> ShareForm {
        let mut lifetimes = LIFETIMES_S.map(Duration::from_secs).to_vec();
        lifetimes.retain(|lifetime| *lifetime < longest);
        lifetimes.truncate(LIFETIMES_S.len() - 1);
        lifetimes.push(longest.min(Duration::from_secs(LIFETIMES_S[LIFETIMES_S.len() - 1])));
        let choice = |lifetime: Duration| LifetimeChoice {
            value: format!("{}s", lifetime.as_secs()),
            words: in_words(lifetime),
        };
        let preset = lifetimes.len().min(2) - 1;
        ShareForm { lifetimes: lifetimes.into_iter().map(choice).collect(), preset }
    }
}

/// A share link, as what it shows needs it.
pub struct SharedView {
    /// The address of the page, relative to the base path.
    pub path: String,
    /// Whether it shows the payload.
    pub payload: SharedPayload,
    /// When it expires.
    pub expires: TimeText,
}

impl SharedView {
    /// The link with this text in the address.
    pub fn of(link: &ShareLink, text: &str, now: Time) -> SharedView {
        SharedView {
            path: format!("shared/{text}"),
            payload: link.payload,
            expires: TimeText::new(link.expires_at, now),
        }
    }
}

/// Removes from a job what the holder of a share link does not see: names of users, workers and other queues, tags and the
/// idempotency key.
pub fn remove_names(job: &mut Job) {
    job.history.retain(|moment| !matches!(moment.change, Change::Moved { .. }));
    job.enqueued_by = None;
    for moment in &mut job.history {
        moment.by = None;
        if let Change::Started { worker } = &mut moment.change
            && let Ok(name) = WorkerName::parse("the server")
        {
            *worker = name.into();
        }
    }
    let (queue, kind) = (job.labels.queue.clone(), job.labels.kind.clone());
    job.labels = Arc::new(Labels { queue, kind, tags: Box::new([]) });
    Arc::make_mut(&mut job.spec).idempotency_key = None;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_offers_no_lifetime_that_would_be_refused() {
        const HOUR: u64 = 3_600;
        for (longest, offered) in [
            (60 * 24 * HOUR, vec!["1 hour", "1 day", "7 days", "30 days"]),
            (30 * 24 * HOUR, vec!["1 hour", "1 day", "7 days", "30 days"]),
            (10 * 24 * HOUR, vec!["1 hour", "1 day", "7 days", "10 days"]),
            (7 * 24 * HOUR, vec!["1 hour", "1 day", "7 days"]),
            (36 * HOUR, vec!["1 hour", "1 day", "36 hours"]),
            (HOUR, vec!["1 hour"]),
            (90, vec!["90 seconds"]),
        ] {
            let form = ShareForm::up_to(Duration::from_secs(longest));
            let words: Vec<&str> = form.lifetimes.iter().map(|it| it.words.as_str()).collect();
            assert_eq!(words, offered);
            assert!(form.preset < words.len() && form.preset <= 1);
        }
    }
}
