//! Every message in `tests/vectors`: the worker can write its own, and reads those of the server.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::LogStream;
use crate::client::worker::messages::{
    AboutWorker, BYE, ClaimBody, ClaimedLeases, LineMessage, PING, ProgressMessage, ReadyMessage,
    ServerFrame, SettleOutcome, UpdateParts, UpdateResponse, json as text_of, note_text,
    settle_text,
};

const MESSAGES: &str = include_str!("../../../../tests/vectors/worker-messages.json");
const EXCHANGES: &str = include_str!("../../../../tests/vectors/worker-exchanges.json");

fn vectors(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let texts = value.as_array()?.iter();
    Some(texts.map(|text| text.as_str().unwrap().to_owned()).collect())
}

fn millis(value: &Value) -> Option<Duration> {
    value.as_u64().map(Duration::from_millis)
}

fn about(value: &Value) -> Option<AboutWorker> {
    // The vectors have one name and version.
    value.is_object().then(|| AboutWorker {
        host: value["host"].as_str().unwrap().to_owned(),
        pid: value["pid"].as_u64().unwrap().try_into().unwrap(),
        client: "cortado-python",
        version: "0.1.0",
        concurrency: value["concurrency"].as_u64().unwrap().try_into().unwrap(),
        instance: value["instance"].as_str().map(str::to_owned),
    })
}

fn ready(message: &Value) -> String {
    let held = texts(&message["held"]);
    text_of(&ReadyMessage {
        free: message["free"].as_u64().unwrap().try_into().unwrap(),
        queues: texts(&message["queues"]).as_deref(),
        kinds: &texts(&message["kinds"]).unwrap(),
        lease_ms: message["lease_ms"].as_u64(),
        about: about(&message["about"]).as_ref(),
        held: held.as_ref().map(|held| held.iter().map(String::as_str).collect()),
    })
}

fn note(note: &Value) -> String {
    let lines = note["lines"].as_array().into_iter().flatten();
    let line = |line: &Value| {
        let stream = match line["stream"].as_str() {
            Some("stderr") => LogStream::Stderr,
            Some("stdout") => LogStream::Stdout,
            Some(_) | None => LogStream::Log,
        };
        let at = line["at"].as_str().map(str::to_owned);
        text_of(&LineMessage { text: line["text"].as_str().unwrap(), stream, at })
    };
    let lines: Vec<String> = lines.map(line).collect();
    let progress = note.get("progress").map(|progress| {
        let message = progress["message"].as_str();
        let (done, total) = (progress["done"].as_u64().unwrap(), progress["total"].as_u64());
        text_of(&ProgressMessage { done, total, message })
    });
    note_text(note["lease"].as_str().unwrap(), &lines, progress.as_deref())
}

fn settle(settle: &Value) -> String {
    let error = || settle["error"].as_str().unwrap().to_owned();
    let end = match settle["outcome"].as_str().unwrap() {
        "done" => SettleOutcome::Done(settle.get("result").map(Value::to_string)),
        "retry" => SettleOutcome::Retry { error: error(), after: millis(&settle["after_ms"]) },
        "snooze" => SettleOutcome::Snooze(millis(&settle["delay_ms"]).unwrap()),
        "discard" => SettleOutcome::Discard(error()),
        "cancelled" => SettleOutcome::Cancelled,
        "returned" => SettleOutcome::Returned,
        other => panic!("{other}"),
    };
    settle_text(settle["lease"].as_str().unwrap(), &end)
}

