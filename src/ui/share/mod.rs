//! Share links: the form that creates one, their pages, and what they show to those who have them.

pub mod links;
pub mod shared;

use std::sync::Arc;
use std::time::Duration;

use crate::access::{ShareLink, SharedPayload};
use crate::engine::Engine;
use crate::http::access::share_links::in_words;
use crate::job::{Change, Job, Labels, Moment, Spec, Time, WorkerName};

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
        let mut lifetimes = LIFETIMES_S.map(Duration::from_secs).map(|it| it.min(longest)).to_vec();
        lifetimes.dedup();
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

/// A job as the holder of a share link sees it: without the names of users, workers and other queues, tags, and the
/// idempotency key. Every field is named here, so that a new one cannot be shown by mistake.
pub fn without_names(job: Job) -> Job {
    let Job {
        id,
        labels,
        mut spec,
        enqueued_at,
        enqueued_by: _,
        status,
        run_at,
        seq,
        history,
        log,
        log_dropped,
        progress,
    } = job;
    let Labels { queue, kind, tags: _ } = &*labels;
    let labels = Labels { queue: queue.clone(), kind: kind.clone(), tags: Box::new([]) };
    remove_key(&mut spec);
    Job {
        id,
        labels: Arc::new(labels),
        spec,
        enqueued_at,
        enqueued_by: None,
        status,
        run_at,
        seq,
        history: history.into_iter().filter_map(moment_without_names).collect(),
        log,
        log_dropped,
        progress,
    }
}

fn moment_without_names(moment: Moment) -> Option<Moment> {
    let Moment { seq, at, state, attempt, by: _, change } = moment;
    let change = match change {
        Change::Moved { from: _ } => return None,
        Change::Started { worker: _ } => Change::Started { worker: WorkerName::hidden().into() },
        Change::Enqueued { mut spec, run_at } => {
            remove_key(&mut spec);
            Change::Enqueued { spec, run_at }
        }
        Change::BecameAvailable
        | Change::Progressed(_)
        | Change::Logged(_)
        | Change::Completed { .. }
        | Change::RetryScheduled { .. }
        | Change::Snoozed { .. }
        | Change::Discarded { .. }
        | Change::CancelAsked
        | Change::Cancelled
        | Change::Interrupted { .. }
        | Change::Rescued { .. }
        | Change::Retried
        | Change::Deleted
        | Change::Reprioritised { .. } => change,
    };
    Some(Moment { seq, at, state, attempt, by: None, change })
}

fn remove_key(spec: &mut Arc<Spec>) {
    if spec.idempotency_key.is_some() {
        Arc::make_mut(spec).idempotency_key = None;
    }
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
