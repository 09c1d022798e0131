//! The state of an open log, which its scans share.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_postgres::types::Type;

use super::announced_content::ContentKey;
use super::append::{self, Append, Appended};
use super::barrier;
use super::batch::BatchChanges;
use super::connections::PostgresConnections;
use super::failure::StatementFailure;
use super::format;
use super::hint::Announcement;
use super::identity::EpochServer;
use super::keys::{KeyPlace, chunk_key};
use super::known::KnownChunks;
use super::recent::RecentChunks;
use super::schema;
use super::session::Parameter;
use super::settings::PostgresSettings;
use super::sql::SqlSession;
use crate::job::fresh_uuid;
use crate::store::log::{Applied, Row};
use crate::store::{Storage, StoreError};

/// How often the other processes are told of appends that follow each other at once.
const ANNOUNCE_INTERVAL: Duration = Duration::from_millis(5);
/// How old the size of the tables may be.
const SIZE_INTERVAL: Duration = Duration::from_secs(1);

/// What the log and its scans share.
pub struct LogState {
    pub settings: Arc<PostgresSettings>,
    /// The connections, while the log is open.
    open: RwLock<Option<Arc<PostgresConnections>>>,
    known: Mutex<KnownChunks>,
    recent: Mutex<RecentChunks>,
    /// The server that was found at the start instead of the one whose identity is stored.
    pub former_server: Mutex<Option<EpochServer>>,
    /// The server on which the epoch of this process began, once that is known. Only that one is written to.
    epoch_server: Mutex<Option<Arc<EpochServer>>>,
    /// The key of announced chunks in that epoch.
    content_key: Mutex<Option<Arc<ContentKey>>>,
    /// When an append was last announced to the other processes, and the number of its last chunk.
    announced_at: Mutex<Option<Instant>>,
    announced: Arc<AtomicI64>,
    /// Notified when a job was submitted in SQL.
    pub arrivals: Arc<Notify>,
    /// Whether this process has said before that it is at work.
    pub has_sent_heartbeat: AtomicBool,
    written: WrittenCounts,
    /// The size of the tables, and when it was measured.
    size: Mutex<Option<(u64, Instant)>>,
}

/// What was written since the log was first opened.
#[derive(Debug, Default)]
struct WrittenCounts {
    accepted: AtomicU64,
    bytes: AtomicU64,
    batches: AtomicU64,
}

impl LogState {
    /// The state of a log that is shut.
    pub fn new(settings: impl Into<Arc<PostgresSettings>>) -> LogState {
        LogState {
            settings: settings.into(),
            open: RwLock::new(None),
            known: Mutex::default(),
            recent: Mutex::default(),
            former_server: Mutex::new(None),
            epoch_server: Mutex::default(),
            content_key: Mutex::default(),
            announced_at: Mutex::default(),
            announced: Arc::new(AtomicI64::new(-1)),
            arrivals: Arc::default(),
            has_sent_heartbeat: AtomicBool::new(false),
            written: WrittenCounts::default(),
            size: Mutex::default(),
        }
    }

