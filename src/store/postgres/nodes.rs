//! The processes that work on the log, as they have told the database. Its clock says how long ago that was.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::failure::StatementFailure;
use super::session::Parameter;
use super::sql::SqlSession;
use crate::store::log::NodeHeartbeat;

/// Stores a heartbeat, and returns all nodes. An earlier process of the same name has ended, and so have those that
/// nobody has heard of for a day.
const HEARTBEAT: &str = "
with own as (
    insert into cortado.node (session, name, version, reads_snapshot, heartbeat)
    values ($1, $2, $3, $4, clock_timestamp())
    on conflict (session) do update
    set reads_snapshot = excluded.reads_snapshot, heartbeat = excluded.heartbeat
    returning xmax = 0 as is_new
), gone as (
    delete from cortado.node
    where session <> $1 and (name = $2 or heartbeat < clock_timestamp() - interval '1 day')
)
select session, reads_snapshot,
    (extract(epoch from clock_timestamp() - heartbeat) * 1000)::int8, (select is_new from own)
from cortado.node where session <> $1 and name <> $2
union all
select $1, $4, 0, (select is_new from own)";
const SIGN_OFF: &str = "delete from cortado.node where session = $1 returning session";

/// A node that says that it is at work.
pub struct OwnHeartbeat {
    pub session: i64,
    pub name: String,
    pub reads_snapshot: bool,
}

impl OwnHeartbeat {
    /// Stores the heartbeat. Returns all nodes, and whether the database did not know this one.
    pub async fn store(
        &self,
        sql: &SqlSession,
    ) -> Result<(Vec<NodeHeartbeat>, bool), StatementFailure> {
        let version = env!("CARGO_PKG_VERSION");
        let parameters: [Parameter<'_>; 4] = [
            (&self.session, Type::INT8),
            (&self.name, Type::TEXT),
            (&version, Type::TEXT),
            (&self.reads_snapshot, Type::BOOL),
        ];
        let rows = sql.session.query(&sql.settings, HEARTBEAT, &parameters).await?;
        let fail = |error| StatementFailure::of(&error, sql.settings.location());
        let (mut heartbeats, mut is_new) = (Vec::with_capacity(rows.len()), false);
        for row in &rows {
            let session: i64 = row.try_get(0).map_err(fail)?;
            let silent: i64 = row.try_get(2).map_err(fail)?;
            heartbeats.push(NodeHeartbeat {
                node: session.unsigned_abs(),
                reads_snapshot: row.try_get(1).map_err(fail)?,
                silent_for: Duration::from_millis(silent.max(0).unsigned_abs()),
            });
            is_new = row.try_get(3).map_err(fail)?;
        }
        Ok((heartbeats, is_new))
    }
}

/// Removes a node that has ended.
pub async fn sign_off(sql: &SqlSession, session: i64) -> Result<(), StatementFailure> {
    let parameters: [Parameter<'_>; 1] = [(&session, Type::INT8)];
    sql.session.query(&sql.settings, SIGN_OFF, &parameters).await.map(drop)
}
