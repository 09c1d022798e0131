//! Creates the tables, and updates older ones.

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::types::Type;

use super::append;
use super::batch::BatchChanges;
use super::failure::{StatementFailure, unavailable};
use super::format::{self, MIGRATIONS, NEWEST, NoStore, SchemaState};
use super::identity::ServerIdentity;
use super::session::Parameter;
use super::sql::SqlSession;
use crate::store::StoreError;

/// What processes that start at the same time wait for. It is the word "cortado" in ASCII.
const LOCK: i64 = 0x0063_6f72_7461_646f;
/// What a command holds that builds a store, or moves one elsewhere, and what a start asks for.
const COMMAND_LOCK: i64 = LOCK + 1;

/// How long a command waits for that, and how often it asks.
const COMMAND_LOCK_TIMEOUT: Duration = Duration::from_secs(2);
const COMMAND_LOCK_POLL: Duration = Duration::from_millis(50);

const CREATE_META: &str = "
create table cortado.meta (key text primary key, value text not null);";
const FIRST_FORMAT: &str = "insert into cortado.meta (key, value) values ('format', '0')";
const NEW_FORMAT: &str = "
insert into cortado.meta (key, value) values ('format', $1) returning key";
const SET_MIGRATIONS: &str = "
insert into cortado.meta (key, value) values ('migrations', $1::int8::text)
on conflict (key) do update set value = excluded.value returning key";

/// Runs the missing migrations, and stores the rows of a new store if there is none, in one transaction. Of processes
/// that do this at the same time, one does it, and the others wait.
pub async fn create_if_missing(
    sql: &SqlSession,
    new: &BatchChanges,
) -> Result<(), StatementFailure> {
    let server = ServerIdentity::read(sql).await?;
    // After the wait for the lock, every statement must see what the other process has done.
    sql.execute("begin isolation level read committed").await?;
    let migrated = migrate(sql, new, &server).await;
    // The connection is closed after a failure, which ends its transaction.
    migrated?;
    sql.execute("commit").await
}

async fn migrate(
    sql: &SqlSession,
    new: &BatchChanges,
    server: &ServerIdentity,
) -> Result<(), StatementFailure> {
    let parameters: [Parameter<'_>; 1] = [(&COMMAND_LOCK, Type::INT8)];
    if !sql.value("select pg_try_advisory_xact_lock_shared($1)", &parameters).await? {
        return Err(StatementFailure::Refused(used_by_command(sql)));
    }
    prepare(sql).await?;
    if let Some(no_store) = NoStore::read(sql).await? {
        return Err(StatementFailure::Refused(no_store.error(sql.settings.location())));
    }
    let location = sql.settings.location();
    let found = match format::read(sql).await? {
        Some(found) => found,
        None => {
            sql.execute(FIRST_FORMAT).await?;
            SchemaState { format: 0, migrations: 0 }
        }
    };
    // A new schema has format 0.
    format::check_format(Some(found.format.max(1)), location).map_err(StatementFailure::Refused)?;
    let missing = MIGRATIONS.iter().skip(usize::try_from(found.migrations).unwrap_or_default());
    for migration in missing {
        sql.execute(migration).await?;
    }
    if found.migrations < MIGRATIONS.len() as i64 {
        note_migrations(sql).await?;
        tracing::info!(location, migrations = MIGRATIONS.len(), "schema updated");
    }
    if found.format < NEWEST && !format::raise(sql, NEWEST, sql.settings.node_silence).await? {
        let (format, newest) = (found.format, NEWEST);
        tracing::info!(
            location,
            format,
            newest,
            "the format stays until all nodes know the new one"
        );
    }
    let is_empty = "select not exists (select from cortado.row)
        and not exists (select from cortado.chunk)";
    if sql.value(is_empty, &[]).await? {
        append::change_rows(&sql.session, &sql.settings, new).await?;
        server.store(sql).await?;
    }
    Ok(())
}

/// Waits for other processes that create the schema, and creates it, and the table that describes it, if they are not
/// there.
pub async fn prepare(sql: &SqlSession) -> Result<(), StatementFailure> {
    let parameters: [Parameter<'_>; 1] = [(&LOCK, Type::INT8)];
    sql.value::<String>("select pg_advisory_xact_lock($1)::text", &parameters).await?;
    // Without the right to create one, an existing schema must do.
    if sql.value("select to_regnamespace('cortado') is null", &[]).await? {
        sql.execute("create schema cortado").await?;
    }
    if sql.value("select to_regclass('cortado.meta') is null", &[]).await? {
        sql.execute(CREATE_META).await?;
    }
    Ok(())
}

/// Keeps servers from starting, and other commands from building or moving a store, until the transaction ends. Servers
/// that are starting end that soon.
///
/// # Errors
/// When another command is at work.
pub async fn lock_for_command(sql: &SqlSession) -> Result<(), StatementFailure> {
    let parameters: [Parameter<'_>; 1] = [(&COMMAND_LOCK, Type::INT8)];
    let until = Instant::now() + COMMAND_LOCK_TIMEOUT;
    while !sql.value("select pg_try_advisory_xact_lock($1)", &parameters).await? {
        if Instant::now() >= until {
            return Err(StatementFailure::Refused(used_by_command(sql)));
        }
        tokio::time::sleep(COMMAND_LOCK_POLL).await;
    }
    Ok(())
}

fn used_by_command(sql: &SqlSession) -> StoreError {
    let why = "another command is building a store in it, or moving its store elsewhere; wait until that has ended";
    unavailable(sql.settings.location(), why)
}

/// Creates the tables of a store in the newest format.
pub async fn create_tables(sql: &SqlSession) -> Result<(), StatementFailure> {
    for migration in MIGRATIONS {
        sql.execute(migration).await?;
    }
    Ok(())
}

/// Notes that all migrations have been run.
async fn note_migrations(sql: &SqlSession) -> Result<(), StatementFailure> {
    let migrations = MIGRATIONS.len() as i64;
    sql.value::<String>(SET_MIGRATIONS, &[(&migrations, Type::INT8)]).await.map(drop)
}

/// Makes tables that were filled a store: they have a format from now on.
pub async fn make_store(sql: &SqlSession, server: &ServerIdentity) -> Result<(), StatementFailure> {
    note_migrations(sql).await?;
    let newest = NEWEST.to_string();
    sql.value::<String>(NEW_FORMAT, &[(&newest, Type::TEXT)]).await?;
    server.store(sql).await
}
