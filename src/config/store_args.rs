//! The arguments of the commands that work on a whole store: `backup`, `restore`, `export`, `import`, `move` and `verify`.

use std::path::PathBuf;

use clap::Args;

use super::client_args::ClientArgs;
use super::place_args::{self, PlaceArg};
use crate::job::Secret;
use crate::store::location::StorageLocation;

/// The server to back up, and the directory for the copy.
#[derive(Debug, Clone, Args)]
pub struct BackupArgs {
    /// The server.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Back up this PostgreSQL database instead, without a server
    #[arg(long, value_name = "URL")]
    pub store: Option<Secret>,
    /// Directory for the copy; it must be empty or not exist
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// The backup to restore, and the new data directory or database.
#[derive(Debug, Clone, Args)]
pub struct RestoreArgs {
    /// The directory that `cortado backup` made
    #[arg(value_name = "BACKUP")]
    pub backup: PathBuf,
    /// Directory for the jobs; it must be empty or not exist
    #[arg(long, value_name = "DIR", env = "CORTADO_DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
    /// PostgreSQL database for the jobs instead; there must be no store in it
    #[arg(long, value_name = "URL", env = "CORTADO_STORE", hide_env_values = true)]
    pub store: Option<Secret>,
}

/// The server, directory or database to export.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// The server.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Export this directory instead; no server may be using it
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Export this PostgreSQL database instead, without a server
    #[arg(long, value_name = "URL")]
    pub store: Option<Secret>,
}

/// The export to import, and the new data directory or database.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// The lines that `cortado export` printed; `-` reads them from standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Directory for the jobs; it must be empty or not exist
    #[arg(long, value_name = "DIR", env = "CORTADO_DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
    /// PostgreSQL database for the jobs instead; there must be no store in it
    #[arg(long, value_name = "URL", env = "CORTADO_STORE", hide_env_values = true)]
    pub store: Option<Secret>,
}

/// Where a store is, and where it is to be.
#[derive(Debug, Clone, Args)]
pub struct MoveArgs {
    /// Directory or URL of the PostgreSQL database that holds the jobs; no server may be using it
    #[arg(long, value_name = "PLACE", env = "CORTADO_MOVE_FROM", hide_env_values = true)]
    pub from: PlaceArg,
    /// Directory or URL of the PostgreSQL database for the jobs; there must be no store in it
    #[arg(long, value_name = "PLACE", env = "CORTADO_MOVE_TO", hide_env_values = true)]
    pub to: PlaceArg,
}

/// The directory or database to check.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// Directory that holds the jobs; no server may be using it
    #[arg(long, value_name = "DIR", env = "CORTADO_DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
    /// PostgreSQL database that holds the jobs instead; its nodes may go on
    #[arg(long, value_name = "URL", env = "CORTADO_STORE", hide_env_values = true)]
    pub store: Option<Secret>,
}

impl MoveArgs {
    /// Where the store is, and where it is to be.
    ///
    /// # Errors
    /// Says what is wrong with the URL of a database.
    pub fn places(&self) -> Result<(StorageLocation, StorageLocation), String> {
        Ok((self.from.place("--from")?, self.to.place("--to")?))
    }
}

impl VerifyArgs {
    /// The place to check.
    ///
    /// # Errors
    /// Says what is wrong with the URL of a database.
    pub fn place(&self) -> Result<StorageLocation, String> {
        place_args::place(&self.data_dir, self.store.as_ref())
    }
}

impl RestoreArgs {
    /// The place for the jobs.
    ///
    /// # Errors
    /// Says what is wrong with the URL of a database.
    pub fn place(&self) -> Result<StorageLocation, String> {
        place_args::place(&self.data_dir, self.store.as_ref())
    }
}

impl ImportArgs {
    /// The place for the jobs.
    ///
    /// # Errors
    /// Says what is wrong with the URL of a database.
    pub fn place(&self) -> Result<StorageLocation, String> {
        place_args::place(&self.data_dir, self.store.as_ref())
    }
}

impl ExportArgs {
    /// The place to export, if it is not a server.
    ///
    /// # Errors
    /// Says what is wrong with the URL of a database.
    pub fn place(&self) -> Result<Option<StorageLocation>, String> {
        place_args::place_instead_of_server(self.data_dir.as_ref(), self.store.as_ref())
    }
}

impl BackupArgs {
    /// The database to back up, if it is not a server.
    ///
    /// # Errors
    /// Says what is wrong with the URL.
    pub fn place(&self) -> Result<Option<StorageLocation>, String> {
        self.store.as_ref().map(|url| place_args::database(url, "--store")).transpose()
    }
}
