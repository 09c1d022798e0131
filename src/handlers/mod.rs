//! L3: the built-in kinds, one file or folder each. A new kind is one file and one line in
//! [`register`].

use crate::engine::{KindInfo, Registry, example};
use crate::job::schema::{Schema, SchemaError};
use crate::job::{Invalid, Kind};

pub mod command;
mod echo;
mod fail;
pub mod guard;
pub mod http;
mod outcome;
mod sleep;

pub(crate) use outcome::{discard, done, retry};

/// The configuration of the built-in kinds.
#[derive(Debug, Clone, Default)]
pub struct HandlerSettings {
    /// The configuration of the `http` kind.
    pub http: http::HttpSettings,
    /// The configuration of the `command` kind.
    pub command: command::CommandSettings,
}

/// Why the built-in kinds cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The HTTP client could not be built.
    #[error("cannot set up the http kind")]
    Http(#[from] http::HttpSetupError),
    /// The name of a built-in kind is invalid, which is a bug in this file.
    #[error(transparent)]
    Name(#[from] Invalid),
    /// The schema of a built-in kind is invalid, which is a bug in its file.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// Registers all built-in kinds.
///
/// # Errors
/// The HTTP client cannot be built.
pub fn register(registry: &mut Registry, settings: &HandlerSettings) -> Result<(), RegisterError> {
    registry.add(info("echo", echo::ABOUT, echo::EXAMPLE, echo::SCHEMA)?, echo::echo);
    registry.add(info("sleep", sleep::ABOUT, sleep::EXAMPLE, sleep::SCHEMA)?, sleep::sleep);
    registry.add(info("fail", fail::ABOUT, fail::EXAMPLE, fail::SCHEMA)?, fail::fail);
    let client = http::Http::new(&settings.http)?;
    registry.add(info("http", http::ABOUT, http::EXAMPLE, http::SCHEMA)?, client);
    let command = command::CommandHandler::new(settings.command.clone());
    let (example, schema) = (command.example(), command.schema());
    registry.add(info("command", command::ABOUT, &example, &schema)?, command);
    Ok(())
}

fn info(name: &str, about: &str, payload: &str, schema: &str) -> Result<KindInfo, RegisterError> {
    let (about, example, schema) = (about.to_owned(), example(payload), Schema::parse(schema)?);
    Ok(KindInfo { kind: Kind::parse(name)?, about, example, schema: Some(schema) })
}

/// Compiles and runs the kind that CONTRIBUTING.md adds, so that its steps stay true.
#[cfg(test)]
#[path = "../../tests/contributing/mod.rs"]
mod contributing;

#[cfg(test)]
mod testing {
    //! Helpers for tests of handlers.

    use std::sync::Arc;
    use std::time::Duration;

    use serde::de::DeserializeOwned;
    use tokio_util::sync::CancellationToken;

    use crate::clock::SystemClock;
    use crate::engine::{AttemptContext, KindHandler};
    use crate::job::{
        Job, JobId, Json, Kind, Labels, Outcome, QueueName, Spec, State, Status, Time,
    };

    /// The context of an attempt of a job with this payload.
    pub fn context(payload: &str, attempt: u16) -> AttemptContext {
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
            enqueued_by: None,
            status: Status { attempt, ..Status::new(10, State::Running) },
            run_at: Time::default(),
            seq: 1,
            history: Vec::new(),
            log: Vec::new(),
            log_dropped: 0,
            progress: None,
        };
        let timeout = Duration::from_secs(60);
        AttemptContext::new(Arc::new(job), timeout, CancellationToken::new(), Arc::new(SystemClock))
    }

    /// The context of the next attempt of the same job.
    pub fn next_attempt(context: &AttemptContext) -> AttemptContext {
        let mut job = context.job().clone();
        job.status.attempt += 1;
        let timeout = Duration::from_secs(60);
        AttemptContext::new(Arc::new(job), timeout, CancellationToken::new(), Arc::new(SystemClock))
    }

    /// Runs a handler as the registry does, with a timeout, so that a hang becomes a failure.
    pub async fn run<P, H>(handler: &H, context: &AttemptContext) -> Outcome
    where
        P: DeserializeOwned + Send + 'static,
        H: KindHandler<P>,
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Json;

    #[test]
    fn every_kind_is_registered_with_a_sentence_and_an_example() {
        let mut registry = Registry::default();
        register(&mut registry, &HandlerSettings::default()).unwrap();
        let kinds = registry.kinds();
        let names: Vec<&str> = kinds.iter().map(|info| info.kind.as_str()).collect();
        assert_eq!(names, ["command", "echo", "fail", "http", "sleep"]);
        for info in kinds {
            assert!(info.about.ends_with('.'), "{}: {:?}", info.kind, info.about);
            assert_ne!(info.example, Json::null(), "{}", info.kind);
            let wrong = info.schema.as_ref().map(|schema| schema.check(&info.example));
            assert_eq!(wrong.unwrap_or_default(), [], "{}", info.kind);
        }
    }
}
