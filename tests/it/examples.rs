//! `examples/subscribe.*`: subscribers in four languages. The server and the programs are killed and restarted, and the
//! output of each program must equal the log.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal::SIGKILL;
use serde_json::json;

use crate::support::process::{Lines, cargo_example, lasting_address};
use crate::support::{Client, Command, Dir, Event, Server, eventually, tools};

/// An example, over all its runs.
struct Example {
    program: String,
    args: Vec<String>,
    run: Command,
    /// The output of earlier runs.
    before: Vec<Lines>,
}

impl Example {
    fn start(program: &str, script: Option<&str>, base: &str, place: &Path) -> Example {
        let script = script.map(|name| root().join("examples").join(name));
        let args = [script.as_deref(), Some(Path::new(base)), Some(place)];
        let args = args.into_iter().flatten().map(|arg| arg.to_str().unwrap().to_owned());
        let args: Vec<String> = args.collect();
        let run = run(program, &args);
        Example { program: program.to_owned(), args, run, before: Vec::new() }
    }

    /// Everything printed so far, without duplicates: after a kill between printing events and saving the cursor, a
    /// program prints the last events again.
    fn printed(&self) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        let runs = self.before.iter().chain([&self.run.out]);
        for line in runs.flat_map(|lines| lines.so_far()) {
            let event: Event = serde_json::from_str(&line).unwrap();
            if events.last().is_none_or(|last| last.seq < event.seq) {
                events.push(event);
            }
        }
        events
    }

    async fn has_printed(&self, upto: u64) {
        eventually(&format!("{} with event {upto}", self.program), || async {
            self.printed().last().filter(|last| last.seq >= upto).map(|_| ())
        })
        .await;
    }

    async fn restart(&mut self) {
        self.run.signal(SIGKILL);
        self.run.exit().await;
        let next = run(&self.program, &self.args);
        self.before.push(std::mem::replace(&mut self.run, next).out.clone());
    }
}

fn run(program: &str, args: &[String]) -> Command {
    Command::of(program, &args.iter().map(String::as_str).collect::<Vec<_>>())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

async fn rust_example() -> PathBuf {
    let mut cargo = cargo_example("build", "subscribe");
    let built =
        tokio::time::timeout(Duration::from_secs(600), cargo.status()).await.unwrap().unwrap();
    assert!(built.success(), "the example does not build");
    let bin = Path::new(env!("CARGO_BIN_EXE_cortado"));
    bin.parent().unwrap().join("examples/subscribe")
}

async fn submit(client: &Client) -> u64 {
    let echo = |n| json!({ "kind": "echo", "payload": n });
    client.submit_all((0..20).map(echo).collect()).await;
    let last = client.submit(&json!({ "kind": "sleep", "payload": { "ms": 50 } })).await;
    client.job_in(&last, "completed").await["seq"].as_u64().unwrap()
}

#[tokio::test]
async fn each_example_resumes_whoever_is_killed() {
    tools::assert_there();
    let rust = rust_example().await;
    let (dir, address) = (Dir::new(), lasting_address());
    let mut server = Server::start_on(address, &dir.data(), &["--grace", "5s"]).await;
    let start = server.client.start_of_log().await;
    let base = server.client.base().to_owned();
    let programs = [
        ("python3".to_owned(), Some("subscribe.py")),
        ("node".to_owned(), Some("subscribe.mjs")),
        ("bash".to_owned(), Some("subscribe.sh")),
        (rust.to_str().unwrap().to_owned(), None),
    ];
    let mut examples = Vec::new();
    for (n, (program, script)) in programs.iter().enumerate() {
        let place = dir.data().with_file_name(format!("cursor-{n}"));
        std::fs::write(&place, &start).unwrap();
        examples.push(Example::start(program, *script, &base, &place));
    }
    let mut upto = submit(&server.client).await;
    for round in 0..3 {
        for example in &examples {
            example.has_printed(upto).await;
        }
        match round {
            0 => server.kill().await,
            1 => drop(server.stop().await),
            _ => break,
        }
        // The programs reconnect to the restarted server, and two of them are killed in the meantime.
        examples[round].restart().await;
        examples[round + 2].restart().await;
        server = Server::start_on(address, &dir.data(), &["--grace", "5s"]).await;
        upto = submit(&server.client).await;
    }
    let log = server.client.log().await;
    for example in &examples {
        example.has_printed(log.last().unwrap().seq).await;
        assert_eq!(example.printed(), log, "{}", example.program);
    }
    server.stop().await;
}

#[test]
fn each_example_is_short_enough_to_be_read() {
    for name in ["subscribe.py", "subscribe.mjs", "subscribe.sh", "subscribe.rs"] {
        let text = std::fs::read_to_string(root().join("examples").join(name)).unwrap();
        assert!(text.lines().count() < 40, "{name}: {} lines", text.lines().count());
    }
}
