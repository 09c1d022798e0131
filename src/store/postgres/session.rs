//! A connection that is opened when it is first used, and again after it was lost.
//!
//! Statements are unnamed and carry the types of their parameters, which are built-in ones, so nothing has to be
//! prepared: a pooler may give each statement to another session of the server. Nothing is set in a session either.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, ready};

use tokio::sync::Mutex;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Row};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::driver::WeakDriver;
use super::failure::{StatementFailure, is_unreplicated_commit, unavailable};
use super::settings::{OpenedConnection, PostgresSettings};

/// A parameter of a statement.
pub type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A place for one connection.
pub struct SessionSlot {
    settings: Arc<PostgresSettings>,
    driver: WeakDriver,
    open: Mutex<Option<Arc<OpenSession>>>,
    reopening: Reopening,
}

/// Whether a connection that was lost is opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reopening {
    Always,
    /// Its transaction has ended with it.
    Never,
}

/// An open connection.
pub struct OpenSession {
    client: Client,
    /// How many notices said that a commit did not wait for the standby.
    unreplicated: Arc<AtomicU64>,
    /// Ends the work that drives the connection, even if the server is silent.
    _end: DropGuard,
}

impl SessionSlot {
    /// A place without a connection.
    pub fn new(settings: Arc<PostgresSettings>, driver: WeakDriver) -> SessionSlot {
        SessionSlot { settings, driver, open: Mutex::new(None), reopening: Reopening::Always }
    }

    /// A place for an open connection with a transaction, which ends when the connection is lost.
    pub fn in_transaction(
        settings: Arc<PostgresSettings>,
        driver: WeakDriver,
        session: Arc<OpenSession>,
    ) -> SessionSlot {
        let open = Mutex::new(Some(session));
        SessionSlot { settings, driver, open, reopening: Reopening::Never }
    }

    /// The connection; opens one if there is none.
    pub async fn get(&self) -> Result<Arc<OpenSession>, StatementFailure> {
        let mut open = self.open.lock().await;
        if let Some(open) = open.as_ref().filter(|open| !open.client.is_closed()) {
            return Ok(open.clone());
        }
        if self.reopening == Reopening::Never {
            let why = "the connection was lost, and its transaction with it";
            return Err(StatementFailure::Refused(unavailable(self.settings.location(), why)));
        }
        let opened = Arc::new(OpenSession::new(self.settings.connect().await?, &self.driver));
        *open = Some(opened.clone());
        Ok(opened)
    }

    /// Closes the connection. The next statement opens another one.
    pub async fn give_up(&self) {
        *self.open.lock().await = None;
    }

    /// Executes a statement and returns its rows when its transaction has ended.
    pub async fn query(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, StatementFailure> {
        let open = self.get().await?;
        let result = open.query(&self.settings, sql, parameters).await;
        if let Err(StatementFailure::Unanswered(_)) = &result {
            // What comes on this connection later can no longer be told apart.
            let mut current = self.open.lock().await;
            if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &open)) {
                *current = None;
            }
        }
        result
    }

    /// Executes a statement that changes nothing. If the connection was lost, it is opened again once.
    pub async fn read(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, StatementFailure> {
        match self.query(sql, parameters).await {
            Err(StatementFailure::Unanswered(_)) => self.query(sql, parameters).await,
            result => result,
        }
    }
}

impl OpenSession {
    /// Begins to drive a connection.
    pub fn new((client, mut connection): OpenedConnection, driver: &WeakDriver) -> OpenSession {
        let (unreplicated, end) = (Arc::new(AtomicU64::new(0)), CancellationToken::new());
        let (count, ended) = (unreplicated.clone(), end.clone());
        driver.begin(async move {
            let driven = poll_fn(|cx| {
                loop {
                    match ready!(connection.poll_message(cx)) {
                        Some(Ok(AsyncMessage::Notice(notice))) => {
                            if is_unreplicated_commit(&notice) {
                                tracing::warn!(%notice, "a commit may not have been replicated");
                                // The answer of the statement comes after this.
                                count.fetch_add(1, Ordering::Release);
                            }
                        }
                        Some(Ok(_)) => {}
                        // Whoever waits for an answer is told by the client.
                        Some(Err(_)) | None => return Poll::Ready(()),
                    }
                }
            });
            tokio::select! {
                () = driven => {}
                () = ended.cancelled() => {}
            }
        });
        OpenSession { client, unreplicated, _end: end.drop_guard() }
    }

    /// The client, for statements in a transaction.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Executes a statement and returns its rows when its transaction has ended. If a commit on this connection did not
    /// wait for the standby meanwhile, the statement is refused although it may have had its effect.
    pub async fn query(
        &self,
        settings: &PostgresSettings,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, StatementFailure> {
        let unreplicated = self.unreplicated.load(Ordering::Acquire);
        let answer = self.client.query_typed(sql, parameters);
        match tokio::time::timeout(settings.timeout, answer).await {
            Ok(Ok(_)) if self.unreplicated.load(Ordering::Acquire) != unreplicated => {
                let why = "a commit did not wait for the synchronous standby";
                Err(StatementFailure::Refused(unavailable(settings.location(), why)))
            }
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) => Err(StatementFailure::of(&error, settings.location())),
            Err(_) => Err(StatementFailure::timeout(settings.timeout)),
        }
    }
}
