//! Everything that one subscriber has received over any transport, and the guarantees that hold for every message.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Want;
use crate::support::http::seq_of;

/// A gap that the server has reported.
#[derive(Debug, Clone, Copy)]
pub struct Gap {
    pub from: u64,
    pub to: u64,
    /// The last event of the scribe when the gap was reported.
    pub scribe: u64,
}

/// Everything received so far, over all connections.
#[derive(Debug, Default)]
pub struct Received {
    pub events: Vec<Value>,
    pub gaps: Vec<Gap>,
    /// The cursor at which the next connection starts.
    pub cursor: String,
    pub connections: usize,
    /// The number of events that arrived again after a reconnect and were dropped.
    pub doubles: usize,
}

impl Received {
    /// Moves the cursor back, like a program that crashed before it saved its cursor.
    pub fn step_back(&mut self, events: u64) {
        if let Some((epoch, seq)) = self.cursor.split_once(':') {
            let seq = seq.parse::<u64>().unwrap().saturating_sub(events);
            self.cursor = format!("{epoch}:{seq}");
        }
    }

    fn last(&self) -> u64 {
        self.events.last().map_or(0, |event| event["seq"].as_u64().unwrap())
    }

    /// Asserts that the log was received from `start` on except for the gaps, and that trimming explains each gap: the
    /// log keeps `kept` events, and no subscriber is more than `ahead` events ahead of the scribe.
    pub fn assert_is(&self, want: &Want, log: &[Value], kept: u64, ahead: u64) {
        for gap in &self.gaps {
            assert!(gap.to + kept <= gap.scribe + ahead, "a gap without trimming: {gap:?}");
        }
        let in_gap = |seq| self.gaps.iter().any(|gap| (gap.from + 1..=gap.to).contains(&seq));
        let wanted = log.iter().filter(|event| want.matches(event));
        let wanted = wanted.filter(|event| !in_gap(event["seq"].as_u64().unwrap()));
        let wanted: Vec<&Value> = wanted.collect();
        let who = format!("{want:?} with {:?}", self.gaps);
        for (received, wanted) in self.events.iter().zip(&wanted) {
            assert_eq!(received, *wanted, "the received event differs from the log: {who}");
        }
        assert_eq!(self.events.len(), wanted.len(), "events received and expected: {who}");
    }
}

/// One connection of a subscriber, from the cursor that it requested.
pub struct Connection<'a> {
    received: &'a std::sync::Mutex<Received>,
    want: Want,
    /// The cursor of the last message.
    at: String,
    /// The active named subscriptions, each with the event after which it applies.
    named: BTreeMap<String, (Want, u64)>,
    /// The event after which the filter of the query string no longer applies.
    unnamed_until: Option<u64>,
}

impl<'a> Connection<'a> {
    pub fn new(received: &'a std::sync::Mutex<Received>, want: Want) -> Connection<'a> {
        let at = {
            let mut received = received.lock().unwrap();
            received.connections += 1;
            received.cursor.clone()
        };
        Connection { received, want, at, named: BTreeMap::new(), unnamed_until: None }
    }

    /// Takes a message of a WebSocket or a named one of an event stream. `scribe` is the last recorded event.
    pub fn message(&mut self, message: &Value, names: &[(&str, Want)], scribe: u64) {
        let cursor = || message["cursor"].as_str().unwrap().to_owned();
        match message["type"].as_str().unwrap() {
            "hello" => assert_eq!(cursor(), self.at, "it starts at another cursor"),
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

    /// Takes an event. On one connection, events arrive in order and never twice.
    pub fn event(&mut self, mut event: Value) {
        let ids = event.as_object_mut().unwrap().remove("for");
        let seq = event["seq"].as_u64().unwrap();
        assert!(seq > seq_of(&self.at), "it was received before {}: {event}", self.at);
        self.assert_for(&event, seq, ids.as_ref());
        self.at = format!("{}:{seq}", self.at.split(':').next().unwrap());
        let mut received = self.received.lock().unwrap();
        if seq > received.last() {
            received.events.push(event);
        } else {
            received.doubles += 1;
        }
        received.cursor = self.at.clone();
    }

    /// Takes the cursor of a message, which never moves back.
    pub fn place(&mut self, cursor: &str) {
        assert!(seq_of(cursor) >= seq_of(&self.at), "back from {} to {cursor}", self.at);
        self.at = cursor.to_owned();
        self.received.lock().unwrap().cursor = cursor.to_owned();
    }

    pub fn gap(&mut self, message: &Value, scribe: u64) {
        assert_eq!(message["from"], *self.at, "the gap does not start at the cursor");
        let to = message["to"].as_str().unwrap();
        let mut received = self.received.lock().unwrap();
        let gap = Gap { from: received.last().max(seq_of(&self.at)), to: seq_of(to), scribe };
        if gap.from < gap.to {
            received.gaps.push(gap);
        }
        drop(received);
        self.place(to);
    }

    /// Asserts that each event names its subscriptions, once there is a named one.
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
