//! What terms find in whole jobs, and how much is read for it.

use super::*;
use crate::job::{
    Change, Event, Fact, Failure, FailureClass, JobId, Json, Kind, Labels, Moment, Needle,
    QueueName, Spec, Tag, Time, Value,
};

fn job(payload: &str) -> Job {
    let spec = Spec {
        payload: Json::parse(payload).unwrap(),
        priority: 0,
        retry: Default::default(),
        timeout_ms: None,
        idempotency_key: None,
    };
    let labels = Labels {
        queue: QueueName::default(),
        kind: Kind::parse("Mail").unwrap(),
        tags: Box::new([Tag::parse("Größe 42").unwrap()]),
    };
    let change = Change::Enqueued { spec: spec.into(), run_at: Time::default() };
    let fact = Fact::Job {
        id: JobId::from_u128(1),
        labels: labels.into(),
        state: State::Available,
        attempt: 0,
        change,
    };
    Job::from_enqueued(&Event { seq: 1, at: Time::default(), fact }).unwrap()
}

fn failed(mut job: Job, message: &str) -> Job {
    let failure = Failure::new(FailureClass::Timeout, message);
    let change = Change::Discarded { failure };
    let (seq, at, attempt) = (2, Time::default(), 1);
    job.history.push(Moment { seq, at, state: State::Discarded, attempt, change });
    job
}

fn query(terms: Vec<Term>) -> JobQuery {
    JobQuery { terms, ..JobQuery::default() }
}

/// Whether the job has all terms, and how many bytes were read.
fn look(job: &Job, terms: Vec<Term>) -> (bool, u64) {
    let query = query(terms);
    let mut reading = Reading::new(&|| true);
    let found = Matcher::new(&query).finds(job, &mut reading).unwrap();
    (found, reading.bytes())
}

fn text(text: &str) -> Term {
    Term::Text(Needle::new(text))
}

fn in_payload(text: &str) -> Term {
    Term::Payload(Needle::new(text))
}

#[test]
fn a_text_is_found_in_any_case() {
    for (needle, text) in [
        ("TIMED", "it timed out"),
        ("ß", "Straße"),
        ("ÄPFEL", "äpfel"),
        ("k", "\u{212a}elvin"),
        ("ΟΔΟΣ", "οδος"),
        ("οδος", "ΟΔΟΣ"),
        ("σ", "οδος"),
        ("i", "İ"),
    ] {
        let job = job(&format!("\"{text}\""));
        assert!(look(&job, vec![in_payload(needle)]).0, "{needle} in {text}");
    }
    assert!(!look(&job("\"timed out\""), vec![in_payload("timed out!")]).0);
}

#[test]
fn a_term_looks_where_it_says() {
    let job = failed(job(r#"{"a":1}"#), "no ANSWER within 3 s");
    let error = |text: &str| Term::Error(Needle::new(text));
    for term in [
        text("answer"),
        text("mail"),
        text("grösse"),
        text("größe"),
        error("answer"),
        error("timeout"),
    ] {
        let found = look(&job, vec![term.clone()]).0;
        assert_eq!(found, term != text("grösse"), "{term}");
    }
    for term in [in_payload("answer"), in_payload("mail"), error("mail"), error("panic")] {
        assert!(!look(&job, vec![term.clone()]).0, "{term}");
    }
    let at = Term::At { path: Box::new(["a".into()]), value: Value::Bare("1".into()) };
    assert!(look(&job, vec![at.clone(), text("answer")]).0);
    assert!(!look(&job, vec![at, text("nowhere")]).0);
    let mut done = job;
    done.status.state = State::Completed;
    assert!(!look(&done, vec![error("answer")]).0, "the job came through");
}

#[test]
fn a_find_across_two_pieces_is_found() {
    for letter in ["a", "ä"] {
        for before in PIECE_BYTES - 6..PIECE_BYTES + 3 {
            let payload = format!("\"{}{letter}needle{letter}\"", "x".repeat(before));
            let needle = format!("{letter}NEEDLE{letter}");
            assert!(look(&job(&payload), vec![in_payload(&needle)]).0, "{letter} at {before}");
        }
    }
}

#[test]
fn what_is_read_grows_with_the_payload_and_with_the_terms_and_no_faster() {
    let needle = format!("{}b", "a".repeat(500));
    let all = |count: usize| (0..count).map(|_| in_payload(&needle)).collect::<Vec<_>>();
    let found = |size: usize| job(&format!("\"{}{needle}\"", "a".repeat(size)));
    let (once, twice) = (found(200_000), found(400_000));
    for terms in [1, 10, 20] {
        let (is_found, read) = look(&once, all(terms));
        assert!(is_found);
        // The payload is folded once, and then searched once for each term.
        let most = (terms as u64 + 1) * 210_000;
        assert!(read <= most, "{terms} terms: {read} bytes were read, more than {most}");
        let read_twice = look(&twice, all(terms)).1;
        assert!(read_twice <= 2 * read + 10_000, "{terms} terms: {read} and {read_twice}");
    }
}

#[test]
fn a_search_that_is_interrupted_ends_within_one_job() {
    let job = job(&format!("\"{}\"", "a".repeat(1_000_000)));
    for term in [text("b"), in_payload("b")] {
        let query = query(vec![term]);
        let mut reading = Reading::new(&|| false);
        assert_eq!(Matcher::new(&query).finds(&job, &mut reading), Err(Interrupted));
        assert!(reading.bytes() < 200_000, "{} bytes were read", reading.bytes());
    }
}
