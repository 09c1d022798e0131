//! Writes a batch in one statement and one round trip, and finds out what became of it when the answer is lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::barrier;
use super::batch::BatchChanges;
use super::connections::PostgresConnections;
use super::failure::{StatementFailure, unavailable};
use super::format;
use super::identity::{EpochServer, TIMELINE};
use super::session::{OpenSession, Parameter, SessionSlot};
use super::settings::PostgresSettings;
use super::sql::SqlSession;
use crate::store::StoreError;
use crate::store::log::Applied;

/// The wait between two looks for a batch whose answer was lost.
const RESOLVE_INTERVAL: Duration = Duration::from_millis(100);

/// Inserts the first chunk of a batch, and makes all other changes only if that was inserted. The unique index decides
/// between processes: whoever comes second waits until the first one's transaction has ended, and then inserts nothing.
///
/// The chunk is not inserted either when a newer version has changed the schema, when the server was replaced by another
/// one (see [`identity`](super::identity)), or when the chunk before it is not there or is another one than this process
/// has read: then commits are missing, and the batch was decided on a history that no longer exists.
///
/// A commit must be durable, whatever the user's or the database's defaults are, so `synchronous_commit` is not left
/// `off`. It is set for this transaction only, because a pooler would pass a setting of the session on to others.
/// `local` and `remote_write` are durable on this server; whoever sets them has decided about the standbys.
///
/// The condition `$timeline` is inserted if the server tells its timeline: a call of a function that the user may not call
/// fails even where it is not reached. `$taken` and `$removed_inbox` are inserted if the batch takes rows of the inbox.
const APPEND: &str = "
with won as (
    insert into cortado.chunk (number, grp, body)
    select $1, $2::uuid, $3
    where (select value::int8 <= $11 from cortado.meta where key = 'format')
    and ($12 is null or (select value = $12 from cortado.meta where key = 'server'))
    $timeline
    $taken
    and coalesce(
        (select $10 is null or grp = $10::uuid from cortado.chunk where number = $1 - 1),
        $10 is null and not exists (select from cortado.chunk)
    )
    on conflict do nothing
    returning number
), further_chunks as (
    insert into cortado.chunk (number, grp, body)
    select number, $2::uuid, body from unnest($4, $5) as further (number, body)
    where exists (select from won)
), rows as (
    insert into cortado.row (key, value)
    select key, value from unnest($6, $7) as stored (key, value)
    where exists (select from won)
    on conflict (key) do update set value = excluded.value
), removed_rows as (
    delete from cortado.row where key = any ($8) and exists (select from won)
), removed_chunks as (
    delete from cortado.chunk where number = any ($9) and exists (select from won)
) $removed_inbox
select pg_notify('cortado', number::text)::text, set_config('synchronous_commit',
    replace(current_setting('synchronous_commit'), 'off', 'on'), true)
from won";

/// Whether all rows of the inbox that a batch takes are still there. They are locked, so that nobody removes them before the
/// batch does.
const TAKEN: &str = "and (
    select count(*) from (
        select from cortado.inbox where id = any ($14::uuid[]) order by id for update
    ) as locked
) = cardinality($14)";
const REMOVED_INBOX: &str = ", removed_inbox as (
    delete from cortado.inbox where id = any ($14::uuid[]) and exists (select from won)
)";

/// Makes the changes of a batch without a chunk, whatever other processes do.
const CHANGE_ROWS: &str = "
with rows as (
    insert into cortado.row (key, value)
    select key, value from unnest($1, $2) as stored (key, value)
    on conflict (key) do update set value = excluded.value
), removed_rows as (
    delete from cortado.row where key = any ($3)
), removed_chunks as (
    delete from cortado.chunk where number = any ($4)
)
select set_config('synchronous_commit',
    replace(current_setting('synchronous_commit'), 'off', 'on'), true)";

/// Reads what tells whether a batch was written.
const FIND: &str = "
select (select grp::text from cortado.chunk where number = $1),
    (select grp::text from cortado.chunk where number = $1 - 1),
    (select max(number) from cortado.chunk),
    (select value::int8 from cortado.meta where key = 'format')";

/// Counts the rows of the inbox that a batch takes and that are still there.
const COUNT_TAKEN: &str = "select count(*) from cortado.inbox where id = any ($1::uuid[])";

