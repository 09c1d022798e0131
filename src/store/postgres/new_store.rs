//! Builds a store in a database that has none. Everything is written in one transaction, so it is there as a whole or not
//! at all. A mark that is committed before keeps a server from taking the database for an empty one meanwhile, also when
//! the command that builds the store was killed.

use std::fmt::Display;

use super::failure::{StatementFailure, unavailable};
use super::format::{self, NoStore};
use super::identity::ServerIdentity;
use super::schema;
use super::settings::PostgresSettings;
use super::sql::SqlSession;
use super::transaction::TransactionLog;
use crate::store::StoreError;

const MARK: &str = "
insert into cortado.meta (key, value) values ('unfinished', clock_timestamp()::text)
on conflict (key) do update set value = excluded.value returning key";
const UNMARK: &str = "delete from cortado.meta where key = 'unfinished'";
const HAS_TABLES: &str = "
select to_regclass('cortado.chunk') is not null or to_regclass('cortado.row') is not null";

/// A store that is being built.
pub struct NewDatabaseStore {
    log: TransactionLog,
    server: ServerIdentity,
}

impl NewDatabaseStore {
    /// Starts in a database that has no store. What an interrupted try has left is used again.
    ///
    /// # Errors
    /// When there is a store in it, another command builds one, or it cannot be written.
    pub fn begin(settings: &PostgresSettings) -> Result<NewDatabaseStore, StoreError> {
        let log = TransactionLog::connect(settings)?;
        // Outside of a transaction, which a refusal would end.
        let server = log.run(|sql| async move { ServerIdentity::read(&sql).await })?;
        log.begin("begin isolation level read committed")?;
        log.run(|sql| async move {
            schema::lock_for_command(&sql).await?;
            schema::prepare(&sql).await?;
            check_empty(&sql).await?;
            sql.value::<String>(MARK, &[]).await.map(drop)
        })?;
        log.commit()?;
        log.begin("begin isolation level read committed")?;
        log.run(|sql| async move {
            schema::lock_for_command(&sql).await?;
            check_empty(&sql).await?; // another command may have ended before the lock was free
            schema::create_tables(&sql).await
        })?;
        Ok(NewDatabaseStore { log, server })
    }

    /// The log to write into.
    pub fn log(&self) -> TransactionLog {
        self.log.clone()
    }

    /// Makes what was written a store.
    ///
    /// # Errors
    /// When the database cannot be written; it has no store then, unless the answer to the commit was lost.
    pub fn publish(self) -> Result<(), StoreError> {
        let NewDatabaseStore { log, server } = self;
        log.run(|sql| async move {
            sql.execute(UNMARK).await?;
            schema::make_store(&sql, &server).await
        })?;
        log.commit()
    }
}

/// Refuses a database that has a store, or tables that are none of a store.
async fn check_empty(sql: &SqlSession) -> Result<(), StatementFailure> {
    match NoStore::read(sql).await? {
        Some(NoStore::Unfinished) | None => {}
        Some(NoStore::MovedTo(place)) => {
            let why = format!("it still has the tables of a store that was moved to {place}");
            return Err(not_empty(sql, why));
        }
    }
    if format::read(sql).await?.is_some() {
        return Err(not_empty(sql, "there is a store in it"));
    }
    if sql.value::<bool>(HAS_TABLES, &[]).await? {
        return Err(not_empty(sql, "it has tables of a store that cannot be used"));
    }
    Ok(())
}

fn not_empty(sql: &SqlSession, why: impl Display) -> StatementFailure {
    let why = format!("the database is not empty: {why}; nothing was changed");
    StatementFailure::Refused(unavailable(sql.settings.location(), why))
}
