//! The log as subscribers receive it. The first one to receive an event writes it down, and all others must receive the
//! same bytes.

use std::sync::Mutex;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::support::Event;

/// What subscribers have received so far.
#[derive(Debug)]
pub struct Transcript {
    events: Mutex<Vec<Box<str>>>,
    progress: watch::Sender<Progress>,
}

/// How far the log was received.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    /// The number of the newest event.
    pub seq: u64,
    /// The number of jobs that were completed.
    pub completed: usize,
}

#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

#[derive(Deserialize)]
struct Tagged {
    #[serde(rename = "type")]
    kind: String,
    job: Option<JobTags>,
}

#[derive(Deserialize)]
struct JobTags {
    tags: Vec<String>,
}

/// The number of an event.
pub fn number_of(event: &RawValue) -> u64 {
    serde_json::from_str::<Numbered>(event.get()).unwrap().seq
}

impl Transcript {
    pub fn new() -> Transcript {
        Transcript { events: Mutex::default(), progress: watch::Sender::default() }
    }

    /// Takes an event of a subscriber, which has received all events before it.
    pub fn take(&self, event: &RawValue, who: &str) {
        let seq = number_of(event);
        let mut events = self.events.lock().unwrap();
        if let Some(known) = events.get(seq as usize - 1) {
            assert_eq!(&**known, event.get(), "{who} has received another event {seq}");
            return;
        }
        assert_eq!(events.len() as u64 + 1, seq, "{who} has received no event before {seq}");
        events.push(event.get().into());
        let is_completed = event.get().contains(r#""type":"job.completed""#);
        self.progress.send_modify(|progress| {
            progress.seq = seq;
            progress.completed += usize::from(is_completed);
        });
    }

    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// The keys by which clients tag their jobs, each as often as it was submitted.
    pub fn submitted_keys(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let events = events.iter().map(|text| serde_json::from_str::<Tagged>(text).unwrap());
        let enqueued = events.filter(|event| event.kind == "job.enqueued");
        let tags = enqueued.filter_map(|event| event.job).flat_map(|job| job.tags);
        tags.filter(|tag| tag.starts_with("key-")).collect()
    }

    /// All events.
    pub fn events(&self) -> Vec<Event> {
        let events = self.events.lock().unwrap();
        events.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    }
}
