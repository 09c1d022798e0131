//! A log whose every read and write is part of one transaction: for commands that read a whole store while nodes work on
//! it, build a store that is there as a whole or not at all, or move one elsewhere.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::types::Type;

use super::append;
use super::batch::BatchChanges;
use super::failure::{StatementFailure, unavailable};
use super::format::{self, NoStore};
use super::keys;
use super::scan::ScanRows;
use super::session::Parameter;
use super::settings::PostgresSettings;
use super::sql::SqlSession;
use super::state::LogState;
use crate::job::{Cursor, Epoch, fresh_uuid};
use crate::store::log::{Applied, Log, Rows, WriteBatch};
use crate::store::{Storage, StoreError};

/// How long a statement of a command may take. The commit of a whole store may wait for a standby.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Nothing may end the session while a command works on something else. A commit must be durable, as in an append.
const SETTINGS: &str = "
set local idle_in_transaction_session_timeout = 0;
select set_config('synchronous_commit',
    replace(current_setting('synchronous_commit'), 'off', 'on'), true)";

const ADD_CHUNKS: &str = "
insert into cortado.chunk (number, grp, body)
select number, $1::uuid, body from unnest($2, $3) as new (number, body)";

/// A log in a transaction, which ends without an effect when the last handle is dropped before [`TransactionLog::commit`].
#[derive(Clone)]
pub struct TransactionLog(Arc<LogState>);

impl TransactionLog {
    /// Connects to a database. The transaction is begun by [`TransactionLog::begin`].
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub fn connect(settings: &PostgresSettings) -> Result<TransactionLog, StoreError> {
        let mut settings = settings.clone();
        settings.timeout = TIMEOUT;
        LogState::for_transaction(Arc::new(settings)).map(|state| TransactionLog(Arc::new(state)))
    }

    /// Opens the store in a database as it is at this moment. Nodes may go on.
    ///
    /// # Errors
    /// When the server cannot be reached, or the database has no store of this version.
    pub fn read_only(settings: &PostgresSettings) -> Result<TransactionLog, StoreError> {
        let log = TransactionLog::connect(settings)?;
        log.begin("begin isolation level repeatable read, read only")?;
        log.run(|sql| async move { check_store(&sql).await })?;
        Ok(log)
    }

    /// Begins the transaction by these statements.
    pub fn begin(&self, statements: &'static str) -> Result<(), StoreError> {
        self.run(move |sql| async move {
            sql.execute(statements).await?;
            sql.execute(SETTINGS).await
        })
    }

    /// Runs statements in the transaction.
    pub fn run<T, F>(
        &self,
        work: impl FnOnce(SqlSession) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StatementFailure>> + Send,
    {
        self.0.read(work)
    }

    /// Ends the transaction, so that everything is durable.
    ///
    /// # Errors
    /// When nothing was changed, or that is not known because the answer was lost.
    pub fn commit(&self) -> Result<(), StoreError> {
        self.run(
            |sql| async move { sql.session.query(&sql.settings, "commit", &[]).await.map(drop) },
        )
    }
}

/// Refuses a database without a store of this version.
pub async fn check_store(sql: &SqlSession) -> Result<(), StatementFailure> {
    let location = sql.settings.location();
    let refused = |error| Err(StatementFailure::Refused(error));
    if let Some(no_store) = NoStore::read(sql).await? {
        return refused(no_store.error(location));
    }
    format::check(format::read(sql).await?, location).map_err(StatementFailure::Refused)
}

impl Log for TransactionLog {
    fn location(&self) -> &str {
        self.0.settings.location()
    }

    fn name(&self) -> String {
        format!("the log in {}", self.location())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(key)
    }

    fn scan_from(&self, prefix: &[u8], from: &[u8]) -> Rows {
        Box::new(ScanRows::new(self.0.clone(), keys::ranges(prefix, from)))
    }

    /// What it holds was written by several processes, or will be.
    fn is_shared(&self) -> bool {
        true
    }

    fn apply(&self, batch: WriteBatch) -> Result<Applied, StoreError> {
        let (changes, grp) = (BatchChanges::of(batch)?, fresh_uuid().to_string());
        self.run(move |sql| async move {
            if !changes.chunks.is_empty() {
                let parameters: [Parameter<'_>; 3] = [
                    (&grp, Type::TEXT),
                    (&changes.chunks, Type::INT8_ARRAY),
                    (&changes.bodies, Type::BYTEA_ARRAY),
                ];
                sql.session.query(&sql.settings, ADD_CHUNKS, &parameters).await?;
            }
            append::change_rows(&sql.session, &sql.settings, &changes).await
        })?;
        Ok(Applied::Done)
    }

    fn has_chunk(&self, _number: u64) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn wait_for_chunk(&self, _number: u64, _at_most: Duration) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Nothing is durable before the commit.
    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn begin_writing(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn recorded_head(&self, _epoch: Epoch) -> Result<Option<u64>, StoreError> {
        Ok(Some(0))
    }

    fn record_head(&self, _head: Cursor) -> Result<(), StoreError> {
        Ok(())
    }

    fn check_identity(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn check_values(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn measure(&self, storage: &mut Storage) -> Result<(), StoreError> {
        self.0.measure(storage)
    }

    fn shut(&self) {
        self.0.shut();
    }

    fn reopen(&self) -> Result<(), StoreError> {
        Err(unavailable(self.location(), "the transaction of this command has ended"))
    }
}
