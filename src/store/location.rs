//! Where a store is: a data directory or a database. The commands that work on a whole store take either.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::data_dir::{self, DataDirBuilder};
use super::database::{self, DatabaseBuilder, PostgresSettings};
use super::log_store::{LogStore, Report};
use super::snapshot::Totals;
use super::{Piece, StoreError};
use crate::clock::Clock;

/// The place of a store.
#[derive(Clone)]
pub enum StorageLocation {
    /// A data directory.
    Directory(PathBuf),
    /// A database.
    Database(Box<PostgresSettings>),
}

impl From<&Path> for StorageLocation {
    fn from(dir: &Path) -> StorageLocation {
        StorageLocation::Directory(dir.to_owned())
    }
}

impl From<PostgresSettings> for StorageLocation {
    fn from(settings: PostgresSettings) -> StorageLocation {
        StorageLocation::Database(Box::new(settings))
    }
}

impl fmt::Display for StorageLocation {
    /// Without the password of a database.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorageLocation::Directory(dir) => write!(f, "{}", dir.display()),
            StorageLocation::Database(settings) => write!(f, "{}", settings.location()),
        }
    }
}

impl StorageLocation {
    /// Checks the store and changes nothing. No server may use a directory; the nodes of a database may go on.
    pub fn verify(&self) -> Report {
        match self {
            StorageLocation::Directory(dir) => data_dir::verify(dir),
            StorageLocation::Database(settings) => database::verify(settings),
        }
    }

    /// Reads everything, piece by piece, and changes nothing. No server may use a directory; the nodes of a database may go
    /// on.
    ///
    /// # Errors
    /// When something cannot be read, or when `take` fails.
    pub fn read_all_pieces<E: From<StoreError>>(
        &self,
        take: impl FnMut(Piece) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            StorageLocation::Directory(dir) => data_dir::read_all_pieces(dir, take),
            StorageLocation::Database(settings) => database::read_all_pieces(settings, take),
        }
    }

    /// Opens the store for a command that changes nothing about jobs. No server may use a directory; the nodes of a database
    /// may go on.
    ///
    /// # Errors
    /// When there is no store, a server uses the directory, or it cannot be read.
    pub fn open_to_maintain(&self, clock: Arc<dyn Clock>) -> Result<Arc<LogStore>, StoreError> {
        match self {
            StorageLocation::Directory(dir) => data_dir::open_to_maintain(dir, clock),
            StorageLocation::Database(settings) => database::open_to_maintain(settings, clock),
        }
    }
}

/// Builds a store from the pieces of a snapshot. Until [`StoreBuilder::finish`] the place holds no store, and a server
/// refuses to start on it instead of creating another one.
pub enum StoreBuilder {
    /// In a data directory.
    Directory(Box<DataDirBuilder>),
    /// In a database.
    Database(Box<DatabaseBuilder>),
}

impl StoreBuilder {
    /// Starts in a place without a store.
    ///
    /// # Errors
    /// When the place is not empty, or cannot be written.
    pub fn create(place: &StorageLocation) -> Result<StoreBuilder, StoreError> {
        match place {
            StorageLocation::Directory(dir) => {
                Ok(StoreBuilder::Directory(Box::new(DataDirBuilder::create(dir)?)))
            }
            StorageLocation::Database(settings) => {
                Ok(StoreBuilder::Database(Box::new(DatabaseBuilder::create(settings)?)))
            }
        }
    }

    /// Adds the next piece, in the order of [`Snapshot::next`](super::Snapshot::next).
    ///
    /// # Errors
    /// When the piece cannot follow the ones before it, or the place cannot be written.
    pub fn push(&mut self, piece: Piece) -> Result<(), StoreError> {
        match self {
            StoreBuilder::Directory(builder) => builder.push(piece),
            StoreBuilder::Database(builder) => builder.push(piece),
        }
    }

    /// Verifies what was written, makes it a store and returns what is in it.
    ///
    /// # Errors
    /// When the end was not among the pieces, the result is not sound, or the place cannot be written.
    pub fn finish(self) -> Result<Totals, StoreError> {
        match self {
            StoreBuilder::Directory(builder) => builder.finish(),
            StoreBuilder::Database(builder) => builder.finish(),
        }
    }
}
