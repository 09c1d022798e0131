//! Strangers' programs in the same storm: Python's `websockets` and Node's `ws`. They print what they are
//! told, and it is held to the same rules.

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::subscriber::Place;
use super::told::{Connection, Told};
use super::want::Want;
use crate::support::{Command, tools};

/// A program that subscribes.
pub struct Program {
    pub name: &'static str,
    runs_by: &'static str,
    script: &'static str,
}

impl Program {
    /// All there are, as `tests/tools.sh` fetches what they need.
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

/// Reads what a program says into `told`, for as long as it runs.
pub async fn follow(command: Command, told: Arc<Mutex<Told>>, want: Want, place: Place) {
    let (mut read, mut here) = (0, None);
    while command.out.at_least(read + 1).await {
        let lines = command.out.from(read);
        read += lines.len();
        for line in lines {
            let message: Value = serde_json::from_str(&line).unwrap();
            if message["type"] == "connect" {
                here = Some(Connection::new(&told, want));
            } else {
                here.as_mut().unwrap().message(&message, &[], place.scribe());
            }
        }
    }
    panic!("a program has ended: {}", command.err.so_far().join("\n"));
}
