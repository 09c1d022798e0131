//! The part of the builder about the handlers of the program in which the server runs.

use std::future::Future;

use super::Builder;
use crate::client::{Context, HandlerEnd, HandlerFn, JobKind, Next, pending};

impl Builder {
    /// Adds the handler of the kind of its payload ([`JobKind`]): an async function of a [`Context`], a payload and up to four
    /// [`State`](crate::State)s, or a type that implements [`Handler`](crate::Handler); see [`HandlerFn`]. It replaces a
    /// built-in kind of the same name.
    ///
    /// The queue, attempts, backoff and timeout of [`JobKind::options`] become the defaults of the kind, also for jobs that the
    /// dashboard and other programs submit. What the configuration says about the kind (`[kinds.NAME]`) comes first.
    pub fn handle<M, H>(mut self, handler: H) -> Builder
    where
        H: HandlerFn<M>,
        H::Payload: JobKind,
    {
        let kind = <H::Payload as JobKind>::KIND;
        self.handlers.options.push((kind, <H::Payload as JobKind>::options()));
        self.handle_kind(kind, handler)
    }

    /// Adds the handler of a kind: an async function of a [`Context`], a payload and up to four
    /// [`State`](crate::State)s, or a type that implements [`Handler`](crate::Handler); see [`HandlerFn`]. It replaces a
    /// built-in kind of the same name.
    pub fn handle_kind<M, H: HandlerFn<M>>(
        mut self,
        kind: impl Into<String>,
        handler: H,
    ) -> Builder {
        self.handlers.kinds.push((kind.into(), pending(handler)));
        self
    }

    /// Adds a value for the arguments [`State`](crate::State) of handlers. Each attempt gets a clone, so what is expensive
    /// to clone belongs in an `Arc`. A value replaces an earlier one of the same type. The server does not start if a
    /// handler needs a state that was not given.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use cortado::{Context, Cortado, HandlerError, State};
    ///
    /// #[derive(Clone)]
    /// struct Pool(Arc<str>);
    ///
    /// async fn resize(
    ///     context: Context,
    ///     width: u32,
    ///     State(pool): State<Pool>,
    /// ) -> Result<u32, HandlerError> {
    ///     context.log(format!("resizing to {width} with {}", pool.0));
    ///     Ok(width)
    /// }
    ///
    /// Cortado::builder().handle_kind("resize", resize).state(Pool("images".into()));
    /// ```
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Builder {
        self.handlers.states.add(value);
        self
    }

