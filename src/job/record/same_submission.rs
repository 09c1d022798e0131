//! Whether two submissions ask for the same, although the job of the first one may have changed since.

use crate::job::{Change, Job, Labels, NewJob, QueueName, Spec, Tag, same_meaning};

/// The submission of a job, as far as it is known.
struct FirstSubmission<'a> {
    labels: &'a Labels,
    spec: &'a Spec,
    queue: Option<&'a QueueName>,
    priority: Option<i16>,
}

impl FirstSubmission<'_> {
    fn differences(&self, new: &NewJob) -> Vec<&'static str> {
        let (first, spec, omitted) = (self.spec, &new.spec, new.omitted);
        let (backoff, new_backoff) = (first.retry.backoff, spec.retry.backoff);
        let payloads = (first.payload.as_str(), spec.payload.as_str());
        let fields = [
            ("kind", self.labels.kind == new.labels.kind),
            ("payload", payloads.0 == payloads.1 || same_meaning(payloads.0, payloads.1)),
            ("queue", omitted.queue || self.queue.is_none_or(|queue| *queue == new.labels.queue)),
            ("tags", have_same(&self.labels.tags, &new.labels.tags)),
            ("priority", self.priority.is_none_or(|priority| priority == spec.priority)),
            (
                "max_attempts",
                omitted.max_attempts || first.retry.max_attempts == spec.retry.max_attempts,
            ),
            (
                "backoff",
                (omitted.backoff_base || backoff.base_ms == new_backoff.base_ms)
                    && (omitted.backoff_cap || backoff.cap_ms == new_backoff.cap_ms),
            ),
            ("timeout_ms", omitted.timeout || first.timeout_ms == spec.timeout_ms),
        ];
        fields.into_iter().filter(|(_, equal)| !equal).map(|(name, _)| name).collect()
    }
}

impl NewJob {
    /// The fields in which a later submission differs from this one; empty when both ask for the same. What the later one
    /// leaves to the defaults of its kind is not compared, because they may have changed. Payloads are compared by their
    /// meaning, and tags in any order. The start does not count, because a repeated delay leads to
    /// another time.
    pub fn differences(&self, new: &NewJob) -> Vec<&'static str> {
        let (labels, spec) = (&*self.labels, &*self.spec);
        let (queue, priority) = (Some(&labels.queue), Some(spec.priority));
        FirstSubmission { labels, spec, queue, priority }.differences(new)
    }
}

impl Job {
    /// The fields in which a new submission differs from the one that created this job, as [`NewJob::differences`]
    /// compares them. A job that was moved is compared by its first queue. A priority that was changed, and a queue whose
    /// first change is no longer in the history, are not compared.
    pub fn differences(&self, new: &NewJob) -> Vec<&'static str> {
        let (labels, spec) = (&*self.labels, &*self.spec);
        let (mut queue, mut priority) = (Some(&labels.queue), Some(spec.priority));
        for moment in self.history.iter().rev() {
            match &moment.change {
                Change::Moved { from } => queue = Some(from),
                Change::Reprioritised { .. } => priority = None,
                _ => {}
            }
        }
        if !self.has_whole_history() {
            (queue, priority) = (None, None);
        }
        FirstSubmission { labels, spec, queue, priority }.differences(new)
    }
}

/// The tags of a job are all different.
fn have_same(tags: &[Tag], others: &[Tag]) -> bool {
    tags.len() == others.len() && tags.iter().all(|tag| others.contains(tag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{
        Backoff, IdempotencyKey, JobId, Json, Kind, OmittedOptions, RetryPolicy, Start,
    };

    fn new(payload: &str, tags: &[&str]) -> NewJob {
        let labels = Labels {
            queue: QueueName::default(),
            kind: Kind::parse("echo").unwrap(),
            tags: tags.iter().map(|tag| Tag::parse(tag).unwrap()).collect(),
        };
        let spec = Spec {
            payload: Json::parse(payload).unwrap(),
            priority: 0,
            retry: Default::default(),
            timeout_ms: None,
            idempotency_key: Some(IdempotencyKey::parse("k").unwrap()),
        };
        let id = JobId::generate();
        NewJob {
            id,
            labels: labels.into(),
            spec: spec.into(),
            start: Start::Now,
            by: None,
            omitted: OmittedOptions::default(),
        }
    }

    #[test]
    fn payloads_are_compared_by_their_meaning_and_tags_in_any_order() {
        let first = new(r#"{"a": [1, "\u00e4"], "b": null}"#, &["x", "y"]);
        assert_eq!(first.differences(&new(r#"{"b":null,"a":[1,"ä"]}"#, &["y", "x"])), [""; 0]);
        assert_eq!(first.differences(&new(r#"{"b":null,"a":[1e0,"ä"]}"#, &["y", "x"])), [""; 0]);
        assert_eq!(
            first.differences(&new(r#"{"b":null,"a":[1.5,"ä"]}"#, &["x"])),
            ["payload", "tags"]
        );
        assert_eq!(first.differences(&new(r#"{"a":[1,"ä"]}"#, &["x", "z"])), ["payload", "tags"]);
        let twice = new(r#"{"a":1,"a":1}"#, &[]);
        assert_eq!(twice.differences(&twice.clone()), [""; 0]);
    }

    #[test]
    fn what_a_repetition_leaves_to_the_defaults_of_its_kind_is_not_compared() {
        let first = new("1", &[]);
        let mut again = first.clone();
        again.labels =
            Labels { queue: QueueName::parse("media").unwrap(), ..(*first.labels).clone() }.into();
        let retry = RetryPolicy { max_attempts: 3, backoff: Backoff { base_ms: 20, cap_ms: 30 } };
        again.spec = Spec { retry, timeout_ms: Some(50), ..(*first.spec).clone() }.into();
        let all = ["queue", "max_attempts", "backoff", "timeout_ms"];
        assert_eq!(first.differences(&again), all);
        type Omit = fn(&mut OmittedOptions);
        let steps: [(Omit, &[&str]); 5] = [
            (|omitted| omitted.queue = true, &all[1..]),
            (|omitted| omitted.max_attempts = true, &all[2..]),
            (|omitted| omitted.backoff_base = true, &all[2..]),
            (|omitted| omitted.backoff_cap = true, &all[3..]),
            (|omitted| omitted.timeout = true, &[]),
        ];
        for (omit, left) in steps {
            omit(&mut again.omitted);
            assert_eq!(first.differences(&again), left);
        }
    }
}