/// Where batches are appended.
pub struct AppendTarget {
    /// The server on which the epoch of this process began, once that is known.
    pub server: Option<EpochServer>,
    /// The statement that appends there. [`Append::write`] completes it.
    statement: String,
}

impl AppendTarget {
    /// The server of an epoch, or any server.
    pub fn new(server: Option<EpochServer>) -> AppendTarget {
        AppendTarget { statement: statement(server.as_ref()), server }
    }
}

fn statement(server: Option<&EpochServer>) -> String {
    let timeline = server.and_then(|server| server.server.timeline());
    // Every parameter has to be in the statement.
    let expression = timeline.map_or("null::text", |_| TIMELINE);
    let condition = format!("and $13 is not distinct from {expression}");
    APPEND.replace("$timeline", &condition)
}

/// A batch with at least one chunk.
pub struct Append {
    pub target: Arc<AppendTarget>,
    pub changes: BatchChanges,
    /// What tells this batch from those of other processes, even if a second try of it meets the first one.
    pub grp: String,
    /// The batch that wrote the chunk before, if this process has read or written that.
    pub previous: Option<String>,
}

/// What a statement that inserted nothing, or whose answer was lost, has left.
enum AppendOutcome {
    /// The batch was written, or another one was.
    Decided(Applied),
    /// Neither, so it can be tried again.
    Open,
}

impl Append {
    /// Writes the batch. When the answer is lost, it is looked for, and written again if it is not there: an old session
    /// of the server may still commit the first try, but only one of both can insert the chunk. The look ends after the time
    /// that a statement may take.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the batch was not written, or when that is not known.
    pub async fn write(&self, connections: &PostgresConnections) -> Result<Applied, StoreError> {
        // Without a connection, nothing is in doubt.
        let connected = connections.writer().get().await.map(drop);
        connected.map_err(|failure| failure.into_store_error(connections.location()))?;
        let (mut tried, mut until) = (self.try_once(connections).await, None);
        loop {
            let why = match tried {
                Ok(AppendOutcome::Decided(applied)) => return Ok(applied),
                Ok(AppendOutcome::Open) => "another process has not written it either".to_owned(),
                Err(StatementFailure::Refused(error)) => return Err(error),
                Err(StatementFailure::Unanswered(why)) => why,
            };
            let until = *until.get_or_insert_with(|| {
                tracing::warn!(why, "an append was not answered, looking for its chunk");
                Instant::now() + connections.settings.timeout
            });
            if Instant::now() > until {
                let why = format!("it is not known whether the last batch was written: {why}");
                return Err(unavailable(connections.location(), why));
            }
            tokio::time::sleep(RESOLVE_INTERVAL).await;
            tried = self.try_again(connections).await;
        }
    }

    async fn try_again(
        &self,
        connections: &PostgresConnections,
    ) -> Result<AppendOutcome, StatementFailure> {
        match self.find(connections).await? {
            AppendOutcome::Open => self.try_once(connections).await,
            decided @ AppendOutcome::Decided(_) => Ok(decided),
        }
    }

