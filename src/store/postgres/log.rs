//! The implementation of the log on PostgreSQL.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio_postgres::types::Type;

use super::append::{self, Append};
use super::batch::BatchChanges;
use super::connections::Connections;
use super::failure::StatementFailure;
use super::identity::ServerIdentity;
use super::keys::{self, KeyPlace};
use super::known::KnownChunks;
use super::scan::ScanRows;
use super::schema::{self, SqlSession};
use super::session::Parameter;
use super::settings::PostgresSettings;
use crate::job::{Cursor, Epoch, fresh_uuid};
use crate::store::log::{Applied, Log, Rows, WriteBatch};
use crate::store::{Storage, StoreError};

/// How often the server is asked for new chunks while no notification arrives.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// The log in a database.
pub struct PostgresLog(Arc<LogState>);

/// What the log and its scans share.
pub struct LogState {
    settings: Arc<PostgresSettings>,
    /// The connections, except between [`Log::shut`] and [`Log::reopen`].
    open: RwLock<Option<Arc<Connections>>>,
    known: Mutex<KnownChunks>,
    /// The identity of the server that is to be stored, because the stored one was of another.
    new_server: Mutex<Option<ServerIdentity>>,
    written: WrittenCounts,
}

/// What was written since the log was first opened.
#[derive(Debug, Default)]
struct WrittenCounts {
    accepted: AtomicU64,
    bytes: AtomicU64,
    batches: AtomicU64,
}

impl PostgresLog {
    /// Opens the log in a database.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the server cannot be reached or the database has no store, and
    /// [`StoreError::Newer`] when a newer version has changed its schema.
    pub fn open(settings: PostgresSettings) -> Result<PostgresLog, StoreError> {
        let log = PostgresLog(Arc::new(LogState::new(settings)));
        log.reopen()?;
        Ok(log)
    }

    /// Opens the log in a database for a server. Missing tables are created, older ones updated, and the rows of `new`,
    /// which has no chunk, are stored if there is no store yet.
    ///
    /// # Errors
    /// As [`PostgresLog::open`], and when the tables cannot be created.
    pub fn create_if_missing(
        settings: PostgresSettings,
        new: WriteBatch,
    ) -> Result<PostgresLog, StoreError> {
        let new = BatchChanges::of(new)?;
        let log = PostgresLog(Arc::new(LogState::new(settings)));
        // A connection of its own, which ends with the transaction if that fails.
        Connections::start(log.0.settings.clone())?.wait_for(|connections| async move {
            let created = async {
                let session = connections.writer().get().await?;
                let settings = connections.settings.clone();
                SqlSession { session, settings }.create_if_missing(&new).await
            };
            created.await.map_err(|failure| failure.into_store_error(connections.location()))
        })?;
        log.reopen()?;
        Ok(log)
    }
}

impl LogState {
    fn new(settings: PostgresSettings) -> LogState {
        LogState {
            settings: Arc::new(settings),
            open: RwLock::new(None),
            known: Mutex::default(),
            new_server: Mutex::new(None),
            written: WrittenCounts::default(),
        }
    }

