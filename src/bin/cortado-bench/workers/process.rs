//! The processes of workers, and the server that they work for.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::http::{Client, Server, act, get};

/// How many jobs a worker runs at once.
pub const CREDIT: usize = 256;
/// The kinds that the workers run.
pub const KINDS: &str = "[kinds.noop]\n[kinds.mark]\n[kinds.hold]\n";

/// Starts a server that knows the kinds of the workers.
pub async fn server(dir: &Path) -> anyhow::Result<Server> {
    std::fs::create_dir_all(dir)?;
    let config = dir.join("cortado.toml");
    std::fs::write(&config, KINDS)?;
    let config = config.to_str().context("a strange directory")?;
    Server::start_with(&dir.join("data"), &["--concurrency", "2048", "--config", config]).await
}

/// A program that runs jobs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Rust,
    Node,
    Python,
}

impl Program {
    pub fn name(self) -> &'static str {
        match self {
            Program::Rust => "Rust",
            Program::Node => "Node",
            Program::Python => "Python",
        }
    }

    /// The command that starts it, without the arguments that all programs have in common.
    fn command(self) -> anyhow::Result<Command> {
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
        let (program, first): (PathBuf, _) = match self {
            Program::Rust => (std::env::current_exe()?, "worker-process".into()),
            Program::Node => ("node".into(), clients.join("node/testing/bench-worker.js")),
            Program::Python => ("python3".into(), clients.join("python/tests/bench_worker.py")),
        };
        let mut command = Command::new(program);
        command.arg(first);
        Ok(command)
    }

    /// Whether this machine can run it.
    pub async fn is_there(self) -> bool {
        let interpreter = match self {
            Program::Rust => return true,
            Program::Node => "node",
            Program::Python => "python3",
        };
        let mut command = Command::new(interpreter);
        let ran = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        ran.await.is_ok_and(|status| status.success())
    }
}

/// A running worker; killed when dropped.
pub struct WorkerProcess {
    _child: Child,
    /// What it prints.
    lines: Lines<BufReader<ChildStdout>>,
}

impl WorkerProcess {
    /// Starts a worker and waits until the server has heard of it.
    pub async fn start(
        program: Program,
        protocol: &str,
        server: &Server,
    ) -> anyhow::Result<WorkerProcess> {
        let mut command = program.command()?;
        command.args([&format!("http://{}", server.address), protocol]);
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let stdout = child.stdout.take().context("no output")?;
        let lines = BufReader::new(stdout).lines();
        let mut control = Client::connect(&server.address).await?;
        let list = get(&server.address, "/api/v1/workers");
        loop {
            if let Some(status) = child.try_wait()? {
                anyhow::bail!("the worker ended: {status}");
            }
            let workers: Value = serde_json::from_str(&control.ask(&list, 200).await?)?;
            let mut workers = workers["workers"].as_array().into_iter().flatten();
            if workers.any(|worker| worker["name"] == "bench") {
                return Ok(WorkerProcess { _child: child, lines });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Reads the next line that it prints.
    pub async fn line(&mut self) -> anyhow::Result<String> {
        self.lines.next_line().await?.context("the worker ended")
    }

    /// Reads the moment that the worker prints next, and returns the time from another one to it.
    pub async fn since(&mut self, micros: u64) -> anyhow::Result<Duration> {
        let moment: u64 = self.line().await?.parse()?;
        Ok(Duration::from_micros(moment.saturating_sub(micros)))
    }
}

/// Pauses or resumes the queue `default`.
pub async fn set_queue(control: &mut Client, server: &Server, verb: &str) -> anyhow::Result<()> {
    let path = format!("/api/v1/queues/default/{verb}");
    control.ask(&act(&server.address, &path), 204).await?;
    Ok(())
}
