//! What wakes those who wait for chunks: a notification of the server, which is only a hint. Without it, whoever waits
//! asks again at short intervals.

use std::future::{pending, poll_fn};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_postgres::AsyncMessage;

use super::failure::{StatementFailure, describe};
use super::settings::PostgresSettings;
use crate::logging::RetryLog;

/// The channel on which every append is announced.
pub const CHANNEL: &str = "cortado";
/// The channel on which jobs in the inbox are announced.
const INBOX_CHANNEL: &str = "cortado_inbox";
/// The wait before notifications are asked for again.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Counts what may have changed the log.
#[derive(Debug, Default)]
pub struct ChunkHint {
    count: Mutex<u64>,
    changed: Condvar,
}

impl ChunkHint {
    /// The count now, to be passed to [`ChunkHint::wait`] if nothing is found.
    pub fn count(&self) -> u64 {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the count is another one, but no longer than `at_most`.
    pub fn wait(&self, seen: u64, at_most: Duration) {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waits looks again, whatever the reason.
        let _woken = self.changed.wait_timeout_while(count, at_most, |count| *count == seen);
    }

    /// Wakes all who wait.
    pub fn wake(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }
}

/// Listens for notifications for ever. A pooler may refuse that, or accept it and pass nothing on; then there are no
/// hints.
pub async fn listen(settings: Arc<PostgresSettings>, hint: Arc<ChunkHint>, inbox: Arc<Notify>) {
    let mut retry = RetryLog::new("listening for appends", RETRY_INTERVAL, RETRY_INTERVAL);
    loop {
        let failure = listen_once(&settings, &hint, &inbox, &mut retry).await;
        let wait = retry.failed(&failure.into_store_error(settings.location()));
        tokio::time::sleep(wait).await;
    }
}

/// Listens until the connection ends.
async fn listen_once(
    settings: &PostgresSettings,
    hint: &ChunkHint,
    inbox: &Notify,
    retry: &mut RetryLog,
) -> StatementFailure {
    let (client, mut connection) = match settings.connect().await {
        Ok(opened) => opened,
        Err(failure) => return failure,
    };
    let driven = poll_fn(|cx| {
        loop {
            match ready!(connection.poll_message(cx)) {
                Some(Ok(AsyncMessage::Notification(it))) if it.channel() == INBOX_CHANNEL => {
                    inbox.notify_one();
                }
                Some(Ok(AsyncMessage::Notification(_))) => hint.wake(),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(describe(&error)),
                None => return Poll::Ready("the connection has ended".to_owned()),
            }
        }
    });
    let listening = async {
        for channel in [INBOX_CHANNEL, CHANNEL] {
            if let Err(error) = client.batch_execute(&format!("listen {channel}")).await {
                return describe(&error);
            }
        }
        retry.worked();
        // Something may have been appended or submitted before.
        hint.wake();
        inbox.notify_one();
        pending().await
    };
    StatementFailure::Unanswered(tokio::select! {
        why = driven => why,
        why = listening => why,
    })
}