    /// The open connections.
    ///
    /// # Errors
    /// Between [`Log::shut`] and [`Log::reopen`].
    pub fn connections(&self) -> Result<Arc<Connections>, StoreError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.clone().ok_or_else(|| StoreError::Unavailable("it is being opened again".into()))
    }

    /// Remembers which batches wrote these chunks.
    pub fn remember(&self, chunks: &[(i64, String)]) {
        let mut known = self.known();
        for (number, grp) in chunks {
            known.add(*number, grp);
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, KnownChunks> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs statements on one of the connections for reads.
    fn read<T, F>(
        &self,
        read: impl FnOnce(SqlSession) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StatementFailure>> + Send,
    {
        read_on(&self.connections()?, read)
    }

    /// Checks that the server has a schema of this version, and the newest chunk that this process knows.
    fn check(&self, connections: &Arc<Connections>) -> Result<(), StoreError> {
        let location = self.settings.location().to_owned();
        let format = read_on(connections, |sql| async move { sql.format().await })?;
        schema::check(format, &location)?;
        let Some((number, grp)) = self.known().newest() else { return Ok(()) };
        let (found, newest) = read_on(connections, move |sql| async move {
            let newest = "select max(number) from cortado.chunk";
            let newest: Option<i64> = sql.value(newest, &[]).await?;
            let grp = "select (select grp::text from cortado.chunk where number = $1)";
            let grp: Option<String> = sql.value(grp, &[(&number, Type::INT8)]).await?;
            Ok((grp, newest))
        })?;
        // A chunk that others have trimmed since has later ones behind it.
        let was_trimmed = found.is_none() && newest.is_some_and(|newest| newest > number);
        if found.as_ref() == Some(&grp) || was_trimmed {
            return Ok(());
        }
        Err(append::lost_commits(number, &location))
    }

    /// Appends a batch with chunks.
    fn append(&self, changes: BatchChanges) -> Result<Applied, StoreError> {
        let first = changes.chunks.first().copied().unwrap_or_default();
        let previous = self.known().get(first.saturating_sub(1));
        let append = Append { changes, grp: fresh_uuid().to_string(), previous };
        let (append, applied) = self.connections()?.wait_for(|connections| async move {
            let applied = append.write(&connections).await?;
            Ok((append, applied))
        })?;
        if applied == Applied::Done {
            let written = append.changes.chunks.iter().map(|number| (*number, append.grp.clone()));
            self.remember(&written.collect::<Vec<_>>());
            self.count(&append.changes);
        }
        Ok(applied)
    }

    /// Applies a batch without a chunk.
    fn change_rows(&self, changes: BatchChanges) -> Result<Applied, StoreError> {
        let changes = self.connections()?.wait_for(|connections| async move {
            let changed = async {
                let session = connections.writer().get().await?;
                append::change_rows(&session, &connections.settings, &changes).await
            };
            let changed = changed.await;
            changed.map_err(|failure| failure.into_store_error(connections.location()))?;
            Ok(changes)
        })?;
        self.count(&changes);
        Ok(Applied::Done)
    }

    fn count(&self, changes: &BatchChanges) {
        self.written.accepted.fetch_add(changes.accepted_bytes, Ordering::Relaxed);
        self.written.bytes.fetch_add(changes.bytes, Ordering::Relaxed);
        self.written.batches.fetch_add(1, Ordering::Relaxed);
    }
}

fn read_on<T, F>(
    connections: &Arc<Connections>,
    read: impl FnOnce(SqlSession) -> F + Send + 'static,
) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, StatementFailure>> + Send,
{
    connections.wait_for(|connections| async move {
        let result = match connections.reader().get().await {
            Ok(session) => {
                read(SqlSession { session, settings: connections.settings.clone() }).await
            }
            Err(failure) => Err(failure),
        };
        result.map_err(|failure| failure.into_store_error(connections.location()))
    })
}

impl Log for PostgresLog {
    fn location(&self) -> &str {
        self.0.settings.location()
    }

    fn name(&self) -> String {
        format!("the log in {}", self.location())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(place) = KeyPlace::of(key) else { return Ok(None) };
        let key = key.to_vec();
        self.0.connections()?.wait_for(|connections| async move {
            let (sql, parameter): (_, Parameter<'_>) = match &place {
                KeyPlace::Chunk(number) => {
                    ("select body from cortado.chunk where number = $1", (number, Type::INT8))
                }
                KeyPlace::Row => {
                    ("select value from cortado.row where key = $1", (&key, Type::BYTEA))
                }
            };
            let fail = |failure: StatementFailure| failure.into_store_error(connections.location());
            let rows = connections.reader().read(sql, &[parameter]).await.map_err(fail)?;
            let value = rows.first().map(|row| row.try_get(0)).transpose();
            value.map_err(|error| fail(StatementFailure::of(&error, connections.location())))
        })
    }

    fn scan_from(&self, prefix: &[u8], from: &[u8]) -> Rows {
        Box::new(ScanRows::new(self.0.clone(), keys::ranges(prefix, from)))
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn apply(&self, batch: WriteBatch) -> Result<Applied, StoreError> {
        let changes = BatchChanges::of(batch)?;
        if changes.chunks.is_empty() { self.0.change_rows(changes) } else { self.0.append(changes) }
    }

    fn wait_for_chunk(&self, number: u64, at_most: Duration) -> Result<bool, StoreError> {
        let Ok(number) = i64::try_from(number) else { return Ok(false) };
        let until = Instant::now() + at_most;
        loop {
            let connections = self.0.connections()?;
            connections.listen();
            let seen = connections.hint.count();
            if has_chunk(&connections, number)? {
                return Ok(true);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            connections.hint.wait(seen, left.min(POLL_INTERVAL));
        }
    }

    /// A commit is durable when it is answered.
    fn sync(&self) -> Result<(), StoreError> {
        self.0.connections().map(drop)
    }

    fn begin_writing(&self) -> Result<(), StoreError> {
        self.0.connections().map(drop)
    }

    /// A record of the head beside the log would be in the same database, and no local file knows what other processes
    /// have written. PostgreSQL loses nothing that was committed, except when it is replaced by a replica or a backup that
    /// was behind, which its identity shows: then nothing is known to have been durable, which starts a new epoch. As long
    /// as the identity is the same, the log is complete, however short it is.
    fn recorded_head(&self, _epoch: Epoch) -> Result<Option<u64>, StoreError> {
        let (server, stored) = self.0.read(|sql| async move {
            let server = ServerIdentity::read(&sql).await?;
            Ok((server, ServerIdentity::stored(&sql).await?))
        })?;
        let is_new = stored.is_some_and(|stored| !stored.may_be(&server));
        let new_server = is_new.then_some(server);
        let mut pending = self.0.new_server.lock().unwrap_or_else(PoisonError::into_inner);
        *pending = new_server;
        Ok(if is_new { None } else { Some(0) })
    }

    /// Stores the identity of the server if [`Log::recorded_head`] has found another one: the store that was opened then
    /// has a new epoch. A process that was running meanwhile must not store it, because it has kept the old epoch.
    fn record_head(&self, _head: Cursor) -> Result<(), StoreError> {
        let mut pending = self.0.new_server.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = pending.clone() {
            self.0.read(|sql| async move { server.store(&sql).await })?;
            *pending = None;
        }
        Ok(())
    }

    /// There is nothing that could be renamed or removed under an open database. Whoever follows the log notices at once
    /// that the server is gone.
    fn check_identity(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn check_values(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn measure(&self, storage: &mut Storage) -> Result<(), StoreError> {
        const SIZE: &str = "select pg_total_relation_size('cortado.chunk')
            + pg_total_relation_size('cortado.row')";
        let size: i64 = self.0.read(|sql| async move { sql.value(SIZE, &[]).await })?;
        let written = &self.0.written;
        storage.disk_bytes = size.unsigned_abs();
        storage.accepted_bytes = written.accepted.load(Ordering::Relaxed);
        storage.written_bytes = written.bytes.load(Ordering::Relaxed);
        storage.groups = written.batches.load(Ordering::Relaxed);
        storage.syncs = storage.groups;
        Ok(())
    }

    fn shut(&self) {
        let open = self.0.open.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(open) = open {
            open.hint.wake();
        }
    }

    fn reopen(&self) -> Result<(), StoreError> {
        self.shut();
        let connections = Connections::start(self.0.settings.clone())?;
        self.0.check(&connections)?;
        *self.0.open.write().unwrap_or_else(PoisonError::into_inner) = Some(connections);
        Ok(())
    }
}

fn has_chunk(connections: &Arc<Connections>, number: i64) -> Result<bool, StoreError> {
    connections.wait_for(|connections| async move {
        let sql = "select from cortado.chunk where number >= $1 limit 1";
        let rows = connections.reader().read(sql, &[(&number, Type::INT8)]).await;
        rows.map(|rows| !rows.is_empty())
            .map_err(|failure| failure.into_store_error(connections.location()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::postgres::hint::ChunkHint;

    impl PostgresLog {
        /// What wakes those who wait for chunks.
        pub fn hint(&self) -> Result<Arc<ChunkHint>, StoreError> {
            self.0.connections().map(|connections| connections.hint.clone())
        }
    }
}
