//! The format number of the schema. Each migration is a file that raises it by one.

use super::failure::{StatementFailure, unavailable};
use super::sql::SqlSession;
use crate::store::{StoreError, formats};

/// The format of this version, which is the number of the newest migration.
pub const NEWEST: i64 = formats::POSTGRES_SCHEMA.newest as i64;
/// The migrations, oldest first.
pub const MIGRATIONS: [&str; NEWEST as usize] = [include_str!("migrations/0001.sql")];

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

/// The format of the schema, or `None` when there is none.
pub async fn read(sql: &SqlSession) -> Result<Option<i64>, StatementFailure> {
    if !sql.value::<bool>("select to_regclass('cortado.meta') is not null", &[]).await? {
        return Ok(None);
    }
    sql.value("select (select value::int8 from cortado.meta where key = 'format')", &[]).await
}
