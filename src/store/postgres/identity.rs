//! Which server holds the log: its system identifier, its timeline, and the number of the table. The timeline changes when
//! a replica is promoted and when a backup is restored to a point in time, the number when a dump is restored, and the
//! identifier when the data is loaded into another cluster. In each case the last commits may be missing, which nothing
//! else inside of the database can show.

use tokio_postgres::types::Type;

use super::failure::StatementFailure;
use super::sql::SqlSession;

const SYSTEM: &str = "select system_identifier::text from pg_control_system()";
const TIMELINE: &str = "select left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)";
/// The number of a table that is not there is not known either.
const TABLE: &str = "select coalesce(to_regclass('cortado.chunk')::oid::text, '-')";
const STORED: &str = "select (select value from cortado.meta where key = 'server')";
const STORE: &str = "
insert into cortado.meta (key, value)
values ('server', regexp_replace($1, '[^/]*$', '') || 'cortado.chunk'::regclass::oid)
on conflict (key) do update set value = excluded.value returning key";

/// The identity of a server. A part that the server does not tell, as some managed services, is `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerIdentity(String);

impl ServerIdentity {
    /// Reads the identity of the server.
    pub async fn read(session: &SqlSession) -> Result<ServerIdentity, StatementFailure> {
        let mut parts = Vec::new();
        for sql in [SYSTEM, TIMELINE, TABLE] {
            match session.value::<String>(sql, &[]).await {
                Ok(part) => parts.push(part),
                Err(StatementFailure::Refused(error)) => {
                    tracing::debug!(%error, "the server does not tell its identity");
                    parts.push("-".to_owned());
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(ServerIdentity(parts.join("/")))
    }

    /// Reads the identity that was stored.
    pub async fn stored(session: &SqlSession) -> Result<Option<ServerIdentity>, StatementFailure> {
        let stored: Option<String> = session.value(STORED, &[]).await?;
        Ok(stored.map(ServerIdentity))
    }

    /// Stores the identity, with the number that the table has by now.
    pub async fn store(&self, session: &SqlSession) -> Result<(), StatementFailure> {
        session.value::<String>(STORE, &[(&self.0, Type::TEXT)]).await.map(drop)
    }

    /// Whether both may be of the same server. What one of them does not know is not compared.
    pub fn may_be(&self, other: &ServerIdentity) -> bool {
        let is_same = |(one, two): (&str, &str)| one == two || one == "-" || two == "-";
        self.0.split('/').zip(other.0.split('/')).all(is_same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_timeline_system_or_table_is_another_server_and_an_unknown_one_is_not() {
        let same = |one: &str, two: &str| {
            ServerIdentity(one.to_owned()).may_be(&ServerIdentity(two.to_owned()))
        };
        assert!(same("7/00000001", "7/00000001"));
        assert!(!same("7/00000001", "7/00000002"));
        assert!(!same("7/00000001", "8/00000001"));
        assert!(same("-/00000001", "8/00000001"));
        assert!(same("-/-", "8/00000001"));
        assert!(!same("-/00000001", "8/00000002"));
        assert!(!same("7/00000001/16384", "7/00000001/16390"));
        assert!(same("7/00000001/-", "7/00000001/16390"));
    }
}
