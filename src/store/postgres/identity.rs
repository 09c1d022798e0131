//! Which server holds the log: its system identifier, its timeline, and the number of the table. The timeline changes when
//! a replica is promoted and when a backup is restored to a point in time, the number when a dump is restored, and the
//! identifier when the data is loaded into another cluster. In each case the last commits may be missing, which nothing
//! else inside of the database can show.
//!
//! The database contains the identity of the server on which the present epoch began. A process that starts on another
//! one begins a new epoch and stores that identity; a process that was running meanwhile is refused from then on.

use tokio_postgres::types::Type;

use super::batch::BatchChanges;
use super::failure::StatementFailure;
use super::session::Parameter;
use super::sql::SqlSession;
use crate::store::StoreError;
use crate::store::log::Applied;

const SYSTEM: &str = "select system_identifier::text from pg_control_system()";
/// The timeline, as an expression.
pub const TIMELINE: &str = "left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)";
/// The number of a table that is not there is not known either.
const TABLE: &str = "select coalesce(to_regclass('cortado.chunk')::oid::text, '-')";
const STORED: &str = "select (select value from cortado.meta where key = 'server')";
const STORE: &str = "
insert into cortado.meta (key, value)
values ('server', regexp_replace($1, '[^/]*$', '') || 'cortado.chunk'::regclass::oid)
on conflict (key) do update set value = excluded.value returning key";

/// Begins an epoch on another server, unless another process has done so. The row of the server is what two processes
/// that start at once contend for.
const BEGIN_EPOCH: &str = "
with moved as (
    update cortado.meta set value = $1 where key = 'server' and value = $2 returning key
), rows as (
    insert into cortado.row (key, value)
    select key, value from unnest($3, $4) as stored (key, value)
    where exists (select from moved)
    on conflict (key) do update set value = excluded.value
)
select set_config('synchronous_commit',
    replace(current_setting('synchronous_commit'), 'off', 'on'), true)
from moved";

/// What stands for a part that the server does not tell, as some managed services.
const UNKNOWN: &str = "-";

/// The identity of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerIdentity(String);

impl ServerIdentity {
    /// Reads the identity of the server.
    pub async fn read(session: &SqlSession) -> Result<ServerIdentity, StatementFailure> {
        let mut parts = Vec::new();
        for sql in [SYSTEM, &format!("select {TIMELINE}"), TABLE] {
            match session.value::<String>(sql, &[]).await {
                Ok(part) => parts.push(part),
                Err(StatementFailure::Refused(error)) => {
                    tracing::debug!(%error, "the server does not tell its identity");
                    parts.push(UNKNOWN.to_owned());
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
        let is_same = |(one, two): (&str, &str)| one == two || one == UNKNOWN || two == UNKNOWN;
        self.0.split('/').zip(other.0.split('/')).all(is_same)
    }

    /// The timeline, if the server tells it.
    pub fn timeline(&self) -> Option<&str> {
        self.0.split('/').nth(1).filter(|timeline| *timeline != UNKNOWN)
    }

    /// An identity with this text.
    #[cfg(test)]
    pub fn of(text: &str) -> ServerIdentity {
        ServerIdentity(text.to_owned())
    }

    /// The text that is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The server that this process has found, beside the one on which the epoch began.
#[derive(Debug, Clone)]
pub struct EpochServer {
    /// The identity that is stored while the epoch lasts.
    pub stored: ServerIdentity,
    /// The identity of the server at the start of this process. It may tell more, or less.
    pub server: ServerIdentity,
}

impl EpochServer {
    /// Reads both. Every store has an identity; one without it would be no other than any other.
    pub async fn read(session: &SqlSession) -> Result<EpochServer, StatementFailure> {
        let server = ServerIdentity::read(session).await?;
        let stored = ServerIdentity::stored(session).await?;
        Ok(EpochServer { stored: stored.unwrap_or_else(|| server.clone()), server })
    }

    /// Whether the epoch began on the server that was found.
    pub fn is_same(&self) -> bool {
        self.stored.may_be(&self.server)
    }

    /// Checks that the server is still this one, and that no other process has begun another epoch.
    ///
    /// # Errors
    /// [`StoreError::Replaced`] when either is not so, and when the server cannot be asked.
    pub async fn check(&self, session: &SqlSession) -> Result<(), StatementFailure> {
        let found = EpochServer::read(session).await?;
        if found.stored == self.stored && found.server.may_be(&self.server) {
            return Ok(());
        }
        let (was, is) = (self.server.as_str(), found.server.as_str());
        Err(StatementFailure::Refused(StoreError::Replaced(format!(
            "{}: the server is {is} and was {was} (system/timeline), as after a failover, so the last commits may be \
             missing",
            session.settings.location()
        ))))
    }
}

/// Makes these changes, which describe a store with a new epoch, and stores on which server it began.
pub async fn begin_epoch(
    session: &SqlSession,
    from: &ServerIdentity,
    to: &ServerIdentity,
    changes: &BatchChanges,
) -> Result<Applied, StatementFailure> {
    let parameters: [Parameter<'_>; 4] = [
        (&to.0, Type::TEXT),
        (&from.0, Type::TEXT),
        (&changes.keys, Type::BYTEA_ARRAY),
        (&changes.values, Type::BYTEA_ARRAY),
    ];
    let moved = session.session.query(&session.settings, BEGIN_EPOCH, &parameters).await?;
    Ok(if moved.is_empty() { Applied::Lost(Vec::new()) } else { Applied::Done })
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
