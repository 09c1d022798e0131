//! The load generator: one process, one thread, thousands of sockets, controlled by commands, one per line.

use std::io::BufRead as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};

use super::socket::{Counts, Socket};
use super::wire;
use crate::figures::at;

/// The sockets that have something to read.
#[derive(Default)]
struct ReadySockets {
    list: Mutex<Vec<usize>>,
    any: Notify,
}

struct SocketWaker(Arc<ReadySockets>, usize);

impl Wake for SocketWaker {
    fn wake(self: Arc<Self>) {
        self.0.list.lock().unwrap_or_else(PoisonError::into_inner).push(self.1);
        self.0.any.notify_one();
    }
}

/// What a command waits for.
enum Until {
    Greeted(usize),
    Reached,
    Ended,
    Time,
}

struct ConnectedClients {
    ready: Arc<ReadySockets>,
    sockets: Vec<Socket>,
    counts: Counts,
    buffer: Vec<u8>,
    /// When the last counted event happened.
    last: Instant,
}

/// Runs until standard input ends.
pub async fn run() -> anyhow::Result<()> {
    let (lines, mut commands) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    let mut clients = ConnectedClients {
        ready: Arc::default(),
        sockets: Vec::new(),
        counts: Counts::default(),
        buffer: vec![0; 256 * 1_024],
        last: Instant::now(),
    };
    tokio::task::unconstrained(async move {
        loop {
            let line = tokio::select! {
                line = commands.recv() => line,
                () = clients.ready.any.notified() => {
                    clients.read_ready();
                    continue;
                }
            };
            let Some(line) = line else { return Ok(()) };
            let answer = clients.execute(&serde_json::from_str(&line)?).await?;
            println!("{answer}");
        }
    })
    .await
}

impl ConnectedClients {
    fn read_ready(&mut self) {
        let list = {
            let mut list = self.ready.list.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *list)
        };
        for at in list {
            if let Some(socket) = self.sockets.get_mut(at) {
                socket.read(&mut self.buffer, &mut self.counts);
            }
        }
    }

    async fn execute(&mut self, command: &Value) -> anyhow::Result<Value> {
        let bound = Duration::from_secs_f64(command["seconds"].as_f64().unwrap_or(60.0));
        let number = |name: &str| command[name].as_u64().unwrap_or_default();
        let begun = Instant::now();
        match command["do"].as_str().unwrap_or_default() {
            "open" => {
                let path = command["path"].as_str().unwrap_or_default();
                let address = command["address"].as_str().unwrap_or_default();
                let say = command["say"].as_str().map(|text| wire::masked(1, text.as_bytes()));
                let before = self.counts.greeted;
                for n in 0..number("count") as usize {
                    self.open(address, path, n).await?;
                    if let (Some(message), Some(socket)) = (&say, self.sockets.last()) {
                        socket.say(message);
                    }
                    if n % 16 == 0 {
                        self.read_ready();
                    }
                }
                let all = before + number("count") as usize;
                if command["quiet"] != true {
                    self.wait(Until::Greeted(all), bound).await;
                }
            }
            "count" => {
                self.counts.latencies.clear();
                (self.counts.frames, self.counts.bytes) = (0, 0);
                for socket in &mut self.sockets {
                    socket.base = socket.cursor.max(number("seq"));
                }
            }
            "watch" => self.wait(Until::Time, bound).await,
            "reach" => {
                self.counts.target = number("seq");
                let reached = |socket: &&Socket| socket.cursor >= self.counts.target;
                self.counts.reached = self.sockets.iter().filter(reached).count();
                self.wait(Until::Reached, bound).await;
            }
            "stall" => {
                let count = number("count") as usize;
                self.sockets.iter_mut().take(count).for_each(|socket| socket.is_stalled = true);
            }
            "end" => self.wait(Until::Ended, bound).await,
            "drop" => {
                self.sockets.clear();
                self.counts = Counts::default();
            }
            "tell" => {}
            other => anyhow::bail!("{other:?} is not known"),
        }
        Ok(self.report(begun))
    }

    async fn open(&mut self, address: &str, path: &str, n: usize) -> anyhow::Result<()> {
        let socket = TcpSocket::new_v4()?;
        // One address has too few ports, so that several addresses of this machine are used.
        let own = 2 + (self.sockets.len() / 4_000) as u8;
        socket.bind(([127, 0, 0, own], 0).into())?;
        let mut stream = socket.connect(address.parse()?).await?;
        stream.set_nodelay(true)?;
        let path = path.replace("{n}", &n.to_string()).replace("{n%100}", &(n % 100).to_string());
        stream.write_all(&wire::handshake(&path)).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            // Byte by byte, because what follows the head belongs to the socket.
            head.push(stream.read_u8().await?);
        }
        anyhow::ensure!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        let at = self.sockets.len();
        let waker = Waker::from(Arc::new(SocketWaker(self.ready.clone(), at)));
        let mut socket = Socket::new(stream, waker);
        socket.read(&mut self.buffer, &mut self.counts);
        self.sockets.push(socket);
        Ok(())
    }

    async fn wait(&mut self, until: Until, bound: Duration) {
        let deadline = Instant::now() + bound;
        loop {
            self.read_ready();
            let healthy = || self.sockets.iter().filter(|socket| !socket.is_stalled).count();
            let done = match until {
                Until::Greeted(count) => self.counts.greeted >= count,
                Until::Reached => self.counts.reached >= healthy(),
                Until::Ended => self.counts.ended >= healthy(),
                Until::Time => false,
            };
            self.last = Instant::now();
            if done || Instant::now() >= deadline {
                return;
            }
            let ready = self.ready.clone();
            tokio::select! {
                () = ready.any.notified() => {}
                () = sleep_until(deadline) => {}
            }
        }
    }

    fn report(&mut self, begun: Instant) -> Value {
        let counts = &mut self.counts;
        counts.latencies.sort_unstable();
        let events: u64 =
            self.sockets.iter().map(|socket| socket.cursor.saturating_sub(socket.base)).sum();
        let healthy = self.sockets.iter().filter(|socket| !socket.is_stalled);
        json!({
            "sockets": self.sockets.len(),
            "events": events,
            "slowest": healthy.map(|socket| socket.cursor).min(),
            "frames": counts.frames,
            "bytes": counts.bytes,
            "greeted": counts.greeted,
            "reached": counts.reached,
            "close_frames": counts.close_frames,
            "resets": counts.resets,
            "ended": counts.ended,
            "p50_us": at(&counts.latencies, 0.5),
            "p99_us": at(&counts.latencies, 0.99),
            "samples": counts.latencies.len(),
            "took_us": (self.last.max(begun) - begun).as_micros() as u64,
        })
    }
}
