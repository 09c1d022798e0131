//! A builder for jobs to enqueue, which keeps the rules short.

use std::sync::Arc;
use std::time::Duration;

use super::queue;
use crate::job::{IdempotencyKey, JobId, Json, Kind, Labels, NewJob, QueueName, Spec, Start, Tag};

/// A job to enqueue; each method changes one field.
#[derive(Clone)]
pub(crate) struct Draft(NewJob);

/// An `echo` job in the default queue that can start immediately.
pub(crate) fn draft() -> Draft {
    let kind = Kind::parse("echo").unwrap();
    let spec = Spec {
        payload: Json::null(),
        priority: 0,
        retry: Default::default(),
        timeout_ms: None,
        idempotency_key: None,
    };
    let labels = Labels { queue: QueueName::default(), kind, tags: Box::default() };
    Draft(NewJob {
        id: JobId::generate(),
        labels: labels.into(),
        spec: spec.into(),
        start: Start::Now,
        by: None,
        omitted: Default::default(),
    })
}

impl From<Draft> for NewJob {
    fn from(draft: Draft) -> NewJob {
        draft.0
    }
}

impl Draft {
    pub(crate) fn job(self) -> NewJob {
        self.0
    }

    pub(crate) fn queue(self, name: &str) -> Draft {
        self.labels(|labels| labels.queue = queue(name))
    }

    pub(crate) fn kind(self, name: &str) -> Draft {
        self.labels(|labels| labels.kind = Kind::parse(name).unwrap())
    }

    pub(crate) fn tag(self, name: &str) -> Draft {
        self.labels(|labels| labels.tags = Box::new([Tag::stored(name).unwrap()]))
    }

    pub(crate) fn key(self, key: &str) -> Draft {
        self.spec(|spec| spec.idempotency_key = Some(IdempotencyKey::stored(key).unwrap()))
    }

    pub(crate) fn payload(self, payload: Json) -> Draft {
        self.spec(|spec| spec.payload = payload)
    }

    pub(crate) fn priority(self, priority: i16) -> Draft {
        self.spec(|spec| spec.priority = priority)
    }

    pub(crate) fn attempts(self, max: u16) -> Draft {
        self.spec(|spec| spec.retry.max_attempts = max)
    }

    pub(crate) fn timeout(self, ms: u64) -> Draft {
        self.spec(|spec| spec.timeout_ms = Some(ms))
    }

    pub(crate) fn start(mut self, start: Start) -> Draft {
        self.0.start = start;
        self
    }

    pub(crate) fn after(self, delay: Duration) -> Draft {
        self.start(Start::After(delay))
    }

    fn labels(mut self, change: impl FnOnce(&mut Labels)) -> Draft {
        change(Arc::make_mut(&mut self.0.labels));
        self
    }

    fn spec(mut self, change: impl FnOnce(&mut Spec)) -> Draft {
        change(Arc::make_mut(&mut self.0.spec));
        self
    }
}
