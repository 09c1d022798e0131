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

pub mod job;

mod access;
mod clock;
mod logging;
mod shutdown;
mod store;
mod supervise;
mod units;

mod engine;

mod config;
mod demo;
mod handlers;
mod http;

mod admin;
mod cli;
mod ui;

mod app;

pub use app::{Builder, Cortado, FirstAdmin, Server};
pub use engine::{
    BackoffFields, Context, DeclareKindError, Engine, EnqueueError, Handler, KindSubmission, Kinds,
    PayloadError, ScheduleSubmission, StoreError, Submission, SubmitError,
};
pub use job::Outcome;
pub use shutdown::StopReport;

/// What the programs and the integration tests of this package use besides the library's public names. They are crates
/// of their own, and a package has no other way to share its modules with them. It is not part of the library's API and
/// changes without notice.
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
