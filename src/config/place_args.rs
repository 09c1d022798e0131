//! The flags that name where the jobs are: a server, a directory or a database. A command works on one of them.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::job::Secret;
use crate::store::database::PostgresSettings;
use crate::store::location::StorageLocation;

/// A directory or the URL of a database. Which one it is shows without a look at it, and everything else is checked
/// later, because messages about a flag would show the password in a URL.
#[derive(Debug, Clone)]
pub enum PlaceArg {
    /// A data directory.
    Directory(PathBuf),
    /// A database.
    Database(Secret),
}

impl FromStr for PlaceArg {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<PlaceArg, Infallible> {
        Ok(if text.contains("://") {
            PlaceArg::Database(Secret::from(text))
        } else {
            PlaceArg::Directory(text.into())
        })
    }
}

impl PlaceArg {
    /// The place that the flag names.
    ///
    /// # Errors
    /// Says what is wrong with the URL of a database.
    pub fn place(&self, flag: &str) -> Result<StorageLocation, String> {
        match self {
            PlaceArg::Directory(dir) => Ok(StorageLocation::Directory(dir.clone())),
            PlaceArg::Database(url) => database(url, flag),
        }
    }
}

/// The place that a directory and the URL of a database name: the database, if there is one.
///
/// # Errors
/// Says what is wrong with the URL.
pub fn place(dir: &Path, url: Option<&Secret>) -> Result<StorageLocation, String> {
    url.map_or_else(
        || Ok(StorageLocation::Directory(dir.to_owned())),
        |url| database(url, "--store"),
    )
}

/// The place of a command that works on a server unless a directory or the URL of a database is given.
///
/// # Errors
/// Says what is wrong with the URL.
pub fn place_instead_of_server(
    dir: Option<&PathBuf>,
    url: Option<&Secret>,
) -> Result<Option<StorageLocation>, String> {
    match (url, dir) {
        (Some(url), _) => database(url, "--store").map(Some),
        (None, Some(dir)) => Ok(Some(StorageLocation::Directory(dir.clone()))),
        (None, None) => Ok(None),
    }
}

/// The database of a URL, which this flag has.
///
/// # Errors
/// Says what is wrong with the URL.
pub fn database(url: &Secret, flag: &str) -> Result<StorageLocation, String> {
    let settings = url.expose().parse::<PostgresSettings>();
    settings.map(StorageLocation::from).map_err(|why| format!("{flag}: {why}"))
}

/// A flag that says where the jobs are.
struct PlaceFlag {
    id: &'static str,
    /// What errors call it.
    name: &'static str,
    /// What the command works on then.
    place: &'static str,
}

const DIRECTORY: PlaceFlag =
    PlaceFlag { id: "data_dir", name: "--data-dir <DIR>", place: "a directory" };
const DATABASE: PlaceFlag = PlaceFlag { id: "store", name: "--store <URL>", place: "a database" };
const SERVER: [PlaceFlag; 3] = [
    PlaceFlag { id: "server", name: "--server <URL>", place: "a server" },
    PlaceFlag { id: "auth_token", name: "--auth-token <TOKEN>", place: "a server" },
    PlaceFlag { id: "ca_file", name: "--ca-file <FILE>", place: "a server" },
];

/// What is wrong with flags for different places in the arguments of one command. Only flags that were typed are
/// mistakes: the variables of the environment are for all commands.
pub fn conflict(matches: &ArgMatches) -> Option<String> {
    let command = local_command(matches)?;
    let typed = |flag: &&PlaceFlag| is_typed(command, flag.id);
    let local = [&DIRECTORY, &DATABASE].into_iter().filter(typed).collect::<Vec<_>>();
    let (first, second) = match local[..] {
        [first, second] => (first, second),
        [first] => (first, SERVER.iter().find(typed)?),
        _ => return None,
    };
    Some(format!(
        "the argument '{}' cannot be used with '{}': the command works on either {} or {}",
        first.name, second.name, first.place, second.place
    ))
}

/// Whether a directory was typed, and the environment names a database, which is for other commands then.
pub fn has_typed_only_directory(matches: &ArgMatches) -> bool {
    let Some(command) = local_command(matches) else { return false };
    let from_environment = command.ids().any(|id| id == DATABASE.id)
        && command.value_source(DATABASE.id) == Some(ValueSource::EnvVariable);
    from_environment && is_typed(command, DIRECTORY.id)
}

/// The arguments of the command, unless it starts the server, which has a directory beside its database and a token
/// of its own.
fn local_command(matches: &ArgMatches) -> Option<&ArgMatches> {
    let (name, mut command) = matches.subcommand()?;
    while let Some((_, subcommand)) = command.subcommand() {
        command = subcommand;
    }
    (name != "serve").then_some(command)
}

fn is_typed(command: &ArgMatches, wanted: &str) -> bool {
    command.ids().any(|id| id == wanted)
        && command.value_source(wanted) == Some(ValueSource::CommandLine)
}
