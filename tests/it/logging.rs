//! A log that cannot be written because the disk is full or because the reader is gone or stuck: the server still
//! answers, jobs run, the stop is clean, and one line says how many lines were lost.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, PipeReader, Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cortado::internal::logging::{LineStyle, LineWriter, writer};
use nix::sys::signal::Signal::{self, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use serde_json::json;

use crate::support::process::{borrowed, lasting_address};
use crate::support::{Client, Command, Dir, Server, eventually, within};

/// Many log lines, and a short queue for them.
const CONFIG: &str = "[log]\nfilter = 'debug'\nqueue = '16KiB'\n";

async fn dropped(client: &Client) -> u64 {
    let text = client.text("/metrics").await;
    let line = text.lines().find_map(|line| line.strip_prefix("cortado_log_dropped_lines_total "));
    line.expect("the metric").parse().unwrap()
}

/// Runs jobs, all of which complete, until log lines have been dropped.
async fn work_until_lines_are_dropped(client: &Client) {
    let before = dropped(client).await;
    eventually("dropped lines", || async {
        let jobs = (0..20).map(|n| json!({ "kind": "echo", "payload": n })).collect();
        for id in client.submit_all(jobs).await {
            client.job_in(&id, "completed").await;
        }
        (dropped(client).await > before).then_some(())
    })
    .await;
}

/// Stops the server and asserts that the stop is clean.
async fn stop(mut server: Server, signal: Signal) {
    server.process.signal(signal);
    assert_eq!(server.process.exit().await.code(), Some(0), "{signal}");
}

/// The lines that say how many were dropped.
fn tellings(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("log lines were dropped")).collect()
}

fn count_in(telling: &str) -> u64 {
    let (_, number) = telling.split_once("dropped=").expect("a number");
    number.trim().parse().unwrap()
}

#[tokio::test]
async fn a_full_disk_costs_log_lines_and_nothing_else() {
    for format in ["text", "json"] {
        let dir = Dir::new();
        let config = dir.config(CONFIG);
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let args = ["--config", &config, "--log-format", format];
        let server = Server::start_logging_to(full, &dir, &args).await;
        work_until_lines_are_dropped(&server.client).await;
        stop(server, SIGTERM).await;
    }
}

#[tokio::test]
async fn a_closed_reader_costs_log_lines_and_nothing_else_whatever_signal_comes() {
    for (format, signal) in
        [("text", SIGTERM), ("json", SIGHUP), ("text", SIGQUIT), ("text", SIGINT)]
    {
        let dir = Dir::new();
        let config = dir.config(CONFIG);
        let (reader, writer) = io::pipe().unwrap();
        let args = ["--config", &config, "--log-format", format];
        let server = Server::start_logging_to(writer, &dir, &args).await;
        drop(reader);
        work_until_lines_are_dropped(&server.client).await;
        stop(server, signal).await;
    }
}

#[tokio::test]
async fn a_stuck_reader_holds_nobody_up() {
    for signal in [SIGTERM, SIGHUP] {
        let dir = Dir::new();
        let config = dir.config(CONFIG);
        let (reader, writer) = io::pipe().unwrap();
        let args = ["--config", &config];
        let server = Server::start_logging_to(writer, &dir, &args).await;
        work_until_lines_are_dropped(&server.client).await;
        stop(server, signal).await;
        drop(reader);
    }
}

/// Standard output and error are one pipe that is full before the start.
#[tokio::test]
async fn a_server_that_cannot_say_where_it_is_serves_all_the_same() {
    let dir = Dir::new();
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(&vec![b'\n'; 64 * 1_024]).unwrap(); // the capacity of a pipe
    let address = lasting_address();
    let (out, err) = (Stdio::from(writer.try_clone().unwrap()), Stdio::from(writer));
    let args = Server::args(address, &dir.data(), &[]);
    let program = env!("CARGO_BIN_EXE_cortado");
    let process = Command::with_output(program, &borrowed(&args), None, out, err);
    let client = Client::new(address);
    eventually("a server that answers", || async {
        client.try_send(reqwest::Method::GET, "/healthz", None).await.ok()
    })
    .await;
    let server = Server { process, address, client };
    let id = server.client.submit(&json!({ "kind": "echo" })).await;
    server.client.job_in(&id, "completed").await;
    stop(server, SIGTERM).await;
    drop(reader);
}

