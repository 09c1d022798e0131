//! The list of every thread and task of the server, so that none is forgotten: nothing can be supervised
//! that is not in it, and a test kills each of them.

use std::fmt;

/// A thread, or a task of the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The thread that changes the store.
    Committer,
    /// The thread that writes a large group beside the next one.
    GroupWriter,
    /// The thread that builds runs of the archive.
    Archiver,
    /// The thread that writes the log's head down a second time.
    HeadFile,
    /// The thread that checks that the data directory is still there.
    DirWatch,
    /// A thread that reads from the disk.
    Reader,
    /// The loop that sends committed events.
    EventPump,
    /// The loop that tells those who wait for the end of a job.
    CompletionWaiters,
    /// The loop that counts what happened.
    Observer,
    /// The loop that publishes how busy the server is.
    LiveStats,
    /// The loop that tells the store how attempts ended.
    Settler,
    /// The loop that extends leases.
    Heartbeat,
    /// The loop that does what time asks for.
    Timer,
    /// The loop that claims the jobs of one queue.
    Dispatcher,
    /// The loop that looks for queues without a dispatcher.
    QueueDiscovery,
    /// The task of one attempt, around its handler.
    Executor,
    /// The loop that accepts connections.
    Listener,
    /// The loop that serves a share of the WebSockets.
    Hub,
    /// The loop that passes events on to event streams and waiting polls.
    Relay,
    /// The loop that feeds demo jobs.
    Demo,
    /// The thread that writes log lines.
    LogWriter,
    /// The loop that reaps orphaned processes.
    Reaper,
    /// What answers one request. Its end is the end of the request only.
    Request,
    /// What runs one attempt of a job. Its end is the end of the attempt only.
    Handler,
    /// What does one bulk run. Its end is the end of the run only.
    BulkRun,
}

impl Part {
    /// All of them.
    pub const ALL: [Part; 25] = [
        Part::Committer,
        Part::GroupWriter,
        Part::Archiver,
        Part::HeadFile,
        Part::DirWatch,
        Part::Reader,
        Part::EventPump,
        Part::CompletionWaiters,
        Part::Observer,
        Part::LiveStats,
        Part::Settler,
        Part::Heartbeat,
        Part::Timer,
        Part::Dispatcher,
        Part::QueueDiscovery,
        Part::Executor,
        Part::Listener,
        Part::Hub,
        Part::Relay,
        Part::Demo,
        Part::LogWriter,
        Part::Reaper,
        Part::Request,
        Part::Handler,
        Part::BulkRun,
    ];

    /// Its name in an order to kill it.
    pub fn name(self) -> &'static str {
        match self {
            Part::Committer => "committer",
            Part::GroupWriter => "group-writer",
            Part::Archiver => "archiver",
            Part::HeadFile => "head-file",
            Part::DirWatch => "dir-watch",
            Part::Reader => "reader",
            Part::EventPump => "event-pump",
            Part::CompletionWaiters => "completion-waiters",
            Part::Observer => "observer",
            Part::LiveStats => "live-stats",
            Part::Settler => "settler",
            Part::Heartbeat => "heartbeat",
            Part::Timer => "timer",
            Part::Dispatcher => "dispatcher",
            Part::QueueDiscovery => "queue-discovery",
            Part::Executor => "executor",
            Part::Listener => "listener",
            Part::Hub => "hub",
            Part::Relay => "relay",
            Part::Demo => "demo",
            Part::LogWriter => "log-writer",
            Part::Reaper => "reaper",
            Part::Request => "request",
            Part::Handler => "handler",
            Part::BulkRun => "bulk-run",
        }
    }

    /// Whether the server must stop without it. What serves one request, attempt or bulk run takes only that along.
    pub fn is_vital(self) -> bool {
        match self {
            Part::Request | Part::Handler | Part::BulkRun => false,
            Part::Committer
            | Part::GroupWriter
            | Part::Archiver
            | Part::HeadFile
            | Part::DirWatch
            | Part::Reader
            | Part::EventPump
            | Part::CompletionWaiters
            | Part::Observer
            | Part::LiveStats
            | Part::Settler
            | Part::Heartbeat
            | Part::Timer
            | Part::Dispatcher
            | Part::QueueDiscovery
            | Part::Executor
            | Part::Listener
            | Part::Hub
            | Part::Relay
            | Part::Demo
            | Part::LogWriter
            | Part::Reaper => true,
        }
    }

    /// Whether the end of an attempt cannot be stored without it: then a stop need not wait for attempts.
    pub fn stores_outcomes(self) -> bool {
        matches!(self, Part::Committer | Part::Settler)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().replace('-', " "))
    }
}
