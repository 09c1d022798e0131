//! The kinds that this process can run, and their handlers.

use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::client::{
    Context, HandlerEnd, HandlerFuture, Layers, PayloadProblem, ResultJson, RunHandler,
    Surroundings,
};
use crate::engine::{AttemptContext, KindHandler};
use crate::job::schema::Violation;
use crate::job::{Json, Kind, Outcome, Schema};

/// The description of a kind.
#[derive(Debug, Clone)]
pub struct KindInfo {
    /// The name of the kind.
    pub kind: Kind,
    /// What the kind does, in one sentence.
    pub about: String,
    /// A valid payload.
    pub example: Json,
    /// The schema of payloads, if one is declared. Submissions are validated against it, and forms are built
    /// from it.
    pub schema: Option<Schema>,
}

impl KindInfo {
    /// The description of a kind that declares nothing.
    pub fn plain(kind: Kind) -> KindInfo {
        let about = format!("Runs {kind}.");
        KindInfo { kind, about, example: Json::null(), schema: None }
    }
}

/// The handlers by kind. The registry is filled before the engine starts and does not change after that.
#[derive(Default)]
pub struct Registry {
    entries: BTreeMap<Kind, RegisteredKind>,
}

struct RegisteredKind {
    info: KindInfo,
    handler: HandlerOfKind,
}

/// A handler without its payload type, which it reads from the stored JSON.
pub(crate) trait Erased: Send + Sync {
    fn run(&self, context: AttemptContext) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>>;

    fn check(&self, payload: &Json) -> Vec<Violation>;
}

struct Typed<H, P> {
    handler: H,
    payload: PhantomData<fn(P)>,
}

impl<P: DeserializeOwned + Send + 'static, H: KindHandler<P>> Erased for Typed<H, P> {
    fn run(&self, context: AttemptContext) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        Box::pin(async move {
            match context.job().spec.payload.read::<P>() {
                Ok(payload) => self.handler.run(context, payload).await,
                Err(error) => Outcome::Discard {
                    error: format!("the payload does not match what the handler expects: {error}"),
                },
            }
        })
    }

    fn check(&self, payload: &Json) -> Vec<Violation> {
        self.handler.check(payload)
    }
}

/// The handler of a kind.
#[derive(Clone)]
pub(crate) enum HandlerOfKind {
    /// Of this crate.
    Own(Arc<dyn Erased>),
    /// Of the program in which this server runs.
    OfProgram(ProgramHandler),
}

/// A handler of the program in which this server runs.
#[derive(Clone)]
pub(crate) struct ProgramHandler {
    handler: Arc<dyn RunHandler>,
    surroundings: Arc<Surroundings>,
}

impl HandlerOfKind {
    /// Runs one attempt.
    pub async fn run(&self, context: AttemptContext) -> Outcome {
        match self {
            HandlerOfKind::Own(handler) => handler.run(context).await,
            HandlerOfKind::OfProgram(ProgramHandler { handler, surroundings }) => {
                let run = {
                    let attempt = context.attempt_view();
                    let seen = Context::new(attempt.clone(), surroundings.clone());
                    handler.start(seen, attempt.job.spec.payload.as_str())
                };
                outcome_of(run.await)
            }
        }
    }

    fn check(&self, payload: &Json) -> Vec<Violation> {
        match self {
            HandlerOfKind::Own(handler) => handler.check(payload),
            HandlerOfKind::OfProgram(ProgramHandler { handler, .. }) => {
                let problems = handler.check(payload.as_str()).into_iter();
                problems
                    .map(|PayloadProblem { path: field, message }| Violation { field, message })
                    .collect()
            }
        }
    }
}

/// A handler of this crate within the middleware of the program.
struct Surrounded {
    handler: Arc<dyn Erased>,
    layers: Layers,
    surroundings: Arc<Surroundings>,
}

impl Erased for Surrounded {
    fn run(&self, context: AttemptContext) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        let seen = Context::new(context.attempt_view(), self.surroundings.clone());
        let handler = self.handler.clone();
        let run = move |_seen: Context| -> HandlerFuture {
            Box::pin(async move { end_of(handler.run(context).await) })
        };
        let run = self.layers.run(seen, Box::new(run));
        Box::pin(async move { outcome_of(run.await) })
    }

    fn check(&self, payload: &Json) -> Vec<Violation> {
        self.handler.check(payload)
    }
}

