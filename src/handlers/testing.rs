//! Helpers for tests of handlers.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::clock::SystemClock;
use crate::engine::{Context, Handler};
use crate::job::{Job, JobId, Json, Kind, Labels, Outcome, QueueName, Spec, State, Status, Time};

/// The context of an attempt of a job with this payload.
pub fn context(payload: &str, attempt: u16) -> Context {
    let labels = Labels {
        queue: QueueName::parse("q1").unwrap(),
        kind: Kind::parse("tested").unwrap(),
        tags: Box::default(),
    };
    let spec = Spec {
        payload: Json::parse(payload).unwrap(),
        priority: 0,
        retry: Default::default(),
        timeout_ms: None,
        idempotency_key: None,
    };
    let job = Job {
        id: JobId::generate(),
        labels: labels.into(),
        spec: spec.into(),
        enqueued_at: Time::default(),
        status: Status { attempt, ..Status::new(10, State::Running) },
        run_at: Time::default(),
        seq: 1,
        history: Vec::new(),
        log: Vec::new(),
        log_dropped: 0,
        progress: None,
    };
    let timeout = Duration::from_secs(60);
    Context::new(Arc::new(job), timeout, CancellationToken::new(), Arc::new(SystemClock))
}

/// Runs a handler as the registry does, with a timeout, so that a hang becomes a failure.
pub async fn run<P, H>(handler: &H, context: &Context) -> Outcome
where
    P: DeserializeOwned + Send + 'static,
    H: Handler<P>,
{
    let attempt = async {
        match context.job().spec.payload.read::<P>() {
            Ok(payload) => handler.run(context.clone(), payload).await,
            Err(error) => Outcome::Discard { error },
        }
    };
    tokio::time::timeout(Duration::from_secs(30), attempt).await.expect("the handler hangs")
}

/// The result, as a JSON value.
pub fn result(outcome: Outcome) -> serde_json::Value {
    match outcome {
        Outcome::Done(json) => json.read().unwrap(),
        other => panic!("a result was expected, not {other:?}"),
    }
}

/// The message of an outcome that discards.
pub fn discarded(outcome: Outcome) -> String {
    match outcome {
        Outcome::Discard { error } => error,
        other => panic!("a discard was expected, not {other:?}"),
    }
}

/// The message and the wait of an outcome that retries.
pub fn retried(outcome: Outcome) -> (String, Option<Duration>) {
    match outcome {
        Outcome::Retry { error, after } => (error, after),
        other => panic!("a retry was expected, not {other:?}"),
    }
}
