//! A server process under load from this one: submissions, and a hundred thousand sleepers at once.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

use super::Setup;
use super::figures::{Latencies, Table, median, mib, peak_rss, per_second, rate, rss};

const CONNECTIONS: usize = 64;
const BATCH: usize = 1_000;
const SLEEP_MS: u64 = 2_000;

pub async fn measure(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let body = job("noop_later", 3_600_000);
    let each = setup.jobs / CONNECTIONS;
    let (mut rates, mut bare, mut words) = (Vec::new(), Vec::new(), String::new());
    for pass in 0..setup.passes {
        let server = Server::start(&setup.dir.join(format!("single{pass}")), 1).await?;
        let health = get(&server.address, "/healthz");
        bare.push(load(&server, CONNECTIONS, each, &health, 200, 1).await?.0);
        let request = post(&server.address, &body);
        let (rate, mut acks) = load(&server, CONNECTIONS, each, &request, 202, 1).await?;
        rates.push(rate);
        words = acks.words();
        server.stop().await?;
    }
    table.row(
        "durable enqueue, 64 connections, one job a request",
        format!("{} jobs", per_second(median(rates))),
    );
    table.row("· ack, last pass", words);
    table.row("· the same with an empty answer (GET /healthz)", per_second(median(bare)));

    let many = format!("[{}]", vec![body; BATCH].join(","));
    let mut rates = Vec::new();
    for pass in 0..setup.passes {
        let server = Server::start(&setup.dir.join(format!("many{pass}")), 1).await?;
        let request = post(&server.address, &many);
        let (rate, _) = load(&server, 4, setup.jobs * 3 / BATCH / 4, &request, 202, BATCH).await?;
        rates.push(rate);
        server.stop().await?;
    }
    table.row("durable enqueue, batches of 1,000", format!("{} jobs", per_second(median(rates))));
    sleepers(setup, table).await
}

/// A job with a payload of 100 bytes that waits.
pub fn job(tag: &str, delay_ms: u64) -> String {
    let data: String = std::iter::repeat_with(fastrand::alphanumeric).take(89).collect();
    format!(
        "{{\"kind\":\"echo\",\"payload\":{{\"data\":\"{data}\"}},\"delay_ms\":{delay_ms},\"tags\":[\"{tag}\"]}}"
    )
}

/// Sends the same request `each` times on every connection. Returns jobs per second and the response
/// times.
pub async fn load(
    server: &Server,
    connections: usize,
    each: usize,
    request: &[u8],
    status: u16,
    jobs: usize,
) -> anyhow::Result<(f64, Latencies)> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(Client::connect(&server.address).await?);
    }
    let begun = Instant::now();
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            let request = request.to_vec();
            tokio::spawn(async move {
                let mut acks = Latencies::default();
                for _ in 0..each {
                    let sent = Instant::now();
                    client.ask(&request, status).await?;
                    acks.add(sent.elapsed());
                }
                anyhow::Ok(acks)
            })
        })
        .collect();
    let mut acks = Latencies::default();
    for task in tasks {
        acks.append(task.await??);
    }
    Ok((rate(connections * each * jobs, begun.elapsed()), acks))
}

