//! Cortado: a durable job server with a dashboard that is truly live.

pub mod clock;
pub mod job;
pub mod store;
pub mod units;

pub mod engine;
pub mod logging;
pub mod shutdown;
pub mod supervise;

pub mod config;
pub mod demo;
pub mod handlers;
pub mod http;

pub mod admin;
pub mod cli;
pub mod ui;

pub mod app;

pub use app::Cortado;
pub use engine::{Context, Handler, ScheduleSubmission};
pub use job::Outcome;