#[tokio::test]
async fn a_start_that_fails_with_a_stuck_reader_ends_all_the_same() {
    let dir = Dir::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bad = dir.config("nonsense = 1\n");
    for extra in [&["--config", &bad][..], &[]] {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(&vec![b'\n'; 64 * 1_024]).unwrap();
        let args = Server::args(taken.local_addr().unwrap(), &dir.data(), extra);
        let (program, err) = (env!("CARGO_BIN_EXE_cortado"), Stdio::from(writer));
        let mut process =
            Command::with_output(program, &borrowed(&args), None, Stdio::piped(), err);
        assert_eq!(process.exit().await.code(), Some(2));
        drop(reader);
    }
}

/// Reads to the end of a pipe on a separate thread.
fn read_all(mut reader: PipeReader) -> tokio::task::JoinHandle<String> {
    tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    })
}

#[tokio::test]
async fn when_a_stuck_reader_reads_on_one_line_says_how_many_were_dropped() {
    for format in ["text", "json"] {
        let dir = Dir::new();
        let config = dir.config(CONFIG);
        let (reader, writer) = io::pipe().unwrap();
        let args = ["--config", &config, "--log-format", format];
        let server = Server::start_logging_to(writer, &dir, &args).await;
        work_until_lines_are_dropped(&server.client).await;
        let (seen, log) = tokio::sync::watch::channel(String::new());
        let reading = tokio::task::spawn_blocking(move || {
            for line in BufReader::new(reader).lines() {
                seen.send_modify(|log| *log += &(line.unwrap() + "\n"));
            }
        });
        let mut told = log.clone();
        let telling = told.wait_for(|log| !tellings(log).is_empty());
        assert!(within("the dropped count", telling).await.is_ok());
        let number = dropped(&server.client).await;
        stop(server, SIGTERM).await;
        reading.await.unwrap();
        let log = log.borrow().clone();
        if format == "text" {
            assert_eq!(tellings(&log).len(), 1, "{log}");
            assert_eq!(count_in(tellings(&log)[0]), number);
        } else {
            let lines = log.lines().map(|line| serde_json::from_str(line).expect(line));
            let lines: Vec<serde_json::Value> = lines.collect();
            let told: Vec<_> =
                lines.iter().filter_map(|line| line["fields"]["dropped"].as_u64()).collect();
            assert_eq!(told, [number]);
        }
        assert!(log.contains("stopping, no new jobs are claimed"), "the reader reads again: {log}");
    }
}

/// A small mounted file system, which a test fills and empties; unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[tokio::test]
async fn when_the_disk_has_room_again_one_line_says_how_many_were_dropped() {
    let dir = Dir::new();
    let place = tempfile::tempdir().unwrap();
    let mut mount = std::process::Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(place.path());
    if !mount.output().is_ok_and(|output| output.status.success()) {
        return println!("skipped: no file system can be mounted here");
    }
    let _disk = SmallDisk(place.path());
    let (log, ballast) = (place.path().join("log"), place.path().join("ballast"));
    let file = OpenOptions::new().create(true).append(true).open(&log).unwrap();
    let server = Server::start_logging_to(file, &dir, &["--config", &dir.config(CONFIG)]).await;
    let mut full = File::create(&ballast).unwrap();
    while full.write_all(&[0; 512]).is_ok() {}
    work_until_lines_are_dropped(&server.client).await;
    std::fs::remove_file(&ballast).unwrap();
    drop(full);
    let read = || std::fs::read_to_string(&log).unwrap();
    eventually("the dropped count", || async { tellings(&read()).first().map(drop) }).await;
    let number = dropped(&server.client).await;
    stop(server, SIGTERM).await;
    let text = read();
    assert_eq!(tellings(&text).len(), 1, "{text}");
    assert_eq!(count_in(tellings(&text)[0]), number);
    assert!(text.lines().any(|line| line.contains("INFO") && line.contains("stopped")), "{text}");
}

