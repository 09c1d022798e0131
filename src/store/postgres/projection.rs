//! The table of jobs for queries. It has a connection of its own, so that appends and reads do not wait for it.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql, Type};

use super::failure::StatementFailure;
use super::session::Parameter;
use super::sql::SqlSession;
use super::state::LogState;
use crate::job::{JobId, State, Time};
use crate::store::StoreError;
use crate::store::log::LogProjection;
use crate::store::projection::{ProjectedJob, ProjectionCharge, ProjectionFigures, ProjectionStep};

/// A process is in charge until it has been silent for five seconds.
const HOLD: &str = "
update cortado.projection set holder = $1, held_until = clock_timestamp() + interval '5 seconds'
where holder = $1 or held_until is null or held_until < clock_timestamp()
returning cursor";

const RELEASE: &str = "update cortado.projection set held_until = null where holder = $1";

/// Makes a step if this process is still in charge and the rows are where the step begins. The row of the projection is
/// locked first, so of two processes one sees what the other has done.
const WRITE: &str = "
with held as (
    update cortado.projection set cursor = $3, held_until = clock_timestamp() + interval '5 seconds',
        as_of = coalesce('epoch'::timestamptz + $4 * interval '1 millisecond', clock_timestamp())
    where holder = $1 and cursor is not distinct from $2
    returning 1
), removed as (
    delete from cortado.projected_job where id = any ($5::uuid[]) and exists (select from held)
), input as (
    select id::uuid, kind, queue, string_to_array(tags, ',') as tags, state, attempt,
        'epoch'::timestamptz + finished_at * interval '1 millisecond' as finished_at,
        'epoch'::timestamptz + created_at * interval '1 millisecond' as created_at,
        max_attempts, payload, idempotency_key, least_attempts, priority,
        'epoch'::timestamptz + run_at * interval '1 millisecond' as run_at,
        'epoch'::timestamptz + started_at * interval '1 millisecond' as started_at,
        error, result
    from unnest($6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22) as input (
        id, kind, queue, tags, state, attempt, finished_at, created_at, max_attempts, payload, idempotency_key,
        least_attempts, priority, run_at, started_at, error, result)
    where exists (select from held)
), changed as (
    update cortado.projected_job as old set kind = input.kind, queue = input.queue, tags = input.tags,
        state = input.state, attempt = input.attempt, finished_at = input.finished_at,
        max_attempts = greatest(old.max_attempts, input.least_attempts),
        priority = coalesce(input.priority, old.priority),
        run_at = coalesce(input.run_at, old.run_at),
        started_at = coalesce(input.started_at, old.started_at),
        error = coalesce(input.error, old.error),
        result = coalesce(input.result, old.result)
    from input where input.created_at is null and old.id = input.id
), added as (
    insert into cortado.projected_job (id, kind, queue, tags, state, attempt, finished_at, created_at, max_attempts,
        payload, idempotency_key, priority, run_at, started_at, error, result)
    select id, kind, queue, tags, state, attempt, finished_at, created_at, greatest(max_attempts, least_attempts),
        payload, idempotency_key, priority, run_at, started_at, error, result
    from input where created_at is not null
    on conflict do nothing
)
select count(*) from held";

const OLDEST: &str = "
select id::text from cortado.projected_job where state = $1 order by finished_at, id limit $2";

const FIGURES: &str = "
select (extract(epoch from lag) * 1000)::int8, (
    select name from cortado.projection join cortado.node on session = projection.holder
    where held_until > clock_timestamp()
)
from cortado.projection_lag";

impl LogProjection for LogState {
    fn hold(&self, node: u64) -> Result<ProjectionCharge, StoreError> {
        let rows = self.project(HOLD, move |parameters| parameters.push(number(node)))?;
        let Some(row) = rows.first() else { return Ok(ProjectionCharge::Elsewhere) };
        let cursor: Option<String> = self.value(row)?;
        // A cursor that cannot be read is that of another version.
        Ok(ProjectionCharge::Here(cursor.and_then(|cursor| cursor.parse().ok())))
    }

    fn release(&self, node: u64) -> Result<(), StoreError> {
        self.project(RELEASE, move |parameters| parameters.push(number(node))).map(drop)
    }

    fn clear(&self, node: u64) -> Result<bool, StoreError> {
        // Whoever reads a table keeps it from being emptied, and nobody must wait for that behind us for long.
        let session = node.cast_signed();
        let clear = format!(
            "begin; set local lock_timeout = '2s';
            do $$ begin
                if exists (select from cortado.projection where holder = {session} for update) then
                    truncate cortado.projected_job;
                    update cortado.projection set cursor = null, held_until = clock_timestamp() + interval '5 seconds';
                end if;
            end $$;
            commit"
        );
        self.connections()?.wait_for(|connections| async move {
            let cleared = async {
                let session = connections.projection().get().await?;
                SqlSession { session, settings: connections.settings.clone() }.execute(&clear).await
            };
            let cleared = cleared.await;
            if cleared.is_err() {
                connections.projection().give_up().await; // with its transaction
            }
            cleared.map_err(|failure| failure.into_store_error(connections.location()))
        })?;
        let held = self.hold(node)?;
        Ok(held == ProjectionCharge::Here(None))
    }

