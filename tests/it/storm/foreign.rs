//! Third-party clients in the same test: Python's `websockets` and Node's `ws`. They print what they receive, and the
//! same rules apply to it.

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::received::{Connection, Received};
use super::subscriber::Place;
use super::want::Want;
use crate::support::{Command, tools};

/// A third-party subscriber.
pub struct Program {
    pub name: &'static str,
    runs_by: &'static str,
    script: &'static str,
}

impl Program {
    /// All programs; `tests/tools.sh` installs what they need.
    pub fn all() -> [Program; 2] {
        tools::assert_there();
        [
            Program { name: "Python", runs_by: "python3", script: "tests/it/storm/subscriber.py" },
            Program { name: "Node", runs_by: "node", script: "tests/browser/subscriber.mjs" },
        ]
    }

    pub fn run(&self, base: &str, want: &Want, from: &str, seed: u64) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(self.script);
        let (query, seed) = (want.query(), seed.to_string());
        Command::of(self.runs_by, &[script.to_str().unwrap(), base, &query, from, &seed])
    }
}

/// Reads the output of a program into `received` while it runs.
pub async fn follow(command: Command, received: Arc<Mutex<Received>>, want: Want, place: Place) {
    let (mut read, mut here) = (0, None);
    while command.out.at_least(read + 1).await {
        let lines = command.out.from(read);
        read += lines.len();
        for line in lines {
            let message: Value = serde_json::from_str(&line).unwrap();
            if message["type"] == "connect" {
                here = Some(Connection::new(&received, want));
            } else {
                here.as_mut().unwrap().message(&message, &[], place.scribe());
            }
        }
    }
    panic!("a program has ended: {}", command.err.so_far().join("\n"));
}
