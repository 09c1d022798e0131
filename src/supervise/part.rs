//! The list of all threads and tasks of the server. Only what is listed here can be supervised, and a test kills each
//! of them once.

use std::fmt;

/// A thread, or a task of the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The thread that applies changes to the store.
    Committer,
    /// The thread that writes a large group while the committer applies the next one.
    GroupWriter,
    /// The thread that builds runs of the archive.
    Archiver,
    /// The thread that writes the head file.
    HeadFile,
    /// The thread that watches the log: whether it still exists, and what other nodes append.
    LogWatch,
    /// A thread that reads from the disk.
    Reader,
    /// The thread that drives the connections to PostgreSQL. When it fails, the log is opened again, with another one.
    LogConnections,
    /// The loop that sends committed events.
    EventPump,
    /// The loop that notifies requests that wait for jobs.
    CompletionWaiters,
    /// The loop that keeps metrics and failure groups up to date.
    Observer,
    /// The loop that stores what charts of hours and weeks show.
    HistoryKeeper,
    /// The loop that publishes live statistics.
    LiveStats,
    /// The loop that takes samples for the System page.
    SystemSampler,
    /// The loop that stores the ends of attempts.
    Settler,
    /// The loop that extends leases.
    Heartbeat,
    /// The loop that ticks the store: schedules, due jobs, expired leases, retention.
    Timer,
    /// The loop that claims the jobs of one queue.
    Dispatcher,
    /// The loop that looks for queues without a dispatcher.
    QueueDiscovery,
    /// The loop that enqueues the jobs that were submitted in SQL.
    Inbox,
    /// The loop that keeps up the jobs for queries in SQL.
    Projection,
    /// The loop that ends attempts of remote workers that run for too long, and notices silent workers.
    WorkerKeeper,
    /// The loop that revokes the share links to jobs that are gone.
    LinkKeeper,
    /// The loop that tells other nodes about this one.
    NodeReporter,
    /// The task that runs one attempt, apart from its handler.
    Executor,
    /// The loop that accepts connections.
    Listener,
    /// The loop that serves a share of the WebSockets.
    Hub,
    /// The loop that passes events on to event streams and waiting polls.
    Relay,
    /// The loop that submits demo jobs.
    Demo,
    /// The thread that writes log lines.
    LogWriter,
    /// The loop that reaps orphaned processes.
    Reaper,
    /// The task that answers one request. Its failure ends only this request.
    Request,
    /// The handler of one attempt. Its failure ends only this attempt.
    Handler,
    /// The task of one bulk run. Its failure ends only this run.
    BulkRun,
}

impl Part {
    /// All parts.
    pub const ALL: [Part; 33] = [
        Part::Committer,
        Part::GroupWriter,
        Part::Archiver,
        Part::HeadFile,
        Part::LogWatch,
        Part::Reader,
        Part::LogConnections,
        Part::EventPump,
        Part::CompletionWaiters,
        Part::Observer,
        Part::HistoryKeeper,
        Part::LiveStats,
        Part::SystemSampler,
        Part::Settler,
        Part::Heartbeat,
        Part::Timer,
        Part::Dispatcher,
        Part::QueueDiscovery,
        Part::Inbox,
        Part::Projection,
        Part::WorkerKeeper,
        Part::LinkKeeper,
        Part::NodeReporter,
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

    /// The name, as it is used in a request to kill the part.
    pub fn name(self) -> &'static str {
        match self {
            Part::Committer => "committer",
            Part::GroupWriter => "group-writer",
            Part::Archiver => "archiver",
            Part::HeadFile => "head-file",
            Part::LogWatch => "log-watch",
            Part::Reader => "reader",
            Part::LogConnections => "log-connections",
            Part::EventPump => "event-pump",
            Part::CompletionWaiters => "completion-waiters",
            Part::Observer => "observer",
            Part::HistoryKeeper => "history-keeper",
            Part::LiveStats => "live-stats",
            Part::SystemSampler => "system-sampler",
            Part::Settler => "settler",
            Part::Heartbeat => "heartbeat",
            Part::Timer => "timer",
            Part::Dispatcher => "dispatcher",
            Part::QueueDiscovery => "queue-discovery",
            Part::Inbox => "inbox",
            Part::Projection => "projection",
            Part::WorkerKeeper => "worker-keeper",
            Part::LinkKeeper => "link-keeper",
            Part::NodeReporter => "node-reporter",
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

    /// Whether the server has to stop when this part fails. A request, an attempt or a bulk run fails alone, and
    /// connections are opened again.
    pub fn is_vital(self) -> bool {
        match self {
            Part::LogConnections | Part::Request | Part::Handler | Part::BulkRun => false,
            Part::Committer
            | Part::GroupWriter
            | Part::Archiver
            | Part::HeadFile
            | Part::LogWatch
            | Part::Reader
            | Part::EventPump
            | Part::CompletionWaiters
            | Part::Observer
            | Part::HistoryKeeper
            | Part::LiveStats
            | Part::SystemSampler
            | Part::Settler
            | Part::Heartbeat
            | Part::Timer
            | Part::Dispatcher
            | Part::QueueDiscovery
            | Part::Inbox
            | Part::Projection
            | Part::WorkerKeeper
            | Part::LinkKeeper
            | Part::NodeReporter
            | Part::Executor
            | Part::Listener
            | Part::Hub
            | Part::Relay
            | Part::Demo
            | Part::LogWriter
            | Part::Reaper => true,
        }
    }

    /// Whether the ends of attempts cannot be stored without this part, so that a stop need not wait for attempts.
    pub fn stores_outcomes(self) -> bool {
        matches!(self, Part::Committer | Part::Settler)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().replace('-', " "))
    }
}
