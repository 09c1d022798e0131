//! What wakes those who wait for chunks: a notification of the server, which is only a hint. Without it, whoever waits
//! asks again at short intervals.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{pending, poll_fn};
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_postgres::AsyncMessage;

use super::announced_content::AnnouncedContent;
use super::failure::{StatementFailure, describe};
use super::settings::PostgresSettings;
use crate::logging::RetryLog;
use crate::store::log::TurnRequest;

/// The channel on which every append is announced.
pub const CHANNEL: &str = "cortado";
/// The channel on which jobs in the inbox are announced.
const INBOX_CHANNEL: &str = "cortado_inbox";
/// The wait before notifications are asked for again.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// How many chunks are kept that were announced with their content and not read yet. Whoever is behind that far reads them from
/// the database.
const MAX_CONTENTS: usize = 64;
/// How many nodes are remembered that ask for their turn.
const MAX_ASKERS: usize = 256;

/// What an append says to the other processes: the number of its last chunk, which process it is, which node, and what the
/// chunk contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    pub number: i64,
    /// The process; one that does not say who it is, as those of older versions, is another one.
    pub process: Option<i64>,
    /// The node; older versions do not say it, and commands are none.
    pub node: Option<u64>,
    /// The content, if the chunk is short and the only one of its batch.
    pub content: Option<AnnouncedContent>,
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number)?;
        let Some(process) = self.process else { return Ok(()) };
        write!(f, " {process}")?;
        let Some(node) = self.node else { return Ok(()) };
        write!(f, " {node}")?;
        let Some(AnnouncedContent { grp, sealed }) = &self.content else { return Ok(()) };
        write!(f, " {grp} {sealed}")
    }
}

impl FromStr for Announcement {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split(' ');
        let number = words.next().unwrap_or_default().parse()?;
        let process = words.next().map(str::parse).transpose()?;
        let node = words.next().map(str::parse).transpose()?;
        let content = words.next().zip(words.next()).map(|(grp, sealed)| AnnouncedContent {
            grp: grp.to_owned(),
            sealed: sealed.to_owned(),
        });
        Ok(Announcement { number, process, node, content })
    }
}

/// What a node says to the others that has lost an append: which process it is, which node, and how many microseconds it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnNotice {
    pub process: i64,
    pub request: TurnRequest,
}

impl fmt::Display for TurnNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TurnRequest { node, needs } = self.request;
        write!(f, "turn {} {node} {}", self.process, needs.as_micros())
    }
}

