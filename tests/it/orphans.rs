//! Orphans of commands: the server adopts and reaps them, both as the first process of a container and elsewhere, and
//! still gets the exit code of every command that it waits for.

use std::collections::BTreeMap;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::process::borrowed;
use crate::support::{Command, Dir, Server, eventually};

/// `leave` leaves two orphans, one of them in its own session; `odd` leaves one that a real-time signal ends.
const CONFIG: &str = r#"
[commands.leave]
program = "sh"
args = ["-c", "(setsid sleep 0.$1 >/dev/null 2>&1 &); (sleep 0.1 &); exit $2", "sh", "{pause}", "{code}"]
[commands.odd]
program = "sh"
args = ["-c", "(setsid sh -c 'sleep 0.1; kill -40 $$' >/dev/null 2>&1 &); exit $1", "sh", "{code}"]
"#;

/// The id, parent and state of every process on this machine.
fn table() -> Vec<(i32, i32, char)> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let row = |pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut words = rest.split(' ');
        Some((pid, words.nth(1)?.parse().ok()?, rest.chars().next()?))
    };
    pids.filter_map(row).collect()
}

/// The children of a process, with their ids, parents and states.
pub fn children_of(parent: i32) -> Vec<(i32, i32, char)> {
    table().into_iter().filter(|(_, of, _)| *of == parent).collect()
}

async fn seventy_commands_leave_no_zombie(server: &Server, pid: i32) {
    let mut expected = BTreeMap::new();
    for n in 0..70 {
        let code = [0, 3, 0, 7][n % 4];
        let payload = match n % 10 {
            9 => json!({ "name": "odd", "args": { "code": code } }),
            _ => json!({ "name": "leave", "args": { "pause": n % 5 + 1, "code": code } }),
        };
        let job = json!({ "kind": "command", "payload": payload, "max_attempts": 1 });
        expected.insert(server.client.submit(&job).await, code);
    }
    for (id, code) in &expected {
        let job =
            server.client.job_in(id, if *code == 0 { "completed" } else { "discarded" }).await;
        let error = job["error"]["message"].as_str().unwrap_or_default();
        let expected =
            if *code == 0 { String::new() } else { format!("exited with status {code}") };
        assert_eq!(error, expected, "{job}");
    }
    // Even the orphans that slept longest have been adopted and reaped.
    eventually("no child is left", || async { children_of(pid).is_empty().then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_the_first_process_of_a_container_it_reaps_what_commands_leave_behind() {
    let dir = Dir::new();
    let config = dir.config(CONFIG);
    let args = Server::args("127.0.0.1:0".parse().unwrap(), &dir.data(), &["--config", &config]);
    let root = nix::unistd::Uid::effective().is_root();
    let mut all = if root { vec!["-pf"] } else { vec!["-Urpf"] };
    all.extend(["--mount-proc", env!("CARGO_BIN_EXE_cortado")]);
    all.extend(borrowed(&args));
    let mut process = match Server::unless_ended(Command::of("unshare", &all)).await {
        Ok(server) => {
            let [(pid, ..)] = children_of(server.process.id())[..] else { panic!("one child") };
            let inside = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let numbers = inside.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
            assert!(numbers.ends_with("\t1"), "it is process 1 of its namespace: {numbers}");
            seventy_commands_leave_no_zombie(&server, pid).await;
            kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
            server.process
        }
        Err(process) => {
            let said = process.err.so_far().join("\n");
            assert!(said.contains("unshare:"), "{said}");
            return println!("skipped: cannot create a process namespace here: {said}");
        }
    };
    assert_eq!(process.exit().await.code(), Some(0), "{:#?}", process.err.so_far());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anywhere_else_it_adopts_and_reaps_them_too() {
    let dir = Dir::new();
    let server = Server::start(&dir, &["--config", &dir.config(CONFIG)]).await;
    let pid = server.process.id();
    seventy_commands_leave_no_zombie(&server, pid).await;
    server.stop().await;
}
