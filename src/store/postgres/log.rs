//! The implementation of the log on PostgreSQL.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::types::Type;

use super::batch::BatchChanges;
use super::connections::PostgresConnections;
use super::format;
use super::hint::HintWait;
use super::identity::{self, EpochServer};
use super::keys::{self, TableRange};
use super::nodes;
use super::scan::ScanRows;
use super::settings::PostgresSettings;
use super::state::LogState;
use crate::job::{Cursor, Epoch};
use crate::store::log::{
    AnnouncedChunk, Applied, Keys, Log, LogInbox, LogProjection, NodeHeartbeat, NodeMessage, Row,
    Rows, TurnRequest, WriteBatch,
};
use crate::store::{Storage, StoreError};

/// How often the server is asked for new chunks while no notification arrives. A shorter wait relies on notifications alone.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Looks for a chunk with this number or a greater one. The order makes PostgreSQL use the index, also while it has no
/// statistics of the table.
pub const HAS_CHUNK: &str = "select from cortado.chunk where number >= $1 order by number limit 1";

/// The log in a database.
pub struct PostgresLog(Arc<LogState>);

impl PostgresLog {
    /// Opens the log in a database for a server. Missing tables are created, older ones updated, and the rows of `new`,
    /// which has no chunk, are stored if there is no store yet.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the server cannot be reached or the tables cannot be created, and
    /// [`StoreError::Newer`] when a newer version has changed its schema.
    pub fn create_if_missing(
        settings: PostgresSettings,
        new: WriteBatch,
    ) -> Result<PostgresLog, StoreError> {
        let log = PostgresLog(Arc::new(LogState::new(settings)));
        log.0.create_if_missing(BatchChanges::of(new)?)?;
        log.0.open()?;
        Ok(log)
    }

    /// Opens the log in a database that has a store.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the server cannot be reached or the database has no store of this version, and
    /// [`StoreError::Newer`] when a newer version has changed its schema.
    pub fn open(settings: PostgresSettings) -> Result<PostgresLog, StoreError> {
        let log = PostgresLog(Arc::new(LogState::new(settings)));
        log.0.open()?;
        Ok(log)
    }
}

impl Log for PostgresLog {
    fn location(&self) -> &str {
        self.0.settings.location()
    }

    fn name(&self) -> String {
        format!("the log in {}", self.location())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(key)
    }

    fn scan_from(&self, prefix: &[u8], from: &[u8]) -> Rows {
        Box::new(ScanRows::new(self.0.clone(), keys::ranges(prefix, from)))
    }

