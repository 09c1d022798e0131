//! Which kinds this process can run, and the handler of each.

use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::{Context, EngineError, Handler};
use crate::job::{Json, Kind, Outcome};

/// What people should know of a kind before they submit one.
#[derive(Debug, Clone, PartialEq)]
pub struct KindInfo {
    /// Its name.
    pub kind: Kind,
    /// One sentence: what it does.
    pub about: String,
    /// A payload that works.
    pub example: Json,
}

/// The handlers, by kind. Filled before the engine starts, never changed afterwards.
#[derive(Default)]
pub struct Registry {
    entries: BTreeMap<Kind, Entry>,
}

struct Entry {
    info: KindInfo,
    handler: Arc<dyn Erased>,
}

/// A handler whose payload type is hidden behind the stored JSON.
pub(crate) trait Erased: Send + Sync {
    fn run(&self, context: Context) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>>;
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
                    error: format!("the payload does not fit the handler: {error}"),
                },
            }
        })
    }
}

impl Registry {
    /// Adds a handler; a later one of the same kind takes its place.
    pub fn add<P, H>(&mut self, info: KindInfo, handler: H)
    where
        P: DeserializeOwned + Send + 'static,
        H: Handler<P>,
    {
        let handler = Arc::new(Typed { handler, payload: PhantomData });
        self.entries.insert(info.kind.clone(), Entry { info, handler });
    }

    /// The registered kinds, by name.
    pub fn kinds(&self) -> Vec<&KindInfo> {
        self.entries.values().map(|entry| &entry.info).collect()
    }

    /// The handler of a kind.
    pub(crate) fn handler(&self, kind: &Kind) -> Option<Arc<dyn Erased>> {
        self.entries.get(kind).map(|entry| entry.handler.clone())
    }

    /// Refuses a kind that nothing here can run.
    pub(crate) fn check(&self, kind: &Kind) -> Result<(), EngineError> {
        if self.entries.contains_key(kind) {
            return Ok(());
        }
        let known: Vec<&str> = self.entries.keys().map(Kind::as_str).collect();
        Err(EngineError::UnknownKind { kind: kind.clone(), known: known.join(", ") })
    }
}
