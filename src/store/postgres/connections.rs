//! All connections of an open log, and the thread that drives them.

use std::future::Future;
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_postgres::types::Type;

use super::driver::Driver;
use super::hint::{self, Announcement, CHANNEL, ChunkHint, TurnNotice};
use super::session::{OpenSession, Parameter, SessionSlot};
use super::settings::PostgresSettings;
use crate::store::StoreError;
use crate::store::log::TurnRequest;

/// The connections. Nothing is connected before it is used, and everything ends when this is dropped.
pub struct PostgresConnections {
    driver: Driver,
    /// Appends, one after the other, without waiting for each other's answers.
    writer: Arc<SessionSlot>,
    readers: Vec<Arc<SessionSlot>>,
    /// Keeps up the jobs for queries.
    projection: SessionSlot,
    next_reader: AtomicUsize,
    listening: Once,
    /// Wakes those who wait for chunks.
    pub hint: Arc<ChunkHint>,
    /// Notified when a job was submitted in SQL.
    arrivals: Arc<Notify>,
    /// Tells the announcements of this process from those of others.
    pub process: i64,
    pub settings: Arc<PostgresSettings>,
}

impl PostgresConnections {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start(
        settings: Arc<PostgresSettings>,
        arrivals: Arc<Notify>,
    ) -> Result<Arc<PostgresConnections>, StoreError> {
        let driver = Driver::start()?;
        let session = || Arc::new(SessionSlot::new(settings.clone(), driver.downgrade()));
        let (writer, readers) = (session(), settings.readers.max(1));
        let readers = (0..readers).map(|_| session()).collect();
        Ok(PostgresConnections::new(settings, driver, writer, readers, arrivals))
    }

    /// Starts the thread and opens one connection, on which everything is read and written, because a transaction will be
    /// open on it.
    ///
    /// # Errors
    /// When the system cannot start a thread, or the server cannot be reached.
    pub fn for_transaction(
        settings: Arc<PostgresSettings>,
    ) -> Result<Arc<PostgresConnections>, StoreError> {
        let driver = Driver::start()?;
        let (opening, weak) = (settings.clone(), driver.downgrade());
        let session = driver.wait_for(async move {
            let opened = opening.connect().await;
            let opened = opened.map_err(|why| why.into_store_error(opening.location()))?;
            Ok(Arc::new(OpenSession::new(opened, &weak)))
        })?;
        let slot = SessionSlot::in_transaction(settings.clone(), driver.downgrade(), session);
        let slot = Arc::new(slot);
        Ok(PostgresConnections::new(settings, driver, slot.clone(), vec![slot], Arc::default()))
    }

    fn new(
        settings: Arc<PostgresSettings>,
        driver: Driver,
        writer: Arc<SessionSlot>,
        readers: Vec<Arc<SessionSlot>>,
        arrivals: Arc<Notify>,
    ) -> Arc<PostgresConnections> {
        let projection = SessionSlot::new(settings.clone(), driver.downgrade());
        Arc::new(PostgresConnections {
            driver,
            writer,
            readers,
            projection,
            next_reader: AtomicUsize::new(0),
            listening: Once::new(),
            hint: Arc::default(),
            arrivals,
            process: fastrand::i64(..),
            settings,
        })
    }

    /// Runs something on the thread and waits for its result.
    ///
    /// # Errors
    /// Those of the work, and when the thread has ended.
    pub fn wait_for<T, F>(
        self: &Arc<Self>,
        work: impl FnOnce(Arc<Self>) -> F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.driver.wait_for(work(self.clone()))
    }

    /// The connection for appends.
    pub fn writer(&self) -> &SessionSlot {
        &self.writer
    }

    /// The connection for the jobs for queries.
    pub fn projection(&self) -> &SessionSlot {
        &self.projection
    }

    /// One of the connections for reads, in turn.
    pub fn reader(&self) -> &SessionSlot {
        let next = self.next_reader.fetch_add(1, Ordering::Relaxed);
        &self.readers[next % self.readers.len()]
    }

    /// Asks for notifications, once.
    pub fn listen(&self) {
        self.listening.call_once(|| {
            self.driver.begin(hint::listen(
                self.settings.clone(),
                self.process,
                self.hint.clone(),
                self.arrivals.clone(),
            ));
        });
    }

    /// Tells the other processes of a chunk after a while, unless they were told of it or of a later one meanwhile.
    pub fn announce_later(
        &self,
        announcement: Announcement,
        announced: Arc<AtomicI64>,
        wait: Duration,
    ) {
        let writer = self.writer.clone();
        self.driver.begin(async move {
            sleep(wait).await;
            let number = announcement.number;
            if announced.fetch_max(number, Ordering::AcqRel) < number {
                // Without the notification, the others find the chunk when they look for themselves.
                notify(&writer, &announcement.to_string()).await;
            }
        });
    }

    /// Tells the other processes that a node asks for its turn to append.
    pub fn ask_for_turn(&self, request: TurnRequest) {
        let reader = self.readers[0].clone();
        let text = TurnNotice { process: self.process, request }.to_string();
        self.driver.begin(async move {
            // Without the notification, the others go on as if nobody waited.
            notify(&reader, &text).await;
        });
    }

    /// The address of the server.
    pub fn location(&self) -> &str {
        self.settings.location()
    }
}

/// Tells the other processes something. They may miss it.
async fn notify(session: &SessionSlot, text: &str) {
    let parameters: [Parameter<'_>; 2] = [(&CHANNEL, Type::TEXT), (&text, Type::TEXT)];
    let _sent = session.query("select pg_notify($1, $2)::text", &parameters).await;
}
