//! The configuration of the `command` kind: its limits, and the programs that it may run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::template::{Dashes, Template};
use crate::job::Secret;

/// How long children that outlive the process may keep writing before they are killed, and how long the pipes are
/// read after that.
pub const LINGER: Duration = Duration::from_millis(500);

/// The configuration of the `command` kind.
#[derive(Debug, Clone)]
pub struct CommandSettings {
    /// The time between SIGTERM and SIGKILL when an attempt has to end. Together with [`LINGER`] it must fit into the
    /// engine's `handler_grace`.
    pub kill_grace: Duration,
    /// Bytes of a line of output that are kept.
    pub max_line: usize,
    /// The declared programs by name.
    pub programs: BTreeMap<String, Program>,
    /// The directory for the entries of running commands. A server without a data directory has none.
    pub register: Option<PathBuf>,
}

impl Default for CommandSettings {
    fn default() -> Self {
        CommandSettings {
            kill_grace: Duration::from_secs(1),
            max_line: 8 * 1_024,
            programs: BTreeMap::new(),
            register: None,
        }
    }
}

/// A declared program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// An absolute path, or a name that is looked up in `PATH`.
    pub program: String,
    /// Its arguments; placeholders are filled from the payload.
    pub args: Vec<Template>,
    /// Its environment, in addition to `PATH`, `HOME`, `LANG` and variables that identify the job.
    pub env: BTreeMap<String, Secret>,
    /// Its working directory; that of the server by default.
    pub cwd: Option<PathBuf>,
    /// Its standard input.
    pub stdin: Stdin,
    /// Exit codes after which the job is discarded instead of retried.
    pub discard_codes: Vec<i32>,
    /// Lines of output that are logged immediately; of the lines after those only the last hundred are kept.
    pub max_output_lines: usize,
    /// Whether a value may make its argument look like an option.
    pub dashes: Dashes,
}

/// The standard input of a program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stdin {
    /// Empty.
    #[default]
    Empty,
    /// The job's payload as JSON.
    Payload,
}
