//! The handlers of kinds: async functions, and types that implement [`Handler`].

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::context::Context;
use super::end::{HandlerEnd, HandlerOutput, is_depth_allowed};
use super::state::{MissingState, State, States};

/// A handler that is not a function: a type with fields, or one that checks payloads when they are submitted.
///
/// ```
/// use cortado::client::{Context, Handler, HandlerError, PayloadProblem};
///
/// struct Resizer {
///     largest: u32,
/// }
///
/// impl Handler for Resizer {
///     type Payload = u32;
///     type Output = Result<u32, HandlerError>;
///
///     async fn run(&self, context: Context, width: u32) -> Self::Output {
///         context.log(format!("resizing to {width}"));
///         Ok(width)
///     }
///
///     fn check(&self, width: &u32) -> Vec<PayloadProblem> {
///         let is_too_large = *width > self.largest;
///         is_too_large.then(|| PayloadProblem::new("", "the image is too large")).into_iter().collect()
///     }
/// }
/// ```
pub trait Handler: Send + Sync + 'static {
    /// The payload, read from JSON.
    type Payload: DeserializeOwned + Send + 'static;
    /// The result, such as `Result<T, HandlerError>`.
    type Output: HandlerOutput;

    /// Runs one attempt.
    fn run(
        &self,
        context: Context,
        payload: Self::Payload,
    ) -> impl Future<Output = Self::Output> + Send;

    /// Checks what a schema cannot say about a payload: the reasons why no attempt with it could ever succeed. It is called
    /// before each attempt, which then discards the job. In the process of the server it is also called when a job is
    /// submitted, for payloads that match the schema of the kind, and the submission is refused.
    fn check(&self, payload: &Self::Payload) -> Vec<PayloadProblem> {
        let _ = payload; // nothing is wrong with any
        Vec::new()
    }
}

/// What is wrong with a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadProblem {
    /// The path of the wrong property, such as `size.width`; empty for the payload as a whole.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

impl PayloadProblem {
    /// A problem of the property with this path.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> PayloadProblem {
        PayloadProblem { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for PayloadProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PayloadProblem { path, message } = self;
        if path.is_empty() { f.write_str(message) } else { write!(f, "{path}: {message}") }
    }
}

/// A handler of a kind: an async function of a [`Context`], a payload and up to four [`State`]s, or a type that
/// implements [`Handler`].
///
/// `Marker` tells these apart for the compiler, which finds it by itself.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    note = "a handler is an `async fn(Context, P) -> Result<T, E>`, with up to four further arguments `State<S>`",
    note = "`P` implements `serde::Deserialize`, `T` implements `serde::Serialize`, `S` is `Clone + Send + Sync`, and \
            the future is `Send`",
    note = "`E` is `cortado::HandlerError` or implements `cortado::JobError`: write `impl cortado::JobError for E {{}}` \
            for an error of your own"
)]
pub trait HandlerFn<Marker>: Send + Sync + Sized + 'static {
    /// The payload, read from JSON.
    type Payload: DeserializeOwned + Send + 'static;

    /// Takes the states that the handler needs, and erases its types.
    #[doc(hidden)]
    fn erase(self, states: &States) -> Result<Arc<dyn RunHandler>, MissingState>;
}

/// The future of a handler.
pub type HandlerFuture = Pin<Box<dyn Future<Output = HandlerEnd> + Send>>;

/// A handler whose types are erased.
pub trait RunHandler: Send + Sync {
    /// Starts an attempt with a payload, which is JSON text.
    fn start(&self, context: Context, payload: &str) -> HandlerFuture;

    /// Checks a payload that is being submitted.
    fn check(&self, payload: &str) -> Vec<PayloadProblem>;
}

/// Reads a payload.
fn read<P: DeserializeOwned>(payload: &str) -> Result<P, HandlerEnd> {
    let mut input = serde_json::Deserializer::from_str(payload);
    // The limit of the parser itself is one level lower than that of payloads.
    #[cfg(feature = "server")]
    if is_depth_allowed(payload) {
        input.disable_recursion_limit();
    }
    #[cfg(not(feature = "server"))]
    let _ = is_depth_allowed; // only the server's build can read payloads of any depth
    let read = P::deserialize(&mut input).and_then(|value| input.end().map(|()| value));
    read.map_err(|error| {
        HandlerEnd::Discard(format!("the payload does not match what the handler expects: {error}"))
    })
}

