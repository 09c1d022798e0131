//! Cortado: a durable job server with a dashboard that is truly live.
//!
//! A program with its own handlers starts at [`Cortado::builder`]. The code is divided into these parts, each
//! of which uses only those before it (`ARCHITECTURE.md` has the exact rules):
//!
//! - [`job`]: what a job is, without any input or output
//! - `access`: users, tokens, sessions and share links, and what each may do
//! - `units`: how people write durations and sizes
//! - `supervise`, `logging`, `shutdown`, `clock`: the process, its log, its stop, its time
//! - `store`: durable transitions of jobs, in memory and on disk
//! - `engine`: the loops that run jobs, and the operations that everything above calls
//! - `handlers`, `demo`: the built-in kinds, and a generator of sample jobs
//! - `http`, `ui`: the API with its event stream, and the pages
//! - `config`, `cli`, `admin`: settings, the client commands, and commands on data directories
//! - `app`: puts all of this together
//!
//! `client` is for programs that submit and run jobs of a server over the network. It uses none of the other parts and
//! builds without them, with only the feature `client`. The default feature `server` includes it for `cli`.

#![cfg_attr(not(feature = "server"), allow(rustdoc::broken_intra_doc_links))]

#[cfg(feature = "server")]
pub mod job;

#[cfg(feature = "client")]
pub mod client;

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

#[cfg(feature = "server")]
pub use app::{Builder, Cortado, FirstAdmin, Server};
#[cfg(feature = "server")]
pub use engine::{
    BackoffFields, Context, DeclareKindError, Engine, EnqueueError, Handler, KindSubmission, Kinds,
    PayloadError, ScheduleSubmission, StoreError, Submission, SubmitError,
};
#[cfg(feature = "server")]
pub use job::Outcome;
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
