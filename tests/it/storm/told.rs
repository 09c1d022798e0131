//! What one subscriber has put together, whatever its door, and what it may rely on at every message.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Want;
use crate::support::http::seq_of;

/// A hole that the server has told.
#[derive(Debug, Clone, Copy)]
pub struct Gap {
    pub from: u64,
    pub to: u64,
    /// How far the scribe was when it was told.
    pub scribe: u64,
}

/// Everything so far, over all connections.
#[derive(Debug, Default)]
pub struct Told {
    pub events: Vec<Value>,
    pub gaps: Vec<Gap>,
    /// Where the next connection begins.
    pub cursor: String,
    pub connections: usize,
    /// Events that came again after a reconnect, and were dropped.
    pub doubles: usize,
}

impl Told {
    /// Forgets a little of the way, as a program does that died before it had kept its place.
    pub fn step_back(&mut self, events: u64) {
        if let Some((epoch, seq)) = self.cursor.split_once(':') {
            let seq = seq.parse::<u64>().unwrap().saturating_sub(events);
            self.cursor = format!("{epoch}:{seq}");
        }
    }

    fn last(&self) -> u64 {
        self.events.last().map_or(0, |event| event["seq"].as_u64().unwrap())
    }

    /// What was told is the log from `start` on, but for the gaps, and each of these is one that the
    /// trimming explains: the log keeps `kept` events, and nobody is further ahead of the scribe than `ahead`.
    pub fn assert_is(&self, want: &Want, log: &[Value], kept: u64, ahead: u64) {
        for gap in &self.gaps {
            assert!(gap.to + kept <= gap.scribe + ahead, "nobody had to trim up to there: {gap:?}");
        }
        let in_gap = |seq| self.gaps.iter().any(|gap| (gap.from + 1..=gap.to).contains(&seq));
        let wanted = log.iter().filter(|event| want.matches(event));
        let wanted = wanted.filter(|event| !in_gap(event["seq"].as_u64().unwrap()));
        let wanted: Vec<&Value> = wanted.collect();
        let who = format!("{want:?} with {:?}", self.gaps);
        for (told, wanted) in self.events.iter().zip(&wanted) {
            assert_eq!(told, *wanted, "what was told is not what the log says: {who}");
        }
        assert_eq!(self.events.len(), wanted.len(), "told and wanted: {who}");
    }
}

/// One connection of a subscriber, from the place it asked for.
pub struct Connection<'a> {
    told: &'a std::sync::Mutex<Told>,
    want: Want,
    /// Where the server says that we are.
    at: String,
    /// Names that are in force, each after a place.
    named: BTreeMap<String, (Want, u64)>,
    /// After this place the query string's filter is no longer in force.
    unnamed_until: Option<u64>,
}

impl<'a> Connection<'a> {
    pub fn new(told: &'a std::sync::Mutex<Told>, want: Want) -> Connection<'a> {
        let at = {
            let mut told = told.lock().unwrap();
            told.connections += 1;
            told.cursor.clone()
        };
        Connection { told, want, at, named: BTreeMap::new(), unnamed_until: None }
    }

    /// A message of the WebSocket, or a named one of the event stream. `scribe` is how far the log is.
    pub fn message(&mut self, message: &Value, names: &[(&str, Want)], scribe: u64) {
        let cursor = || message["cursor"].as_str().unwrap().to_owned();
        match message["type"].as_str().unwrap() {
            "hello" => assert_eq!(cursor(), self.at, "it begins elsewhere"),
            "events" => {
                for event in message["events"].as_array().unwrap() {
                    self.event(event.clone());
                }
                self.place(&cursor());
            }
            "mark" => self.place(&cursor()),
            "gap" => self.gap(message, scribe),
            "subscribed" => {
                let id = message["id"].as_str().unwrap();
                let want = names.iter().find(|(name, _)| *name == id).unwrap().1;
                self.named.insert(id.to_owned(), (want, seq_of(&cursor())));
            }
            "unsubscribed" => self.unnamed_until = Some(seq_of(&cursor())),
            "draining" | "bye" | "pong" => {}
            other => panic!("{other}: {message}"),
        }
    }

    /// An event. On one connection none comes twice, and none out of order.
    pub fn event(&mut self, mut event: Value) {
        let ids = event.as_object_mut().unwrap().remove("for");
        let seq = event["seq"].as_u64().unwrap();
        assert!(seq > seq_of(&self.at), "it was told before, at {}: {event}", self.at);
        self.assert_for(&event, seq, ids.as_ref());
        self.at = format!("{}:{seq}", self.at.split(':').next().unwrap());
        let mut told = self.told.lock().unwrap();
        if seq > told.last() {
            told.events.push(event);
        } else {
            told.doubles += 1;
        }
        told.cursor = self.at.clone();
    }

    /// The cursor of a message: never back.
    pub fn place(&mut self, cursor: &str) {
        assert!(seq_of(cursor) >= seq_of(&self.at), "back from {} to {cursor}", self.at);
        self.at = cursor.to_owned();
        self.told.lock().unwrap().cursor = cursor.to_owned();
    }

    pub fn gap(&mut self, message: &Value, scribe: u64) {
        assert_eq!(message["from"], *self.at, "a gap from where nobody was");
        let to = message["to"].as_str().unwrap();
        let mut told = self.told.lock().unwrap();
        let gap = Gap { from: told.last().max(seq_of(&self.at)), to: seq_of(to), scribe };
        if gap.from < gap.to {
            told.gaps.push(gap);
        }
        drop(told);
        self.place(to);
    }

    /// Each event says which subscriptions it is for, once there is a named one.
    fn assert_for(&self, event: &Value, seq: u64, ids: Option<&Value>) {
        let ids = ids.map_or(&[][..], |ids| ids.as_array().unwrap());
        let is_for = |id: &str| ids.iter().any(|it| it == id);
        for (id, (want, after)) in &self.named {
            let wanted = seq > *after && want.matches(event);
            assert_eq!(is_for(id), wanted, "{id} after {after}: {event} for {ids:?}");
        }
        let unnamed = self.unnamed_until.is_none_or(|until| seq <= until);
        if !self.named.is_empty() && !ids.is_empty() {
            assert_eq!(is_for(""), unnamed && self.want.matches(event), "{event} for {ids:?}");
        }
    }
}
