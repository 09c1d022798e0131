//! The environment variables that flags read.

use clap::builder::Resettable;
use clap::{Arg, Command};

/// The variable of a flag.
pub fn variable(flag: &Arg) -> Option<String> {
    flag.get_env().map(|name| name.to_string_lossy().into_owned())
}

/// The same command, whose flags and those of its subcommands do not read this variable.
pub fn without_variable(mut command: Command, name: &str) -> Command {
    let flags = command.get_arguments().filter(|flag| variable(flag).as_deref() == Some(name));
    for id in flags.map(|flag| flag.get_id().clone()).collect::<Vec<_>>() {
        command = command.mut_arg(id, |flag| flag.env(Resettable::Reset));
    }
    let subcommands = command.get_subcommands().map(|command| command.get_name().to_owned());
    for subcommand in subcommands.collect::<Vec<_>>() {
        command = command.mut_subcommand(subcommand, |command| without_variable(command, name));
    }
    command
}
