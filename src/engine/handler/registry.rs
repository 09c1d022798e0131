//! The kinds that this process can run, and their handlers.

use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::engine::{Context, Handler};
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
    handler: Arc<dyn Erased>,
}

/// A handler without its payload type, which it reads from the stored JSON.
pub(crate) trait Erased: Send + Sync {
    fn run(&self, context: Context) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>>;

    fn check(&self, payload: &Json) -> Vec<Violation>;
}

struct Typed<H, P> {
    handler: H,
    payload: PhantomData<fn(P)>,
}

impl<P: DeserializeOwned + Send + 'static, H: Handler<P>> Erased for Typed<H, P> {
    fn run(&self, context: Context) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
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

impl Registry {
    /// Adds a handler. It replaces an earlier one of the same kind.
    pub fn add<P, H>(&mut self, info: KindInfo, handler: H)
    where
        P: DeserializeOwned + Send + 'static,
        H: Handler<P>,
    {
        let handler = Arc::new(Typed { handler, payload: PhantomData });
        self.entries.insert(info.kind.clone(), RegisteredKind { info, handler });
    }

    /// The registered kinds, by name.
    pub fn kinds(&self) -> Vec<&KindInfo> {
        self.entries.values().map(|entry| &entry.info).collect()
    }

    /// The handler of a kind.
    pub(crate) fn handler(&self, kind: &Kind) -> Option<Arc<dyn Erased>> {
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
