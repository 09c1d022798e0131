//! Middleware: functions around all handlers of a server or worker.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;

use super::context::Context;
use super::end::HandlerEnd;
use super::function::{HandlerFuture, PayloadProblem, RunHandler};

/// The rest of the way to the handler: the middleware that was added later, and the handler itself.
///
/// A middleware that does not call [`Next::run`] keeps the handler from running.
pub struct Next {
    layers: Layers,
    /// How many of them have run.
    passed: usize,
    handler: Box<dyn FnOnce(Context) -> HandlerFuture + Send>,
}

impl Next {
    /// Runs the handler. A panic of it is an end, too; it goes on as a panic if the middleware returns that end.
    pub async fn run(self, context: Context) -> HandlerEnd {
        let Next { layers, passed, handler } = self;
        let run = match layers.0.get(passed) {
            Some(layer) => {
                let layer = Arc::clone(layer);
                let next = Next { layers, passed: passed + 1, handler };
                std::panic::catch_unwind(AssertUnwindSafe(|| layer.call(context, next)))
            }
            None => std::panic::catch_unwind(AssertUnwindSafe(|| handler(context))),
        };
        match run {
            Ok(run) => match AssertUnwindSafe(run).catch_unwind().await {
                Ok(end) => end,
                Err(panic) => HandlerEnd::Panicked(panic_message(&*panic)),
            },
            Err(panic) => HandlerEnd::Panicked(panic_message(&*panic)),
        }
    }
}

/// Something that runs around handlers.
trait Layer: Send + Sync {
    fn call(&self, context: Context, next: Next) -> HandlerFuture;
}

impl<F, Fut> Layer for F
where
    F: Fn(Context, Next) -> Fut + Send + Sync,
    Fut: Future<Output = HandlerEnd> + Send + 'static,
{
    fn call(&self, context: Context, next: Next) -> HandlerFuture {
        Box::pin(self(context, next))
    }
}

/// The middleware of a server or worker, the outermost first.
#[derive(Clone, Default)]
pub struct Layers(Arc<Vec<Arc<dyn Layer>>>);

impl Layers {
    /// Adds a middleware within those that were added before.
    pub fn add<F, Fut>(&mut self, middleware: F)
    where
        F: Fn(Context, Next) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = HandlerEnd> + Send + 'static,
    {
        let mut layers = self.0.as_ref().clone();
        layers.push(Arc::new(middleware));
        self.0 = Arc::new(layers);
    }

    /// Whether there is none, so that handlers can be called without it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Runs a handler within all of them.
    pub fn run(
        &self,
        context: Context,
        handler: Box<dyn FnOnce(Context) -> HandlerFuture + Send>,
    ) -> HandlerFuture {
        let next = Next { layers: self.clone(), passed: 0, handler };
        Box::pin(async move {
            match next.run(context).await {
                // A panic is reported where all panics of handlers are.
                HandlerEnd::Panicked(message) => std::panic::resume_unwind(Box::new(message)),
                end => end,
            }
        })
    }

    /// A handler within all of them.
    pub fn around(&self, handler: Arc<dyn RunHandler>) -> Arc<dyn RunHandler> {
        if self.is_empty() {
            return handler;
        }
        Arc::new(LayeredHandler { layers: self.clone(), handler })
    }
}

struct LayeredHandler {
    layers: Layers,
    handler: Arc<dyn RunHandler>,
}

impl RunHandler for LayeredHandler {
    fn start(&self, context: Context, payload: &str) -> HandlerFuture {
        let (handler, payload) = (Arc::clone(&self.handler), payload.to_owned());
        self.layers.run(context, Box::new(move |context| handler.start(context, &payload)))
    }

    fn check(&self, payload: &str) -> Vec<PayloadProblem> {
        self.handler.check(payload)
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}
