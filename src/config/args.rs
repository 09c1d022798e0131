//! The command line: `serve` (what a bare `cortado` does), the clients, and what keeps the data safe.
//! Every flag of the server is an environment variable too; flags win.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use url::Url;

use crate::job::{Cursor, EventType, IdempotencyKey, JobId, Kind, QueueName, Tag, Time};
use crate::units::{parse_duration, parse_listen};

const EXAMPLES: &str = "\
Examples:
  cortado                             serve on http://127.0.0.1:8080, data in ./data
  cortado --demo                      the same, with a lively mix of fake jobs
  cortado serve --config cortado.toml --listen 127.0.0.1:9000
  cortado submit echo '{\"hello\": \"world\"}' --wait
  echo '{\"ms\": 2000}' | cortado submit sleep - --queue slow --delay 1m
  cortado watch --type job.completed --type job.discarded
  cortado backup /backups/monday      copy a running server; restore takes it back
  cortado verify --data-dir data      check a directory that no server uses

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
    /// What to do; `serve` when left out.
    #[command(subcommand)]
    command: Option<Command>,
    /// The settings of `serve`, so that a bare `cortado --demo` works.
    #[command(flatten)]
    serve: ServeArgs,
}

impl Cli {
    /// The command to run; a bare `cortado` serves.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Serve(self.serve))
    }
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server (this is what a bare `cortado` does)
    Serve(ServeArgs),
    /// Print a server's events as they happen; reconnects and resumes by itself
    Watch(WatchArgs),
    /// Submit one job to a server
    Submit(SubmitArgs),
    /// Print a server's counters, queues and store size
    Stats(StatsArgs),
    /// Copy everything a running server has into a new directory, consistent and verified
    Backup(BackupArgs),
    /// Make a data directory out of a backup; the store begins a new life, so old cursors answer gap
    Restore(RestoreArgs),
    /// Print everything as JSON lines, of a running server or of a closed directory
    Export(ExportArgs),
    /// Make a data directory out of an export
    Import(ImportArgs),
    /// Check everything in a closed directory against everything else, without changing it
    Verify(VerifyArgs),
}

/// How to run the server. Each one overrides the configuration file.
#[derive(Debug, Default, Clone, Args)]
pub struct ServeArgs {
    /// Address to serve on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "CORTADO_LISTEN", value_parser = parse_listen)]
    pub listen: Option<SocketAddr>,
    /// Path to serve under when a proxy shares its host, such as /cortado [default: /]
    #[arg(long, value_name = "PATH", env = "CORTADO_BASE_PATH")]
    pub base_path: Option<String>,
    /// Directory that holds the jobs [default: data]
    #[arg(long, value_name = "DIR", env = "CORTADO_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "CORTADO_CONFIG")]
    pub config: Option<PathBuf>,
    /// Feed the server with a lively mix of fake jobs
    #[arg(long, env = "CORTADO_DEMO", value_parser = BoolishValueParser::new())]
    pub demo: bool,
    /// How long running jobs may go on after the first SIGTERM or Ctrl-C [default: 25s]
    #[arg(long, value_name = "DURATION", env = "CORTADO_GRACE", value_parser = parse_duration)]
    pub grace: Option<Duration>,
    /// Jobs of one queue that run at once, for queues without a setting of their own [default: 64]
    #[arg(long, value_name = "N", env = "CORTADO_CONCURRENCY")]
    pub concurrency: Option<usize>,
    /// Token that requests must carry; better set as CORTADO_AUTH_TOKEN, which others cannot see
    #[arg(long, value_name = "TOKEN", env = "CORTADO_AUTH_TOKEN", hide_env_values = true)]
    pub auth_token: Option<String>,
    /// What to log, such as `info` or `warn,cortado=debug` [default: info]
    #[arg(long, value_name = "FILTER", env = "CORTADO_LOG")]
    pub log: Option<String>,
    /// How log lines look: text or json [default: text]
    #[arg(long, value_name = "FORMAT", env = "CORTADO_LOG_FORMAT", hide_possible_values = true)]
    pub log_format: Option<LogFormat>,
}

/// How log lines look.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize, serde::Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line, for machines
    Json,
}

/// Which server the client commands speak to.
#[derive(Debug, Clone, Args)]
pub struct ClientArgs {
    /// The server's address
    #[arg(
        long,
        value_name = "URL",
        env = "CORTADO_SERVER",
        default_value = "http://127.0.0.1:8080",
        value_parser = parse_server
    )]
    pub server: Url,
    /// The server's token, when it asks for one; better set as CORTADO_AUTH_TOKEN
    #[arg(long, value_name = "TOKEN", env = "CORTADO_AUTH_TOKEN", hide_env_values = true)]
    pub auth_token: Option<String>,
}

