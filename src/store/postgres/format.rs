//! The format number of the schema, and its migrations.
//!
//! These are two numbers, so that nodes can be updated one after the other. A migration only adds: nodes of the version
//! before go on with a schema to which it has added tables and columns. What all nodes have to understand is the format: a
//! node of a newer version raises it only when no node is at work that does not know it, and writes nothing before that
//! an older one could not read. A node that does not know the format of the schema writes nothing.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::failure::{StatementFailure, unavailable};
use super::session::Parameter;
use super::sql::SqlSession;
use crate::store::{StoreError, formats};

/// The newest format that this version understands.
pub const NEWEST: i64 = formats::POSTGRES_SCHEMA.newest as i64;
/// The migrations, oldest first. Nodes of older versions are at work while they run, so they only add.
pub const MIGRATIONS: [&str; 2] =
    [include_str!("migrations/0001.sql"), include_str!("migrations/0002.sql")];

/// Raises the format, unless it is as new already or a node is at work that does not know it.
const RAISE: &str = "
update cortado.meta set value = $1::int8::text
where key = 'format' and value::int8 < $1::int8 and not exists (
    select from cortado.node
    where newest_format < $1::int8
    and heartbeat > clock_timestamp() - $2::int8 * interval '1 millisecond'
)
returning key";

/// What a schema says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaState {
    /// The format, which all nodes that write have to know.
    pub format: i64,
    /// How many of the migrations have been run.
    pub migrations: i64,
}

/// Checks the schema that was found.
///
/// # Errors
/// [`StoreError::Newer`] when only newer versions know its format, and [`StoreError::Unavailable`] when there is none or
/// this version has not brought it up to date yet.
pub fn check(schema: Option<SchemaState>, location: &str) -> Result<(), StoreError> {
    check_format(schema.map(|schema| schema.format), location)?;
    if schema.is_some_and(|schema| schema.migrations < MIGRATIONS.len() as i64) {
        let why = "its schema is of an older version; the start of a server updates it";
        return Err(unavailable(location, why));
    }
    Ok(())
}

/// Checks the format that was found.
///
/// # Errors
/// As [`check`].
pub fn check_format(format: Option<i64>, location: &str) -> Result<(), StoreError> {
    let Some(found) = format else {
        return Err(unavailable(location, "there is no store in this database"));
    };
    let checked = formats::POSTGRES_SCHEMA.check(found.unsigned_abs());
    checked.map_err(|why| why.at(format!("the schema in {location}")))
}

/// The state of the schema, or `None` when there is none.
pub async fn read(sql: &SqlSession) -> Result<Option<SchemaState>, StatementFailure> {
    if !sql.value::<bool>("select to_regclass('cortado.meta') is not null", &[]).await? {
        return Ok(None);
    }
    let number = |key| format!("select (select value::int8 from cortado.meta where key = '{key}')");
    let format: Option<i64> = sql.value(&number("format"), &[]).await?;
    // The first version counted both together.
    let migrations: Option<i64> = sql.value(&number("migrations"), &[]).await?;
    Ok(format.map(|format| SchemaState { format, migrations: migrations.unwrap_or(format) }))
}

/// Raises the format, unless it is as new already or a node is at work that does not know the new one. A node that has been
/// silent for longer than `silence` is not at work. If it comes back, or if one starts meanwhile, its appends are refused.
/// Returns whether it was raised.
pub async fn raise(
    sql: &SqlSession,
    format: i64,
    silence: Duration,
) -> Result<bool, StatementFailure> {
    let silence = i64::try_from(silence.as_millis()).unwrap_or(i64::MAX);
    let parameters: [Parameter<'_>; 2] = [(&format, Type::INT8), (&silence, Type::INT8)];
    let rows = sql.session.query(&sql.settings, RAISE, &parameters).await?;
    let was_raised = !rows.is_empty();
    if was_raised {
        tracing::info!(location = sql.settings.location(), format, "format of the schema raised");
    }
    Ok(was_raised)
}