    fn write(&self, node: u64, step: ProjectionStep) -> Result<bool, StoreError> {
        let ProjectionStep { from, to, as_of, changed, removed } = step;
        let rows = self.project(WRITE, move |parameters| {
            parameters.push(number(node));
            parameters.push(text(from.map(|cursor| cursor.to_string())));
            parameters.push(text(to.map(|cursor| cursor.to_string())));
            parameters.push((Box::new(as_of.map(Time::millis)), Type::INT8));
            let removed: Vec<String> = removed.iter().map(ToString::to_string).collect();
            parameters.push((Box::new(removed), Type::TEXT_ARRAY));
            push_rows(&changed, parameters);
        })?;
        let count: i64 = rows.first().map(|row| self.value(row)).transpose()?.unwrap_or_default();
        Ok(count == 1)
    }

    fn figures(&self) -> Result<ProjectionFigures, StoreError> {
        self.read(|sql| async move {
            let rows = sql.session.query(&sql.settings, FIGURES, &[]).await?;
            let Some(row) = rows.first() else { return Ok(ProjectionFigures::default()) };
            let fail = |error| StatementFailure::of(&error, sql.settings.location());
            let lag: Option<i64> = row.try_get(0).map_err(fail)?;
            Ok(ProjectionFigures {
                kept_by: row.try_get(1).map_err(fail)?,
                lag: lag.map(|lag| Duration::from_millis(lag.max(0).unsigned_abs())),
            })
        })
    }

    fn oldest(&self, state: State, most: usize) -> Result<Vec<JobId>, StoreError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = self.project(OLDEST, move |parameters| {
            parameters.push(text(Some(state.as_str().to_owned())));
            parameters.push((Box::new(most), Type::INT8));
        })?;
        let ids = rows.iter().map(|row| self.value::<String>(row));
        ids.map(|id| {
            id?.parse().map_err(|_| StoreError::Corrupt("an id of a projected job".into()))
        })
        .collect()
    }
}

/// A parameter that a statement on another thread owns.
type OwnedParameter = (Box<dyn ToSql + Sync + Send>, Type);

fn number(node: u64) -> OwnedParameter {
    (Box::new(node.cast_signed()), Type::INT8)
}

fn text(text: Option<String>) -> OwnedParameter {
    (Box::new(text), Type::TEXT)
}

/// Adds the columns of the rows, each as one array.
fn push_rows(rows: &[ProjectedJob], parameters: &mut Vec<OwnedParameter>) {
    let mut columns = RowColumns { rows, parameters };
    columns.texts(|row| Some(row.id.to_string()));
    columns.texts(|row| Some(row.kind.clone()));
    columns.texts(|row| Some(row.queue.clone()));
    columns.texts(|row| Some(row.tags.join(","))); // no tag has a comma
    columns.texts(|row| Some(row.state.as_str().to_owned()));
    columns.numbers(|row| Some(i64::from(row.attempt)));
    columns.numbers(|row| row.finished_at.map(Time::millis));
    columns.numbers(|row| row.new.as_ref().map(|new| new.created_at.millis()));
    columns.numbers(|row| row.new.as_ref().map(|new| i64::from(new.max_attempts)));
    columns.texts(|row| row.new.as_ref().and_then(|new| new.payload.clone()));
    columns.texts(|row| row.new.as_ref().and_then(|new| new.idempotency_key.clone()));
    columns.numbers(|row| row.least_attempts.map(i64::from));
    columns.numbers(|row| row.priority.map(i64::from));
    columns.numbers(|row| row.run_at.map(Time::millis));
    columns.numbers(|row| row.started_at.map(Time::millis));
    columns.texts(|row| row.error.clone());
    columns.texts(|row| row.result.clone());
}

/// Adds columns, in the order of the statement.
struct RowColumns<'a> {
    rows: &'a [ProjectedJob],
    parameters: &'a mut Vec<OwnedParameter>,
}

impl RowColumns<'_> {
    fn texts(&mut self, of: impl Fn(&ProjectedJob) -> Option<String>) {
        // PostgreSQL stores no NUL.
        let values = self.rows.iter().map(|row| of(row).map(|text| text.replace('\0', "\u{fffd}")));
        self.parameters.push((Box::new(values.collect::<Vec<_>>()), Type::TEXT_ARRAY));
    }

    fn numbers(&mut self, of: impl Fn(&ProjectedJob) -> Option<i64>) {
        let values: Vec<Option<i64>> = self.rows.iter().map(of).collect();
        self.parameters.push((Box::new(values), Type::INT8_ARRAY));
    }
}

impl LogState {
    /// Runs a statement on the connection of the projection.
    fn project(
        &self,
        statement: &'static str,
        add_parameters: impl FnOnce(&mut Vec<OwnedParameter>),
    ) -> Result<Vec<Row>, StoreError> {
        let mut owned = Vec::new();
        add_parameters(&mut owned);
        self.connections()?.wait_for(|connections| async move {
            let parameters: Vec<Parameter<'_>> = owned
                .iter()
                .map(|(value, of)| (&**value as &(dyn ToSql + Sync), of.clone()))
                .collect();
            let rows = connections.projection().query(statement, &parameters).await;
            rows.map_err(|failure| failure.into_store_error(connections.location()))
        })
    }

    /// The first value of a row.
    fn value<T: for<'a> FromSql<'a>>(&self, row: &Row) -> Result<T, StoreError> {
        let location = self.settings.location();
        let value = row.try_get(0);
        value.map_err(|error| StatementFailure::of(&error, location).into_store_error(location))
    }
}
