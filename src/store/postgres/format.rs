//! The format number of the schema. Each migration is a file that raises it by one.

use super::failure::{StatementFailure, unavailable};
use super::sql::SqlSession;
use crate::store::{StoreError, formats};

/// The format of this version, which is the number of the newest migration.
pub const NEWEST: i64 = formats::POSTGRES_SCHEMA.newest as i64;
/// The migrations, oldest first.
pub const MIGRATIONS: [&str; NEWEST as usize] = [include_str!("migrations/0001.sql")];

const HAS_META: &str = "select to_regclass('cortado.meta') is not null";
const IS_UNFINISHED: &str = "select exists (select from cortado.meta where key = 'unfinished')";
const MOVED_TO: &str = "select (select value from cortado.meta where key = 'moved_to')";

/// Checks the format that was found.
///
/// # Errors
/// [`StoreError::Newer`] when a newer version has changed the schema, and [`StoreError::Unavailable`] when there is none
/// or this version has not brought it up to date yet.
pub fn check(format: Option<i64>, location: &str) -> Result<(), StoreError> {
    let Some(found) = format else {
        return Err(unavailable(location, "there is no store in this database"));
    };
    let checked = formats::POSTGRES_SCHEMA.check(found.unsigned_abs());
    checked.map_err(|why| why.at(format!("the schema in {location}")))?;
    if found < NEWEST {
        let why = format!("its schema has format {found}; the start of a server updates it");
        return Err(unavailable(location, why));
    }
    Ok(())
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

/// The format of the schema, or `None` when there is none.
pub async fn read(sql: &SqlSession) -> Result<Option<i64>, StatementFailure> {
    if !sql.value::<bool>(HAS_META, &[]).await? {
        return Ok(None);
    }
    sql.value("select (select value::int8 from cortado.meta where key = 'format')", &[]).await
}
