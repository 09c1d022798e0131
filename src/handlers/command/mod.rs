//! The kind `command`: runs a program that the configuration declares by name. Never a shell: each
//! argument is one element of the vector, whatever its characters.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::{discard, done, retry};
use crate::engine::{Context, Handler};
use crate::job::Outcome;
use crate::job::shorten::truncated;

/// How long children that outlive the process may go on writing before they are killed, and how long
/// what is left in the pipes is read after that.
pub const LINGER: Duration = Duration::from_millis(500);

pub(crate) mod children;
mod output;
mod process;
mod template;
#[cfg(test)]
mod tests;

pub use template::Template;

pub(super) const ABOUT: &str =
    "Runs a program declared in the configuration; its exit code decides, its output is the log.";

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

/// Whether an argument that begins with a placeholder may begin with `-` once it is filled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dashes {
    /// No: a submitter could pass options that the operator did not mean to offer.
    #[default]
    Refuse,
    /// Yes: the program is known to treat it as data.
    Allow,
}

/// The payload of a `command` job.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    /// Which declared program.
    name: String,
    /// A string, number or boolean for each placeholder.
    #[serde(default)]
    args: BTreeMap<String, Box<RawValue>>,
}

/// The handler of `command`.
pub struct Command {
    settings: Settings,
}

impl Command {
    /// A handler that can run what the settings declare.
    pub fn new(settings: Settings) -> Self {
        Command { settings }
    }

    /// A payload for the first declared program.
    pub fn example(&self) -> String {
        let Some((name, program)) = self.settings.programs.first_key_value() else {
            return json!({ "name": "a-declared-name", "args": { "placeholder": "value" } })
                .to_string();
        };
        let keys = program.args.iter().flat_map(Template::keys);
        let args: BTreeMap<&str, &str> = keys.map(|key| (key, "value")).collect();
        json!({ "name": name, "args": args }).to_string()
    }

    /// What a payload looks like: the declared programs are the choice.
    pub fn schema(&self) -> String {
        let names: Vec<&str> = self.settings.programs.keys().map(String::as_str).collect();
        let mut name = json!({ "type": "string", "title": "Program",
            "description": "Which of the programs that the configuration declares." });
        if !names.is_empty() {
            name["enum"] = json!(names);
        }
        // Written in the order in which a form asks.
        format!(
            r#"{{"type": "object", "additionalProperties": false, "required": ["name"],
                "properties": {{"name": {name}, "args": {{"type": "object", "title": "Arguments",
                "description": "A JSON object: a text, number or boolean for each placeholder."}}}}}}"#
        )
    }

    fn find(&self, name: &str) -> Result<&Program, String> {
        let programs = &self.settings.programs;
        programs.get(name).ok_or_else(|| {
            let known: Vec<&str> = programs.keys().map(String::as_str).collect();
            match known.as_slice() {
                [] => "no command is declared: add [commands.NAME] to the configuration".to_owned(),
                known => {
                    format!("command {name:?} is not declared; there is: {}", known.join(", "))
                }
            }
        })
    }
}

impl Handler<Payload> for Command {
    async fn run(&self, context: Context, payload: Payload) -> Outcome {
        let program = match self.find(&payload.name) {
            Ok(program) => program,
            Err(error) => return discard(error),
        };
        let args = match template::fill(program, &payload.args) {
            Ok(args) => args,
            Err(error) => return discard(error),
        };
        let begin = Instant::now();
        match process::run(&self.settings, program, args, &context).await {
            Ok(process::End::Exited { status, last_error }) => {
                judge(program, status, &last_error, begin)
            }
            Ok(process::End::Stopped) => Outcome::Cancel,
            Err(error) => retry(format!("cannot run {}: {error}", program.program)),
        }
    }
}

/// What an exit makes of the job.
fn judge(program: &Program, status: ExitStatus, last_error: &str, begin: Instant) -> Outcome {
    use std::os::unix::process::ExitStatusExt;

    let mut error = match (status.code(), status.signal()) {
        (Some(0), _) => {
            let duration_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
            return done(&json!({ "exit_code": 0, "duration_ms": duration_ms }));
        }
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}{}", signal_name(signal)),
        (None, None) => "ended in an unknown way".to_owned(),
    };
    if !last_error.is_empty() {
        error.push_str(": ");
        error.push_str(truncated(last_error, 500));
    }
    match status.code() {
        Some(code) if program.discard_codes.contains(&code) => discard(error),
        Some(_) | None => retry(error),
    }
}

/// The usual signals, by their numbers on Linux.
fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => " (SIGHUP)",
        2 => " (SIGINT)",
        3 => " (SIGQUIT)",
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        14 => " (SIGALRM)",
        15 => " (SIGTERM)",
        _ => "",
    }
}
