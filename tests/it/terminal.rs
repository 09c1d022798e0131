//! Nothing that a server, a job or a file says can control the terminal of whoever reads it, or forge a line of the log.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{Command, Dir, Server, within};

/// Sequences that clear the screen, set the title, reverse the text and begin a line anew.
const EVIL: &str = "a\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{202e}\u{2066}b\rc\nINFO forged\u{7f}";

/// Asserts that lines have no character that controls a terminal.
#[track_caller]
fn assert_harmless(what: &str, lines: &[String]) {
    for line in lines {
        let evil = line.chars().find(|c| c.is_control() || "\u{202e}\u{2066}\u{2028}".contains(*c));
        assert_eq!(evil, None, "{what}: {line:?}");
    }
    assert!(lines.iter().all(|line| !line.starts_with("INFO forged")), "{what}: {lines:?}");
}

/// A server that gives the same answer to every request.
async fn answers(status: u16, media_type: &str, body: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_answers_cannot_control_the_terminal() {
    let dir = Dir::new();
    let backup = dir.data().to_str().unwrap().to_owned();
    let problem = json!({ "code": EVIL, "detail": EVIL, "status": 422,
        "errors": [{ "field": EVIL, "message": EVIL }] });
    let states = json!({});
    let queue = json!({ "name": EVIL, "paused": false, "states": {} });
    let store = json!({ "disk_bytes": 1, "journal_bytes": 1, "journal_chunks": 1, "archive_runs": 1,
        "archived_jobs": 1, "accepted_bytes": 1, "written_bytes": 1, "groups": 1, "syncs": 1 });
    let stats = json!({ "states": states, "queues": [queue], "store": store, "cursor": EVIL, "oldest": EVIL });
    // Bytes that are raw in the answer, not escaped: JSON allows all but the first 32 characters.
    let raw = stats.to_string().replace("\\u007f", "\u{7f}");
    let job = json!({ "id": EVIL }).to_string();
    for (status, media_type, body) in [
        (422, "application/problem+json", problem.to_string()),
        (404, "application/problem+json", problem.to_string()),
        (400, "text/html", EVIL.to_owned()),
        (200, "application/json", raw),
        (200, "application/json", EVIL.to_owned()),
        (202, "application/json", job),
    ] {
        let url = answers(status, media_type, body).await;
        for args in [
            &["stats"][..],
            &["stats", "--json"],
            &["submit", "echo"],
            &["watch"],
            &["resume"],
            &["backup", &backup],
        ] {
            // A stream without a WebSocket is tried again and again after some answers.
            let retries = args[0] == "watch" && status < 300;
            let mut command = Command::run(&[args, &["--server", &url]].concat());
            if retries {
                assert!(within("a message", command.err.at_least(1)).await);
                command.signal(nix::sys::signal::Signal::SIGINT);
            }
            command.exit().await;
            let what = format!("{status} {args:?}");
            let (out, err) = (command.out.so_far(), command.err.so_far());
            assert!(!(out.is_empty() && err.is_empty()), "{what}");
            assert_harmless(&what, &out);
            assert_harmless(&what, &err);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_prints_no_line_that_was_not_checked() {
    let head = r#"{"head":{"cortado_export":1,"epoch":"00000001","at":"2026-11-23T08:00:00.000Z","oldest":0,"head":0}}"#;
    for body in [
        EVIL.to_owned(),
        format!("{EVIL}\n"),
        format!("{head}\n{EVIL}\n"),
        format!("{head}\n{EVIL}"),
        format!("{}\n{EVIL}\n", head.replace(":1,", ":2,")),
    ] {
        let url = answers(200, "application/x-ndjson", body.clone()).await;
        let mut command = Command::run(&["export", "--server", &url]);
        assert_eq!(command.exit().await.code(), Some(2), "{body:?}");
        assert_harmless(&body, &command.err.so_far());
        let out = command.out.so_far();
        assert!(out.iter().all(|line| line == head), "{body:?}: {out:?}");
    }
}

const CONFIG: &str = "[commands.evil]\nprogram = 'sh'\nargs = ['-c', '{script}']\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_job_or_a_file_says_cannot_control_the_terminal_or_forge_the_log() {
    let dir = Dir::new();
    let server = Server::start(&dir, &["--config", &dir.config(CONFIG), "--log", "debug"]).await;
    let url = format!("http://{}", server.address);
    let to = |args: &[&str]| Command::run(&[args, &["--server", &url]].concat());
    let start = server.client.start_of_log().await;
    let mut watches =
        [to(&["watch", "--after", &start]), to(&["watch", "--after", &start, "--json"])];

    // A result, an error and log lines.
    let payload = format!("[{}]", json!(EVIL)).replace("\\u007f", "\u{7f}");
    let mut echo = to(&["submit", "echo", &payload, "--wait"]);
    assert!(echo.exit().await.success());
    assert_harmless("a result", &echo.out.so_far());
    let result: Value = serde_json::from_str(&echo.out.so_far()[0]).unwrap();
    assert_eq!(result, json!([EVIL]), "the value is the same");
    let fail = json!({ "times": 9, "message": EVIL }).to_string();
    let mut fail = to(&["submit", "fail", &fail, "--max-attempts", "1", "--wait"]);
    assert_eq!(fail.exit().await.code(), Some(1));
    assert_harmless("an error", &fail.err.so_far());
    let script =
        r"printf 'a\033[2J\302\233b\342\200\256\r\n'; printf 'x\033]0;t\007\n' >&2; exit 3";
    let payload = json!({ "name": "evil", "args": { "script": script } }).to_string();
    let mut command = to(&["submit", "command", &payload, "--max-attempts", "1", "--wait"]);
    assert_eq!(command.exit().await.code(), Some(1));
    assert_harmless("an error of a program", &command.err.so_far());
    for watch in &mut watches {
        assert!(within("the end", watch.out.line_with("exited with status 3")).await.is_some());
        watch.signal(nix::sys::signal::Signal::SIGINT);
        watch.exit().await;
        assert_harmless("events", &watch.out.so_far());
    }
    // Names in requests.
    for path in
        ["/jobs/%1b%5b2J%0aINFO%20forged", "/api/v1/queues/%c2%9b/pause", "/api/v1/jobs?queue=%1b"]
    {
        let _ = server.client.try_send(reqwest::Method::POST, path, None).await.unwrap();
    }
    let said = server.stop().await;
    assert!(
        said.iter().any(|line| line.contains("attempt failed") || line.contains("job discarded"))
    );
    assert_harmless("the log", &said);

    // The log in JSON has the same texts, and each line is JSON.
    let server =
        Server::start(&dir, &["--config", &dir.config(CONFIG), "--log-format", "json"]).await;
    let fail =
        json!({ "kind": "fail", "payload": { "times": 9, "message": EVIL }, "max_attempts": 1 });
    let id = server.client.submit(&fail).await;
    server.client.job_in(&id, "discarded").await;
    let said = server.stop().await;
    assert_harmless("the log in JSON", &said);
    for line in &said {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }

    // A configuration file and an export.
    let config = dir.config(&format!("listen = \"{}\"\n", EVIL.replace('\n', " ")));
    let export = dir.data().with_file_name("evil.jsonl");
    std::fs::write(&export, EVIL).unwrap();
    let new = dir.data().with_file_name("new");
    for args in [
        &["serve", "--config", &config][..],
        &["import", export.to_str().unwrap(), "--data-dir", new.to_str().unwrap()],
        &["verify", "--data-dir", "no\u{1b}[2J\u{202e}where"],
        &["export", "--data-dir", "no\u{1b}[2J\u{202e}where"],
        &["serve", "--config", "no\u{1b}[2J\u{202e}where"],
        // Mistakes on the command line.
        &[EVIL],
        &["serve", EVIL],
        &["serve", &format!("--{EVIL}")],
        &["serve", &format!("--{EVIL}=x")],
        &["serve", "--listen", EVIL],
        &["submit", EVIL, "--queue", EVIL],
        &["stats", "--server", EVIL],
        &["watch", "--after", EVIL],
    ] {
        let mut command = Command::run(args);
        assert_eq!(command.exit().await.code(), Some(2), "{args:?}");
        assert_harmless(&format!("{args:?}"), &command.out.so_far());
        assert_harmless(&format!("{args:?}"), &command.err.so_far());
    }
}
