//! The kind `command` runs a program that the configuration declares by name. It never uses a shell: each
//! argument is one element of the vector, whatever its characters.

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::time::Instant;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::{discard, done, retry};
use crate::engine::{AttemptContext, KindHandler};
use crate::job::schema::Violation;
use crate::job::shorten::truncated;
use crate::job::{Json, Outcome};

mod arguments;
pub(crate) mod children;
mod descendants;
mod output;
mod prerequisites;
mod process;
pub(crate) mod register;
mod settings;
pub(crate) mod survivors;
mod template;
#[cfg(test)]
mod tests;

pub use settings::{CommandSettings, LINGER, Program, Stdin};
pub use template::{Dashes, Template};

pub(super) const ABOUT: &str = "Runs a program declared in the configuration. Its exit code decides the outcome; its output is logged.";

/// The payload of a `command` job.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    /// The name of a declared program.
    name: String,
    /// A string, number or boolean for each placeholder.
    #[serde(default)]
    args: BTreeMap<String, Box<RawValue>>,
}

/// The handler of `command`.
pub struct CommandHandler {
    settings: CommandSettings,
}

impl CommandHandler {
    /// A handler that can run the declared programs.
    pub fn new(settings: CommandSettings) -> Self {
        CommandHandler { settings }
    }

    /// An example payload for the first declared program.
    pub fn example(&self) -> String {
        let Some((name, program)) = self.settings.programs.first_key_value() else {
            return json!({ "name": "a-declared-name", "args": { "placeholder": "value" } })
                .to_string();
        };
        let keys = program.args.iter().flat_map(Template::keys);
        let args: BTreeMap<&str, &str> = keys.map(|key| (key, "value")).collect();
        json!({ "name": name, "args": args }).to_string()
    }

    /// The schema of payloads, which offers the declared programs as a choice.
    pub fn schema(&self) -> String {
        let names: Vec<&str> = self.settings.programs.keys().map(String::as_str).collect();
        let mut name = json!({ "type": "string", "title": "Program",
            "description": "One of the programs that the configuration declares." });
        if !names.is_empty() {
            name["enum"] = json!(names);
        }
        // The properties are in the order in which a form asks for them.
        format!(
            r#"{{"type": "object", "additionalProperties": false, "required": ["name"],
                "properties": {{"name": {name}, "args": {{"type": "object", "title": "Arguments",
                "description": "A JSON object with a string, number or boolean for each placeholder."}}}}}}"#
        )
    }

    fn find(&self, name: &str) -> Result<&Program, String> {
        let programs = &self.settings.programs;
        programs.get(name).ok_or_else(|| {
            let known: Vec<&str> = programs.keys().map(String::as_str).collect();
            match known.as_slice() {
                [] => "no command is declared: add [commands.NAME] to the configuration".to_owned(),
                known => {
                    format!(
                        "command {name:?} is not declared; known commands: {}",
                        known.join(", ")
                    )
                }
            }
        })
    }
}

impl CommandHandler {
    /// The reasons why no program could be started with a payload that matches the schema.
    fn check_payload(&self, payload: &Json) -> Vec<Violation> {
        let violation = |field: &str, message| Violation { field: field.to_owned(), message };
        let payload = match payload.read::<Payload>() {
            Ok(payload) => payload,
            Err(_) => return vec![violation("args", "must be an object".to_owned())],
        };
        match self.find(&payload.name) {
            Ok(program) => {
                let wrong = arguments::check(program, &payload.args).into_iter();
                wrong.map(|message| violation("args", message)).collect()
            }
            Err(message) => vec![violation("name", message)],
        }
    }
}

impl KindHandler<Payload> for CommandHandler {
    async fn run(&self, context: AttemptContext, payload: Payload) -> Outcome {
        let program = match self.find(&payload.name) {
            Ok(program) => program,
            Err(error) => return discard(error),
        };
        let args = match arguments::fill(program, &payload.args) {
            Ok(args) => args,
            Err(error) => return discard(error),
        };
        let begin = Instant::now();
        match process::run(&self.settings, program, args, &context).await {
            Ok(process::ProcessEnd::Exited { status, last_error }) => {
                judge(program, status, &last_error, begin)
            }
            Ok(process::ProcessEnd::Stopped) => Outcome::Cancel,
            Err(process::RunError::Start(error)) => retry(program.start_error(&error)),
            Err(process::RunError::Wait(error)) => {
                retry(format!("cannot wait for {}: {error}", program.program))
            }
        }
    }

    fn check(&self, payload: &Json) -> Vec<Violation> {
        self.check_payload(payload)
    }
}

/// The outcome of an exit.
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

/// The names of common signals by their numbers on Linux.
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