    async fn try_once(
        &self,
        connections: &PostgresConnections,
    ) -> Result<AppendOutcome, StatementFailure> {
        let BatchChanges { chunks, bodies, keys, values, removed_keys, removed_chunks, .. } =
            &self.changes;
        let taken = &self.changes.taken;
        let (Some((first, further)), Some((body, further_bodies))) =
            (chunks.split_first(), bodies.split_first())
        else {
            return Ok(AppendOutcome::Decided(Applied::Done));
        };
        let format = format::NEWEST;
        let stored = self.target.server.as_ref().map(|server| server.stored.as_str());
        let timeline = self.target.server.as_ref().and_then(|server| server.server.timeline());
        let mut parameters: Vec<Parameter<'_>> = vec![
            (first, Type::INT8),
            (&self.grp, Type::TEXT),
            (body, Type::BYTEA),
            (&further, Type::INT8_ARRAY),
            (&further_bodies, Type::BYTEA_ARRAY),
            (keys, Type::BYTEA_ARRAY),
            (values, Type::BYTEA_ARRAY),
            (removed_keys, Type::BYTEA_ARRAY),
            (removed_chunks, Type::INT8_ARRAY),
            (&self.previous, Type::TEXT),
            (&format, Type::INT8),
            (&stored, Type::TEXT),
            (&timeline, Type::TEXT),
        ];
        let takes = !taken.is_empty();
        if takes {
            parameters.push((taken, Type::TEXT_ARRAY));
        }
        let (condition, removal) = if takes { (TAKEN, REMOVED_INBOX) } else { ("", "") };
        let statement = self.target.statement.replace("$taken", condition);
        let statement = statement.replace("$removed_inbox", removal);
        let rows = connections.writer().query(&statement, &parameters).await?;
        if !rows.is_empty() {
            return Ok(AppendOutcome::Decided(Applied::Done));
        }
        self.find(connections).await
    }

    /// Looks for what became of the batch.
    async fn find(
        &self,
        connections: &PostgresConnections,
    ) -> Result<AppendOutcome, StatementFailure> {
        let (writer, location) = (connections.writer(), connections.location());
        // Asked first: if they are gone, no earlier try of this batch can be written later.
        let has_taken_rows = self.has_taken_rows(writer, location).await?;
        let rows = writer.query(FIND, &[(&self.first(), Type::INT8)]).await?;
        let found = rows.first().map(|row| Found::of(row, has_taken_rows)).transpose();
        let found = found.map_err(|error| StatementFailure::of(&error, location))?;
        let found = found.ok_or_else(|| StatementFailure::Unanswered("no row".to_owned()))?;
        let outcome = found.outcome(self, location);
        if let Ok(AppendOutcome::Decided(Applied::Lost)) = outcome {
            return outcome; // the next append notices if the server was replaced
        }
        if let Some(server) = &self.target.server {
            let session = writer.get().await?;
            server.check(&SqlSession { session, settings: connections.settings.clone() }).await?;
        }
        if let Ok(AppendOutcome::Decided(Applied::Done)) = outcome {
            barrier::confirm(writer).await?;
        }
        outcome
    }

    /// Whether all rows of the inbox that the batch takes are there; `None` if it takes none.
    async fn has_taken_rows(
        &self,
        writer: &SessionSlot,
        location: &str,
    ) -> Result<Option<bool>, StatementFailure> {
        let taken = &self.changes.taken;
        if taken.is_empty() {
            return Ok(None);
        }
        let rows = writer.query(COUNT_TAKEN, &[(taken, Type::TEXT_ARRAY)]).await?;
        let count: Option<i64> = rows
            .first()
            .map(|row| row.try_get(0))
            .transpose()
            .map_err(|error| StatementFailure::of(&error, location))?;
        Ok(count.map(|count| count.unsigned_abs() == taken.len() as u64))
    }

    /// The number of the first chunk.
    fn first(&self) -> i64 {
        self.changes.chunks.first().copied().unwrap_or_default()
    }
}

/// What the server has where a batch was to be written.
#[derive(Debug, Clone, Default)]
struct Found {
    /// The batch that wrote its first chunk.
    grp: Option<String>,
    /// The batch that wrote the chunk before.
    previous: Option<String>,
    /// The number of the newest chunk.
    newest: Option<i64>,
    /// The format of the schema.
    format: Option<i64>,
    /// Whether all rows of the inbox that the batch takes are there; `None` if it takes none.
    has_taken_rows: Option<bool>,
}

impl Found {
    fn of(row: &Row, has_taken_rows: Option<bool>) -> Result<Found, tokio_postgres::Error> {
        Ok(Found {
            has_taken_rows,
            grp: row.try_get(0)?,
            previous: row.try_get(1)?,
            newest: row.try_get(2)?,
            format: row.try_get(3)?,
        })
    }

    /// What became of a batch.
    fn outcome(&self, append: &Append, location: &str) -> Result<AppendOutcome, StatementFailure> {
        let refused = |error| Err(StatementFailure::Refused(error));
        format::check_format(self.format, location).map_err(StatementFailure::Refused)?;
        if self.grp.as_ref() == Some(&append.grp) {
            return Ok(AppendOutcome::Decided(Applied::Done));
        }
        let first = append.first();
        let is_behind = self.newest.is_some_and(|newest| newest > first);
        let has_lost_commits = match (&append.previous, &self.previous) {
            (Some(read), Some(found)) => read != found,
            (Some(_), None) => !is_behind, // or else it was trimmed
            (None, _) => false,
        };
        if has_lost_commits {
            return refused(lost_commits(first - 1, location));
        }
        if self.grp.is_some() {
            return Ok(AppendOutcome::Decided(Applied::Lost));
        }
        if is_behind {
            let why = format!("chunk {first} was trimmed before it was known who had written it");
            return refused(unavailable(location, why));
        }
        if self.newest.is_some_and(|newest| newest < first - 1) {
            let why = format!("chunk {first} cannot be written before chunk {}", first - 1);
            return refused(unavailable(location, why));
        }
        if self.has_taken_rows == Some(false) {
            return Ok(AppendOutcome::Decided(Applied::Lost));
        }
        Ok(AppendOutcome::Open)
    }
}

