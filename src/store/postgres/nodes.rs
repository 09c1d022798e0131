//! The processes that work on the log, as they have told the database. Its clock says how long ago that was.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::failure::StatementFailure;
use super::format;
use super::session::Parameter;
use super::sql::SqlSession;
use crate::job::Time;
use crate::store::log::{NodeHeartbeat, NodeMessage};

/// Stores a heartbeat, and returns all nodes. An earlier process of the same name has ended, and so have those that
/// nobody has heard of for a day.
const HEARTBEAT: &str = "
with own as (
    insert into cortado.node
        (session, name, version, reads_snapshot, seq, lag_ms, newest_format, figures, heartbeat, started_at)
    values ($1, $2, $3, $4, $5, coalesce((
        select (extract(epoch from clock_timestamp() - at) * 1000)::int8
        from cortado.chunk where number >= $6 order by number limit 1
    ), 0), $7, $8, clock_timestamp(), clock_timestamp())
    on conflict (session) do update
    set reads_snapshot = excluded.reads_snapshot, seq = excluded.seq, lag_ms = excluded.lag_ms,
        newest_format = excluded.newest_format, figures = excluded.figures,
        heartbeat = excluded.heartbeat
    returning xmax = 0 as is_new, started_at, lag_ms
), gone as (
    delete from cortado.node
    where session <> $1 and (name = $2 or heartbeat < clock_timestamp() - interval '1 day')
)
select session, name, version, reads_snapshot,
    (extract(epoch from clock_timestamp() - heartbeat) * 1000)::int8,
    (extract(epoch from started_at) * 1000)::int8, seq, lag_ms, figures,
    (select is_new from own), (select value::int8 from cortado.meta where key = 'format')
from cortado.node where session <> $1 and name <> $2
union all
select $1, $2, $3, $4, 0, (extract(epoch from started_at) * 1000)::int8, $5, lag_ms, $8,
    is_new, (select value::int8 from cortado.meta where key = 'format')
from own";
const SIGN_OFF: &str = "delete from cortado.node where session = $1 returning session";

/// What a heartbeat has shown.
pub struct NodesSeen {
    pub heartbeats: Vec<NodeHeartbeat>,
    /// Whether the database did not know this node.
    pub is_new: bool,
    /// The format of the schema.
    pub format: i64,
}

/// Stores the heartbeat of a node with this name. Returns all nodes.
pub async fn store_heartbeat(
    sql: &SqlSession,
    name: &str,
    message: &NodeMessage,
) -> Result<NodesSeen, StatementFailure> {
    let version = env!("CARGO_PKG_VERSION");
    let NodeMessage { node, reads_snapshot, seq, next_chunk, figures } = message;
    let (session, seq, next_chunk) = (node.cast_signed(), seq.cast_signed(), signed(*next_chunk));
    let parameters: [Parameter<'_>; 8] = [
        (&session, Type::INT8),
        (&name, Type::TEXT),
        (&version, Type::TEXT),
        (reads_snapshot, Type::BOOL),
        (&seq, Type::INT8),
        (&next_chunk, Type::INT8),
        (&format::NEWEST, Type::INT8),
        (figures, Type::TEXT),
    ];
    let rows = sql.session.query(&sql.settings, HEARTBEAT, &parameters).await?;
    let fail = |error| StatementFailure::of(&error, sql.settings.location());
    let heartbeats = Vec::with_capacity(rows.len());
    let mut seen = NodesSeen { heartbeats, is_new: false, format: format::NEWEST };
    for row in &rows {
        seen.heartbeats.push(heartbeat_of(row).map_err(fail)?);
        seen.is_new = row.try_get(9).map_err(fail)?;
        seen.format = row.try_get(10).map_err(fail)?;
    }
    Ok(seen)
}

fn heartbeat_of(row: &Row) -> Result<NodeHeartbeat, tokio_postgres::Error> {
    let (session, seq): (i64, i64) = (row.try_get(0)?, row.try_get(6)?);
    let millis = |column| {
        let millis: i64 = row.try_get(column)?;
        Ok::<_, tokio_postgres::Error>(Duration::from_millis(millis.max(0).unsigned_abs()))
    };
    Ok(NodeHeartbeat {
        node: session.unsigned_abs(),
        name: row.try_get(1)?,
        version: row.try_get(2)?,
        reads_snapshot: row.try_get(3)?,
        silent_for: millis(4)?,
        started_at: Time::from_millis(row.try_get(5)?),
        seq: seq.max(0).unsigned_abs(),
        lag: millis(7)?,
        figures: row.try_get(8)?,
    })
}

/// Removes a node that has ended.
pub async fn sign_off(sql: &SqlSession, session: i64) -> Result<(), StatementFailure> {
    let parameters: [Parameter<'_>; 1] = [(&session, Type::INT8)];
    sql.session.query(&sql.settings, SIGN_OFF, &parameters).await.map(drop)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
