//! Servers for the tests of programs with their own handlers.

use std::sync::atomic::{AtomicBool, Ordering};

use super::builder::StoreLocation;
use super::{Builder, Server, ServerError};
use crate::client::{Client, JobInfo};
use crate::shutdown::{Shutdown, StopReport};

/// A server in memory for one test, on a free port. It runs jobs only when the test asks for it, with
/// [`TestServer::run_once`] or [`TestServer::run_until_idle`], so that nothing happens beside the test; after
/// [`TestServer::run_freely`] it runs them by itself. It stops when it is dropped, without waiting for its jobs.
///
/// ```
/// use cortado::testing::TestServer;
/// use cortado::{Context, Cortado, HandlerError};
///
/// async fn double(_: Context, number: u32) -> Result<u32, HandlerError> {
///     Ok(number * 2)
/// }
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
/// let server = TestServer::start(Cortado::builder().handle_kind("double", double)).await?;
/// server.client().submit_kind("double", &21).await?;
/// let job = server.run_once().await.expect("the job is due");
/// assert_eq!(job.result_as::<u32>()?, 42);
/// assert!(server.run_once().await.is_none());
/// # Ok::<_, anyhow::Error>(())
/// # }).unwrap();
/// ```
#[must_use = "the server stops when it is dropped"]
pub struct TestServer {
    /// `None` once it has been stopped.
    server: Option<Server>,
    client: Client,
    runs_freely: AtomicBool,
}

impl TestServer {
    /// Starts the server of a builder, whatever store and addresses that has. The built-in demo does not run.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn start(mut builder: Builder) -> Result<TestServer, ServerError> {
        builder.store = StoreLocation::Memory;
        builder = builder.listen(([127, 0, 0, 1], 0)).paused().set("demo", false);
        if let Some(config) = &mut builder.config {
            config.demo = false;
        }
        let server = builder.start().await?;
        let client = server.client();
        Ok(TestServer { server: Some(server), client, runs_freely: AtomicBool::new(false) })
    }

    fn server(&self) -> &Server {
        match &self.server {
            Some(server) => server,
            None => unreachable!("only `stop` and `drop` take it"),
        }
    }

    /// A client of the server.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The address on which it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.server().address()
    }

    /// Runs one attempt of a job that may start now: the first one of the first queue by name that has any. Returns the job
    /// as it is after the attempt, or `None` if there is no such job.
    ///
    /// # Panics
    /// The server runs freely, or fails.
    pub async fn run_once(&self) -> Option<JobInfo> {
        self.assert_manual("run_once");
        let id = self.server().engine.run_one_job().await;
        let id = id.unwrap_or_else(|error| panic!("the job cannot be run: {error}"))?;
        match self.client.get(&id.to_string()).await {
            Ok(job) => Some(job),
            Err(error) => panic!("the job cannot be read: {error}"),
        }
    }

    /// Runs jobs, also those that these submit, until none may start now and none is running. Returns the number of
    /// attempts. Jobs that wait for their time, such as the next attempts of failed ones, go on waiting.
    ///
    /// # Panics
    /// The server runs freely, or fails.
    pub async fn run_until_idle(&self) -> usize {
        self.assert_manual("run_until_idle");
        let ran = self.server().engine.run_all_jobs().await;
        ran.unwrap_or_else(|error| panic!("the jobs cannot be run: {error}"))
    }

    /// From now on the server runs jobs by itself, as any other server does, and schedules fire.
    pub fn run_freely(&self) {
        self.runs_freely.store(true, Ordering::Relaxed);
        self.server().engine.resume_server();
    }

    fn assert_manual(&self, method: &str) {
        let is_manual = !self.runs_freely.load(Ordering::Relaxed);
        assert!(
            is_manual,
            "`{method}` has no meaning after `run_freely`: wait for the job instead"
        );
    }

    /// Stops the server without waiting for its jobs, and returns when it has stopped.
    pub async fn stop(mut self) -> StopReport {
        let Some(server) = self.server.take() else { unreachable!("it is only taken here") };
        abort(&server);
        server.stop().await
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let Some(server) = self.server.take() else { return };
        abort(&server);
        // If the runtime has ended, so has the server.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(server.stop());
        }
    }
}

/// Ends running attempts and accepts nothing more.
fn abort(server: &Server) {
    let Shutdown { abort, draining, .. } = server.engine.shutdown();
    abort.cancel();
    draining.cancel();
}
