//! The inbox: what `cortado.enqueue` refuses, and appends that take rows.

use std::thread;
use std::time::Duration;

use super::server::{TestDatabase, TestSession};
use crate::job::limits::{ATTEMPTS, BACKOFF_MS, DELAY_MS, PRIORITY, TIMEOUT_MS};
use crate::job::{IdempotencyKey, JobId, Kind, QueueName, Tag};
use crate::store::NotEnqueued;
use crate::store::log::conformance::{chunk, keys, puts};
use crate::store::log::{Applied, Log, LogInbox, NodeMessage, WriteBatch};
use crate::store::postgres::PostgresLog;

fn inbox(log: &PostgresLog) -> &dyn LogInbox {
    log.inbox().unwrap()
}

/// Submits jobs, and returns their ids.
fn submit(session: &TestSession, count: usize) -> Vec<JobId> {
    let ids = session
        .execute(&format!("select cortado.enqueue('echo') from generate_series(1, {count})"));
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

/// The ids in the inbox.
fn waiting(session: &TestSession) -> Vec<JobId> {
    let ids = session.execute("select id from cortado.inbox order by id");
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

fn batch(number: u64, taken: &[JobId]) -> WriteBatch {
    let mut batch = puts(&[(&chunk(number), b"chunk")]);
    taken.iter().for_each(|id| batch.take(*id));
    batch
}

#[test]
fn numbers_and_names_are_refused_in_the_words_of_the_json_api() {
    let database = TestDatabase::new();
    database.open();
    let session = database.session();
    for (field, range) in [
        ("priority", PRIORITY),
        ("delay_ms", DELAY_MS),
        ("max_attempts", ATTEMPTS),
        ("backoff_base_ms", BACKOFF_MS),
        ("backoff_cap_ms", BACKOFF_MS),
        ("timeout_ms", TIMEOUT_MS),
    ] {
        let call = |number: i64| format!("select cortado.enqueue('echo', {field} => {number})");
        for good in [range.min(), range.max()] {
            session.execute(&call(good));
        }
        for bad in [range.min() - 1, range.max() + 1] {
            let why = range.check(bad).unwrap_err();
            assert_eq!(session.refusal(&call(bad)), format!("{field} {why}"));
        }
    }
    let (long, longer) = ("q".repeat(64), "q".repeat(65));
    for good in ["a", "mail.out:eu-1_b", &long] {
        assert!(Kind::parse(good).is_ok());
        session.execute(&format!("select cortado.enqueue('{good}', queue => '{good}')"));
    }
    for bad in ["", "a b", "a/b", ".a", "a.", ".", "ü", &longer] {
        let kind = Kind::parse(bad).unwrap_err().to_string();
        assert_eq!(session.refusal(&format!("select cortado.enqueue('{bad}')")), kind);
        let queue = QueueName::parse(bad).unwrap_err().to_string();
        let call = format!("select cortado.enqueue('echo', queue => '{bad}')");
        assert_eq!(session.refusal(&call), queue);
    }
    let (long, longer) = ("ü".repeat(200), "ü".repeat(201));
    for bad in ["", " a", "a ", &longer] {
        let why = IdempotencyKey::parse(bad).unwrap_err().to_string();
        let call = format!("select cortado.enqueue('echo', idempotency_key => '{bad}')");
        assert_eq!(session.refusal(&call), why);
    }
    session.execute(&format!("select cortado.enqueue('echo', idempotency_key => '{long}')"));
    for bad in ["", " a", "a,b", &"ü".repeat(101)] {
        let why = Tag::parse(bad).unwrap_err().to_string();
        let call = format!("select cortado.enqueue('echo', tags => array['good', '{bad}'])");
        assert_eq!(session.refusal(&call), why);
    }
    let tags = |count: usize| {
        let tags = "array(select 't' || n from generate_series(1, $) as n)";
        format!("select cortado.enqueue('echo', tags => {})", tags.replace('$', &count.to_string()))
    };
    session.execute(&tags(32));
    assert_eq!(session.refusal(&tags(33)), "at most 32 different tags are accepted");
    for (bad, why) in [
        ("null", "kind \"\" is not valid"),
        ("'echo', delay_ms => 1, run_at => now()", "set delay_ms or run_at, not both"),
        ("'echo', run_at => 'infinity'", "run_at must be a time"),
        ("'echo', backoff_base_ms => 90, backoff_cap_ms => 80", "the initial backoff (90 ms)"),
        ("'echo', to_jsonb(repeat('x', 1048575))", "the payload is 1048577 bytes long"),
    ] {
        let message = session.refusal(&format!("select cortado.enqueue({bad})"));
        assert!(message.starts_with(why), "{message}");
    }
    session.execute("select cortado.enqueue('echo', to_jsonb(repeat('x', 1048574)))");
}

#[test]
fn ids_are_those_of_the_server_and_grow_with_each_call() {
    let database = TestDatabase::new();
    database.open();
    let before = JobId::generate();
    let ids = submit(&database.session(), 1_000);
    let after = JobId::generate();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    // They begin with the millisecond in which they were made.
    let milliseconds = |id: JobId| id.as_u128() >> 80;
    assert!(milliseconds(before) <= milliseconds(ids[0]));
    assert!(milliseconds(ids[999]) <= milliseconds(after));
    assert!(ids.iter().all(|id| id.as_u128() >> 76 & 0xf == 7 && id.as_u128() >> 62 & 3 == 2));
}

#[test]
fn a_batch_is_written_only_if_all_that_it_takes_is_there() {
    let database = TestDatabase::new();
    let (one, two, session) = (database.open(), database.open(), database.session());
    let ids = submit(&session, 3);
    assert_eq!(one.apply(batch(0, &ids[..1])), Ok(Applied::Done));
    assert_eq!(waiting(&session), ids[1..]);
    for gone in [&ids[..1], &ids[..2]] {
        assert!(two.apply(batch(1, gone)).unwrap().is_lost());
        assert_eq!(waiting(&session), ids[1..]);
    }
    assert_eq!(keys(&two, b"j", b"j"), [chunk(0)]);
    assert_eq!(two.apply(batch(1, &ids[1..2])), Ok(Applied::Done));
    // A batch that is lost takes nothing.
    assert!(one.apply(batch(1, &ids[2..])).unwrap().is_lost());
    assert_eq!(waiting(&session), ids[2..]);
}

#[test]
fn a_batch_waits_for_somebody_who_may_remove_what_it_takes() {
    let database = TestDatabase::new();
    let (log, session) = (database.open(), database.session());
    let ids = submit(&session, 2);
    for (number, end, is_lost) in [(0, "commit", true), (0, "rollback", false)] {
        let remover = database.session();
        let remove = format!("begin; delete from cortado.inbox where id = '{}'", ids[number]);
        remover.execute(&remove);
        thread::scope(|scope| {
            let append =
                scope.spawn(|| log.apply(batch(0, &ids[usize::from(end == "rollback")..])));
            let waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'";
            while session.execute(waits) != ["1"] && !append.is_finished() {
                thread::yield_now();
            }
            remover.execute(end);
            assert_eq!(append.join().unwrap().unwrap().is_lost(), is_lost, "{end}");
        });
    }
}

#[test]
fn a_node_reads_what_it_knows_and_one_of_them_reads_at_once() {
    let database = TestDatabase::new();
    let (log, session) = (database.open(), database.session());
    let ids = submit(&session, 300);
    session.execute("select cortado.enqueue('other')");
    // They are so young that only the node with the smallest number reads them.
    session.execute("update cortado.inbox set at = at + interval '1 hour'");
    log.heartbeat(NodeMessage { node: 7, ..NodeMessage::default() }).unwrap();
    let read = |node: u64, kinds: &[&str]| {
        let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let rows = inbox(&log).read(node, kinds).unwrap();
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(read(7, &["echo"]), ids[..256]);
    assert_eq!(read(8, &["echo"]), []);
    assert_eq!(read(7, &["other"]).len(), 1);
    assert_eq!(read(7, &[]), []);
    session.execute("update cortado.inbox set at = at - interval '1 hour 1 second'");
    assert_eq!(read(8, &["echo"]), ids[..256]);
    assert_eq!(read(8, &[]), []);
    // Nobody takes them.
    session.execute("update cortado.inbox set at = at - interval '1 minute'");
    assert_eq!(read(8, &[]), ids[..256]);
    let row = &inbox(&log).read(8, Vec::new()).unwrap()[0];
    assert!(row.age > Duration::from_secs(61) && row.submission.contains("\"echo\""), "{row:?}");

    session.execute("delete from cortado.inbox");
    let large =
        "select cortado.enqueue('echo', to_jsonb(repeat('x', 1000000))) from generate_series(1, 6)";
    assert_eq!(session.execute(large).len(), 6);
    session.execute("update cortado.inbox set at = at - interval '1 second'");
    assert_eq!(read(8, &["echo"]).len(), 4, "not more than 4 MiB");
}

#[test]
fn what_makes_no_job_moves_and_can_be_submitted_again() {
    let database = TestDatabase::new();
    let (log, session) = (database.open(), database.session());
    let ids = submit(&session, 3);
    let row = |id: JobId, existing| NotEnqueued {
        id,
        code: "unknown_kind",
        reason: "there is no kind \"echo\"".into(),
        existing,
    };
    let rows = vec![row(ids[1], None), row(ids[0], Some(ids[2])), row(JobId::generate(), None)];
    inbox(&log).dismiss(rows.clone()).unwrap();
    inbox(&log).dismiss(rows).unwrap();
    assert_eq!(waiting(&session), ids[2..]);
    let moved = "select concat_ws(' ', id, kind, code, reason, existing_job) from cortado.not_enqueued order by id";
    let told = "echo unknown_kind there is no kind \"echo\"";
    let expected = [format!("{} {told} {}", ids[0], ids[2]), format!("{} {told}", ids[1])];
    assert_eq!(session.execute(moved), expected);
    assert_eq!(session.execute(&format!("select cortado.enqueue_again('{}')", ids[1])), ["t"]);
    assert_eq!(session.execute(&format!("select cortado.enqueue_again('{}')", ids[1])), ["f"]);
    assert_eq!(waiting(&session), ids[1..]);
}