/// The error when a chunk that was durable is gone. A process that has acted on it cannot go on: only a start gives the
/// log a new epoch, so that nobody takes new events for those that were lost.
pub fn lost_commits(number: i64, location: &str) -> StoreError {
    let why = "the server has lost commits, as after a failover to a replica that was behind";
    StoreError::Replaced(format!(
        "{location}: chunk {number} is not the one that this process knows: {why}"
    ))
}

/// Makes the changes of a batch without a chunk in one transaction, whatever other processes do.
///
/// # Errors
/// When the changes were not made, or the answer was lost.
pub async fn change_rows(
    session: &OpenSession,
    settings: &PostgresSettings,
    changes: &BatchChanges,
) -> Result<(), StatementFailure> {
    let BatchChanges { keys, values, removed_keys, removed_chunks, .. } = changes;
    let parameters: [Parameter<'_>; 4] = [
        (keys, Type::BYTEA_ARRAY),
        (values, Type::BYTEA_ARRAY),
        (removed_keys, Type::BYTEA_ARRAY),
        (removed_chunks, Type::INT8_ARRAY),
    ];
    session.query(settings, CHANGE_ROWS, &parameters).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(found: Found, previous: Option<&str>) -> Result<Option<Applied>, String> {
        let mut changes = BatchChanges::default();
        changes.chunks.push(7);
        let (grp, previous) = ("mine".to_owned(), previous.map(str::to_owned));
        let target = Arc::new(AppendTarget::new(None));
        let append = Append { target, changes, grp, previous };
        match found.outcome(&append, "here") {
            Ok(AppendOutcome::Decided(applied)) => Ok(Some(applied)),
            Ok(AppendOutcome::Open) => Ok(None),
            Err(failure) => Err(failure.into_store_error("here").to_string()),
        }
    }

    fn found(grp: Option<&str>, previous: Option<&str>, newest: i64) -> Found {
        Found {
            grp: grp.map(str::to_owned),
            previous: previous.map(str::to_owned),
            newest: Some(newest),
            format: Some(format::NEWEST),
            has_taken_rows: None,
        }
    }

    #[test]
    fn a_batch_is_found_by_who_wrote_its_first_chunk() {
        let before = Some("before");
        assert_eq!(outcome(found(Some("mine"), before, 7), before), Ok(Some(Applied::Done)));
        assert_eq!(outcome(found(Some("mine"), None, 9), before), Ok(Some(Applied::Done)));
        assert_eq!(outcome(found(Some("other"), before, 7), before), Ok(Some(Applied::Lost)));
        assert_eq!(outcome(found(Some("other"), None, 9), before), Ok(Some(Applied::Lost)));
        assert_eq!(outcome(found(None, before, 6), before), Ok(None));
        assert_eq!(outcome(found(None, before, 6), None), Ok(None));
        let taken = |has_taken_rows| Found { has_taken_rows, ..found(None, before, 6) };
        assert_eq!(outcome(taken(Some(true)), before), Ok(None));
        assert_eq!(outcome(taken(Some(false)), before), Ok(Some(Applied::Lost)));
        let empty = Found { newest: None, ..found(None, None, 0) };
        assert_eq!(outcome(empty, None), Ok(None));
    }

    #[test]
    fn a_batch_never_follows_a_history_that_is_another_one() {
        for (found, previous, why) in [
            (found(None, Some("else"), 6), Some("before"), "has lost commits"),
            (found(Some("other"), Some("else"), 7), Some("before"), "has lost commits"),
            (found(None, None, 5), Some("before"), "has lost commits"),
            (Found { newest: None, ..found(None, None, 0) }, Some("before"), "has lost commits"),
            (found(None, None, 5), None, "cannot be written before chunk 6"),
            (found(None, None, 9), None, "was trimmed"),
            (Found { format: Some(9), ..found(None, None, 6) }, None, "newer version"),
            (Found { format: None, ..found(None, None, 6) }, None, "no store"),
        ] {
            let error = outcome(found, previous).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
