//! The tables, and their format number. Each migration is a file; a start runs those that are missing.

use std::sync::Arc;

use tokio_postgres::types::{FromSql, Type};

use super::append;
use super::batch::BatchChanges;
use super::failure::{StatementFailure, unavailable};
use super::identity::ServerIdentity;
use super::session::{OpenSession, Parameter};
use super::settings::PostgresSettings;
use crate::store::StoreError;

const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001.sql")];
/// The number of the newest migration is the format of the schema.
pub const NEWEST: i64 = MIGRATIONS.len() as i64;

/// What processes that start at the same time wait for. It is the word "cortado" in ASCII.
const LOCK: i64 = 0x0063_6f72_7461_646f;

const CREATE_META: &str = "
create table cortado.meta (key text primary key, value text not null);
insert into cortado.meta (key, value) values ('format', '0');";

/// Checks the format that was found.
///
/// # Errors
/// [`StoreError::Newer`] when a newer version has changed the schema, and [`StoreError::Unavailable`] when there is none
/// or this version has not brought it up to date yet.
pub fn check(format: Option<i64>, location: &str) -> Result<(), StoreError> {
    match format {
        Some(NEWEST) => Ok(()),
        Some(found) if found > NEWEST => {
            let (found, newest) = (found.unsigned_abs(), NEWEST.unsigned_abs());
            Err(StoreError::Newer { what: format!("the schema in {location}"), found, newest })
        }
        Some(found) => {
            let why = format!("its schema has format {found}; a start of the server updates it");
            Err(unavailable(location, why))
        }
        None => Err(unavailable(location, "there is no store in this database")),
    }
}

/// Runs statements on one connection.
pub struct SqlSession {
    pub session: Arc<OpenSession>,
    pub settings: Arc<PostgresSettings>,
}

impl SqlSession {
    /// The format of the schema, or `None` when there is none.
    pub async fn format(&self) -> Result<Option<i64>, StatementFailure> {
        if !self.value::<bool>("select to_regclass('cortado.meta') is not null", &[]).await? {
            return Ok(None);
        }
        let format = "select (select value::int8 from cortado.meta where key = 'format')";
        self.value(format, &[]).await
    }

    /// Runs the missing migrations, and stores the rows of a new store if there is none, in one transaction. Of processes
    /// that do this at the same time, one does it, and the others wait.
    pub async fn create_if_missing(&self, new: &BatchChanges) -> Result<(), StatementFailure> {
        let server = ServerIdentity::read(self).await?;
        // After the wait for the lock, every statement must see what the other process has done.
        self.execute("begin isolation level read committed").await?;
        let migrated = self.migrate(new, &server).await;
        // The connection is closed after a failure, which ends its transaction.
        migrated?;
        self.execute("commit").await
    }

    async fn migrate(
        &self,
        new: &BatchChanges,
        server: &ServerIdentity,
    ) -> Result<(), StatementFailure> {
        let parameters: [Parameter<'_>; 1] = [(&LOCK, Type::INT8)];
        self.value::<String>("select pg_advisory_xact_lock($1)::text", &parameters).await?;
        // Without the right to create one, an existing schema must do.
        if self.value("select to_regnamespace('cortado') is null", &[]).await? {
            self.execute("create schema cortado").await?;
        }
        let found = match self.format().await? {
            Some(found) => found,
            None => {
                self.execute(CREATE_META).await?;
                0
            }
        };
        let missing = MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or_default());
        for migration in missing {
            self.execute(migration).await?;
        }
        if found < NEWEST {
            let set = format!("update cortado.meta set value = '{NEWEST}' where key = 'format'");
            self.execute(&set).await?;
            tracing::info!(location = self.settings.location(), format = NEWEST, "schema updated");
        }
        check(Some(found.max(NEWEST)), self.settings.location())
            .map_err(StatementFailure::Refused)?;
        let is_empty = "select not exists (select from cortado.row)
            and not exists (select from cortado.chunk)";
        if self.value(is_empty, &[]).await? {
            append::change_rows(&self.session, &self.settings, new).await?;
            server.store(self).await?;
        }
        Ok(())
    }

    /// The only value of a statement's only row.
    pub async fn value<T: for<'a> FromSql<'a>>(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<T, StatementFailure> {
        let rows = self.session.query(&self.settings, sql, parameters).await?;
        let row = rows.first().ok_or_else(|| StatementFailure::Unanswered("no row".to_owned()))?;
        row.try_get(0).map_err(|error| StatementFailure::of(&error, self.settings.location()))
    }

    /// Runs statements without parameters.
    async fn execute(&self, sql: &str) -> Result<(), StatementFailure> {
        let (settings, client) = (&self.settings, self.session.client());
        match tokio::time::timeout(settings.timeout, client.batch_execute(sql)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(StatementFailure::of(&error, settings.location())),
            Err(_) => Err(StatementFailure::timeout(settings.timeout)),
        }
    }
}
