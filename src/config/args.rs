//! The command line: `serve` (also the default without a subcommand), the client commands, and the commands for backups
//! and exports. Every flag of the server can also be set by an environment variable; flags win.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::error::ErrorKind;
use clap::{
    Args, Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum,
};

use super::access_args::{SessionArgs, TokenArgs, UserArgs};
use super::client_args::ClientArgs;
use super::flag_variables::without_variable;
use super::health_args::HealthArgs;
use super::link_args::LinkArgs;
use super::place_args;
use super::store_args::{BackupArgs, ExportArgs, ImportArgs, MoveArgs, RestoreArgs, VerifyArgs};
use crate::engine::submission::{ATTEMPTS, PRIORITY};
use crate::http::server::listen_address::ListenAddress;
use crate::job::{
    Actor, Concurrency, Cursor, EventType, FilterValue, IdempotencyKey, Invalid, JobId, Kind,
    QueueName, RetryPolicy, Secret, Tag, Time, add_names,
};
use crate::units::parse_duration;

const EXAMPLES: &str = "\
Examples:
  cortado                              serve on http://127.0.0.1:8080, data in ./data
  cortado --demo                       the same, with a continuous mix of fake jobs
  cortado serve --config cortado.toml --listen 127.0.0.1:9000
  cortado submit echo '{\"hello\": \"world\"}' --wait
  echo '{\"ms\": 2000}' | cortado submit sleep - --queue slow --delay 1m
  cortado watch --type job.completed --type job.discarded
  cortado backup /backups/monday       back up a running server; see also `restore`
  cortado verify --data-dir data       check the directory of a stopped server
  cortado move --from data --to postgres://cortado@db/jobs
  cortado user add anna --role admin   add a user, who logs in with a password

Docs: docs/cortado.example.toml lists every setting with its default.";

/// A durable job server with a live dashboard.
#[derive(Debug, Parser)]
#[command(
    name = "cortado",
    version,
    about = "A durable job server with a live dashboard",
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true
)]
pub struct Cli {
    /// The subcommand; the default is `serve`.
    #[command(subcommand)]
    command: Option<CliCommand>,
    /// The flags of `serve`, so that `cortado --demo` works without a subcommand.
    #[command(flatten)]
    serve: ServeArgs,
}