fn ready(end: HandlerEnd) -> HandlerFuture {
    Box::pin(std::future::ready(end))
}

/// A function with its states.
struct FunctionHandler<F, P, S> {
    function: F,
    states: S,
    payload: PhantomData<fn(P)>,
}

/// Implements [`HandlerFn`] for functions with some states.
macro_rules! handler_functions {
    ($($state:ident $index:tt),*) => {
        impl<F, Fut, P, $($state,)*> HandlerFn<(Context, P, $(State<$state>,)*)> for F
        where
            F: Fn(Context, P, $(State<$state>,)*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: HandlerOutput> + Send + 'static,
            P: DeserializeOwned + Send + 'static,
            $($state: Clone + Send + Sync + 'static,)*
        {
            type Payload = P;

            #[allow(unused_variables, reason = "a function without states takes none")]
            fn erase(self, states: &States) -> Result<Arc<dyn RunHandler>, MissingState> {
                let states = ($(states.cloned::<$state>()?,)*);
                Ok(Arc::new(FunctionHandler { function: self, states, payload: PhantomData::<fn(P)> }))
            }
        }

        impl<F, Fut, P, $($state,)*> RunHandler for FunctionHandler<F, P, ($($state,)*)>
        where
            F: Fn(Context, P, $(State<$state>,)*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: HandlerOutput> + Send + 'static,
            P: DeserializeOwned + Send + 'static,
            $($state: Clone + Send + Sync + 'static,)*
        {
            fn start(&self, context: Context, payload: &str) -> HandlerFuture {
                let payload = match read::<P>(payload) {
                    Ok(payload) => payload,
                    Err(end) => return ready(end),
                };
                let run = (self.function)(context, payload, $(State(self.states.$index.clone()),)*);
                Box::pin(async move { run.await.into_end() })
            }

            fn check(&self, _payload: &str) -> Vec<PayloadProblem> {
                Vec::new()
            }
        }
    };
}

handler_functions!();
handler_functions!(S0 0);
handler_functions!(S0 0, S1 1);
handler_functions!(S0 0, S1 1, S2 2);
handler_functions!(S0 0, S1 1, S2 2, S3 3);

/// Marks types that implement [`Handler`].
pub struct ByTrait;

impl<H: Handler> HandlerFn<ByTrait> for H {
    type Payload = H::Payload;

    fn erase(self, _states: &States) -> Result<Arc<dyn RunHandler>, MissingState> {
        Ok(Arc::new(TraitHandler(Arc::new(self))))
    }
}

struct TraitHandler<H>(Arc<H>);

impl<H: Handler> RunHandler for TraitHandler<H> {
    fn start(&self, context: Context, payload: &str) -> HandlerFuture {
        match read::<H::Payload>(payload) {
            Ok(payload) => {
                if let Some(first) = self.0.check(&payload).first() {
                    return ready(HandlerEnd::Discard(first.to_string()));
                }
                let handler = Arc::clone(&self.0);
                Box::pin(async move { handler.run(context, payload).await.into_end() })
            }
            Err(end) => ready(end),
        }
    }

    fn check(&self, payload: &str) -> Vec<PayloadProblem> {
        match read::<H::Payload>(payload) {
            Ok(payload) => self.0.check(&payload),
            Err(end) => vec![PayloadProblem::new("", end.error().unwrap_or_default())],
        }
    }
}

/// A handler that waits for the states, which may be given after it.
pub type PendingHandler =
    Box<dyn FnOnce(&States) -> Result<Arc<dyn RunHandler>, MissingState> + Send>;

/// Keeps a handler until all states are known.
pub fn pending<M, H: HandlerFn<M>>(handler: H) -> PendingHandler {
    Box::new(move |states| handler.erase(states))
}