    fn keys(&self, prefix: &[u8]) -> Keys {
        let ranges = keys::ranges(prefix, prefix).into_iter().map(TableRange::without_values);
        Box::new(ScanRows::new(self.0.clone(), ranges.collect()).map(|row| row.map(|(key, _)| key)))
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn inbox(&self) -> Option<&dyn LogInbox> {
        Some(&*self.0)
    }

    fn projection(&self) -> Option<&dyn LogProjection> {
        Some(&*self.0)
    }

    fn apply(&self, batch: WriteBatch) -> Result<Applied, StoreError> {
        let changes = BatchChanges::of(batch)?;
        if changes.chunks.is_empty() { self.0.change_rows(changes) } else { self.0.append(changes) }
    }

    fn heartbeat(&self, message: NodeMessage) -> Result<Vec<NodeHeartbeat>, StoreError> {
        // Nothing else tells a node that writes nothing, and that a pooler connects to another server, of a failover.
        self.0.check_server()?;
        let settings = self.0.settings.clone();
        let seen = self.0.read(|sql| async move {
            let seen = nodes::store_heartbeat(&sql, &settings.node, &message).await?;
            if seen.format < format::NEWEST {
                format::raise(&sql, format::NEWEST, settings.node_silence).await?;
            }
            Ok(seen)
        })?;
        if seen.is_new && self.0.has_sent_heartbeat.swap(true, Ordering::AcqRel) {
            tracing::error!(
                node = self.0.settings.node,
                "another process with this name works on the same store; every node needs a name of \
                 its own (store.node)"
            );
        }
        Ok(seen.heartbeats)
    }

    fn sign_off(&self, node: u64) -> Result<(), StoreError> {
        self.0.read(move |sql| async move { nodes::sign_off(&sql, node.cast_signed()).await })
    }

    fn has_chunk(&self, number: u64) -> Result<bool, StoreError> {
        let Ok(number) = i64::try_from(number) else { return Ok(false) };
        has_chunk(&self.0.connections()?, number)
    }

    fn wait_for_chunk(&self, number: u64, at_most: Duration) -> Result<bool, StoreError> {
        let Ok(number) = i64::try_from(number) else { return Ok(false) };
        let until = Instant::now() + at_most;
        loop {
            let connections = self.0.connections()?;
            connections.listen();
            let wakes = connections.hint.wakes();
            let left = until.saturating_duration_since(Instant::now());
            let waited = connections.hint.wait(number, wakes, left.min(POLL_INTERVAL));
            // A short wait only asks what was announced.
            let may_look = at_most >= POLL_INTERVAL;
            let is_announced = matches!(waited, HintWait::Announced(..));
            if is_announced || may_look && has_chunk(&connections, number)? {
                return Ok(true);
            }
            if Instant::now() >= until {
                return self.0.connections().map(|_| false);
            }
        }
    }

    fn wait_for_announcement(
        &self,
        number: u64,
        at_most: Duration,
    ) -> Result<Option<AnnouncedChunk>, StoreError> {
        let Ok(number) = i64::try_from(number) else { return Ok(None) };
        let connections = self.0.connections()?;
        connections.listen();
        let waited = connections.hint.wait(number, connections.hint.wakes(), at_most);
        let HintWait::Announced(number, writer) = waited else {
            return self.0.connections().map(|_| None);
        };
        Ok(Some(AnnouncedChunk { number: number.unsigned_abs(), writer }))
    }

    fn announced_chunks(&self, from: u64) -> Vec<Row> {
        self.0.announced_chunks(from)
    }

    fn ask_for_turn(&self, request: TurnRequest) {
        if let Ok(connections) = self.0.connections() {
            connections.ask_for_turn(request);
        }
    }

    fn turn_requests(&self) -> Vec<TurnRequest> {
        let connections = self.0.connections();
        connections.map_or_else(|_| Vec::new(), |connections| connections.hint.turn_requests())
    }

    /// A commit is durable when it is answered.
    fn sync(&self) -> Result<(), StoreError> {
        self.0.connections().map(drop)
    }

    /// A process that ended before may have left commits that are not replicated yet.
    fn begin_writing(&self) -> Result<(), StoreError> {
        self.0.confirm()
    }

    /// A record of the head beside the log would be in the same database, and no local file knows what other processes
    /// have written. PostgreSQL loses nothing that was committed, except when it is replaced by a replica or a backup that
    /// was behind, which its identity shows: then nothing is known to have been durable, which starts a new epoch. As long
    /// as the identity is the same, the log is complete, however short it is.
    fn recorded_head(&self, _epoch: Epoch) -> Result<Option<u64>, StoreError> {
        let found = self.0.read(|sql| async move { EpochServer::read(&sql).await })?;
        let is_same = found.is_same();
        if is_same {
            self.0.set_epoch_server(found)?;
        } else {
            *self.0.former_server.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        }
        Ok(is_same.then_some(0))
    }

    fn begin_epoch(&self, description: WriteBatch) -> Result<Applied, StoreError> {
        let former = self.0.former_server.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Two processes that begin an epoch at once must have read the same stored identity.
        let Some(EpochServer { stored, server }) = former else {
            return Ok(Applied::Lost(Vec::new()));
        };
        let changes = BatchChanges::of(description)?;
        let to = server.clone();
        let applied = self
            .0
            .read(|sql| async move { identity::begin_epoch(&sql, &stored, &to, &changes).await })?;
        if applied == Applied::Done {
            self.0.set_epoch_server(EpochServer { stored: server.clone(), server })?;
        }
        Ok(applied)
    }

    /// There is nothing to record; see [`Log::recorded_head`].
    fn record_head(&self, _head: Cursor) -> Result<(), StoreError> {
        Ok(())
    }

    fn check_identity(&self) -> Result<(), StoreError> {
        self.0.check_server()
    }

    fn check_values(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn measure(&self, storage: &mut Storage) -> Result<(), StoreError> {
        self.0.measure(storage)
    }

    fn shut(&self) {
        self.0.shut();
    }

    fn reopen(&self) -> Result<(), StoreError> {
        self.0.open()?;
        let confirmed = self.0.confirm();
        if confirmed.is_err() {
            self.shut();
        }
        confirmed
    }
}

fn has_chunk(connections: &Arc<PostgresConnections>, number: i64) -> Result<bool, StoreError> {
    connections.wait_for(|connections| async move {
        let rows = connections.reader().read(HAS_CHUNK, &[(&number, Type::INT8)]).await;
        rows.map(|rows| !rows.is_empty())
            .map_err(|failure| failure.into_store_error(connections.location()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::postgres::hint::ChunkHint;

    impl PostgresLog {
        /// Raises the format of the schema, unless a node is at work that does not know it.
        pub fn raise_format(&self, format: i64) -> bool {
            let silence = self.0.settings.node_silence;
            let raised =
                self.0.read(move |sql| async move { format::raise(&sql, format, silence).await });
            raised.unwrap()
        }

        /// What wakes those who wait for chunks.
        pub fn hint(&self) -> Result<Arc<ChunkHint>, StoreError> {
            self.0.connections().map(|connections| connections.hint.clone())
        }
    }
}
