//! A kind as people and programs declare it, and the verbs of kinds.

use serde_json::value::RawValue;

use super::{BackoffFields, FieldError, backoff, milliseconds, retry};
use crate::engine::{DeclareKindError, Engine, KindError, Kinds};
use crate::job::limits::{ATTEMPTS, TIMEOUT_MS};
use crate::job::{FieldErrors, Fields, Json, JsonLimits, Kind, KindDefaults, KindSpec, QueueName};
use crate::store::KindCommand;

/// A kind as it is declared. Everything is optional.
#[derive(Debug, Default)]
pub struct KindSubmission {
    /// What its jobs do, in a sentence.
    pub about: Option<String>,
    /// A valid payload.
    pub example: Option<Box<RawValue>>,
    /// The JSON Schema that payloads are checked against; see [`Schema::parse`](crate::job::Schema::parse).
    pub schema: Option<Box<RawValue>>,
    /// The queue of a job whose submission names none.
    pub queue: Option<String>,
    /// The most attempts of a job whose submission does not say.
    pub max_attempts: Option<u64>,
    /// The backoff between the attempts of a job whose submission does not say.
    pub backoff: Option<BackoffFields>,
    /// The timeout of an attempt of a job whose submission does not say, in milliseconds.
    pub timeout_ms: Option<u64>,
}

impl KindSubmission {
    /// Reads the declaration of a kind from JSON.
    ///
    /// # Errors
    /// All invalid fields, not only the first.
    pub fn parse(kind: &Kind, json: &str, limits: JsonLimits) -> Result<KindSpec, Vec<FieldError>> {
        let mut errors = FieldErrors::default();
        let Some(mut fields) = Fields::read("", json, &mut errors) else {
            return Err(errors.into_errors());
        };
        let given = |raw: &RawValue| (raw.get() != "null").then(|| raw.to_owned());
        let submission = KindSubmission {
            about: fields.text("about", &mut errors).map(Into::into),
            example: fields.raw("example").and_then(given),
            schema: fields.raw("schema").and_then(given),
            queue: fields.text("queue", &mut errors).map(Into::into),
            max_attempts: milliseconds(fields.integer("max_attempts", ATTEMPTS, &mut errors)),
            backoff: fields
                .object("backoff", &mut errors)
                .map(|fields| backoff(fields, &mut errors)),
            timeout_ms: milliseconds(fields.integer("timeout_ms", TIMEOUT_MS, &mut errors)),
        };
        fields.finish(&mut errors);
        submission.checked(kind, limits, errors)
    }

    /// Validates all fields.
    ///
    /// # Errors
    /// All invalid fields, not only the first.
    pub fn into_spec(self, kind: &Kind, limits: JsonLimits) -> Result<KindSpec, Vec<FieldError>> {
        self.checked(kind, limits, FieldErrors::default())
    }

    fn checked(
        self,
        kind: &Kind,
        limits: JsonLimits,
        mut errors: FieldErrors,
    ) -> Result<KindSpec, Vec<FieldError>> {
        if let Some(about) = &self.about {
            errors.take("about", KindSpec::check_about(about));
        }
        let schema = self.schema.as_ref().map(|raw| KindSpec::parse_schema(raw.get()));
        let schema = schema.and_then(|schema| errors.take("schema", schema));
        let example = self.example.map(Json::from);
        if let Some(example) = &example {
            errors.take("example", KindSpec::check_length(example.as_str()));
            errors.take("example", limits.check(example.as_str()));
            let wrong = schema.as_ref().map(|schema| schema.check(example)).unwrap_or_default();
            for wrong in wrong {
                let dot = if wrong.field.is_empty() { "" } else { "." };
                errors.add(format!("example{dot}{}", wrong.field), wrong.message);
            }
        }
        let queue = self.queue.as_ref();
        let queue = queue.and_then(|queue| errors.take("queue", QueueName::parse(queue)));
        let bounds = self.backoff.clone().unwrap_or_default();
        let policy = retry(kind.default_retry(), self.max_attempts, bounds, &mut errors);
        if let Some(ms) = self.timeout_ms {
            errors.take("timeout_ms", TIMEOUT_MS.check(ms));
        }
        let defaults = KindDefaults {
            queue,
            max_attempts: self.max_attempts.map(|_| policy.max_attempts),
            backoff: self.backoff.map(|_| policy.backoff),
            timeout_ms: self.timeout_ms,
        };
        let about = self.about.map(Into::into);
        errors.finish(KindSpec { about, example, schema, defaults })
    }
}

impl Engine {
    /// The kinds of which jobs can be submitted.
    pub fn kinds(&self) -> &Kinds {
        &self.parts.kinds
    }

    /// Declares a kind, or changes what is declared about it, so that jobs of it can be submitted although this process has
    /// no handler for it. The call returns when the declaration is durable.
    ///
    /// # Errors
    /// This process has a handler for the kind, the configuration declares it, or the store refused it or failed.
    pub async fn set_kind(&self, kind: Kind, spec: KindSpec) -> Result<(), DeclareKindError> {
        self.check_changeable(&kind)?;
        Ok(self.change_kinds(KindCommand::Set(kind, spec.into())).await?)
    }

    /// Deletes a declaration that was made at run time. Its jobs stay and wait.
    ///
    /// # Errors
    /// There is none, or the store failed.
    pub async fn delete_kind(&self, kind: Kind) -> Result<(), DeclareKindError> {
        match self.change_kinds(KindCommand::Delete(kind.clone())).await {
            Err(KindError::NotFound) => {
                self.check_changeable(&kind)?;
                Err(KindError::NotFound.into())
            }
            deleted => Ok(deleted?),
        }
    }

    /// Declares those of the kinds of a worker that are unknown, so that jobs of them can be submitted from now on, even
    /// while no worker is connected. It is cheap when all are known.
    ///
    /// # Errors
    /// There would be too many declared kinds, or the store failed. Then none was declared.
    pub async fn announce_kinds(&self, kinds: &[Kind]) -> Result<(), KindError> {
        let known = self.kinds();
        let unknown: Vec<Kind> = kinds.iter().filter(|kind| !known.knows(kind)).cloned().collect();
        if unknown.is_empty() {
            return Ok(());
        }
        self.change_kinds(KindCommand::Announce(unknown)).await
    }

    fn check_changeable(&self, kind: &Kind) -> Result<(), DeclareKindError> {
        if self.kinds().has_handler(kind) {
            return Err(DeclareKindError::BuiltIn);
        }
        if self.kinds().is_configured(kind) {
            return Err(DeclareKindError::Configured);
        }
        Ok(())
    }

    async fn change_kinds(&self, command: KindCommand) -> Result<(), KindError> {
        self.parts.store.kind(command, self.actor.clone()).await
    }
}
