//! The environment variables of the program: which ones there are, and what is wrong with those that are set.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;

use clap::error::{ContextKind, ContextValue};
use clap::{Command, CommandFactory as _};

use super::Cli;
use super::flag_variables::{variable, without_variable};
use crate::job::hidden::printable;

/// The beginning of the names of all variables.
const PREFIX: &str = "CORTADO_";

/// Variables that no flag has: those that the program sets for the commands that it runs, and those of its tests.
const OTHERS: [&str; 34] = [
    "CORTADO_ATTEMPT",
    "CORTADO_JOB_ID",
    "CORTADO_KIND",
    "CORTADO_QUEUE",
    "CORTADO_TOKEN",
    "CORTADO_BIN",
    "CORTADO_CLUSTER_KILLS",
    "CORTADO_CLUSTER_SEED",
    "CORTADO_CLUSTER_STOPS",
    "CORTADO_CRASH_ROUNDS",
    "CORTADO_CRASH_SEED",
    "CORTADO_FAULT",
    "CORTADO_FAULT_SEED",
    "CORTADO_FLIP_SEED",
    "CORTADO_FUZZ_CASES",
    "CORTADO_MODEL_CASES",
    "CORTADO_ORDER_SECONDS",
    "CORTADO_POWER_CUTS",
    "CORTADO_POWER_SEED",
    "CORTADO_RECORD_BAD",
    "CORTADO_RECORD_BELOW",
    "CORTADO_RECORD_FLAG",
    "CORTADO_RECORD_FULL",
    "CORTADO_RECORD_KILL",
    "CORTADO_RECORD_LOG",
    "CORTADO_SCHEMATHESIS_EXAMPLES",
    "CORTADO_SCHEMATHESIS_SEED",
    "CORTADO_SERVER_PROCESS",
    "CORTADO_STORM_ROUNDS",
    "CORTADO_STORM_SEED",
    "CORTADO_TEST_CLOCK",
    "CORTADO_PORT",
    "CORTADO_VERSION",
    "CORTADO_HOME",
];

/// The variables of the server that no flag has: the password of the admin whom the first start creates.
const WITHOUT_FLAG: [&str; 2] = ["CORTADO_ADMIN_PASSWORD", "CORTADO_ADMIN_PASSWORD_FILE"];

/// Beginnings of variables with which Kubernetes tells every container about a service of the name `cortado`.
const OTHER_PREFIXES: [&str; 2] = ["CORTADO_SERVICE_", "CORTADO_PORT_"];

/// A variable that looks like one of the program and is none.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownVariable {
    name: String,
    /// The variable that was probably meant.
    closest: Option<String>,
}

impl fmt::Display for UnknownVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = printable(&self.name);
        write!(f, "unknown environment variable {name} is ignored")?;
        match &self.closest {
            Some(closest) => write!(f, "; did you mean {closest}?"),
            None => Ok(()),
        }
    }
}

/// The variables among these names that look like variables of the program and are none, in order.
pub fn unknown(names: impl IntoIterator<Item = OsString>) -> Vec<UnknownVariable> {
    let mut known = of_flags(&Cli::command());
    known.extend(WITHOUT_FLAG.map(str::to_owned));
    let is_known = |name: &str| {
        known.contains(name)
            || OTHERS.contains(&name)
            || OTHER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    let names: BTreeSet<String> = names
        .into_iter()
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.to_ascii_uppercase().starts_with(PREFIX) && !is_known(name))
        .collect();
    let unknown = names.into_iter().map(|name| {
        let closest = closest(&name, &known);
        UnknownVariable { name, closest }
    });
    unknown.collect()
}

/// The known name that differs in the fewest characters, if they are few.
fn closest(name: &str, known: &BTreeSet<String>) -> Option<String> {
    let name = name.to_ascii_uppercase();
    let distance = |other: &String| strsim::osa_distance(&name, other);
    let closest = known.iter().min_by_key(|other| distance(other))?;
    let most = (closest.len() - PREFIX.len()).div_ceil(3);
    (distance(closest) <= most).then(|| closest.clone())
}

