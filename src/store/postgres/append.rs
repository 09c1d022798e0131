//! Writes a batch in one round trip, and finds out what became of it when the answer is lost.

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
use super::identity::EpochServer;
use super::session::{OpenSession, Parameter, SessionSlot};
use super::settings::PostgresSettings;
use super::sql::SqlSession;
use crate::store::StoreError;

/// The wait between two looks for a batch whose answer was lost.
const RESOLVE_INTERVAL: Duration = Duration::from_millis(100);

/// Appends a batch; see `migrations/0005.sql`.
const APPEND: &str = "
select number, grp::text, body from cortado.append(
    $1, $2::uuid, $3, $4, $5, $6, $7, $8::uuid[], $9::uuid, $10, $11, $12, $13
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

/// A batch with at least one chunk.
pub struct Append {
    /// The server on which the epoch of this process began, once that is known.
    pub server: Option<Arc<EpochServer>>,
    pub changes: BatchChanges,
    /// What tells this batch from those of other processes, even if a second try of it meets the first one.
    pub grp: String,
    /// The batch that wrote the chunk before, if this process has read or written that.
    pub previous: Option<String>,
    /// What the other processes are told; `None` if they need not be told yet.
    pub notification: Option<String>,
}

/// What became of an append.
pub enum Appended {
    Done,
    /// Another process has appended these chunks, the first of them in the place of the batch. There may be none if it has
    /// taken rows of the inbox.
    Lost(Vec<FoundChunk>),
}

/// A chunk of another process: its number, its batch and its content.
pub type FoundChunk = (i64, String, Vec<u8>);

/// What a statement that inserted nothing, or whose answer was lost, has left.
enum AppendOutcome {
    /// The batch was written, or another one was.
    Decided(Appended),
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
    pub async fn write(&self, connections: &PostgresConnections) -> Result<Appended, StoreError> {
        // Without a connection, nothing is in doubt.
        let connected = connections.writer().get().await.map(drop);
        connected.map_err(|failure| failure.into_store_error(connections.location()))?;
        let (mut tried, mut until) = (self.try_once(connections).await, None);
        loop {
            let why = match tried {
                Ok(AppendOutcome::Decided(appended)) => return Ok(appended),
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
        let (taken, format) = (&self.changes.taken, format::NEWEST);
        let server = self.server.as_deref();
        let stored = server.map(|server| server.stored.as_str());
        let timeline = server.and_then(|server| server.server.timeline());
        let parameters: [Parameter<'_>; 13] = [
            (chunks, Type::INT8_ARRAY),
            (&self.grp, Type::TEXT),
            (bodies, Type::BYTEA_ARRAY),
            (keys, Type::BYTEA_ARRAY),
            (values, Type::BYTEA_ARRAY),
            (removed_keys, Type::BYTEA_ARRAY),
            (removed_chunks, Type::INT8_ARRAY),
            (taken, Type::TEXT_ARRAY),
            (&self.previous, Type::TEXT),
            (&format, Type::INT8),
            (&stored, Type::TEXT),
            (&timeline, Type::TEXT),
            (&self.notification, Type::TEXT),
        ];
        let rows = connections.writer().query(APPEND, &parameters).await?;
        let chunks: Result<Vec<_>, _> = rows.iter().map(returned_chunk).collect();
        let chunks =
            chunks.map_err(|error| StatementFailure::of(&error, connections.location()))?;
        match self.returned(chunks) {
            Some(appended) => Ok(AppendOutcome::Decided(appended)),
            None => self.find(connections).await,
        }
    }

    /// What became of the batch by the chunks that the statement has returned, unless more has to be known.
    fn returned(&self, mut chunks: Vec<ReturnedChunk>) -> Option<Appended> {
        let first = self.first();
        if let [(number, grp, None)] = &chunks[..]
            && (*number, grp) == (first, &self.grp)
        {
            return Some(Appended::Done);
        }
        let before = chunks.iter().find(|(number, ..)| *number == first - 1);
        let follows = before.map(|(_, grp, _)| grp) == self.previous.as_ref();
        chunks.retain(|(number, ..)| *number >= first);
        let is_first = |(number, grp, _): &ReturnedChunk| *number == first && *grp != self.grp;
        if !follows || !chunks.first().is_some_and(is_first) {
            return None;
        }
        let found = chunks.into_iter().filter_map(|(number, grp, body)| Some((number, grp, body?)));
        Some(Appended::Lost(found.collect()))
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
        if let Ok(AppendOutcome::Decided(Appended::Lost(_))) = outcome {
            return outcome; // the next append notices if the server was replaced
        }
        if let Some(server) = &self.server {
            let session = writer.get().await?;
            server.check(&SqlSession { session, settings: connections.settings.clone() }).await?;
        }
        if let Ok(AppendOutcome::Decided(Appended::Done)) = outcome {
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

/// A chunk that the statement has returned. The one of the batch itself, and the one before it, have no content.
type ReturnedChunk = (i64, String, Option<Vec<u8>>);

fn returned_chunk(row: &Row) -> Result<ReturnedChunk, tokio_postgres::Error> {
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
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
            return Ok(AppendOutcome::Decided(Appended::Done));
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
            return Ok(AppendOutcome::Decided(Appended::Lost(Vec::new())));
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
            return Ok(AppendOutcome::Decided(Appended::Lost(Vec::new())));
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

    fn append(previous: Option<&str>) -> Append {
        let mut changes = BatchChanges::default();
        changes.chunks.push(7);
        let (grp, previous) = ("mine".to_owned(), previous.map(str::to_owned));
        Append { server: None, changes, grp, previous, notification: None }
    }

    fn name(appended: &Appended) -> &'static str {
        match appended {
            Appended::Done => "done",
            Appended::Lost(_) => "lost",
        }
    }

    fn outcome(found: Found, previous: Option<&str>) -> Result<Option<&'static str>, String> {
        match found.outcome(&append(previous), "here") {
            Ok(AppendOutcome::Decided(appended)) => Ok(Some(name(&appended))),
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
        assert_eq!(outcome(found(Some("mine"), before, 7), before), Ok(Some("done")));
        assert_eq!(outcome(found(Some("mine"), None, 9), before), Ok(Some("done")));
        assert_eq!(outcome(found(Some("other"), before, 7), before), Ok(Some("lost")));
        assert_eq!(outcome(found(Some("other"), None, 9), before), Ok(Some("lost")));
        assert_eq!(outcome(found(None, before, 6), before), Ok(None));
        assert_eq!(outcome(found(None, before, 6), None), Ok(None));
        let taken = |has_taken_rows| Found { has_taken_rows, ..found(None, before, 6) };
        assert_eq!(outcome(taken(Some(true)), before), Ok(None));
        assert_eq!(outcome(taken(Some(false)), before), Ok(Some("lost")));
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

    #[test]
    fn what_an_append_returns_is_taken_only_if_it_is_clear() {
        let chunk = |number, grp: &str, body: Option<&str>| {
            (number, grp.to_owned(), body.map(|body| body.as_bytes().to_vec()))
        };
        let (before, first) = (chunk(6, "before", None), chunk(7, "other", Some("seven")));
        let next = chunk(8, "third", Some("eight"));
        let returned = |chunks: &[ReturnedChunk], previous| {
            let found = append(previous).returned(chunks.to_vec())?;
            Some(match found {
                Appended::Done => Vec::new(),
                Appended::Lost(chunks) => chunks.into_iter().map(|(number, ..)| number).collect(),
            })
        };
        let known = Some("before");
        assert_eq!(returned(&[chunk(7, "mine", None)], known), Some(vec![]));
        assert_eq!(returned(&[before.clone(), first.clone()], known), Some(vec![7]));
        assert_eq!(returned(&[before.clone(), first.clone(), next], known), Some(vec![7, 8]));
        assert_eq!(returned(std::slice::from_ref(&first), None), Some(vec![7]));
        for (chunks, previous) in [
            (vec![], known),               // refused, or nothing to be taken
            (vec![before.clone()], known), // the same
            (vec![first.clone()], known),  // trimmed, or lost commits
            (vec![chunk(6, "else", None), first.clone()], known), // lost commits
            (vec![before.clone(), chunk(7, "mine", Some("7"))], known), // an earlier try
            (vec![before, chunk(8, "third", Some("8"))], known),
        ] {
            assert_eq!(returned(&chunks, previous), None, "{chunks:?}");
        }
    }
}