/// Which events to print. Several values of one flag mean "any of", several flags mean "and".
#[derive(Debug, Clone, Args)]
pub struct WatchArgs {
    /// Where.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Only events of this queue (repeatable)
    #[arg(long, value_name = "QUEUE")]
    pub queue: Vec<QueueName>,
    /// Only events of this kind (repeatable)
    #[arg(long, value_name = "KIND")]
    pub kind: Vec<Kind>,
    /// Only events of this job (repeatable)
    #[arg(long, value_name = "ID")]
    pub job: Vec<JobId>,
    /// Only events of jobs with this tag (repeatable)
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<Tag>,
    /// Only events of this type, such as job.completed (repeatable)
    #[arg(long = "type", value_name = "TYPE")]
    pub types: Vec<EventType>,
    /// Begin after this cursor instead of now
    #[arg(long, value_name = "CURSOR")]
    pub after: Option<Cursor>,
    /// Print each event as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// The job to submit.
#[derive(Debug, Clone, Args)]
pub struct SubmitArgs {
    /// Where.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Names the handler: echo, sleep, fail, http, command or one of your own
    #[arg(value_name = "KIND")]
    pub kind: Kind,
    /// The payload; `-` reads it from standard input; null when left out
    #[arg(value_name = "JSON", allow_hyphen_values = true)]
    pub payload: Option<String>,
    /// Queue to wait in [default: default]
    #[arg(long, value_name = "QUEUE")]
    pub queue: Option<QueueName>,
    /// -32768 to 32767, higher first [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub priority: Option<i16>,
    /// Not before this long from now, such as 90s
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, conflicts_with = "run_at")]
    pub delay: Option<Duration>,
    /// Not before this moment (RFC 3339), such as 2026-11-23T08:00:00Z
    #[arg(long, value_name = "TIME")]
    pub run_at: Option<Time>,
    /// Attempts in all, 1 to 1000 [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub max_attempts: Option<u16>,
    /// The longest one attempt may run, such as 5m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// Idempotency key: two submissions with the same key are one job
    #[arg(long, value_name = "KEY")]
    pub key: Option<IdempotencyKey>,
    /// Label to find the job by (repeatable)
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<Tag>,
    /// Wait for the end and print the result; `--wait=30s` waits at most that long
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        value_parser = parse_duration
    )]
    pub wait: Option<Option<Duration>>,
}

/// Whose counters.
#[derive(Debug, Clone, Args)]
pub struct StatsArgs {
    /// Where.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Print them as the server's JSON
    #[arg(long)]
    pub json: bool,
}

/// What to copy where.
#[derive(Debug, Clone, Args)]
pub struct BackupArgs {
    /// Where from.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Directory for the copy: empty, or not there yet
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// What to restore where.
#[derive(Debug, Clone, Args)]
pub struct RestoreArgs {
    /// The directory that `cortado backup` made
    #[arg(value_name = "BACKUP")]
    pub backup: PathBuf,
    /// Directory for the jobs: empty, or not there yet
    #[arg(long, value_name = "DIR", env = "CORTADO_DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
}

/// What to export.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// Where from.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Read this directory, which no server may be using, instead of asking a server
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// What to import where.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// The lines that `cortado export` printed; `-` reads them from standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Directory for the jobs: empty, or not there yet
    #[arg(long, value_name = "DIR", env = "CORTADO_DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
}

/// What to check.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// Directory that holds the jobs; no server may be using it
    #[arg(long, value_name = "DIR", env = "CORTADO_DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
}

fn parse_server(text: &str) -> Result<Url, String> {
    let refused = || format!("{text:?} is not a server address such as http://127.0.0.1:8080");
    let url = Url::parse(text).map_err(|_| refused())?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err(refused())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn command(line: &str) -> Command {
        Cli::try_parse_from(line.split_whitespace()).unwrap().into_command()
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_bare_cortado_serves() {
        let Command::Serve(args) = command("cortado --demo --listen localhost:9000 --grace 5s")
        else {
            panic!("serve was expected");
        };
        assert!(args.demo);
        assert_eq!(args.listen.unwrap().to_string(), "127.0.0.1:9000");
        assert_eq!(args.grace, Some(Duration::from_secs(5)));
        assert!(
            matches!(command("cortado serve --concurrency 3"), Command::Serve(args) if args.concurrency == Some(3))
        );
    }

    #[test]
    fn watch_takes_several_of_each_filter() {
        let line =
            "cortado watch --queue a --queue b --type job.completed --after 0000002a:7 --json";
        let Command::Watch(args) = command(line) else { panic!("watch was expected") };
        assert_eq!(args.queue.len(), 2);
        assert_eq!(args.types, [EventType::JobCompleted]);
        assert_eq!(args.after.unwrap().seq, 7);
        assert!(args.json);
    }

    #[test]
    fn submit_reads_every_field() {
        let line =
            "cortado submit echo -5 --priority -3 --delay 90s --timeout 5m --key k --tag x --wait";
        let Command::Submit(args) = command(line) else { panic!("submit was expected") };
        assert_eq!((args.payload.as_deref(), args.priority), (Some("-5"), Some(-3)));
        assert_eq!(args.delay, Some(Duration::from_secs(90)));
        assert_eq!(args.wait, Some(None));
        let Command::Submit(args) = command("cortado submit echo --wait=2s -") else { panic!() };
        assert_eq!(args.wait, Some(Some(Duration::from_secs(2))));
        assert_eq!(args.payload.as_deref(), Some("-"));
    }

    #[test]
    fn a_wrong_value_is_refused_with_what_is_accepted() {
        for (line, says) in [
            ("cortado --listen 8080", "127.0.0.1:8080"),
            ("cortado watch --type job.finish", "job.completed"),
            ("cortado watch --server ftp://x", "http://"),
            ("cortado submit no/kind", "a-z"),
            ("cortado submit echo --delay 1s --run-at 2026-01-01T00:00:00Z", "cannot be used with"),
            ("cortado backup", "DIR"),
            ("cortado submit echo --max-attempts 0", "1..=1000"),
        ] {
            let error = Cli::try_parse_from(line.split_whitespace()).unwrap_err().to_string();
            assert!(error.contains(says), "{line}: {error}");
        }
    }
}
