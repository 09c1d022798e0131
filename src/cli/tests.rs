//! The client commands against a real server.

mod export;

use std::future::pending;
use std::io::{self, Write};

use clap::Parser;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::submit::SubmitOutcome;
use super::{CliError, submit, watch};
use crate::config::{Cli, CliCommand};
use crate::http::tests::support::{Server, Setup, store_with, within};
use crate::store::StoreLimits;

/// An output that passes each line to the test; writing fails once the test has dropped the receiver.
struct Lines {
    sender: mpsc::UnboundedSender<String>,
    text: String,
}

fn lines() -> (Lines, mpsc::UnboundedReceiver<String>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Lines { sender, text: String::new() }, receiver)
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.push_str(std::str::from_utf8(bytes).unwrap());
        while let Some((line, rest)) = self.text.split_once('\n') {
            let sent = self.sender.send(line.to_owned());
            sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            self.text = rest.to_owned();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn command(words: &[&str]) -> CliCommand {
    Cli::try_parse_from([&["cortado"], words].concat()).unwrap().into_command()
}

fn watching(words: &[&str]) -> (JoinHandle<Result<(), CliError>>, mpsc::UnboundedReceiver<String>) {
    let CliCommand::Watch(args) = command(words) else { panic!("watch was expected") };
    let (mut out, lines) = lines();
    (tokio::spawn(async move { watch::run(args, pending(), &mut out).await }), lines)
}

async fn submitted(words: &[&str]) -> (Result<SubmitOutcome, CliError>, Vec<String>) {
    let CliCommand::Submit(args) = command(words) else { panic!("submit was expected") };
    let (mut out, mut lines) = lines();
    let outcome = within(submit::run(args, pending(), &mut out)).await;
    drop(out);
    let mut printed = Vec::new();
    while let Some(line) = lines.recv().await {
        printed.push(line);
    }
    (outcome, printed)
}

fn seq(line: &str) -> u64 {
    serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap()
}

#[tokio::test]
async fn watch_survives_a_restart_of_the_server_without_loss_or_doubles() {
    let store = store_with(StoreLimits::default());
    let server = Server::with(Setup { store: store.clone(), ..Setup::default() }).await;
    let (address, url) = (server.address, server.url(""));
    let begin = server.engine.head().to_string();
    let args = ["watch", "--json", "--server", &url, "--after", &begin, "--queue", "a"];
    let (watch, mut lines) = watching(&args);
    for queue in ["a", "b", "a"] {
        server.job(&format!(r#","queue":"{queue}""#)).await;
    }
    assert_eq!(seq(&within(lines.recv()).await.unwrap()), 1);
    assert_eq!(seq(&within(lines.recv()).await.unwrap()), 3);
    server.stop().await;

    let again = Setup { store: store.restarted(), address, ..Setup::default() };
    let server = Server::with(again).await;
    for _ in 0..2 {
        server.job(r#","queue":"a""#).await;
    }
    assert_eq!(seq(&within(lines.recv()).await.unwrap()), 4);
    assert_eq!(seq(&within(lines.recv()).await.unwrap()), 5);
    // The reader has gone: the next line ends the command.
    drop(lines);
    server.job(r#","queue":"a""#).await;
    assert_eq!(within(watch).await.unwrap(), Ok(()));
}

#[tokio::test]
async fn watch_waits_for_a_server_that_is_not_there_yet_and_gives_up_on_a_refusal() {
    let server = Server::start().await;
    let (address, url) = (server.address, server.url(""));
    server.stop().await;
    let (watch, mut lines) = watching(&["watch", "--server", &url, "--after", "00000000:0"]);
    let server = Server::with(Setup { address, ..Setup::default() }).await;
    server.job("").await;
    let line = within(lines.recv()).await.unwrap();
    assert!(line.contains("job.enqueued") && line.contains("queue=default"), "{line}");
    watch.abort();

    let mut access = Setup::default().access;
    access.token = Some("s3cret".into());
    let server = Server::with(Setup { access, ..Setup::default() }).await;
    let (watch, _lines) = watching(&["watch", "--server", &server.url("")]);
    let refused = within(watch).await.unwrap().unwrap_err();
    assert!(refused.contains("unauthorized"), "{refused}");
}

#[tokio::test]
async fn submit_prints_the_id_or_waits_for_the_result() {
    let server = Server::start().await;
    let url = server.url("");
    let args = ["submit", "echo", "--server", &url, "--delay", "1h", "--key", "k"];
    let (outcome, printed) = submitted(&args).await;
    assert_eq!((outcome.unwrap().exit_code(), printed.len()), (0, 1));
    assert_eq!(server.get(&format!("/api/v1/jobs/{}", printed[0])).await.status, 200);

    let payload = r#"{"b": 1.0}"#;
    let args = ["submit", "echo", payload, "--server", &url, "--delay", "50ms", "--wait"];
    let (outcome, printed) = submitted(&args).await;
    assert_eq!(
        (outcome, printed.as_slice()),
        (Ok(SubmitOutcome::Completed), &[r#"{"b":1.0}"#.to_owned()][..])
    );

    let (outcome, printed) = submitted(&["submit", "refuse", "--server", &url, "--wait"]).await;
    assert_eq!((outcome.unwrap().exit_code(), printed.len()), (1, 0));
}

#[tokio::test]
async fn submit_says_why_it_could_not() {
    let server = Server::start().await;
    let url = server.url("");
    let failed = async |words: &[&str]| submitted(words).await.0.unwrap_err();
    let why = failed(&["submit", "nope", "--server", &url]).await;
    assert!(why.contains("unknown_kind") && why.contains("echo"), "{why}");
    let why = failed(&["submit", "echo", "{", "--server", &url]).await;
    assert!(why.contains("the payload ends before its JSON is complete"), "{why}");
    let why = failed(&["submit", "echo", "{x", "--server", &url]).await;
    assert!(why.contains("the payload is not valid JSON: see line 1, column 2"), "{why}");
    let why = failed(&["submit", "echo", "", "--server", &url]).await;
    assert!(why.contains("the payload is empty"), "{why}");
    let late = ["submit", "echo", "--server", &url, "--delay", "1h", "--wait=50ms"];
    assert!(failed(&late).await.contains("in time"));
    server.stop().await;
    let why = failed(&["submit", "echo", "--server", &url]).await;
    assert!(why.contains("refused") || why.contains("connect"), "{why}");
}
