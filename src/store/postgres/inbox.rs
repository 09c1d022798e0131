//! The inbox: the table in which `cortado.enqueue` puts jobs, in the transactions of its callers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::failure::StatementFailure;
use super::session::Parameter;
use super::sql::SqlSession;
use super::state::LogState;
use crate::job::JobId;
use crate::store::StoreError;
use crate::store::inbox::{InboxFigures, InboxRow, NotEnqueued};
use crate::store::log::LogInbox;

/// The most submissions that are read at once.
const MAX_ROWS: i64 = 256;
/// The size of the submissions after which no more are read at once.
const MAX_BYTES: i64 = 4 * 1_024 * 1_024;

/// Reads what waits. The node with the smallest number enqueues it, so that the nodes do not all try at the same time; the
/// others help when that takes longer than it should. What no node knows the kind of is shown to all after a minute.
const READ: &str = "
select id::text, submission, (extract(epoch from clock_timestamp() - at) * 1000)::int8
from (
    select id, submission, at, row_number() over (order by id) as place,
        sum(octet_length(submission)) over (order by id) as bytes
    from (
        select id, submission, at from cortado.inbox
        where (kind = any ($1) or at < clock_timestamp() - interval '1 minute')
        and (
            at < clock_timestamp() - interval '100 milliseconds'
            or $2 = (
                select min(session) from cortado.node
                where heartbeat > clock_timestamp() - interval '5 seconds'
            )
        )
        order by id limit $3
    ) as waiting
) as measured
where place = 1 or bytes <= $4
order by id";

/// Moves rows to those that made no job. They are locked in the order in which appends lock them.
const DISMISS: &str = "
with dismissed as (
    select id, kind, submission, at, code, reason, existing_job
    from cortado.inbox join unnest($1::uuid[], $2, $3, $4::uuid[]) as why (id, code, reason, existing_job) using (id)
    order by id for update of inbox
), removed as (
    delete from cortado.inbox where id in (select id from dismissed) returning id
)
insert into cortado.not_enqueued (id, kind, submission, submitted_at, code, reason, existing_job)
select id, kind, submission, at, code, reason, existing_job from dismissed join removed using (id)";

const SET_MAX_PAYLOAD: &str = "
insert into cortado.meta (key, value) values ('max_payload', $1)
on conflict (key) do update set value = excluded.value where meta.value <> excluded.value";

/// Submissions are in the order of their ids, which begin with the time.
const FIGURES: &str = "
select count(*), coalesce((extract(epoch from clock_timestamp() - min(at)) * 1000)::int8, 0),
    (select count(*) from (select from cortado.not_enqueued where code <> 'existing' limit $1) as refused)
from (select at from cortado.inbox order by id limit $1) as waiting";

impl LogInbox for LogState {
    fn arrivals(&self) -> Arc<Notify> {
        self.arrivals.clone()
    }

    fn set_max_payload(&self, bytes: usize) -> Result<(), StoreError> {
        let bytes = bytes.to_string();
        self.read(|sql| async move { run(&sql, SET_MAX_PAYLOAD, &[(&bytes, Type::TEXT)]).await })
    }

    fn read(&self, node: u64, kinds: Vec<String>) -> Result<Vec<InboxRow>, StoreError> {
        let session = node.cast_signed();
        self.read(move |sql| async move {
            let parameters: [Parameter<'_>; 4] = [
                (&kinds, Type::TEXT_ARRAY),
                (&session, Type::INT8),
                (&MAX_ROWS, Type::INT8),
                (&MAX_BYTES, Type::INT8),
            ];
            let rows = sql.session.query(&sql.settings, READ, &parameters).await?;
            rows.iter().map(|row| row_of(row, sql.settings.location())).collect()
        })
    }

    fn figures(&self) -> Result<InboxFigures, StoreError> {
        self.read(|sql| async move {
            let most = InboxFigures::MAX_COUNTED.cast_signed();
            let rows = sql.session.query(&sql.settings, FIGURES, &[(&most, Type::INT8)]).await?;
            let number = |column| {
                let number = rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(column));
                let number =
                    number.map_err(|error| StatementFailure::of(&error, sql.settings.location()));
                number.map(|number| number.max(0).unsigned_abs())
            };
            let oldest = Duration::from_millis(number(1)?);
            Ok(InboxFigures { waiting: number(0)?, oldest, refused: number(2)? })
        })
    }

    fn dismiss(&self, rows: Vec<NotEnqueued>) -> Result<(), StoreError> {
        self.read(|sql| async move {
            let ids: Vec<String> = rows.iter().map(|row| row.id.to_string()).collect();
            let codes: Vec<&str> = rows.iter().map(|row| row.code).collect();
            // PostgreSQL stores no NUL.
            let reasons: Vec<String> =
                rows.iter().map(|row| row.reason.replace('\0', "\u{fffd}")).collect();
            let existing: Vec<Option<String>> =
                rows.iter().map(|row| row.existing.map(|id| id.to_string())).collect();
            let parameters: [Parameter<'_>; 4] = [
                (&ids, Type::TEXT_ARRAY),
                (&codes, Type::TEXT_ARRAY),
                (&reasons, Type::TEXT_ARRAY),
                (&existing, Type::TEXT_ARRAY),
            ];
            run(&sql, DISMISS, &parameters).await
        })
    }
}

async fn run(
    sql: &SqlSession,
    statement: &str,
    parameters: &[Parameter<'_>],
) -> Result<(), StatementFailure> {
    sql.session.query(&sql.settings, statement, parameters).await.map(drop)
}

fn row_of(row: &Row, location: &str) -> Result<InboxRow, StatementFailure> {
    let fail = |error| StatementFailure::of(&error, location);
    let id: String = row.try_get(0).map_err(fail)?;
    let id: JobId = id.parse().map_err(|_| {
        StatementFailure::Refused(StoreError::Corrupt(format!("{location}: job id {id}")))
    })?;
    let age: i64 = row.try_get(2).map_err(fail)?;
    let age = Duration::from_millis(age.max(0).unsigned_abs());
    Ok(InboxRow { id, submission: row.try_get(1).map_err(fail)?, age })
}
