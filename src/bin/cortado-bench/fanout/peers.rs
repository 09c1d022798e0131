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

/// A process of this program that obeys line by line.
struct Peer {
    _child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    fn start(mode: &str) -> anyhow::Result<Peer> {
        let mut command = Command::new(std::env::current_exe()?);
        let pipes = command.arg(mode).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = pipes.kill_on_drop(true).spawn()?;
        let orders = child.stdin.take().context("no input")?;
        let answers = BufReader::new(child.stdout.take().context("no output")?).lines();
        Ok(Peer { _child: child, orders, answers })
    }

    async fn tell(&mut self, order: &str, with: &[(&str, Value)]) -> anyhow::Result<()> {
        let mut line = Map::new();
        line.insert("do".to_owned(), order.into());
        line.extend(with.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        self.orders.write_all(format!("{}\n", Value::Object(line)).as_bytes()).await?;
        Ok(())
    }

    async fn hear(&mut self) -> anyhow::Result<Told> {
        let line = self.answers.next_line().await?.context("a process of the benchmark ended")?;
        Ok(Told(serde_json::from_str(&line)?))
    }
}

/// What a process answered.
pub struct Told(Value);

impl Told {
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

    /// Median and 99th percentile, in words.
    pub fn latency(&self) -> String {
        format!("p50 {:.1} ms, p99 {:.1} ms", self.ms("p50_us"), self.ms("p99_us"))
    }
}

/// The load generator.
pub struct Crowd(Peer);

impl Crowd {
    pub async fn start() -> anyhow::Result<Crowd> {
        Ok(Crowd(Peer::start("fanout-crowd")?))
    }

    /// Gives an order and waits until it is done.
    pub async fn order(&mut self, order: &str, with: &[(&str, Value)]) -> anyhow::Result<Told> {
        self.begin(order, with).await?;
        self.done().await
    }

    /// Gives an order.
    pub async fn begin(&mut self, order: &str, with: &[(&str, Value)]) -> anyhow::Result<()> {
        self.0.tell(order, with).await
    }

    /// The answer to the last order.
    pub async fn done(&mut self) -> anyhow::Result<Told> {
        self.0.hear().await
    }

    /// Opens sockets and waits until each was greeted.
    pub async fn open(&mut self, address: &str, path: &str, count: usize) -> anyhow::Result<Told> {
        let with = [("address", address.into()), ("path", path.into()), ("count", count.into())];
        let told = self.order("open", &with).await?;
        anyhow::ensure!(told.number("greeted") == told.number("sockets"), "not all were greeted");
        Ok(told)
    }
}

/// The baseline, with a crowd of its own.
pub struct Raw {
    writer: Peer,
    pub crowd: Crowd,
    address: String,
}

impl Raw {
    /// Opens as many sockets as the server will have.
    pub async fn start(plan: &Plan) -> anyhow::Result<Raw> {
        let mut writer = Peer::start("fanout-raw")?;
        let address = writer.hear().await?.0["address"].as_str().context("no address")?.to_owned();
        let mut raw = Raw { writer, crowd: Crowd::start().await?, address };
        raw.grow(plan.sockets).await?;
        Ok(raw)
    }

    async fn grow(&mut self, count: usize) -> anyhow::Result<()> {
        self.writer.tell("accept", &[("count", count.into())]).await?;
        self.crowd.open(&self.address, "/", count).await?;
        self.writer.hear().await?;
        Ok(())
    }

    /// The same with so many sockets.
    pub async fn with(count: usize) -> anyhow::Result<Raw> {
        Raw::start(&Plan { sockets: count, seconds: 0.0, missed: 0, singles: 0 }).await
    }

    /// Writes frames of so many events, one every `every_us` microseconds (0: without a pause). Answers with
    /// what the loop and the crowd say.
    pub async fn write(
        &mut self,
        (events, event_bytes): (usize, usize),
        every_us: u64,
        seconds: f64,
    ) -> anyhow::Result<(Told, Told)> {
        self.crowd.order("count", &[]).await?;
        let with = [
            ("events", events.into()),
            ("event_bytes", event_bytes.into()),
            ("every_us", every_us.into()),
            ("seconds", seconds.into()),
        ];
        self.writer.tell("write", &with).await?;
        self.crowd.begin("watch", &[("seconds", (seconds + 0.3).into())]).await?;
        let wrote = self.writer.hear().await?;
        Ok((wrote, self.crowd.done().await?))
    }
}
