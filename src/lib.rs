//! Cortado: a durable job server with a dashboard that is truly live, inside your own program or beside it.
//!
//! # A server in your program
//!
//! [`Cortado::builder`] runs the whole server (the store, the workers, the API and the dashboard) in your process, with your
//! async functions as the handlers of jobs:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use cortado::{Context, Cortado, QueueOptions, Schedule, ServerError};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Resize {
//!     width: u32,
//! }
//!
//! async fn resize(context: Context, job: Resize) -> Result<u32, std::io::Error> {
//!     context.log(format!("resizing to {}", job.width));
//!     Ok(job.width)
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), ServerError> {
//!     Cortado::builder()
//!         .handle_kind("resize", resize)
//!         .queue("images", QueueOptions::new().concurrency(4).rate_limit("100/1m"))
//!         .schedule("nightly", Schedule::cron("30 2 * * *").kind("resize", &Resize { width: 640 }))
//!         .stop_grace(Duration::from_secs(10))
//!         .data_dir("data")
//!         .serve()
//!         .await?;
//!     Ok(())
//! }
//! ```
//!
//! [`Builder`] reaches every setting of the configuration file, and serves [routes of your own](Builder::routes) on the same
//! port. [`Builder::start`] returns a [`Server`] instead of serving until a signal, and [`ServerError`] says what to do when it
//! does not.
//!
//! # A program beside the server
//!
//! The module [`client`] is for programs that submit, follow and run jobs over the network. It needs none of the server:
//!
//! ```toml
//! cortado = { version = "0.1", default-features = false, features = ["client"] }
//! ```
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `server` (default) | everything above, and the program `cortado` |
//! | `oidc` (default) | login through an OpenID Connect provider; without it, `oidc.issuer` is refused |
//! | `postgres` (default) | stores in PostgreSQL that several servers share; without it, `store.url` is refused |
//! | `client` | only [`client`] |
//!
//! `default-features = false, features = ["server"]` leaves out 85 crates that only the other two need.
//!
//! The documents in `docs` describe what the server does: jobs, queues, schedules, access, and how it is run. A job can run
//! more than once: `docs/at-least-once.md`. The map of the code is in `ARCHITECTURE.md`.

#![cfg_attr(not(feature = "server"), allow(rustdoc::broken_intra_doc_links))]
// The stand-ins for what is left out have no values, so the compiler sees code that cannot be reached.
#![cfg_attr(
    not(all(feature = "oidc", feature = "postgres")),
    allow(dead_code, unreachable_code, unused_variables)
)]

#[cfg(feature = "server")]
mod job;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "client")]
pub use client::{
    CancelCause, Cancelled, Context, Decision, Discard, Handler, HandlerEnd, HandlerError,
    HandlerFn, HandlerOutput, IntoHandlerError, JobError, LogStream, Next, PayloadProblem,
    ResultJson, RetryAfter, Snooze, State,
};

#[cfg(feature = "client")]
pub use client::{
    Client, ClientError, EventFilter, EventTail, JobDraft, JobFilter, JobInfo, JobKind, JobOptions,
    StreamedEvent, Submitted, TailItem, Worker, WorkerEnd, WorkerProtocol,
};

#[cfg(feature = "client")]
pub mod testing {
    //! Tests of programs with handlers: runs of handlers without a server, and servers in memory that run their jobs when
    //! the test asks for it.

    #[cfg(feature = "server")]
    pub use crate::app::testing::TestServer;
    pub use crate::client::handler::testing::{Cancel, Run, TestJob, TestedAttempt, run};
}

#[cfg(feature = "server")]
mod access;
#[cfg(feature = "server")]
mod clock;
#[cfg(feature = "server")]
mod logging;
#[cfg(feature = "server")]
mod shutdown;
#[cfg(feature = "server")]
mod store;
#[cfg(feature = "server")]
mod supervise;
#[cfg(feature = "server")]
mod units;

#[cfg(feature = "server")]
mod engine;

#[cfg(feature = "server")]
mod config;
#[cfg(feature = "server")]
mod demo;
#[cfg(feature = "server")]
mod handlers;
#[cfg(feature = "server")]
mod http;

#[cfg(feature = "server")]
mod admin;
#[cfg(feature = "server")]
mod cli;
#[cfg(feature = "server")]
mod ui;

#[cfg(feature = "server")]
mod app;

#[cfg(all(feature = "server", any(test, feature = "fuzzing")))]
#[doc(hidden)]
pub mod fuzzing;

#[cfg(feature = "server")]
pub use app::{
    Builder, Cortado, DeclaredSchedule as Schedule, FirstAdmin, QueueOptions, RetentionOptions,
    Server, ServerError, ServerErrorKind, Signals,
};
/// The web framework of [`Builder::routes`], in the version that the server uses.
#[cfg(feature = "server")]
pub use axum;
#[cfg(feature = "server")]
pub use config::SettingValue;
#[cfg(feature = "server")]
pub use job::Role;
#[cfg(feature = "server")]
pub use shutdown::StopReport;

/// What the programs and the integration tests of this package use besides the library's public names. They are crates
/// of their own, and a package has no other way to share its modules with them. It is not part of the library's API and
/// changes without notice.
#[cfg(feature = "server")]
#[doc(hidden)]
pub mod internal {
    pub mod access {
        pub use crate::access::*;
    }
    pub mod admin {
        pub use crate::admin::*;
    }
    pub mod app {
        pub use crate::app::*;
    }
    pub mod cli {
        pub use crate::cli::*;
    }
    pub mod clock {
        pub use crate::clock::*;
    }
    pub mod config {
        pub use crate::config::*;
    }
    pub mod engine {
        pub use crate::engine::*;
    }
    pub mod job {
        pub use crate::job::*;
    }
    pub mod logging {
        pub use crate::logging::*;
    }
    pub mod shutdown {
        pub use crate::shutdown::*;
    }
    pub mod store {
        pub use crate::store::*;
    }
    pub mod supervise {
        pub use crate::supervise::*;
    }
}