impl Cli {
    /// Parses a command line and the environment.
    ///
    /// # Errors
    /// A mistake, or a request for help or for the version.
    pub fn read(
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<CliCommand, clap::Error> {
        Cli::read_by(Cli::command(), arguments)
    }

    /// Parses a command line and the environment by a definition that may differ in the variables that it reads.
    ///
    /// # Errors
    /// As [`Cli::read`].
    pub(super) fn read_by(
        mut definition: Command,
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<CliCommand, clap::Error> {
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let mut matches = definition.try_get_matches_from_mut(&arguments)?;
        if place_args::has_typed_only_directory(&matches) {
            definition = without_variable(definition, "CORTADO_STORE");
            matches = definition.try_get_matches_from_mut(&arguments)?;
        }
        if let Some(why) = place_args::conflict(&matches) {
            return Err(definition.error(ErrorKind::ArgumentConflict, why));
        }
        Cli::from_arg_matches_mut(&mut matches).map(Cli::into_command)
    }

    /// The command to run; `serve` if there is no subcommand.
    pub fn into_command(self) -> CliCommand {
        self.command.unwrap_or(CliCommand::Serve(self.serve))
    }
}

/// The subcommands of the binary.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Run the server (the default without a subcommand)
    Serve(ServeArgs),
    /// Print a server's events as they happen; reconnects and resumes automatically
    Watch(WatchArgs),
    /// Submit one job to a server
    Submit(SubmitArgs),
    /// Check whether a server accepts work, for the health checks of containers; the exit code is 0 or 1
    Health(HealthArgs),
    /// Resume a server that was started with --paused
    Resume(ResumeArgs),
    /// Print a server's counters, queues and store size
    Stats(StatsArgs),
    /// Print which roles may use each route of a server
    Access(AccessArgs),
    /// Back up a running server into a new directory; the copy is consistent and verified
    Backup(BackupArgs),
    /// Create a data directory or database from a backup; the store begins a new epoch, so old cursors get a gap
    Restore(RestoreArgs),
    /// Export everything as JSON lines, from a running server, the directory of a stopped one or a database
    Export(ExportArgs),
    /// Create a data directory or database from an export
    Import(ImportArgs),
    /// Move everything from a directory to a PostgreSQL database or back; cursors stay valid
    Move(MoveArgs),
    /// Check the consistency of a stopped server's directory or of a database, without changing it
    Verify(VerifyArgs),
    /// Add, list, change and delete users
    User(UserArgs),
    /// Create, list and revoke tokens
    Token(TokenArgs),
    /// List and revoke the sessions of browsers
    Session(SessionArgs),
    /// Create, list and revoke links that show a job or a queue without a login
    Link(LinkArgs),
}

/// The flags of the server. Each one overrides the configuration file.
#[derive(Debug, Default, Clone, Args)]
pub struct ServeArgs {
    /// Address to serve on, or several separated by commas; unix:/PATH is a Unix socket [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "CORTADO_LISTEN", value_delimiter = ',')]
    pub listen: Vec<ListenAddress>,
    /// Path to serve under when a proxy shares its host, such as /cortado [default: /]
    #[arg(long, value_name = "PATH", env = "CORTADO_BASE_PATH")]
    pub base_path: Option<String>,
    /// Directory that holds the jobs [default: data]
    #[arg(long, value_name = "DIR", env = "CORTADO_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// PostgreSQL database that holds the jobs instead, such as postgres://cortado@db/jobs; several servers may share it
    #[arg(long, value_name = "URL", env = "CORTADO_STORE", hide_env_values = true)]
    pub store: Option<Secret>,
    /// Name of this server among those that share the database [default: the name of the machine]
    #[arg(long, value_name = "NAME", env = "CORTADO_NODE")]
    pub node: Option<String>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "CORTADO_CONFIG")]
    pub config: Option<PathBuf>,
    /// Submit a continuous mix of fake jobs
    #[arg(long, env = "CORTADO_DEMO", value_parser = BoolishValueParser::new())]
    pub demo: bool,
    /// Start paused: no job starts and no schedule fires until the server is resumed (see `cortado resume`)
    #[arg(long, env = "CORTADO_PAUSED", value_parser = BoolishValueParser::new())]
    pub paused: bool,
    /// How long running jobs may continue after the first SIGTERM or Ctrl-C [default: 25s]
    #[arg(long, value_name = "DURATION", env = "CORTADO_GRACE", value_parser = parse_duration)]
    pub grace: Option<Duration>,
    /// Maximum number of running jobs per queue, unless the queue has its own setting [default: 64]
    #[arg(long, value_name = "N", env = "CORTADO_CONCURRENCY")]
    pub concurrency: Option<Concurrency>,
    /// Token that requests must carry; prefer CORTADO_AUTH_TOKEN, which other users cannot see
    #[arg(long, value_name = "TOKEN", env = "CORTADO_AUTH_TOKEN", hide_env_values = true)]
    pub auth_token: Option<Secret>,
    /// What to log, such as `info` or `warn,cortado=debug` [default: info]
    #[arg(long, value_name = "FILTER", env = "CORTADO_LOG")]
    pub log: Option<String>,
    /// Check the configuration and exit; the store and the addresses are not opened
    #[arg(long)]
    pub check: bool,
    /// Format of log lines: text or json [default: text]
    #[arg(long, value_name = "FORMAT", env = "CORTADO_LOG_FORMAT", hide_possible_values = true)]
    pub log_format: Option<LogFormat>,
}

/// The format of log lines.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize, serde::Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object per line, for machines
    Json,
}

/// The events to print: those that match every flag that is given, with any of the flag's values.
#[derive(Debug, Clone, Args)]
pub struct WatchArgs {
    /// The server.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Only events of this queue, or of several separated by commas (repeatable)
    #[arg(long, value_name = "QUEUE", value_parser = names::<QueueName>)]
    pub queue: Vec<String>,
    /// Only events of this kind, or of several separated by commas (repeatable)
    #[arg(long, value_name = "KIND", value_parser = names::<Kind>)]
    pub kind: Vec<String>,
    /// Only events of this job, or of several separated by commas (repeatable)
    #[arg(long, value_name = "ID", value_parser = names::<JobId>)]
    pub job: Vec<String>,
    /// Only events of jobs with this tag, or with one of several separated by commas (repeatable)
    #[arg(long, value_name = "TAG", value_parser = names::<Tag>)]
    pub tag: Vec<String>,
    /// Only events that this actor caused, such as user:anna or token:ci, or one of several separated by commas (repeatable)
    #[arg(long, value_name = "ACTOR", value_parser = names::<Actor>)]
    pub by: Vec<String>,
    /// Only events of this type, such as job.completed, or of types that fit a pattern, such as job.* (repeatable)
    #[arg(long = "type", value_name = "TYPE", value_parser = event_types)]
    pub types: Vec<String>,
    /// Start after this cursor instead of now
    #[arg(long, value_name = "CURSOR")]
    pub after: Option<Cursor>,
    /// Print one line of JSON per event
    #[arg(long)]
    pub json: bool,
}

