//! Stands in for `postgres` in a build without the feature `postgres`: every URL of a database is refused, so there are
//! no settings of one, and nothing else here can run.

use std::str::FromStr;
use std::time::Duration;

use super::log::{Applied, Log, Rows, WriteBatch};
use super::{Storage, StoreError};
use crate::job::{Cursor, Epoch};

/// A value that does not exist.
#[derive(Debug, Clone, Copy)]
enum Nothing {}

/// How a log on PostgreSQL would be reached.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    never: Nothing,
    /// As with the feature.
    pub node: String,
    /// As with the feature.
    pub readers: usize,
    /// As with the feature.
    pub timeout: Duration,
    /// As with the feature.
    pub connect_timeout: Duration,
    /// As with the feature.
    pub node_silence: Duration,
}

/// Why a URL is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a database cannot be used: this program was built without the feature postgres")]
pub struct SettingsError;

impl PostgresSettings {
    /// The default of the setting, which has no effect.
    pub const READERS: usize = 4;
    /// The default of the setting, which has no effect.
    pub const TIMEOUT: Duration = Duration::from_secs(10);
    /// The default of the setting, which has no effect.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

    /// The address, without the password.
    pub fn location(&self) -> &str {
        match self.never {}
    }
}

impl FromStr for PostgresSettings {
    type Err = SettingsError;

    fn from_str(_url: &str) -> Result<PostgresSettings, SettingsError> {
        Err(SettingsError)
    }
}

/// The log in a database.
#[derive(Debug, Clone)]
pub enum PostgresLog {}

/// The log in a transaction.
pub type TransactionLog = PostgresLog;

impl PostgresLog {
    /// As with the feature.
    ///
    /// # Errors
    /// There are no settings, so this is never called.
    pub fn create_if_missing(
        settings: PostgresSettings,
        _new: WriteBatch,
    ) -> Result<PostgresLog, StoreError> {
        match settings.never {}
    }

    /// As with the feature.
    ///
    /// # Errors
    /// There are no settings, so this is never called.
    pub fn open(settings: PostgresSettings) -> Result<PostgresLog, StoreError> {
        match settings.never {}
    }

    /// As with the feature.
    ///
    /// # Errors
    /// There are no settings, so this is never called.
    pub fn read_only(settings: &PostgresSettings) -> Result<TransactionLog, StoreError> {
        match settings.never {}
    }
}

impl Log for PostgresLog {
    fn location(&self) -> &str {
        match *self {}
    }

    fn name(&self) -> String {
        match *self {}
    }

    fn get(&self, _key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match *self {}
    }

    fn scan_from(&self, _prefix: &[u8], _from: &[u8]) -> Rows {
        match *self {}
    }

    fn is_shared(&self) -> bool {
        match *self {}
    }

    fn apply(&self, _batch: WriteBatch) -> Result<Applied, StoreError> {
        match *self {}
    }

    fn has_chunk(&self, _number: u64) -> Result<bool, StoreError> {
        match *self {}
    }

    fn wait_for_chunk(&self, _number: u64, _at_most: Duration) -> Result<bool, StoreError> {
        match *self {}
    }

    fn sync(&self) -> Result<(), StoreError> {
        match *self {}
    }

    fn begin_writing(&self) -> Result<(), StoreError> {
        match *self {}
    }

    fn recorded_head(&self, _epoch: Epoch) -> Result<Option<u64>, StoreError> {
        match *self {}
    }

    fn record_head(&self, _head: Cursor) -> Result<(), StoreError> {
        match *self {}
    }

    fn check_identity(&self) -> Result<(), StoreError> {
        match *self {}
    }

    fn check_values(&self) -> Result<(), StoreError> {
        match *self {}
    }

    fn measure(&self, _storage: &mut Storage) -> Result<(), StoreError> {
        match *self {}
    }

    fn shut(&self) {
        match *self {}
    }

    fn reopen(&self) -> Result<(), StoreError> {
        match *self {}
    }
}

/// A store that is being built.
pub enum NewDatabaseStore {}

impl NewDatabaseStore {
    /// As with the feature.
    ///
    /// # Errors
    /// There are no settings, so this is never called.
    pub fn begin(settings: &PostgresSettings) -> Result<NewDatabaseStore, StoreError> {
        match settings.never {}
    }

    /// The log to write into.
    pub fn log(&self) -> TransactionLog {
        match *self {}
    }

    /// Makes what was written a store.
    ///
    /// # Errors
    /// As with the feature.
    pub fn publish(self) -> Result<(), StoreError> {
        match self {}
    }
}

/// A store that is being moved elsewhere.
pub enum LeavingDatabaseStore {}

impl LeavingDatabaseStore {
    /// As with the feature.
    ///
    /// # Errors
    /// There are no settings, so this is never called.
    pub fn begin(
        settings: &PostgresSettings,
        _to: &str,
        _silence: Duration,
    ) -> Result<LeavingDatabaseStore, StoreError> {
        match settings.never {}
    }

    /// The log to read.
    pub fn log(&self) -> TransactionLog {
        match *self {}
    }

    /// Makes the store one that was moved.
    ///
    /// # Errors
    /// As with the feature.
    pub fn leave(self, _to: &str) -> Result<(), StoreError> {
        match self {}
    }
}
