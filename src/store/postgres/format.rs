//! The format number of the schema. Each migration is a file that raises it by one.

use super::failure::{StatementFailure, unavailable};
use super::sql::SqlSession;
use crate::store::StoreError;

/// The migrations, oldest first.
pub const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001.sql")];
/// The number of the newest migration is the format of the schema.
pub const NEWEST: i64 = MIGRATIONS.len() as i64;

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

/// The format of the schema, or `None` when there is none.
pub async fn read(sql: &SqlSession) -> Result<Option<i64>, StatementFailure> {
    if !sql.value::<bool>("select to_regclass('cortado.meta') is not null", &[]).await? {
        return Ok(None);
    }
    sql.value("select (select value::int8 from cortado.meta where key = 'format')", &[]).await
}
