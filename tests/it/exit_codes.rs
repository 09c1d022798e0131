//! The exit codes of all commands, as docs/operations.md lists them. "Could not look" is another answer than "not sound".

use std::path::Path;

use serde_json::json;

use crate::support::{Command, Dir, Server};

/// Runs a command and returns its exit code and everything that it said.
async fn run(args: &[&str]) -> (Option<i32>, String) {
    let mut process = Command::run(args);
    let status = process.exit().await;
    (status.code(), [process.out.so_far(), process.err.so_far()].concat().join("\n"))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_ends_with_the_code_that_the_documentation_lists() {
    let dir = Dir::new();
    let path = |name: &str| text(&dir.data().with_file_name(name)).to_owned();
    let data = path("data");
    let server = Server::start(&dir, &[]).await;
    server.client.submit(&json!({ "kind": "echo" })).await;
    let url = format!("http://{}", server.address);
    let to = |args: &[&str]| [args, &["--server", &url]].concat().join(" ");
    let (backup, used, damaged) = (path("backup"), path("used"), path("damaged"));
    std::fs::create_dir(&used).unwrap();
    std::fs::write(Path::new(&used).join("file"), "x").unwrap();
    let nowhere = path("nowhere");
    // Nothing listens on the discard port.
    let unreachable = "--server http://127.0.0.1:9";

    // The command line, its code, and what it says. Each of these runs while the server does.
    for (line, code, says) in [
        (to(&["submit", "echo"]), 0, ""),
        (to(&["submit", "echo", "--wait"]), 0, "null"),
        (
            to(&["submit", "fail", r#"{"times":9}"#, "--max-attempts", "1", "--wait"]),
            1,
            "discarded",
        ),
        (to(&["submit", "echo", "--delay", "1h", "--wait=50ms"]), 2, "in time"),
        (to(&["submit", "nope"]), 2, "unknown_kind"),
        (to(&["submit", "echo", "{"]), 2, "ends before its JSON is complete"),
        (to(&["watch", "--after", "x"]), 2, "--after"),
        (to(&["stats"]), 0, "completed"),
        (to(&["resume"]), 0, "not paused"),
        (to(&["health"]), 0, "is ready"),
        (to(&["export"]), 0, "\"end\""),
        (to(&["backup", &used]), 2, "not empty"),
        (to(&["backup", &backup]), 0, "verified"),
        (format!("stats {unreachable}"), 2, "127.0.0.1:9"),
        (format!("health {unreachable}"), 1, "127.0.0.1:9"),
        (format!("health --config {nowhere}"), 1, "cannot read the configuration"),
        (format!("export {unreachable}"), 2, "127.0.0.1:9"),
        (format!("resume {unreachable}"), 2, "127.0.0.1:9"),
        (format!("backup {nowhere} {unreachable}"), 2, "127.0.0.1:9"),
        (format!("submit echo {unreachable}"), 2, "127.0.0.1:9"),
        (format!("verify --data-dir {data}"), 2, "cannot be checked: "),
        (format!("export --data-dir {data}"), 2, "in use"),
        (format!("restore {data} --data-dir {}", path("r1")), 2, "in use"),
        (format!("serve --listen 127.0.0.1:0 --data-dir {data}"), 2, "in use"),
        (
            format!("serve --listen {} --data-dir {}", server.address, path("other")),
            2,
            "cannot listen",
        ),
        (format!("serve --config {nowhere}"), 2, "cannot read the configuration"),
        ("serve --listen nowhere".to_owned(), 2, "is not an address"),
        ("verify --no-such-flag".to_owned(), 2, "--no-such-flag"),
        ("--help".to_owned(), 0, "Usage"),
        ("--version".to_owned(), 0, "cortado"),
    ] {
        let (found, said) = run(&line.split(' ').collect::<Vec<_>>()).await;
        assert_eq!(found, Some(code), "{line}: {said}");
        assert!(said.contains(says), "{line}: {said}");
        assert!(!said.contains("NOT sound"), "{line}: {said}");
    }
    server.stop().await;

    let (_, lines) = run(&["export", "--data-dir", &data]).await;
    let (whole, half) = (path("whole.jsonl"), path("half.jsonl"));
    std::fs::write(&whole, lines.clone() + "\n").unwrap();
    std::fs::write(&half, &lines[..lines.len() / 2]).unwrap();
    std::fs::create_dir(&damaged).unwrap();
    for entry in std::fs::read_dir(&data).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), Path::new(&damaged).join(entry.file_name())).unwrap();
        }
    }
    // The head file says that a later event was durable than the log has.
    let head = path("data/head");
    let (newest, later) = (std::fs::read(&head).unwrap(), path("damaged/head"));
    std::fs::write(&later, &newest[..10]).unwrap();
    let empty = path("empty");
    std::fs::create_dir(&empty).unwrap();
    for (line, code, says) in [
        (format!("verify --data-dir {data}"), 0, "sound"),
        (format!("verify --data-dir {backup}"), 0, "sound"),
        (format!("verify --data-dir {damaged}"), 1, "NOT sound"),
        (format!("verify --data-dir {nowhere}"), 2, "cannot be checked: there is no directory"),
        (format!("verify --data-dir {empty}"), 2, "cannot be checked: there is no store"),
        (format!("verify --data-dir {used}"), 2, "cannot be checked: there is no store"),
        (format!("verify --data-dir {whole}"), 2, "whole.jsonl is not a directory"),
        ("verify --data-dir /etc".to_owned(), 2, "cannot be checked: there is no store in /etc"),
        (format!("export --data-dir {whole}"), 2, "is not a directory"),
        (format!("restore {whole} --data-dir {}", path("r5")), 2, "is not a directory"),
        (format!("serve --listen 127.0.0.1:0 --data-dir {whole}"), 2, "is not a directory"),
        (format!("import {used} --data-dir {}", path("i4")), 2, "used: it is a directory"),
        (
            format!("import - --data-dir {}", path("i5")),
            2,
            "nothing was imported from standard input",
        ),
        (format!("export --data-dir {nowhere}"), 2, "there is no directory"),
        (format!("export --data-dir {empty}"), 2, "there is no store"),
        (format!("import {nowhere} --data-dir {}", path("i1")), 2, "cannot read"),
        (format!("import {half} --data-dir {}", path("i2")), 2, "nothing was imported"),
        (format!("verify --data-dir {}", path("i2")), 2, "unfinished"),
        (format!("serve --listen 127.0.0.1:0 --data-dir {}", path("i2")), 2, "unfinished"),
        (format!("import {whole} --data-dir {used}"), 2, "not empty"),
        (format!("import {whole} --data-dir {}", path("i3")), 0, "verified"),
        (format!("restore {nowhere} --data-dir {}", path("r2")), 2, "there is no directory"),
        (format!("restore {empty} --data-dir {}", path("r3")), 2, "there is no store"),
        (format!("restore {backup} --data-dir {}", path("r4")), 0, "verified"),
        (format!("restore {backup} --data-dir {}", path("r4")), 2, "not empty"),
    ] {
        let (found, said) = run(&line.split(' ').collect::<Vec<_>>()).await;
        assert_eq!(found, Some(code), "{line}: {said}");
        assert!(said.contains(says), "{line}: {said}");
        assert!(code < 2 || !said.contains("chmod"), "{line}: {said}");
        let is_verdict = line.starts_with("verify") && code == 1;
        assert_eq!(said.contains("NOT sound"), is_verdict, "{line}: {said}");
    }
}