/// Writes the update that a vector describes, with the given writer.
fn update(message: &Value, write: impl FnOnce(UpdateParts<'_>) -> String) -> String {
    let extend = texts(&message["extend"]).unwrap_or_default();
    let extend: Vec<Box<str>> = extend.into_iter().map(Into::into).collect();
    let entries = |list: &str, text: fn(&Value) -> String| -> Vec<String> {
        message[list].as_array().into_iter().flatten().map(text).collect()
    };
    let (notes, settles) = (entries("note", note), entries("settle", settle));
    write(UpdateParts {
        extend: &extend,
        lease: millis(&message["lease_ms"]),
        notes: notes.iter().map(String::as_str).collect(),
        settles: settles.iter().map(String::as_str).collect(),
        free: message["free"].as_u64().unwrap_or(0).try_into().unwrap(),
    })
}

#[test]
fn every_message_of_a_worker_can_be_written() {
    let mut seen = 0;
    for vector in vectors(MESSAGES).iter().filter(|vector| vector["from"] == "worker") {
        let message = &vector["message"];
        let written = match message["type"].as_str().unwrap() {
            "ready" => ready(message),
            "update" => update(message, |parts| parts.message(message["id"].as_u64().unwrap())),
            "ping" => PING.to_owned(),
            "bye" => BYE.to_owned(),
            other => panic!("{other}"),
        };
        let written: Value = serde_json::from_str(&written).unwrap();
        assert_eq!(written, *message, "{}", vector["name"]);
        seen += 1;
    }
    assert!(seen >= 12, "only {seen} messages of workers were found");
}

#[test]
fn every_message_of_the_server_is_understood_with_members_that_are_not_known() {
    let mut seen = 0;
    for vector in vectors(MESSAGES).iter().filter(|vector| vector["from"] == "server") {
        let mut message = vector["message"].clone();
        message["unknown"] = json!({"of": ["a", "newer", "server"]});
        for lease in message.get_mut("leases").and_then(Value::as_array_mut).into_iter().flatten() {
            lease["unknown"] = json!(1);
            lease["job"]["unknown"] = json!(null);
        }
        let text = message.to_string();
        let name = &vector["name"];
        let frame: ServerFrame<'_> =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"));
        assert_eq!(message["type"], *frame.r#type, "{name}");
        for (list, answers) in
            [("extend", &frame.extend), ("settle", &frame.settle), ("held", &frame.held)]
        {
            let expected = message[list].as_array().into_iter().flatten();
            let expected: Vec<(&Value, &Value, Option<&str>)> =
                expected.map(|it| (&it["lease"], &it["status"], it["detail"].as_str())).collect();
            assert_eq!(answers.len(), expected.len(), "{name}");
            for (answer, (lease, status, detail)) in answers.iter().zip(expected) {
                assert_eq!(
                    (lease, status),
                    (&json!(answer.lease), &json!(answer.status)),
                    "{name}"
                );
                assert_eq!(answer.detail.as_deref(), detail, "{name}");
            }
        }
        let offers = message["leases"].as_array().into_iter().flatten();
        for (offer, expected) in frame.leases.iter().zip(offers) {
            let payload: Value = serde_json::from_str(offer.job.payload.get()).unwrap();
            assert_eq!(payload, expected["job"]["payload"], "{name}");
            assert_eq!(json!(offer.lease), expected["lease"], "{name}");
            assert_eq!(json!(offer.job.timeout_ms), expected["job"]["timeout_ms"], "{name}");
        }
        for (member, value) in [
            ("lease", &frame.lease),
            ("command", &frame.command),
            ("code", &frame.code),
            ("field", &frame.field),
            ("message", &frame.message),
            ("why", &frame.why),
        ] {
            assert_eq!(json!(value), message[member], "{name}: {member}");
        }
        assert_eq!(json!(frame.retry_ms), message["retry_ms"], "{name}");
        seen += 1;
    }
    assert!(seen >= 12, "only {seen} messages of the server were found");
}

#[test]
fn every_request_of_a_worker_can_be_written_and_its_answer_is_understood() {
    let mut seen = 0;
    for vector in vectors(EXCHANGES) {
        let (request, answer) = (&vector["request"], vector["response"]["body"].to_string());
        let body = &request["body"];
        let path = request["path"].as_str().unwrap();
        let written = if path.ends_with("/claim") {
            let read: ClaimedLeases<'_> = serde_json::from_str(&answer).unwrap();
            let leases = vector["response"]["body"]["leases"].as_array().unwrap().len();
            assert_eq!(read.leases.len(), leases);
            text_of(&ClaimBody {
                queues: texts(&body["queues"]).as_deref(),
                kinds: &texts(&body["kinds"]).unwrap(),
                max: body["max"].as_u64().map(|max| max.try_into().unwrap()),
                lease_ms: body["lease_ms"].as_u64(),
                wait_ms: body["wait_ms"].as_u64(),
                about: about(&body["about"]).as_ref(),
            })
        } else if path.ends_with("/leases") {
            let read: UpdateResponse<'_> = serde_json::from_str(&answer).unwrap();
            assert_eq!((read.extend.len(), read.settle.len()), (1, 1));
            update(body, |parts| parts.body())
        } else {
            continue; // a sign-off has no body, and callbacks are not for workers
        };
        let written: Value = serde_json::from_str(&written).unwrap();
        assert_eq!(written, *body, "{}", vector["name"]);
        seen += 1;
    }
    assert!(seen >= 4, "only {seen} exchanges were found");
}