/// The job to submit.
#[derive(Debug, Clone, Args)]
pub struct SubmitArgs {
    /// The server.
    #[command(flatten)]
    pub client: ClientArgs,
    /// The kind of job: echo, sleep, fail, http, command or one of your own
    #[arg(value_name = "KIND")]
    pub kind: Kind,
    /// The payload; `-` reads it from standard input [default: null]
    #[arg(value_name = "JSON", allow_hyphen_values = true)]
    pub payload: Option<String>,
    /// The job's queue [default: default]
    #[arg(long, value_name = "QUEUE")]
    pub queue: Option<QueueName>,
    /// Priority, -32768 to 32767; higher runs first [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = parse_priority)]
    pub priority: Option<i16>,
    /// Do not run before this delay has passed, such as 90s
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, conflicts_with = "run_at")]
    pub delay: Option<Duration>,
    /// Do not run before this time (RFC 3339), such as 2026-11-23T08:00:00Z
    #[arg(long, value_name = "TIME")]
    pub run_at: Option<Time>,
    /// Maximum number of attempts, 1 to 1000
    #[arg(long, value_name = "N", help = max_attempts_help(), value_parser = parse_attempts)]
    pub max_attempts: Option<u16>,
    /// Timeout of one attempt, such as 5m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// Idempotency key: submissions with the same key create only one job
    #[arg(long, value_name = "KEY")]
    pub key: Option<IdempotencyKey>,
    /// Tag for filtering jobs (repeatable)
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<Tag>,
    /// Wait until the job finishes and print its result; `--wait=30s` waits at most that long
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        value_parser = parse_wait
    )]
    pub wait: Option<Option<Duration>>,
}

fn max_attempts_help() -> String {
    let (usual, quick) = (RetryPolicy::default(), RetryPolicy::default_for("echo"));
    format!(
        "Maximum number of attempts, 1 to 1000 [default: {}, which is {usual}; {} for echo, sleep and fail]",
        usual.max_attempts, quick.max_attempts
    )
}

/// The server whose counters to print.
#[derive(Debug, Clone, Args)]
pub struct StatsArgs {
    /// The server.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Print the server's JSON response
    #[arg(long)]
    pub json: bool,
}

/// How to print the roles of the routes.
#[derive(Debug, Clone, Args)]
pub struct AccessArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The server to resume.
#[derive(Debug, Clone, Args)]
pub struct ResumeArgs {
    /// The server.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Reads a duration such as `30s`, or a number of seconds, as the API does.
fn parse_wait(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => parse_duration(text),
    }
}

/// Checks a list of names as the event stream reads it. The server gets it as it was typed.
fn names<T: FilterValue>(text: &str) -> Result<String, String> {
    let mut values: Vec<T> = Vec::new();
    add_names(T::FIELD, &mut values, text, |name| T::read(name).map(Some))
        .map_err(|wrong| all_of(&wrong))?;
    Ok(text.to_owned())
}

/// Checks a list of event types and patterns of them as the event stream reads it.
fn event_types(text: &str) -> Result<String, String> {
    let mut types: Vec<EventType> = Vec::new();
    add_names("type", &mut types, text, EventType::matching).map_err(|wrong| all_of(&wrong))?;
    Ok(text.to_owned())
}

fn all_of(wrong: &[Invalid]) -> String {
    wrong.iter().map(Invalid::to_string).collect::<Vec<_>>().join("; ")
}

fn parse_priority(text: &str) -> Result<i16, String> {
    let refused = |_| PRIORITY.refusal(text);
    PRIORITY.parse(text).and_then(|number| i16::try_from(number).map_err(refused))
}

fn parse_attempts(text: &str) -> Result<u16, String> {
    let refused = |_| ATTEMPTS.refusal(text);
    ATTEMPTS.parse(text).and_then(|number| u16::try_from(number).map_err(refused))
}

#[cfg(test)]
mod tests;
