//! The baseline: a plain loop that writes prebuilt frames to as many sockets. It has no jobs, no filters
//! and no disk. A server could be faster only with other system calls.

use std::io::{BufRead as _, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::wire;

/// Runs until standard input ends. Prints its address, then runs one command per line.
pub fn run() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", json!({ "address": listener.local_addr()?.to_string() }));
    let mut sockets: Vec<TcpStream> = Vec::new();
    let mut seq = 0;
    for line in std::io::stdin().lock().lines() {
        let command: Value = serde_json::from_str(&line?)?;
        let number = |name: &str| command[name].as_u64().unwrap_or_default();
        let answer = match command["do"].as_str().unwrap_or_default() {
            "accept" => {
                for _ in 0..number("count") {
                    sockets.push(accept(&listener)?);
                }
                json!({ "sockets": sockets.len() })
            }
            "write" => {
                let plan = RawPlan {
                    events: number("events") as usize,
                    event_bytes: number("event_bytes") as usize,
                    every: Duration::from_micros(number("every_us")),
                    lasts: Duration::from_secs_f64(command["seconds"].as_f64().unwrap_or(1.0)),
                };
                plan.run(&mut sockets, &mut seq)?
            }
            other => anyhow::bail!("{other:?} is not known"),
        };
        println!("{answer}");
    }
    Ok(())
}

fn accept(listener: &TcpListener) -> std::io::Result<TcpStream> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let mut head = [0; 1_024];
    let mut len = 0;
    while !head[..len].ends_with(b"\r\n\r\n") {
        len += stream.read(&mut head[len..])?;
    }
    let answer =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(answer.as_bytes())?;
    stream.write_all(&wire::frame(1, br#"{"type":"hello","cursor":"0:0"}"#))?;
    Ok(stream)
}

struct RawPlan {
    /// Events in a frame.
    events: usize,
    /// The length of one of them.
    event_bytes: usize,
    /// From one frame to the next; zero is as fast as it goes.
    every: Duration,
    lasts: Duration,
}

impl RawPlan {
    fn run(&self, sockets: &mut [TcpStream], seq: &mut usize) -> anyhow::Result<Value> {
        let cpu = crate::figures::cpu_seconds(std::process::id());
        let begun = Instant::now();
        let mut rounds = 0_u32;
        while begun.elapsed() < self.lasts {
            let due = begun + self.every * rounds;
            // A loop that is late writes at once, and the delay counts as latency of its frame.
            let late = Instant::now().saturating_duration_since(due);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            *seq += self.events;
            let late = if self.every.is_zero() { Duration::ZERO } else { late };
            let frame = self.frame(*seq, wire::micros() - late.as_micros() as u64);
            for socket in &mut *sockets {
                socket.write_all(&frame)?;
            }
            rounds += 1;
        }
        let took = begun.elapsed();
        let cpu = crate::figures::cpu_seconds(std::process::id()) - cpu;
        Ok(json!({ "rounds": rounds, "took_us": took.as_micros() as u64, "cpu_s": cpu }))
    }

    /// What a server would send, padded to the length of its events.
    fn frame(&self, seq: usize, stamp: u64) -> Vec<u8> {
        let mut event = format!(r#"{{"seq":{seq:09},"job":{{"tags":["{stamp:016}"]}},"more":""#);
        let padding = self.event_bytes.saturating_sub(event.len() + 2);
        event.extend(std::iter::repeat_n('x', padding));
        event.push_str("\"}");
        let events = vec![event; self.events].join(",");
        let text = format!(r#"{{"type":"events","events":[{events}],"cursor":"00000000:{seq}"}}"#);
        wire::frame(1, text.as_bytes())
    }
}
