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
    Job::from_enqueued(&Event { seq: 1, at: Time::default(), by: None, fact }).unwrap()
}

fn failed(mut job: Job, message: &str) -> Job {
    let failure = Failure::new(FailureClass::Timeout, message);
    let change = Change::Discarded { failure };
    let (seq, at, attempt) = (2, Time::default(), 1);
    job.history.push(Moment { seq, at, state: State::Discarded, attempt, by: None, change });
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
fn a_text_is_found_however_json_escapes_it() {
    for (needle, payload) in [
        ("müller", r#"{"city":"M\u00fcller"}"#),
        ("MÜLLER", r#"{"city":"m\u00FCller"}"#),
        ("🦀", r#"["\ud83e\udd80"]"#),
        ("İ", r#""\u0130""#),
        ("οδος", r#""\u039f\u0394\u039f\u03a3""#),
        ("a/b", r#""a\/b""#),
        ("say \"hi\"", r#""say \"hi\"""#),
        (r"C:\temp", r#""C:\\temp""#),
        ("one\ntwo", r#""one\ntwo""#),
        ("größe", r#"{"gr\u00f6\u00dfe":42}"#),
        ("<b>", r#""\u003cb\u003E""#),
        // What was copied from JSON is found, too, whichever way the payload has it.
        (r"m\u00fcller", r#""M\u00fcller""#),
        (r"m\u00fcller", r#""Müller""#),
        (r"\u00fc", r#""\\u00fc""#),
        // Half of a surrogate pair is not decoded, and the text around it still is.
        ("müller", r#""\ud83e M\u00fcller""#),
        (r"\ud83e", r#""\ud83e""#),
    ] {
        let job = job(payload);
        assert!(look(&job, vec![in_payload(needle)]).0, "{needle} in {payload}");
        assert!(look(&job, vec![text(needle)]).0, "{needle} in {payload}");
    }
    for (needle, payload) in [
        ("00fc", r#""M\u00fcller""#),
        ("ü", r#""\\u00fc""#),
        ("\\", r#""say \"hi\"""#),
        ("ntwo", r#""one\ntwo""#),
    ] {
        assert!(!look(&job(payload), vec![in_payload(needle)]).0, "{needle} in {payload}");
    }
}

#[test]
fn an_error_that_quotes_json_is_found_by_what_it_means_and_by_what_it_says() {
    let job = failed(job("1"), r#"HTTP 422: {"detail":"M\u00fcller says \"no\" in C:\new"}"#);
    for needle in ["müller", r"m\u00fcller", "says \"no\"", r#"\"no\""#, r"c:\new"] {
        for term in [text(needle), Term::Error(Needle::new(needle))] {
            assert!(look(&job, vec![term.clone()]).0, "{term}");
        }
    }
    assert!(!look(&job, vec![in_payload("müller")]).0);
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
    for letter in ["a", "ä", r"\u00e4"] {
        for before in PIECE_BYTES - 6..PIECE_BYTES + 3 {
            let payload = format!("\"{}{letter}needle{letter}\"", "x".repeat(before));
            let needle = format!("{letter}NEEDLE{letter}").replace(r"\u00e4", "ä");
            assert!(look(&job(&payload), vec![in_payload(&needle)]).0, "{letter} at {before}");
        }
    }
}

#[test]
fn what_is_read_grows_with_the_payload_and_with_the_terms_and_no_faster() {
    let needle = format!("{}b", "a".repeat(500));
    let all = |count: usize| (0..count).map(|_| in_payload(&needle)).collect::<Vec<_>>();
    let found =
        |unit: &str, size: usize| job(&format!("\"{}{needle}\"", unit.repeat(size / unit.len())));
    for unit in ["a", r"\u0061", r#"\""#, r"\ud83e"] {
        let (once, twice) = (found(unit, 200_000), found(unit, 400_000));
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
}

#[test]
fn a_search_that_is_interrupted_ends_within_one_job() {
    let job = job(&format!("\"{}\"", "a".repeat(1_000_000)));
    let escaped = self::job(&format!("\"{}\"", r"\u00e4".repeat(200_000)));
    for (job, term) in [(&job, text("b")), (&job, in_payload("b")), (&escaped, text("b"))] {
        let query = query(vec![term]);
        let mut reading = Reading::new(&|| false);
        assert_eq!(Matcher::new(&query).finds(job, &mut reading), Err(Interrupted));
        assert!(reading.bytes() < 200_000, "{} bytes were read", reading.bytes());
    }
}
