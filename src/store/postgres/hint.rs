//! What wakes those who wait for chunks: a notification of the server, which is only a hint. Without it, whoever waits
//! asks again at short intervals.

use std::fmt;
use std::future::{pending, poll_fn};
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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

/// What an append says to the other processes: the number of its last chunk, and which process it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement {
    pub number: i64,
    /// The process; one that does not say who it is, as those of older versions, is another one.
    pub process: Option<i64>,
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number)?;
        self.process.map_or(Ok(()), |process| write!(f, " {process}"))
    }
}

impl FromStr for Announcement {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split(' ');
        let number = words.next().unwrap_or_default().parse()?;
        Ok(Announcement { number, process: words.next().map(str::parse).transpose()? })
    }
}

/// What is known about the chunks of other processes.
#[derive(Debug, Default)]
pub struct ChunkHint {
    heard: Mutex<Heard>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Heard {
    /// The newest chunk that another process has announced.
    newest: Option<i64>,
    /// How often there was a reason to look for chunks that nobody may have announced.
    wakes: u64,
}

/// Why a wait for a chunk has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HintWait {
    /// Another process has announced it.
    Announced,
    /// It may be there without an announcement.
    Unknown,
}

impl ChunkHint {
    /// How often [`ChunkHint::wake`] was called, to be passed to [`ChunkHint::wait`].
    pub fn wakes(&self) -> u64 {
        self.heard().wakes
    }

    /// Waits until another process has announced a chunk with this number or a greater one, until somebody wakes all who
    /// wait, or for as long as `at_most`.
    pub fn wait(&self, number: i64, wakes: u64, at_most: Duration) -> HintWait {
        let is_announced = |heard: &Heard| heard.newest.is_some_and(|newest| newest >= number);
        let waits = |heard: &mut Heard| heard.wakes == wakes && !is_announced(heard);
        let waited = self.changed.wait_timeout_while(self.heard(), at_most, waits);
        let (heard, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if is_announced(&heard) { HintWait::Announced } else { HintWait::Unknown }
    }

    /// Notes what another process has announced.
    pub fn announce(&self, number: i64) {
        let mut heard = self.heard();
        heard.newest = heard.newest.max(Some(number));
        self.changed.notify_all();
    }

    /// Wakes all who wait, so that they look for themselves.
    pub fn wake(&self) {
        self.heard().wakes += 1;
        self.changed.notify_all();
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens for notifications for ever. A pooler may refuse that, or accept it and pass nothing on; then there are no
/// hints.
pub async fn listen(
    settings: Arc<PostgresSettings>,
    process: i64,
    hint: Arc<ChunkHint>,
    inbox: Arc<Notify>,
) {
    let mut retry = RetryLog::new("listening for appends", RETRY_INTERVAL, RETRY_INTERVAL);
    loop {
        let failure = listen_once(&settings, process, &hint, &inbox, &mut retry).await;
        let wait = retry.failed(&failure.into_store_error(settings.location()));
        tokio::time::sleep(wait).await;
    }
}

/// Listens until the connection ends.
async fn listen_once(
    settings: &PostgresSettings,
    process: i64,
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
                Some(Ok(AsyncMessage::Notification(it))) => match it.payload().parse() {
                    Ok(Announcement { process: Some(own), .. }) if own == process => {}
                    Ok(Announcement { number, .. }) => hint.announce(number),
                    Err(_) => hint.wake(), // of a version that says something else
                },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_survives_text_and_may_be_of_an_unknown_process() {
        for (number, process) in [(7, Some(3)), (7, None), (i64::MAX, Some(i64::MIN))] {
            let announcement = Announcement { number, process };
            assert_eq!(announcement.to_string().parse(), Ok(announcement));
        }
        for text in ["", "7 x", "x", "x 7"] {
            assert!(text.parse::<Announcement>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_wait_ends_with_an_announcement_or_a_reason_to_look() {
        let hint = ChunkHint::default();
        hint.announce(4);
        hint.announce(3); // one that came late
        let long = Duration::from_secs(3_600);
        assert_eq!(hint.wait(4, hint.wakes(), long), HintWait::Announced);
        assert_eq!(hint.wait(5, hint.wakes(), Duration::ZERO), HintWait::Unknown);
        let wakes = hint.wakes();
        hint.wake();
        assert_eq!(hint.wait(5, wakes, long), HintWait::Unknown);
    }
}