#[tokio::test]
async fn a_healthy_reader_loses_nothing_of_ten_thousand_lines_a_second() {
    const LINES: usize = 50_000;
    let (reader, out) = io::pipe().unwrap();
    let queue = writer::start(out, 8 << 20).unwrap();
    let reading = read_all(reader);
    let writing = std::thread::spawn(move || {
        let begun = Instant::now();
        for n in 0..LINES {
            let due = begun + Duration::from_micros(100) * u32::try_from(n).unwrap();
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let line =
                format!("{n} a line of about the length that lines of the log have{n:0>80}\n");
            let mut writer = LineWriter::of(queue.clone(), LineStyle::Plain);
            writer.write_all(line.as_bytes()).unwrap();
        }
        queue.finish(Duration::from_secs(60));
        assert_eq!(queue.dropped(), 0);
    });
    let text = within("every line", reading).await.unwrap();
    writing.join().unwrap();
    let numbers =
        text.lines().map(|line| line.split(' ').next().unwrap().parse::<usize>().unwrap());
    assert!(numbers.eq(0..LINES));
}

#[tokio::test]
async fn client_commands_end_quietly_when_nobody_reads_them() {
    let dir = Dir::new();
    let server = Server::start(&dir, &[]).await;
    let start = server.client.start_of_log().await;
    let id = server.client.submit(&json!({ "kind": "echo" })).await;
    server.client.job_in(&id, "completed").await;
    let base = server.client.base();
    let run = |args: &[&str], out: Stdio, err: Stdio| {
        let args: Vec<&str> = args.iter().copied().chain(["--server", base]).collect();
        Command::with_output(env!("CARGO_BIN_EXE_cortado"), &args, None, out, err)
    };
    let closed = || Stdio::from(io::pipe().unwrap().1);
    // A program that received only part of the output must not mistake it for all of it.
    for (args, code) in [
        (&["watch", "--after", &start][..], 0),
        (&["watch"], 0), // no event arrives in the meantime
        (&["stats"], 2),
        (&["submit", "echo"], 2),
        (&["export"], 2),
    ] {
        let mut command = run(args, closed(), Stdio::piped());
        assert_eq!(command.exit().await.code(), Some(code), "{args:?}");
        assert_eq!(command.err.so_far(), [""; 0], "{args:?}");
    }
    // Messages on standard error may be lost, too.
    let mut command = run(&["submit", "echo", "--wait"], Stdio::piped(), closed());
    assert_eq!(command.exit().await.code(), Some(0));
    assert_eq!(command.out.so_far(), ["null"]);
    let mut command = run(&["submit", "no-such-kind"], closed(), closed());
    assert_eq!(command.exit().await.code(), Some(2));
    server.stop().await;
    let data = dir.data();
    for verb in [&["verify", "--data-dir"][..], &["export", "--data-dir"]] {
        let args: Vec<&str> = verb.iter().copied().chain([data.to_str().unwrap()]).collect();
        let program = env!("CARGO_BIN_EXE_cortado");
        let mut command = Command::with_output(program, &args, None, closed(), Stdio::piped());
        assert_eq!(command.exit().await.code(), Some(2), "{args:?}");
        assert_eq!(command.err.so_far(), [""; 0], "{args:?}");
    }
}

#[tokio::test]
async fn the_log_announces_no_retry_after_the_last_attempt() {
    let dir = Dir::new();
    let server = Server::start(&dir, &[]).await;
    let backoff = json!({ "base_ms": 10, "cap_ms": 10 });
    let fail =
        json!({ "kind": "fail", "payload": { "times": 9 }, "max_attempts": 3, "backoff": backoff });
    let failed = server.client.submit(&fail).await;
    let slow =
        json!({ "kind": "sleep", "payload": { "ms": 60_000 }, "max_attempts": 1, "timeout_ms": 1 });
    let timed_out = server.client.submit(&slow).await;
    for id in [&failed, &timed_out] {
        server.client.job_in(id, "discarded").await;
    }
    let log = server.stop().await;
    let lines_of = |id: &str| -> Vec<&String> {
        log.iter().filter(|line| line.contains("attempt failed") && line.contains(id)).collect()
    };
    for (id, attempts) in [(&failed, 3), (&timed_out, 1)] {
        let lines = lines_of(id);
        assert_eq!(lines.len(), attempts, "{lines:#?}");
        let (last, earlier) = lines.split_last().unwrap();
        assert!(last.contains("job discarded") && !last.contains("retry_in_ms"), "{last}");
        for line in earlier {
            assert!(line.contains("retry_in_ms=") && !line.contains("discarded"), "{line}");
        }
    }
}
