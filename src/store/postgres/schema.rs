//! Creates the tables, and updates older ones.

use tokio_postgres::types::Type;

use super::append;
use super::batch::BatchChanges;
use super::failure::StatementFailure;
use super::format::{self, MIGRATIONS, NEWEST, SchemaState};
use super::identity::ServerIdentity;
use super::session::Parameter;
use super::sql::SqlSession;

/// What processes that start at the same time wait for. It is the word "cortado" in ASCII.
const LOCK: i64 = 0x0063_6f72_7461_646f;

const CREATE_META: &str = "
create table cortado.meta (key text primary key, value text not null);
insert into cortado.meta (key, value) values ('format', '0');";
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
    let parameters: [Parameter<'_>; 1] = [(&LOCK, Type::INT8)];
    sql.value::<String>("select pg_advisory_xact_lock($1)::text", &parameters).await?;
    // Without the right to create one, an existing schema must do.
    if sql.value("select to_regnamespace('cortado') is null", &[]).await? {
        sql.execute("create schema cortado").await?;
    }
    let location = sql.settings.location();
    let found = match format::read(sql).await? {
        Some(found) => found,
        None => {
            sql.execute(CREATE_META).await?;
            SchemaState { format: 0, migrations: 0 }
        }
    };
    // A new schema has format 0.
    format::check_format(Some(found.format.max(1)), location).map_err(StatementFailure::Refused)?;
    let missing = MIGRATIONS.iter().skip(usize::try_from(found.migrations).unwrap_or_default());
    for migration in missing {
        sql.execute(migration).await?;
    }
    let migrations = MIGRATIONS.len() as i64;
    if found.migrations < migrations {
        sql.value::<String>(SET_MIGRATIONS, &[(&migrations, Type::INT8)]).await?;
        tracing::info!(location, migrations, "schema updated");
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