/// A hundred thousand jobs that sleep two seconds, all at once, while a page is requested again and again.
async fn sleepers(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let server = Server::start(&setup.dir.join("sleepers"), setup.jobs).await?;
    let one = format!("{{\"kind\":\"sleep\",\"payload\":{{\"ms\":{SLEEP_MS}}}}}");
    let many = post(&server.address, &format!("[{}]", vec![one; BATCH].join(",")));
    let mut client = Client::connect(&server.address).await?;
    let begun = Instant::now();
    for _ in 0..setup.jobs / BATCH {
        client.ask(&many, 202).await?;
    }
    let written = begun.elapsed();
    let mut pages = Latencies::default();
    let (home, stats) = (get(&server.address, "/"), get(&server.address, "/api/v1/stats"));
    let (mut most, mut in_flight) = (0, 0);
    loop {
        let asked = Instant::now();
        client.ask(&home, 200).await?;
        pages.add(asked.elapsed());
        let text = client.ask(&stats, 200).await?;
        let running = state(&text, "running")?;
        if running >= most {
            (most, in_flight) = (running, rss(server.pid));
        }
        if state(&text, "completed")? == setup.jobs as u64 {
            break;
        }
        if begun.elapsed() > Duration::from_secs(120) {
            bail!("the sleepers do not end: {text}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    table.row(
        format!("{} jobs that sleep 2 s, concurrency {}", setup.jobs, setup.jobs),
        format!(
            "{:.1} s in all, {:.1} s of them to write them; {most} at once",
            begun.elapsed().as_secs_f64(),
            written.as_secs_f64()
        ),
    );
    let peak = mib(peak_rss(server.pid));
    table.row(
        "· the server's memory, all in flight",
        format!("{}; {peak} at its peak", mib(in_flight)),
    );
    table.row("· the home page meanwhile", pages.words());
    server.stop().await
}

/// The list of jobs, and a search through payloads, with ten times the jobs of the other runs stored.
pub async fn pages(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    const ASKED: usize = 100;
    let server = Server::start(&setup.dir.join("pages"), 1).await?;
    let mut client = Client::connect(&server.address).await?;
    let total = setup.jobs * 10;
    let done = format!("[{}]", vec![r#"{"kind":"echo","queue":"q3"}"#; BATCH].join(","));
    for _ in 0..total / BATCH / 10 {
        client.ask(&post(&server.address, &done), 202).await?;
    }
    for batch in 0..total / BATCH {
        let job = |n: usize| {
            let n = batch * BATCH + n;
            format!(
                "{{\"kind\":\"echo\",\"queue\":\"q{}\",\"delay_ms\":3600000,\"payload\":{{\"user\":{{\"id\":{n}}},\"data\":\"{:064}\"}}}}",
                n % 7,
                n
            )
        };
        let jobs: Vec<String> = (0..BATCH).map(job).collect();
        let request = post(&server.address, &format!("[{}]", jobs.join(",")));
        client.ask(&request, 202).await?;
    }
    let one = client.ask(&get(&server.address, "/api/v1/jobs?limit=1"), 200).await?;
    let one: serde_json::Value = serde_json::from_str(&one)?;
    let job = format!("/jobs/{}", one["jobs"][0]["id"].as_str().unwrap_or_default());
    for (name, path, target) in [
        ("home", "/", 50),
        ("the jobs page", "/jobs", 50),
        ("the jobs page of one queue", "/jobs?queue=q3", 50),
        ("the jobs page of one state", "/jobs?state=completed", 50),
        ("the page of a job", job.as_str(), 50),
        ("queues", "/queues", 50),
        ("one queue", "/queues/q3", 50),
        ("the waiting times of all queues, an hour", "/queues?view=waits", 50),
        ("the waiting times of all queues, 7 days", "/queues?view=waits&range=7d", 50),
        ("kinds", "/kinds", 50),
        ("one kind", "/kinds/echo", 50),
        ("failures", "/failures", 50),
        ("schedules", "/schedules", 50),
        ("workers", "/workers", 50),
        ("the timeline", "/timeline", 50),
        ("the wallboard", "/wallboard", 50),
        ("finding things", "/find?q=a", 50),
        ("system", "/system", 50),
        ("the form for a new job", "/jobs/new", 50),
        ("the page of the API", "/api", 50),
        ("metrics", "/metrics", 50),
        ("a payload search that finds nothing, first page", "/jobs?q=payload.user.id:-1", 300),
        ("a text search that finds nothing, first page", "/jobs?q=nowhere", 300),
    ] {
        let request = get(&server.address, path);
        let mut times = Latencies::default();
        for _ in 0..ASKED {
            let asked = Instant::now();
            client.ask(&request, 200).await?;
            times.add(asked.elapsed());
        }
        table.row(name, format!("{} (target: p99 {target} ms)", times.words()));
    }
    let mut path = "/api/v1/jobs?q=payload.user.id:-1".to_owned();
    let (begun, mut answers) = (Instant::now(), 0);
    loop {
        let text = client.ask(&get(&server.address, &path), 200).await?;
        let page: serde_json::Value = serde_json::from_str(&text)?;
        answers += 1;
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/jobs?q=payload.user.id:-1&after={next}");
    }
    table.row(
        format!("that search through all {total} jobs"),
        format!("{:.2} s in {answers} answers", begun.elapsed().as_secs_f64()),
    );
    server.stop().await
}

/// The number of jobs in a state, from a response of `/api/v1/stats`.
pub fn state(stats: &str, name: &str) -> anyhow::Result<u64> {
    let stats: serde_json::Value = serde_json::from_str(stats)?;
    Ok(stats["states"][name].as_u64().unwrap_or(0))
}

pub fn post(address: &str, body: &str) -> Vec<u8> {
    post_to(address, "/api/v1/jobs", body)
}

pub fn post_to(address: &str, path: &str, body: &str) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

pub fn get(address: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes()
}

/// A request without a body that changes something.
pub fn act(address: &str, path: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\n\r\n").into_bytes()
}

/// A server under measurement.
pub struct Server {
    child: Child,
    pub pid: u32,
    pub address: String,
    /// Kept open, so that the server can write to it as to a terminal.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts the `cortado` that was built beside this program.
    async fn start(dir: &Path, concurrency: usize) -> anyhow::Result<Server> {
        Server::start_with(dir, &["--concurrency", &concurrency.to_string()]).await
    }

    /// Starts it with further arguments of `cortado serve`.
    pub async fn start_with(dir: &Path, args: &[&str]) -> anyhow::Result<Server> {
        let binary = std::env::current_exe()?.with_file_name("cortado");
        let mut child = Command::new(&binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "warn"])
            .arg("--data-dir")
            .arg(dir)
            .args(args)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}: build it first", binary.display()))?;
        let pid = child.id().context("the server ended at once")?;
        let stdout = child.stdout.take().context("no output")?;
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next_line().await? {
            if let Some(address) = line.strip_prefix("listening on http://") {
                let address = address.to_owned();
                return Ok(Server { child, pid, address, _output: lines });
            }
        }
        bail!("the server did not say where it listens")
    }

    /// Stops the server and waits for its exit.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.ask_to_stop()?;
        self.gone().await
    }

    /// Sends SIGTERM.
    pub fn ask_to_stop(&self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.pid.try_into()?);
        signal::kill(pid, Signal::SIGTERM).context("cannot stop the server")
    }

    /// Waits for its exit.
    pub async fn gone(&mut self) -> anyhow::Result<()> {
        self.child.wait().await?;
        Ok(())
    }
}

/// A connection with one request at a time. It does little, because it shares the processor with the server.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub async fn connect(address: &str) -> anyhow::Result<Client> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Client { stream, buffer: Vec::with_capacity(64 * 1_024) })
    }

    /// Sends a request and reads the body of the response.
    pub async fn ask(&mut self, request: &[u8], status: u16) -> anyhow::Result<String> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection");
            }
            let Some(end) = find(&self.buffer, b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.or(head.starts_with("http/1.1 204").then_some("0"));
            let length: usize = length.context("an answer without length")?.trim().parse()?;
            while self.buffer.len() < end + 4 + length {
                if self.stream.read_buf(&mut self.buffer).await? == 0 {
                    bail!("the server closed the connection");
                }
            }
            let body = String::from_utf8_lossy(&self.buffer[end + 4..]).into_owned();
            if !head.starts_with(&format!("http/1.1 {status}")) {
                bail!("{head}: {body}");
            }
            return Ok(body);
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
