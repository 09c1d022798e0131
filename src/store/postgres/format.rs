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
pub const MIGRATIONS: [&str; 6] = [
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
    include_str!("migrations/0006.sql"),
];

const HAS_META: &str = "select to_regclass('cortado.meta') is not null";
const IS_UNFINISHED: &str = "select exists (select from cortado.meta where key = 'unfinished')";
const MOVED_TO: &str = "select (select value from cortado.meta where key = 'moved_to')";

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

/// A schema that holds no store although something was begun in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoStore {
    /// A store is being built in it, or that was interrupted.
    Unfinished,
    /// Its store was moved to this place.
    MovedTo(String),
}

impl NoStore {
    /// Finds out whether the schema is one.
    pub async fn read(sql: &SqlSession) -> Result<Option<NoStore>, StatementFailure> {
        if !sql.value::<bool>(HAS_META, &[]).await? {
            return Ok(None);
        }
        if sql.value::<bool>(IS_UNFINISHED, &[]).await? {
            return Ok(Some(NoStore::Unfinished));
        }
        let moved_to: Option<String> = sql.value(MOVED_TO, &[]).await?;
        Ok(moved_to.map(NoStore::MovedTo))
    }

    /// The error of a caller that needs a store.
    pub fn error(&self, location: &str) -> StoreError {
        StoreError::Unavailable(match self {
            NoStore::Unfinished => format!(
                "{location} holds an unfinished import, restore or move and no store: run that command again, or drop \
                 the schema (drop schema cortado cascade)"
            ),
            NoStore::MovedTo(place) => format!(
                "the store in {location} was moved to {place}; what is left here would be a second copy of it"
            ),
        })
    }
}

/// The state of the schema, or `None` when there is none.
pub async fn read(sql: &SqlSession) -> Result<Option<SchemaState>, StatementFailure> {
    if !sql.value::<bool>(HAS_META, &[]).await? {
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