    /// Adds a function that runs around the handlers of all kinds that this process runs, built-in ones included, and
    /// within the functions that were added before. It sees the [`Context`] of the attempt and its end, can replace that
    /// end, and keeps the handler from running if it does not call [`Next::run`].
    ///
    /// ```
    /// use std::time::Instant;
    ///
    /// use cortado::{Context, Cortado, Next};
    ///
    /// Cortado::builder().middleware(|context: Context, next: Next| async move {
    ///     let begin = Instant::now();
    ///     let end = next.run(context.clone()).await;
    ///     context.log(format!("it took {:?}", begin.elapsed()));
    ///     end
    /// });
    /// ```
    pub fn middleware<F, Fut>(mut self, middleware: F) -> Builder
    where
        F: Fn(Context, Next) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = HandlerEnd> + Send + 'static,
    {
        self.handlers.layers.add(middleware);
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use serde_json::{Value, json};
    use tokio::net::TcpStream;
    use tokio::sync::Notify;

    use super::*;
    use crate::app::Cortado;
    use crate::app::testing::TestServer;
    use crate::client::{HandlerError, State};

    #[derive(Clone)]
    struct Pool(&'static str);

    async fn pooled(_: Context, n: u32, State(pool): State<Pool>) -> Result<String, HandlerError> {
        Ok(format!("{n} {}", pool.0))
    }

    #[tokio::test]
    async fn a_server_whose_handler_needs_a_state_that_was_not_given_does_not_start() {
        let builder = || Cortado::builder().in_memory().handle_kind("pooled", pooled);
        let error = builder().state("another type").start().await.err().unwrap().to_string();
        let text = "the handler of kind pooled needs a State<Pool>, add it with .state(…)";
        assert_eq!(error, text);
        assert!(builder().check().is_err(), "without opening the store");
        assert!(builder().state(Pool("p")).check().is_ok());
    }

    #[tokio::test]
    async fn a_test_server_runs_one_job_or_all_of_them_when_the_test_asks_for_it() {
        let again = |context: Context, _: Value| async move {
            if context.attempt() == 1 { Err("not yet") } else { Ok(()) }
        };
        let builder = Cortado::builder().handle_kind("pooled", pooled).state(Pool("p"));
        let server = TestServer::start(builder.handle_kind("again", again)).await.unwrap();
        assert!(server.run_once().await.is_none(), "there is no job");
        server.client().submit_kind("pooled", &7).send().await.unwrap();
        let second = server.client().submit_kind("again", &()).send().await.unwrap();
        let job = server.run_once().await.unwrap();
        assert_eq!(
            (job.kind.as_str(), job.result_as::<String>().unwrap()),
            ("pooled", "7 p".into())
        );
        let job = server.run_once().await.unwrap();
        assert_eq!((job.id, job.state.as_str(), job.attempt), (second.id, "retryable", 1));
        assert!(server.run_once().await.is_none(), "the backoff is not over");
        for n in 0..200 {
            server.client().submit_kind("pooled", &n).send().await.unwrap();
        }
        assert_eq!((server.run_until_idle().await, server.run_until_idle().await), (200, 0));
        server.run_freely();
        let job = server.client().submit_kind("pooled", &7).send().await.unwrap();
        let job = server.client().wait(&job.id, Duration::from_secs(60)).await.unwrap();
        assert!(job.is_completed());
    }

    #[tokio::test]
    async fn a_test_server_that_is_dropped_stops_at_once() {
        let entered = Arc::new(Notify::new());
        let enters = entered.clone();
        let hangs = move |_: Context, _: Value| {
            enters.notify_one();
            std::future::pending::<Result<(), HandlerError>>()
        };
        let server =
            TestServer::start(Cortado::builder().handle_kind("hangs", hangs)).await.unwrap();
        server.client().submit_kind("hangs", &()).send().await.unwrap();
        server.run_freely();
        entered.notified().await;
        let (address, begin) = (server.address(), Instant::now());
        drop(server);
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    }

    #[tokio::test]
    async fn middleware_surrounds_every_kind_of_the_server() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let builder = Cortado::builder()
            .middleware(move |context: Context, next: Next| {
                counted.fetch_add(1, Ordering::Relaxed);
                async move {
                    match context.kind() {
                        "sleep" => HandlerEnd::done("skipped"),
                        _ => next.run(context).await,
                    }
                }
            })
            .handle_kind("pooled", pooled)
            .state(Pool("p"));
        let server = TestServer::start(builder).await.unwrap();
        for (kind, payload, result) in [
            ("echo", json!({"a": 1.50}), json!({"a": 1.5})),
            ("pooled", json!(7), json!("7 p")),
            ("sleep", json!({"ms": 600_000}), json!("skipped")),
        ] {
            server.client().submit_kind(kind, &payload).send().await.unwrap();
            let job = server.run_once().await.unwrap();
            assert_eq!(job.result_as::<Value>().unwrap(), result, "{kind}");
        }
        assert_eq!(calls.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn a_test_server_accepts_the_token_of_its_builder() {
        let builder = Cortado::builder().auth_token("a-secret-of-sixteen-characters");
        let server = TestServer::start(builder).await.unwrap();
        server.client().submit_kind("echo", &1).send().await.unwrap();
        assert!(server.run_once().await.unwrap().is_completed());
        assert!(server.stop().await.clean);
    }
}
