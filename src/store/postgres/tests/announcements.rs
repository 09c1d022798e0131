//! What nodes tell each other by notifications.

use std::thread;
use std::time::Duration;

use super::server::TestDatabase;
use crate::job::{Epoch, fresh_uuid};
use crate::store::log::conformance::{chunk, puts, within_bound};
use crate::store::log::{AnnouncedChunk, Log, TurnRequest, WriteBatch};
use crate::store::postgres::PostgresLog;
use crate::store::postgres::hint::HintWait;
use crate::store::postgres::log::HAS_CHUNK;

const LONG: Duration = Duration::from_secs(60);

/// Opens a log that hears of the appends of others.
fn listening(database: &TestDatabase) -> PostgresLog {
    let log = database.open();
    assert_eq!(log.wait_for_chunk(0, Duration::ZERO), Ok(false));
    let listens = "select 1 from pg_stat_activity where query = 'listen cortado' and state = 'idle'
        and datname = current_database()";
    while database.execute(listens).is_empty() {
        thread::yield_now();
    }
    log
}

#[test]
fn an_append_is_announced() {
    within_bound(|| {
        let database = TestDatabase::new();
        let (one, two) = (listening(&database), database.open());
        let hint = one.hint().unwrap();
        let wakes = hint.wakes();
        two.apply_alone(puts(&[(&chunk(0), b"zero"), (&chunk(1), b"one")])).unwrap();
        assert!(matches!(hint.wait(1, wakes, LONG), HintWait::Announced(..)));
    });
}

#[test]
fn an_append_that_nothing_follows_after_all_is_announced_a_little_later() {
    within_bound(|| {
        let database = TestDatabase::new();
        let (one, two) = (listening(&database), database.open());
        let hint = one.hint().unwrap();
        for number in 0..8 {
            let mut batch = puts(&[(&chunk(number), b"chunk")]);
            batch.is_followed = true;
            two.apply_alone(batch).unwrap();
        }
        assert!(matches!(hint.wait(7, hint.wakes(), LONG), HintWait::Announced(..)));
    });
}

/// A log in the epoch of its database, as a node opens it.
fn of_node(log: PostgresLog) -> PostgresLog {
    assert_eq!(log.recorded_head(Epoch(1)), Ok(Some(0)));
    log
}

fn written_by(node: u64, mut batch: WriteBatch) -> WriteBatch {
    batch.writer = Some(node);
    batch
}

#[test]
fn a_short_chunk_comes_with_its_announcement() {
    within_bound(|| {
        let database = TestDatabase::new();
        let one = of_node(listening(&database));
        let two = of_node(database.open());
        two.apply_alone(written_by(9, puts(&[(&chunk(0), b"zero")]))).unwrap();
        let announced = AnnouncedChunk { number: 0, writer: Some(9) };
        assert_eq!(one.wait_for_announcement(0, LONG), Ok(Some(announced)));
        assert_eq!(one.announced_chunks(0), [(chunk(0), b"zero".to_vec())]);
        assert_eq!(one.announced_chunks(0), [], "each is returned once");
        // Without content, and with it again.
        let long = vec![7; 10_000];
        two.apply_alone(written_by(9, puts(&[(&chunk(1), &long)]))).unwrap();
        two.apply_alone(written_by(9, puts(&[(&chunk(2), b"two")]))).unwrap();
        let announced = AnnouncedChunk { number: 2, writer: Some(9) };
        assert_eq!(one.wait_for_announcement(2, LONG), Ok(Some(announced)));
        assert_eq!(one.announced_chunks(1), []);
        assert_eq!(one.announced_chunks(2), [(chunk(2), b"two".to_vec())]);
        // What was announced counts as read: the next append follows it.
        one.apply_alone(puts(&[(&chunk(3), b"three")])).unwrap();
    });
}

#[test]
fn what_others_notify_is_not_taken_for_a_chunk() {
    within_bound(|| {
        let database = TestDatabase::new();
        let one = of_node(listening(&database));
        let two = of_node(database.open());
        let grp = fresh_uuid();
        for text in ["0 1 9", &format!("0 1 9 {grp} AAAA"), &format!("0 1 9 {grp}"), "x", ""] {
            database.execute(&format!("select pg_notify('cortado', '{text}')"));
        }
        let announced = AnnouncedChunk { number: 0, writer: Some(9) };
        assert_eq!(one.wait_for_announcement(0, LONG), Ok(Some(announced)));
        assert_eq!(one.announced_chunks(0), []);
        two.apply_alone(written_by(9, puts(&[(&chunk(0), b"zero")]))).unwrap();
        while one.announced_chunks(0).is_empty() {
            thread::yield_now();
        }
    });
}

#[test]
fn a_node_that_has_lost_an_append_can_ask_for_its_turn() {
    within_bound(|| {
        let database = TestDatabase::new();
        let (one, two) = (listening(&database), listening(&database));
        let request = TurnRequest { node: 9, needs: Duration::from_micros(1_500) };
        two.ask_for_turn(request);
        let heard = loop {
            let requests = one.turn_requests();
            if !requests.is_empty() {
                break requests;
            }
            thread::yield_now();
        };
        assert_eq!((heard, one.turn_requests()), (vec![request], vec![]));
        assert_eq!(two.turn_requests(), [], "its own request is nothing new");
    });
}

#[test]
fn a_look_for_a_chunk_uses_the_index_of_a_table_without_statistics() {
    let database = TestDatabase::new();
    drop(database.open());
    database.execute(
        "insert into cortado.chunk (number, grp, body)
         select n, gen_random_uuid(), '' from generate_series(0, 20000) n",
    );
    let plan = database.execute(&format!("explain {}", HAS_CHUNK.replace("$1", "20000")));
    assert!(plan.iter().any(|line| line.contains("Index Only Scan")), "{plan:#?}");
}
