//! What a worker says about itself when it is registered.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::waiting_claims::Interest;
use crate::access::Scope;
use crate::job::{Actor, WorkerChange};

/// What a worker says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkerAbout {
    /// The host that it runs on.
    pub host: Option<Box<str>>,
    /// The number of its process on that host.
    pub pid: Option<u32>,
    /// The name of its client library.
    pub client: Option<Box<str>>,
    /// The version of that library.
    pub version: Option<Box<str>>,
    /// How many jobs it runs at once.
    pub concurrency: Option<u32>,
    /// What only this process says, whatever its name and its number are: in containers, every process has number 1.
    pub instance: Option<Box<str>>,
}

/// The transport over which a worker is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerTransport {
    /// Requests, of which one waits for jobs.
    Http,
    /// A WebSocket.
    WebSocket,
}

impl WorkerTransport {
    /// The public name.
    pub fn as_str(self) -> &'static str {
        match self {
            WorkerTransport::Http => "http",
            WorkerTransport::WebSocket => "websocket",
        }
    }

    /// The name that pages show.
    pub fn in_words(self) -> &'static str {
        match self {
            WorkerTransport::Http => "HTTP",
            WorkerTransport::WebSocket => "WebSocket",
        }
    }
}

/// Who makes the request of a worker, or one about a worker.
#[derive(Debug, Clone, Default)]
pub struct WorkerCaller {
    /// The user or the token; `None` on a server that requires no credentials.
    pub actor: Option<Actor>,
    /// What the credentials are restricted to, if they are.
    pub restriction: Option<Arc<Scope>>,
}

/// What a worker says when it connects, and with every claim.
#[derive(Debug, Clone)]
pub struct WorkerRegistration {
    /// The jobs that it can run.
    pub interest: Arc<Interest>,
    /// How long its leases last. A worker that is not heard from for that long counts as silent.
    pub lease: Duration,
    /// What it says about itself; `None` when it has said so before.
    pub about: Option<WorkerAbout>,
    /// How it is connected.
    pub transport: WorkerTransport,
    /// Who connects it.
    pub caller: WorkerCaller,
}

/// A command that an operator gives to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerCommand {
    /// Finish what it runs, and claim no more.
    Quiet,
    /// Finish what it runs, and exit.
    Stop,
    /// Claim jobs again.
    Resume,
}

impl WorkerCommand {
    /// The public name.
    pub fn as_str(self) -> &'static str {
        match self {
            WorkerCommand::Quiet => "quiet",
            WorkerCommand::Stop => "stop",
            WorkerCommand::Resume => "resume",
        }
    }
}

impl From<WorkerCommand> for WorkerChange {
    fn from(command: WorkerCommand) -> WorkerChange {
        match command {
            WorkerCommand::Quiet => WorkerChange::Quieted,
            WorkerCommand::Stop => WorkerChange::Stopping,
            WorkerCommand::Resume => WorkerChange::Resumed,
        }
    }
}

impl fmt::Display for WorkerCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