/// The outcome of a handler of the program.
fn outcome_of(end: HandlerEnd) -> Outcome {
    match end {
        HandlerEnd::Done(result) => Outcome::Done(Json::from_written(result.as_str())),
        HandlerEnd::Retry { error, after } => Outcome::Retry { error, after },
        HandlerEnd::Snooze(delay) => Outcome::Snooze { delay },
        HandlerEnd::Discard(error) => Outcome::Discard { error },
        HandlerEnd::Cancelled => Outcome::Cancel,
        // The executor reports all panics alike.
        HandlerEnd::Panicked(message) => std::panic::resume_unwind(Box::new(message)),
    }
}

/// What the middleware of the program sees of an outcome.
fn end_of(outcome: Outcome) -> HandlerEnd {
    match outcome {
        Outcome::Done(result) => HandlerEnd::Done(ResultJson::from_written(result.as_str())),
        Outcome::Retry { error, after } => HandlerEnd::Retry { error, after },
        Outcome::Snooze { delay } => HandlerEnd::Snooze(delay),
        Outcome::Discard { error } => HandlerEnd::Discard(error),
        Outcome::Cancel => HandlerEnd::Cancelled,
    }
}

impl Registry {
    /// Adds a handler of this crate. It replaces an earlier one of the same kind.
    pub fn add<P, H>(&mut self, info: KindInfo, handler: H)
    where
        P: DeserializeOwned + Send + 'static,
        H: KindHandler<P>,
    {
        let handler = HandlerOfKind::Own(Arc::new(Typed { handler, payload: PhantomData }));
        self.entries.insert(info.kind.clone(), RegisteredKind { info, handler });
    }

    /// Adds a handler of the program in which this server runs. It replaces an earlier one of the same kind.
    pub fn add_of_program(
        &mut self,
        info: KindInfo,
        handler: Arc<dyn RunHandler>,
        surroundings: Arc<Surroundings>,
    ) {
        let handler = HandlerOfKind::OfProgram(ProgramHandler { handler, surroundings });
        self.entries.insert(info.kind.clone(), RegisteredKind { info, handler });
    }

    /// Runs all handlers that were added so far within this middleware.
    pub fn surround(&mut self, layers: &Layers, surroundings: &Arc<Surroundings>) {
        if layers.is_empty() {
            return;
        }
        for entry in self.entries.values_mut() {
            let surrounded = match &entry.handler {
                HandlerOfKind::Own(handler) => HandlerOfKind::Own(Arc::new(Surrounded {
                    handler: handler.clone(),
                    layers: layers.clone(),
                    surroundings: surroundings.clone(),
                })),
                HandlerOfKind::OfProgram(ProgramHandler { handler, surroundings }) => {
                    let handler = layers.around(handler.clone());
                    let surroundings = surroundings.clone();
                    HandlerOfKind::OfProgram(ProgramHandler { handler, surroundings })
                }
            };
            entry.handler = surrounded;
        }
    }

    /// Keeps only the handlers of some kinds.
    pub fn retain(&mut self, keep: impl Fn(&Kind) -> bool) {
        self.entries.retain(|kind, _| keep(kind));
    }

    /// The registered kinds, by name.
    pub fn kinds(&self) -> Vec<&KindInfo> {
        self.entries.values().map(|entry| &entry.info).collect()
    }

    /// The handler of a kind.
    pub(crate) fn handler(&self, kind: &Kind) -> Option<HandlerOfKind> {
        self.entries.get(kind).map(|entry| entry.handler.clone())
    }

    /// Whether this process has a handler for the kind.
    pub(crate) fn knows(&self, kind: &Kind) -> bool {
        self.entries.contains_key(kind)
    }

    /// The description of a kind; `None` when this process has no handler for it.
    pub(crate) fn info(&self, kind: &Kind) -> Option<&KindInfo> {
        self.entries.get(kind).map(|entry| &entry.info)
    }

    /// What of a payload does not match the schema of its kind, or is such that its handler could never succeed; `None` when
    /// this process has no handler for the kind.
    pub(crate) fn violations(&self, kind: &Kind, payload: &Json) -> Option<Vec<Violation>> {
        let entry = self.entries.get(kind)?;
        let schema = entry.info.schema.as_ref();
        let wrong = schema.map(|schema| schema.check(payload)).unwrap_or_default();
        Some(if wrong.is_empty() { entry.handler.check(payload) } else { wrong })
    }
}