    /// The open connections.
    ///
    /// # Errors
    /// When the log is shut.
    pub fn connections(&self) -> Result<Arc<PostgresConnections>, StoreError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.clone().ok_or_else(|| StoreError::Unavailable("it is being opened again".into()))
    }

    /// Opens the connections, again or for the first time, and checks what the server has.
    pub fn open(&self) -> Result<(), StoreError> {
        self.shut();
        let connections = PostgresConnections::start(self.settings.clone(), self.arrivals.clone())?;
        self.check(&connections)?;
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = Some(connections);
        Ok(())
    }

    /// The state of a log whose reads and writes all go through one connection, on which a transaction will be open.
    pub fn for_transaction(settings: Arc<PostgresSettings>) -> Result<LogState, StoreError> {
        let connections = PostgresConnections::for_transaction(settings.clone())?;
        let state = LogState::new(settings);
        *state.open.write().unwrap_or_else(PoisonError::into_inner) = Some(connections);
        Ok(state)
    }

    /// Waits until everything that can be read is durable.
    pub fn confirm(&self) -> Result<(), StoreError> {
        self.connections()?.wait_for(|connections| async move {
            let confirmed = barrier::confirm(connections.writer()).await;
            confirmed.map_err(|failure| failure.into_store_error(connections.location()))
        })
    }

    /// Gives up the connections, and wakes those who wait for chunks.
    pub fn shut(&self) {
        let open = self.open.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(open) = open {
            open.hint.wake();
        }
    }

    /// Creates or updates the tables, on a connection of its own, which ends with the transaction if that fails.
    pub fn create_if_missing(&self, new: BatchChanges) -> Result<(), StoreError> {
        let connections = PostgresConnections::start(self.settings.clone(), self.arrivals.clone())?;
        read_on(&connections, |sql| async move { schema::create_if_missing(&sql, &new).await })
    }

    /// Remembers a chunk, and which batch wrote it.
    pub fn remember(&self, number: i64, grp: &str, body: Vec<u8>) {
        self.known().add(number, grp);
        self.recent().add(number, body);
    }

    fn recent(&self) -> MutexGuard<'_, RecentChunks> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, KnownChunks> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs statements on one of the connections for reads.
    pub fn read<T, F>(
        &self,
        read: impl FnOnce(SqlSession) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StatementFailure>> + Send,
    {
        read_on(&self.connections()?, read)
    }

    /// Notes on which server the epoch of this process began. From now on, only that one is written to.
    ///
    /// # Errors
    /// When the secret of announcements cannot be read.
    pub fn set_epoch_server(&self, server: EpochServer) -> Result<(), StoreError> {
        let stored = server.stored.clone();
        let key = self.read(|sql| async move { ContentKey::read(&sql, stored).await })?;
        *self.content_key.lock().unwrap_or_else(PoisonError::into_inner) = key.map(Arc::new);
        let server = Some(Arc::new(server));
        *self.epoch_server.lock().unwrap_or_else(PoisonError::into_inner) = server;
        Ok(())
    }

    /// Remembers a chunk of another process, and returns it as a row.
    fn found(&self, number: i64, grp: &str, body: Vec<u8>) -> Row {
        self.remember(number, grp, body.clone());
        (chunk_key(number), body)
    }

    /// The key of announced chunks in the present epoch, once the server is known on which that began.
    fn content_key(&self) -> Option<Arc<ContentKey>> {
        self.content_key.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next chunks that were announced with their content, as rows. They are remembered as if they had been read.
    pub fn announced_chunks(&self, from: u64) -> Vec<Row> {
        let (Ok(from), Ok(connections)) = (i64::try_from(from), self.connections()) else {
            return Vec::new();
        };
        let announced = connections.hint.take(from);
        let Some(key) = self.content_key() else { return Vec::new() };
        let opened = announced.into_iter().map_while(|(number, content)| {
            Some(self.found(number, &content.grp, key.open(number, &content)?))
        });
        opened.collect()
    }

    fn epoch_server(&self) -> Option<Arc<EpochServer>> {
        self.epoch_server.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the others are told of a batch. While this process appends again and again they are told only now and then,
    /// and read several chunks at once.
    fn announces(&self, changes: &BatchChanges) -> bool {
        let mut announced_at = self.announced_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = announced_at.is_none_or(|at| at.elapsed() >= ANNOUNCE_INTERVAL);
        let announces = is_due || !changes.is_followed;
        if announces {
            *announced_at = Some(Instant::now());
        }
        announces
    }

    /// Checks that the server is still the one on which the epoch of this process began.
    ///
    /// # Errors
    /// [`StoreError::Replaced`] when it is not.
    pub fn check_server(&self) -> Result<(), StoreError> {
        check_server(&self.connections()?, self.epoch_server())
    }

    /// Checks that the server has a schema of this version, and the newest chunk that this process knows.
    fn check(&self, connections: &Arc<PostgresConnections>) -> Result<(), StoreError> {
        let location = self.settings.location().to_owned();
        let format = read_on(connections, |sql| async move { format::read(&sql).await })?;
        format::check(format, &location)?;
        check_server(connections, self.epoch_server())?;
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
    pub fn append(&self, changes: BatchChanges) -> Result<Applied, StoreError> {
        let first = changes.chunks.first().copied().unwrap_or_default();
        let previous = self.known().get(first.saturating_sub(1));
        let (server, grp) = (self.epoch_server(), fresh_uuid().to_string());
        let connections = self.connections()?;
        let number = changes.chunks.last().copied().unwrap_or_default();
        let (process, node) = (Some(connections.process), changes.writer);
        let announcement = Announcement { number, process, node, content: None };
        let notification = self.announces(&changes).then(|| {
            let key = self.content_key();
            let seal = |key: Arc<ContentKey>| key.seal(&changes.chunks, &grp, &changes.bodies);
            let content = key.and_then(seal);
            Announcement { content, ..announcement.clone() }.to_string()
        });
        let append = Append { server, changes, grp, previous, notification };
        let (append, appended) = connections.wait_for(|connections| async move {
            let appended = append.write(&connections).await?;
            Ok((append, appended))
        })?;
        let Append { changes, grp, notification, .. } = append;
        match appended {
            Appended::Done => {
                self.count(&changes);
                if notification.is_some() {
                    self.announced.fetch_max(number, Ordering::AcqRel);
                } else {
                    let announced = self.announced.clone();
                    connections.announce_later(announcement, announced, ANNOUNCE_INTERVAL);
                }
                for (number, body) in changes.chunks.into_iter().zip(changes.bodies) {
                    self.remember(number, &grp, body);
                }
                let mut recent = self.recent();
                changes.removed_chunks.iter().for_each(|number| recent.remove(*number));
                Ok(Applied::Done)
            }
            Appended::Lost(chunks) => {
                let found = chunks.into_iter();
                let rows = found.map(|(number, grp, body)| self.found(number, &grp, body));
                Ok(Applied::Lost(rows.collect()))
            }
        }
    }

    /// Applies a batch without a chunk.
    pub fn change_rows(&self, changes: BatchChanges) -> Result<Applied, StoreError> {
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

    /// The value under a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(place) = KeyPlace::of(key) else { return Ok(None) };
        if let KeyPlace::Chunk(number) = place
            && let Some(body) = self.recent().get(number)
        {
            return Ok(Some(body));
        }
        let key = key.to_vec();
        self.connections()?.wait_for(|connections| async move {
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

    /// Adds the size of the tables as of a moment ago, and what was written.
    pub fn measure(&self, storage: &mut Storage) -> Result<(), StoreError> {
        storage.disk_bytes = self.size()?;
        storage.accepted_bytes = self.written.accepted.load(Ordering::Relaxed);
        storage.written_bytes = self.written.bytes.load(Ordering::Relaxed);
        storage.groups = self.written.batches.load(Ordering::Relaxed);
        storage.syncs = storage.groups; // each commit is one
        Ok(())
    }

    /// The size of the tables. The server looks at each of their files, so it is not asked again and again.
    fn size(&self) -> Result<u64, StoreError> {
        const SIZE: &str = "select pg_total_relation_size('cortado.chunk')
            + pg_total_relation_size('cortado.row')";
        let mut measured = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((size, at)) = *measured
            && at.elapsed() < SIZE_INTERVAL
        {
            return Ok(size);
        }
        let size: i64 = self.read(|sql| async move { sql.value(SIZE, &[]).await })?;
        *measured = Some((size.unsigned_abs(), Instant::now()));
        Ok(size.unsigned_abs())
    }

    fn count(&self, changes: &BatchChanges) {
        self.written.accepted.fetch_add(changes.accepted_bytes, Ordering::Relaxed);
        self.written.bytes.fetch_add(changes.bytes, Ordering::Relaxed);
        self.written.batches.fetch_add(1, Ordering::Relaxed);
    }
}

fn check_server(
    connections: &Arc<PostgresConnections>,
    server: Option<Arc<EpochServer>>,
) -> Result<(), StoreError> {
    read_on(connections, |sql| async move {
        match &server {
            Some(server) => server.check(&sql).await,
            None => Ok(()),
        }
    })
}

fn read_on<T, F>(
    connections: &Arc<PostgresConnections>,
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
