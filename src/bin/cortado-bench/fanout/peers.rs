//! The other processes: the load generator, the baseline, and a server that takes thousands of sockets.

use std::path::Path;
use std::process::Stdio;

use anyhow::Context as _;
use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::Plan;
use crate::http::Server;

/// A server whose limits are those of thousands of sockets on one machine.
pub async fn subscribers(dir: &Path, args: &[&str]) -> anyhow::Result<Server> {
    std::fs::create_dir_all(dir)?;
    let config = dir.join("cortado.toml");
    let text = "[http]\nheader_timeout = \"10m\"\nmax_connections = 15_000\nmax_subscribers = 14_000\nsubscribers_per_address = 14_000\n";
    std::fs::write(&config, text)?;
    let config = config.to_str().context("a strange directory")?;
    let all = [&["--config", config], args].concat();
    Server::start_with(&dir.join("data"), &all).await
}

/// A process of this program that reads commands, one per line.
struct Peer {
    _child: Child,
    commands: ChildStdin,
    replies: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    fn start(mode: &str) -> anyhow::Result<Peer> {
        let mut command = Command::new(std::env::current_exe()?);
        let pipes = command.arg(mode).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = pipes.kill_on_drop(true).spawn()?;
        let commands = child.stdin.take().context("no input")?;
        let replies = BufReader::new(child.stdout.take().context("no output")?).lines();
        Ok(Peer { _child: child, commands, replies })
    }

    async fn send(&mut self, command: &str, with: &[(&str, Value)]) -> anyhow::Result<()> {
        let mut line = Map::new();
        line.insert("do".to_owned(), command.into());
        line.extend(with.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        self.commands.write_all(format!("{}\n", Value::Object(line)).as_bytes()).await?;
        Ok(())
    }

    async fn read_reply(&mut self) -> anyhow::Result<Reply> {
        let line = self.replies.next_line().await?.context("a process of the benchmark ended")?;
        Ok(Reply(serde_json::from_str(&line)?))
    }
}

/// The answer of such a process.
pub struct Reply(Value);

impl Reply {
    /// A number of the answer.
    pub fn number(&self, name: &str) -> f64 {
        self.0[name].as_f64().unwrap_or(f64::NAN)
    }

    /// Microseconds of the answer, as milliseconds.
    pub fn ms(&self, name: &str) -> f64 {
        self.number(name) / 1e3
    }

    /// Microseconds of the answer, as seconds.
    pub fn seconds(&self, name: &str) -> f64 {
        self.number(name) / 1e6
    }

    /// The median and the 99th percentile, as text.
    pub fn latency(&self) -> String {
        format!("p50 {:.1} ms, p99 {:.1} ms", self.ms("p50_us"), self.ms("p99_us"))
    }
}

/// The load generator.
pub struct Clients(Peer);

impl Clients {
    pub async fn start() -> anyhow::Result<Clients> {
        Ok(Clients(Peer::start("fanout-clients")?))
    }

    /// Sends a command and waits until it is done.
    pub async fn command(
        &mut self,
        command: &str,
        with: &[(&str, Value)],
    ) -> anyhow::Result<Reply> {
        self.begin(command, with).await?;
        self.done().await
    }

    /// Sends a command.
    pub async fn begin(&mut self, command: &str, with: &[(&str, Value)]) -> anyhow::Result<()> {
        self.0.send(command, with).await
    }

    /// Reads the answer to the last command.
    pub async fn done(&mut self) -> anyhow::Result<Reply> {
        self.0.read_reply().await
    }

    /// Opens sockets and waits until each was greeted.
    pub async fn open(&mut self, address: &str, path: &str, count: usize) -> anyhow::Result<Reply> {
        let with = [("address", address.into()), ("path", path.into()), ("count", count.into())];
        let reply = self.command("open", &with).await?;
        anyhow::ensure!(reply.number("greeted") == reply.number("sockets"), "not all were greeted");
        Ok(reply)
    }
}

impl Clients {
    /// Connects workers, each with its first message, and waits until each was greeted.
    pub async fn open_workers(
        &mut self,
        address: &str,
        name: &str,
        count: usize,
        ready: &str,
    ) -> anyhow::Result<()> {
        let path = format!("/api/v1/workers/{name}-{{n}}/ws");
        let with = [
            ("address", address.into()),
            ("path", path.into()),
            ("count", count.into()),
            ("say", ready.into()),
        ];
        let reply = self.command("open", &with).await?;
        anyhow::ensure!(reply.number("greeted") == reply.number("sockets"), "not all were greeted");
        Ok(())
    }
}

/// The baseline, with load-generating clients of its own.
pub struct Raw {
    writer: Peer,
    pub clients: Clients,
    address: String,
}

impl Raw {
    /// Opens as many sockets as the server will have.
    pub async fn start(plan: &Plan) -> anyhow::Result<Raw> {
        let mut writer = Peer::start("fanout-raw")?;
        let address =
            writer.read_reply().await?.0["address"].as_str().context("no address")?.to_owned();
        let mut raw = Raw { writer, clients: Clients::start().await?, address };
        raw.grow(plan.sockets).await?;
        Ok(raw)
    }

    async fn grow(&mut self, count: usize) -> anyhow::Result<()> {
        self.writer.send("accept", &[("count", count.into())]).await?;
        self.clients.open(&self.address, "/", count).await?;
        self.writer.read_reply().await?;
        Ok(())
    }

    /// Starts the baseline with this many sockets.
    pub async fn with(count: usize) -> anyhow::Result<Raw> {
        Raw::start(&Plan { sockets: count, seconds: 0.0, missed: 0, singles: 0 }).await
    }

    /// Writes frames of this many events, one every `every_us` microseconds (0: without a pause). Returns
    /// what the loop and the clients say.
    pub async fn write(
        &mut self,
        (events, event_bytes): (usize, usize),
        every_us: u64,
        seconds: f64,
    ) -> anyhow::Result<(Reply, Reply)> {
        self.clients.command("count", &[]).await?;
        let with = [
            ("events", events.into()),
            ("event_bytes", event_bytes.into()),
            ("every_us", every_us.into()),
            ("seconds", seconds.into()),
        ];
        self.writer.send("write", &with).await?;
        self.clients.begin("watch", &[("seconds", (seconds + 0.3).into())]).await?;
        let wrote = self.writer.read_reply().await?;
        Ok((wrote, self.clients.done().await?))
    }
}
