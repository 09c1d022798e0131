//! Messages of subscribers and of workers.

use serde_json::{Value, json};

use super::problems::check_refusal;
use super::requests::filter_values;
use super::{NOW, choice};
use crate::engine::{AboutLease, ExtendAnswer, WorkerRegistration, WorkerUpdate};
use crate::http::Problem;
use crate::http::api::extract::read_fields;
use crate::http::stream::protocol::{ClientMessage, Subscribe, Subscriptions};
use crate::http::workers::read::{self, CREDIT, MAX_ITEMS, MAX_NAMES, ReportLimits};
use crate::http::workers::write;
use crate::http::workers::ws::protocol::{WorkerMessage, refused};
use crate::job::{Cursor, Epoch, Filter, JsonLimits};

/// A message of a subscriber. One that is accepted and written again is the same.
pub fn client_message(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match ClientMessage::parse(text) {
        Ok(ClientMessage::Ping) => {}
        Ok(ClientMessage::Unsubscribe { id }) => {
            let mut subscriptions = Subscriptions::new(Filter::default(), 2);
            refusals_are_documented(subscriptions.remove(&id));
        }
        Ok(ClientMessage::Subscribe(message)) => subscribe(&message),
        Err(problem) => check_refusal(&problem),
    }
}

fn subscribe(message: &Subscribe) {
    let mut fields = json!({"type": "subscribe", "id": message.id, "stats": message.stats});
    if let Some(after) = &message.after {
        fields["after"] = json!(after);
    }
    if let Some(filter) = &message.filter {
        for (name, values) in filter_values(filter) {
            if !values.is_empty() {
                fields["filter"][name] = json!(values);
            }
        }
    }
    let again = ClientMessage::parse(&fields.to_string());
    let Ok(ClientMessage::Subscribe(again)) = again else { panic!("{again:?} {fields}") };
    assert_eq!((&again.id, &again.after), (&message.id, &message.after));
    assert_eq!((&again.filter, again.stats), (&message.filter, message.stats));

    let here = Cursor { epoch: Epoch(1), seq: 7 };
    let mut subscriptions = Subscriptions::new(Filter::default(), 2);
    let added = subscriptions.add(message, here);
    assert!(added.is_err() || message.id.len() <= Subscriptions::MAX_ID);
    assert_eq!(subscriptions.want_stats(), added.is_ok() && message.stats);
    // What was added once can be added again and removed.
    if added.is_ok() {
        assert!(
            subscriptions.add(message, here).is_ok() && subscriptions.remove(&message.id).is_ok()
        );
    }
    refusals_are_documented(added);
}

fn refusals_are_documented(done: Result<(), Problem>) {
    if let Err(problem) = done {
        check_refusal(&problem);
    }
}

/// A message of a worker, over a WebSocket or as the body of a request. The first line says which one.
pub fn worker_message(input: &[u8]) {
    let Some((message, body)) = choice(input) else { return };
    let limits = ReportLimits {
        json: JsonLimits::default(),
        max_result: 1_000,
        lease: read::DEFAULT_LEASE,
        now: NOW,
    };
    let refused = match message {
        "message" => {
            if let Ok(text) = std::str::from_utf8(body) {
                socket_message(text, &limits);
            }
            return;
        }
        "claim" => read_fields(body, read::claim).map(|claim| {
            let Some(claim) = claim else { panic!("a claim without kinds was accepted") };
            assert!((1..=1_000).contains(&claim.max) && claim.wait.as_secs() <= 60);
            check_registration(&claim.registration);
        }),
        "leases" => read_fields(body, |fields, errors| read::update(fields, errors, &limits))
            .map(|update| check_update(&update)),
        "callback" => {
            let update = read_fields(body, |fields, errors| {
                read::callback(fields, errors, "a-lease", &limits)
            });
            update.map(|update| {
                check_update(&update);
                assert!(update.leases().all(|lease| lease == "a-lease"));
                assert!(update.extend.len() <= 1 && update.notes.len() <= 1);
                assert!(update.settles.len() <= 1);
            })
        }
        _ => return,
    };
    refusals_are_documented(refused);
}

fn socket_message(text: &str, limits: &ReportLimits) {
    match WorkerMessage::parse(text, limits) {
        Ok(WorkerMessage::Ping | WorkerMessage::Bye) => {}
        Ok(WorkerMessage::Ready(ready)) => {
            assert!(i64::try_from(ready.free).is_ok_and(|free| CREDIT.check(free).is_ok()));
            check_registration(&ready.registration);
        }
        Ok(WorkerMessage::Update(update)) => {
            assert!(update.id >= 0);
            check_update(&update.update);
        }
        Err(refusal) => {
            check_refusal(&refusal.problem);
            assert!(refusal.id.is_none_or(|id| id >= 0));
            // The frame has a header of two or four bytes before its text.
            let frame = refused(&refusal);
            let header = if frame[1] < 126 { 2 } else { 4 };
            let message: Value = serde_json::from_slice(&frame[header..]).unwrap();
            assert_eq!(message["code"], refusal.problem.code());
        }
    }
}

fn check_registration(registration: &WorkerRegistration) {
    let lease = registration.lease.as_millis();
    assert!((1_000..=3_600_000).contains(&lease));
    let interest = &registration.interest;
    assert!((1..=MAX_NAMES).contains(&interest.kinds.len()));
    assert!((1..=MAX_NAMES).contains(&interest.queues.len()));
    if let Some(about) = &registration.about {
        let texts = [&about.host, &about.client, &about.version, &about.instance];
        for text in texts.into_iter().flatten() {
            assert!(text.len() <= read::MAX_ABOUT && !text.chars().any(char::is_control));
        }
    }
}

/// Checks a report, and that its answer repeats the leases as they were sent.
fn check_update(update: &WorkerUpdate) {
    assert!(update.extend.len() <= MAX_ITEMS && update.notes.len() <= MAX_ITEMS);
    assert!(update.settles.len() <= MAX_ITEMS);
    for line in update.notes.iter().flat_map(|note| &note.lines) {
        assert!(line.text.len() <= 8 * 1_024 + '…'.len_utf8());
    }
    let answers = update
        .extend
        .iter()
        .map(|lease| AboutLease { lease: lease.clone(), answer: ExtendAnswer::Lost });
    let mut text = String::new();
    write::extended(&mut text, &answers.collect::<Vec<_>>());
    let read: Vec<Value> = serde_json::from_str(&text).unwrap();
    let leases: Vec<&str> = read.iter().filter_map(|answer| answer["lease"].as_str()).collect();
    assert_eq!(leases, update.extend);
}