/// The variables of the flags of all commands.
fn of_flags(command: &Command) -> BTreeSet<String> {
    let of_these = command.get_arguments().filter_map(variable);
    of_these.chain(command.get_subcommands().flat_map(of_flags)).collect()
}

/// All mistakes in the environment, of which `first` is the first one: clap stops there, but whoever sets variables wants to
/// know about all that are wrong. If it is a mistake on the command line, which clap reads first, it is the only one.
pub fn all_mistakes(first: clap::Error, arguments: &[OsString]) -> Vec<clap::Error> {
    let (mut definition, mut mistakes) = (Cli::command(), Vec::new());
    let mut next = Some(first);
    while let Some(mut mistake) = next {
        let variable = blame_variable(&mut mistake, arguments);
        mistakes.push(mistake);
        let Some(variable) = variable else { break };
        definition = without_variable(definition, &variable);
        next = Cli::read_by(definition.clone(), arguments).err().filter(is_mistake);
    }
    mistakes
}

/// Whether it is a mistake and not a request for help or for the version.
pub fn is_mistake(error: &clap::Error) -> bool {
    error.exit_code() != 0
}

/// Names the variable in an error about a flag that nobody has typed: then its value comes from the environment.
fn blame_variable(error: &mut clap::Error, arguments: &[OsString]) -> Option<String> {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return None };
    let flag = flag.split([' ', '=']).next().unwrap_or_default().to_owned();
    let is_typed = arguments.iter().any(|argument| {
        let argument = argument.to_string_lossy();
        argument.strip_prefix(&flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    });
    if is_typed {
        return None;
    }
    let variable = variable_of(&Cli::command(), flag.strip_prefix("--")?)?;
    error.insert(ContextKind::InvalidArg, ContextValue::String(variable.clone()));
    Some(variable)
}

fn variable_of(command: &Command, long: &str) -> Option<String> {
    let own = command.get_arguments().find(|flag| flag.get_long() == Some(long));
    own.and_then(variable)
        .or_else(|| command.get_subcommands().find_map(|command| variable_of(command, long)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_variable_is_reported_with_the_closest_one() {
        for (name, closest) in [
            ("CORTADO_LISTN", Some("CORTADO_LISTEN")),
            ("CORTADO_DATADIR", Some("CORTADO_DATA_DIR")),
            ("CORTADO_AUTHTOKEN", Some("CORTADO_AUTH_TOKEN")),
            ("CORTADO_LOGFORMAT", Some("CORTADO_LOG_FORMAT")),
            ("CORTADO_CONCURENCY", Some("CORTADO_CONCURRENCY")),
            ("CORTADO_SEVRER", Some("CORTADO_SERVER")),
            ("cortado_listen", Some("CORTADO_LISTEN")),
            ("CORTADO_ADMIN_PASWORD", Some("CORTADO_ADMIN_PASSWORD")),
            ("CORTADO_ADMIN_PASSWORDFILE", Some("CORTADO_ADMIN_PASSWORD_FILE")),
            ("CORTADO_ADMIN_PASSWORD_", Some("CORTADO_ADMIN_PASSWORD")),
            ("CORTADO_ADMIN_NAME", None),
            ("CORTADO_", None),
            ("CORTADO_RETENTION_EVENTS", None),
        ] {
            let found = unknown([name.into()]);
            let expected = closest.map(str::to_owned);
            assert_eq!(found, [UnknownVariable { name: name.into(), closest: expected }]);
        }
        let said = unknown(["CORTADO_LISTN".into()])[0].to_string();
        assert!(said.ends_with("is ignored; did you mean CORTADO_LISTEN?"), "{said}");
        for known in [
            "CORTADO_LISTEN",
            "CORTADO_SERVER",
            "CORTADO_CA_FILE",
            "CORTADO_TOKEN",
            "CORTADO_ADMIN_PASSWORD",
            "CORTADO_ADMIN_PASSWORD_FILE",
            "CORTADO_JOB_ID",
            "CORTADO_STORM_SEED",
            "CORTADO_SERVICE_HOST",
            "CORTADO_PORT_8080_TCP_ADDR",
            "PATH",
            "MY_CORTADO_LISTN",
        ] {
            assert_eq!(unknown([known.into()]), [], "{known}");
        }
    }
}
