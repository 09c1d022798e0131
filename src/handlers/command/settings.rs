//! What the configuration says of the `command` kind: its limits and the programs that it may run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::template::{Dashes, Template};

/// How long children that outlive the process may go on writing before they are killed, and how long
/// what is left in the pipes is read after that.
pub const LINGER: Duration = Duration::from_millis(500);

/// What the `command` kind is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Between SIGTERM and SIGKILL when an attempt is to end; with [`LINGER`] it must fit into the
    /// engine's `handler_grace`.
    pub kill_grace: Duration,
    /// Bytes of one line of output that are kept.
    pub max_line: usize,
    /// What can be run, by name.
    pub programs: BTreeMap<String, Program>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            kill_grace: Duration::from_secs(1),
            max_line: 8 * 1_024,
            programs: BTreeMap::new(),
        }
    }
}

/// One declared program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// An absolute path, or a name to be found in `PATH`.
    pub program: String,
    /// Its arguments; placeholders are filled from the payload.
    pub args: Vec<Template>,
    /// Its environment, besides `PATH`, `HOME`, `LANG` and what names the job.
    pub env: BTreeMap<String, String>,
    /// Where it runs; the server's own directory when not given.
    pub cwd: Option<PathBuf>,
    /// What it reads.
    pub stdin: Stdin,
    /// Exit codes that say: no attempt can succeed.
    pub discard_codes: Vec<i32>,
    /// Lines of output kept as they come; of later ones only the last hundred.
    pub max_output_lines: usize,
    /// Whether a value may make its argument look like an option.
    pub dashes: Dashes,
}

/// What a program finds on its standard input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stdin {
    /// Nothing.
    #[default]
    Empty,
    /// The job's payload as JSON.
    Payload,
}