impl TurnNotice {
    /// Reads a notification, if it is one.
    fn read(text: &str) -> Option<TurnNotice> {
        let (process, request) = text.strip_prefix("turn ")?.split_once(' ')?;
        let (node, needs) = request.split_once(' ')?;
        let needs = Duration::from_micros(needs.parse().ok()?);
        let request = TurnRequest { node: node.parse().ok()?, needs };
        Some(TurnNotice { process: process.parse().ok()?, request })
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
    /// The newest chunk that another process has announced, and the node that has written it.
    newest: Option<(i64, Option<u64>)>,
    /// The chunks that were announced with their content.
    contents: BTreeMap<i64, AnnouncedContent>,
    /// The nodes that have asked for their turn, and what they need.
    askers: BTreeMap<u64, Duration>,
    /// How often there was a reason to look for chunks that nobody may have announced.
    wakes: u64,
}

/// Why a wait for a chunk has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HintWait {
    /// Another process has announced it, or a later one: the number of the newest chunk, and the node that has written it.
    Announced(i64, Option<u64>),
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
        let announced = |heard: &Heard| heard.newest.filter(|(newest, _)| *newest >= number);
        let waits = |heard: &mut Heard| heard.wakes == wakes && announced(heard).is_none();
        let waited = self.changed.wait_timeout_while(self.heard(), at_most, waits);
        let (heard, _) = waited.unwrap_or_else(PoisonError::into_inner);
        announced(&heard)
            .map_or(HintWait::Unknown, |(number, node)| HintWait::Announced(number, node))
    }

    /// Notes what another process has announced. Of the contents, the oldest one is forgotten if there are too many.
    fn announce(&self, number: i64, node: Option<u64>, content: Option<AnnouncedContent>) {
        let mut heard = self.heard();
        heard.newest = heard.newest.max(Some((number, node)));
        if let Some(content) = content {
            heard.contents.insert(number, content);
            if heard.contents.len() > MAX_CONTENTS {
                heard.contents.pop_first();
            }
        }
        self.changed.notify_all();
    }

    /// Takes the contents of the chunks from this number on, without a gap, and forgets those before it.
    pub fn take(&self, from: i64) -> Vec<(i64, AnnouncedContent)> {
        let mut heard = self.heard();
        heard.contents = heard.contents.split_off(&from);
        let numbers = from..;
        numbers.map_while(|number| Some((number, heard.contents.remove(&number)?))).collect()
    }

    /// Notes that a node has asked for its turn. There are never many.
    fn ask(&self, TurnRequest { node, needs }: TurnRequest) {
        let mut heard = self.heard();
        if heard.askers.len() < MAX_ASKERS {
            heard.askers.insert(node, needs);
        }
    }

    /// Takes the requests of the nodes that have asked for their turn.
    pub fn turn_requests(&self) -> Vec<TurnRequest> {
        let askers = std::mem::take(&mut self.heard().askers);
        askers.into_iter().map(|(node, needs)| TurnRequest { node, needs }).collect()
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
                Some(Ok(AsyncMessage::Notification(it)))
                    if let Some(notice) = TurnNotice::read(it.payload()) =>
                {
                    if notice.process != process {
                        hint.ask(notice.request);
                    }
                }
                Some(Ok(AsyncMessage::Notification(it))) => match it.payload().parse() {
                    Ok(Announcement { process: Some(own), .. }) if own == process => {}
                    Ok(Announcement { number, node, content, .. }) => {
                        hint.announce(number, node, content);
                    }
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
        for (number, process, node) in [
            (7, Some(3), Some(5)),
            (7, Some(3), None),
            (7, None, None),
            (i64::MAX, Some(i64::MIN), Some(u64::MAX)),
        ] {
            let announcement = Announcement { number, process, node, content: None };
            assert_eq!(announcement.to_string().parse(), Ok(announcement));
        }
        let content = AnnouncedContent { grp: "a-b".into(), sealed: "c+/".into() };
        let (process, node, content) = (Some(3), Some(5), Some(content));
        let announcement = Announcement { number: 7, process, node, content };
        assert_eq!(announcement.to_string().parse(), Ok(announcement));
        for text in ["", "7 x", "x", "x 7", "7 3 x", "7 3 -1"] {
            assert!(text.parse::<Announcement>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_request_for_a_turn_survives_text_and_is_no_announcement() {
        let needs = Duration::from_micros(1_500);
        let notice = TurnNotice { process: -3, request: TurnRequest { node: u64::MAX, needs } };
        assert_eq!(TurnNotice::read(&notice.to_string()), Some(notice));
        for text in ["turn", "turn 1 2", "turn x 1 1", "turn 1 x 1", "turn 1 1 -1", "7 3 5"] {
            assert_eq!(TurnNotice::read(text), None, "{text}");
        }
        assert!(notice.to_string().parse::<Announcement>().is_err(), "older versions look");
        let hint = ChunkHint::default();
        (0..1_000).chain([7]).for_each(|node| hint.ask(TurnRequest { node, needs }));
        let expected = (0..MAX_ASKERS as u64).map(|node| TurnRequest { node, needs });
        assert_eq!(hint.turn_requests(), expected.collect::<Vec<_>>());
        assert_eq!(hint.turn_requests(), [], "each is returned once");
    }

    #[test]
    fn contents_are_taken_in_order_and_bounded() {
        let hint = ChunkHint::default();
        let keep = |number: i64| {
            let grp = number.to_string();
            hint.announce(number, None, Some(AnnouncedContent { grp, sealed: String::new() }));
        };
        [3, 5, 4, 7, 1].into_iter().for_each(keep);
        let numbers = |from| hint.take(from).into_iter().map(|(n, _)| n).collect::<Vec<_>>();
        assert_eq!(numbers(2), [0; 0]);
        assert_eq!(numbers(3), [3, 4, 5]);
        assert_eq!(numbers(3), [0; 0], "each is taken once");
        assert_eq!(numbers(7), [7]);
        (0..=MAX_CONTENTS as i64).for_each(keep);
        assert_eq!(numbers(0), [0; 0], "the oldest one is gone");
        assert_eq!(numbers(1).len(), MAX_CONTENTS);
    }

    #[test]
    fn a_wait_ends_with_an_announcement_or_a_reason_to_look() {
        let hint = ChunkHint::default();
        hint.announce(4, Some(9), None);
        hint.announce(3, Some(8), None); // one that came late
        let long = Duration::from_secs(3_600);
        assert_eq!(hint.wait(4, hint.wakes(), long), HintWait::Announced(4, Some(9)));
        assert_eq!(hint.wait(2, hint.wakes(), long), HintWait::Announced(4, Some(9)));
        assert_eq!(hint.wait(5, hint.wakes(), Duration::ZERO), HintWait::Unknown);
        let wakes = hint.wakes();
        hint.wake();
        assert_eq!(hint.wait(5, wakes, long), HintWait::Unknown);
    }
}
