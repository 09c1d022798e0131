//! The first format of the description, which also held the settings of queues. It is only read: a start writes the
//! newest format and the rows of queues in one batch.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::job::{Concurrency, Epoch, QueueName, RateRule, Time};
use crate::store::formats::Unreadable;
use crate::store::log_store::journal::queue_rows::QueueTable;

/// The number of the format.
pub(super) const NUMBER: u8 = 1;

/// The first part, which every store has.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
struct FirstPart {
    epoch: Epoch,
    archived: u64,
    next_run: u64,
    paused: BTreeSet<QueueName>,
}

/// The second part. The third one is the rate limits. Stores of the first versions have neither.
#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
struct Second {
    starts: Vec<Time>,
    concurrency: BTreeMap<QueueName, Concurrency>,
}

/// All parts of a description together.
pub(super) struct Description {
    pub epoch: Epoch,
    pub archived: u64,
    pub next_run: u64,
    pub starts: Vec<Time>,
    pub queues: QueueTable,
}

pub(super) fn decode(raw: &[u8]) -> Result<Description, Unreadable> {
    let (first, rest) = postcard::take_from_bytes::<FirstPart>(raw).map_err(unreadable)?;
    let (second, rest) = if rest.is_empty() {
        (Second::default(), rest)
    } else {
        postcard::take_from_bytes::<Second>(rest).map_err(unreadable)?
    };
    let rate_limits: BTreeMap<QueueName, RateRule> = if rest.is_empty() {
        BTreeMap::new()
    } else {
        postcard::from_bytes(rest).map_err(unreadable)?
    };
    let mut queues = QueueTable::new();
    for name in first.paused {
        queues.entry(name).or_default().paused = true;
    }
    for (name, concurrency) in second.concurrency {
        queues.entry(name).or_default().concurrency = Some(concurrency);
    }
    for (name, rate_limit) in rate_limits {
        queues.entry(name).or_default().rate_limit = Some(rate_limit);
    }
    let FirstPart { epoch, archived, next_run, paused: _ } = first;
    Ok(Description { epoch, archived, next_run, starts: second.starts, queues })
}

fn unreadable(error: postcard::Error) -> Unreadable {
    error.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::QueueSettings;

    fn name(name: &str) -> QueueName {
        QueueName::parse(name).unwrap()
    }

    #[test]
    fn each_version_of_the_first_format_is_read() {
        let first = FirstPart {
            epoch: Epoch(7),
            archived: 90,
            next_run: 4,
            paused: [name("a"), name("b")].into(),
        };
        let second = Second {
            starts: vec![Time::from_millis(5)],
            concurrency: [
                (name("b"), Concurrency::clamped(2)),
                (name("c"), Concurrency::clamped(7)),
            ]
            .into(),
        };
        let rates = BTreeMap::from([(name("b"), RateRule::Unlimited)]);
        let paused = QueueSettings { paused: true, ..QueueSettings::default() };
        let at_most = |concurrency| QueueSettings {
            concurrency: Some(Concurrency::clamped(concurrency)),
            ..QueueSettings::default()
        };

        let oldest = decode(&postcard::to_stdvec(&first).unwrap()).unwrap();
        assert_eq!((oldest.epoch, oldest.archived, oldest.next_run), (Epoch(7), 90, 4));
        assert!(oldest.starts.is_empty());
        let table = QueueTable::from([(name("a"), paused), (name("b"), paused)]);
        assert_eq!(oldest.queues, table);

        let older = decode(&postcard::to_stdvec(&(&first, &second)).unwrap()).unwrap();
        assert_eq!(older.starts, second.starts);
        let table = older.queues;
        assert_eq!(table[&name("b")], QueueSettings { paused: true, ..at_most(2) });
        assert_eq!(table[&name("c")], at_most(7));

        let newest = decode(&postcard::to_stdvec(&(&first, &second, &rates)).unwrap()).unwrap();
        let all = QueueSettings { rate_limit: Some(RateRule::Unlimited), ..table[&name("b")] };
        let table = newest.queues;
        assert_eq!((table[&name("a")], table[&name("b")]), (paused, all));
        assert_eq!(table.len(), 3);
    }
}
