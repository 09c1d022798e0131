//! Creating tables, newer formats, and histories that are not the one that was read.

use std::thread;

use super::server::TestDatabase;
use crate::job::{Cursor, Epoch};
use crate::store::StoreError;
use crate::store::log::conformance::{chunk, keys, puts};
use crate::store::log::{Applied, Log};
use crate::store::postgres::PostgresLog;

#[test]
fn of_many_processes_that_start_at_once_one_creates_the_store() {
    let database = TestDatabase::new();
    let logs: Vec<PostgresLog> = thread::scope(|scope| {
        let starts: Vec<_> = (0..8)
            .map(|process| {
                let settings = database.settings();
                let new = puts(&[(b"meta", &[process]), (&[b'o', process], b"")]);
                scope.spawn(move || PostgresLog::create_if_missing(settings, new).unwrap())
            })
            .collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    let (meta, rows) = (logs[0].get(b"meta").unwrap().unwrap(), keys(&logs[0], b"", b""));
    assert_eq!(rows, [b"meta".to_vec(), vec![b'o', meta[0]]], "the rows of one of them");
    assert!(logs.iter().all(|log| log.get(b"meta").unwrap().as_ref() == Some(&meta)));
}

#[test]
fn a_store_that_is_there_is_left_as_it_is() {
    let database = TestDatabase::new();
    let open = |row: &[u8]| {
        PostgresLog::create_if_missing(database.settings(), puts(&[(b"meta", row)])).unwrap()
    };
    assert_eq!(open(b"1").get(b"meta").unwrap(), Some(b"1".to_vec()));
    let log = open(b"2");
    assert_eq!(log.get(b"meta").unwrap(), Some(b"1".to_vec()));
    let mut batch = puts(&[(&chunk(0), b"zero")]);
    batch.remove("meta", 1);
    log.apply_alone(batch).unwrap();
    assert_eq!(open(b"3").get(b"meta").unwrap(), None, "it has a chunk");
}

#[test]
fn a_database_without_a_store_is_opened_only_to_create_one() {
    let database = TestDatabase::new();
    let error = PostgresLog::open(database.settings()).err().unwrap();
    let StoreError::Unavailable(why) = &error else { panic!("{error:?}") };
    assert!(why.contains("no store in this database"), "{why}");
    assert_eq!(database.execute("select to_regnamespace('cortado') is null"), ["t"]);
    database.open();
    PostgresLog::open(database.settings()).unwrap();
}

#[test]
fn a_newer_schema_is_refused_also_by_a_log_that_is_open() {
    let database = TestDatabase::new();
    let log = database.open();
    log.apply_alone(puts(&[(&chunk(0), b"zero")])).unwrap();
    database.execute("update cortado.meta set value = '99' where key = 'format'");
    for error in [
        PostgresLog::open(database.settings()).err(),
        PostgresLog::create_if_missing(database.settings(), Default::default()).err(),
        log.apply(puts(&[(&chunk(1), b"one"), (b"row", b"1")])).err(),
        log.reopen().err(),
    ] {
        let error = error.unwrap();
        let StoreError::Newer { what, found: 99, newest: 1 } = &error else { panic!("{error:?}") };
        assert!(what.contains(log.location()), "{what}");
    }
    assert_eq!(database.execute("select count(*) from cortado.chunk"), ["1"]);
}

#[test]
fn nothing_is_appended_to_a_log_that_has_lost_commits() {
    for (failover, number) in [
        ("delete from cortado.chunk where number > 2", 5),
        ("delete from cortado.chunk", 5),
        ("update cortado.chunk set grp = gen_random_uuid() where number > 2", 5),
        // Another process has already appended to what was left.
        ("update cortado.chunk set grp = gen_random_uuid() where number > 2", 4),
    ] {
        let database = TestDatabase::new();
        let (writer, reader) = (database.open(), database.open());
        for number in 0..5 {
            writer.apply_alone(puts(&[(&chunk(number), b"chunk")])).unwrap();
        }
        assert_eq!(keys(&reader, b"j", b"j").len(), 5);
        database.execute(failover);
        for log in [writer, reader] {
            let refused = log.apply(puts(&[(&chunk(number), b"next"), (b"row", b"1")]));
            let Err(StoreError::Corrupt(why)) = &refused else { panic!("{failover}: {refused:?}") };
            assert!(why.contains("lost commits"), "{why}");
            assert!(matches!(log.reopen(), Err(StoreError::Corrupt(_))), "{failover}");
        }
        let log = database.open(); // the next process knows nothing of what was lost
        let count = keys(&log, b"j", b"j").len() as u64;
        assert_eq!(log.apply(puts(&[(&chunk(count), b"next")])), Ok(Applied::Done));
        assert_eq!(log.get(b"row").unwrap(), None);
    }
}

#[test]
fn a_log_whose_known_chunks_were_trimmed_by_others_is_opened_again() {
    let database = TestDatabase::new();
    let (one, two) = (database.open(), database.open());
    one.apply_alone(puts(&[(&chunk(0), b"zero")])).unwrap();
    let mut batch = puts(&[(&chunk(1), b"one")]);
    batch.remove(chunk(0), 4);
    two.apply_alone(batch).unwrap();
    one.reopen().unwrap();
    assert_eq!(keys(&one, b"j", b"j"), [chunk(1)]);
}

#[test]
fn a_head_is_known_to_be_durable_only_on_the_server_that_had_it() {
    let database = TestDatabase::new();
    let (epoch, head) = (Epoch(1), Cursor { epoch: Epoch(1), seq: 9 });
    let running = database.open();
    running.apply_alone(puts(&[(b"meta", b"1")])).unwrap();
    assert_eq!(running.recorded_head(epoch), Ok(Some(0)));
    running.record_head(head).unwrap();
    for (part, other) in [("^[0-9]+", "1"), ("/.*", "/000000FF"), ("[0-9]+$", "1")] {
        let promote = format!(
            "update cortado.meta set value = regexp_replace(value, '{part}', '{other}') where key = 'server'"
        );
        database.execute(&promote);
        running.record_head(head).unwrap();
        let opened = database.open();
        assert_eq!(opened.recorded_head(epoch), Ok(None), "a process that runs changes nothing");
        assert_eq!(database.open().recorded_head(epoch), Ok(None), "the start was interrupted");
        opened.record_head(head).unwrap();
        assert_eq!(database.open().recorded_head(epoch), Ok(Some(0)));
    }
}
