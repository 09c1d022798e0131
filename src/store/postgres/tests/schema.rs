//! Creating tables, newer formats, and histories that are not the one that was read.

use std::thread;

use super::server::TestDatabase;
use crate::job::Epoch;
use crate::store::StoreError;
use crate::store::log::conformance::{chunk, keys, puts};
use crate::store::log::{Applied, Log, NodeHeartbeat, NodeMessage};
use crate::store::postgres::PostgresLog;
use crate::store::postgres::format::MIGRATIONS;

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

/// The heartbeat of a version that knew only the first migration.
const OLD_HEARTBEAT: &str = "insert into cortado.node (session, name, version, reads_snapshot, heartbeat) \
    values (7, 'old', '0.0.1', false, clock_timestamp()) \
    on conflict (session) do update set heartbeat = excluded.heartbeat";

#[test]
fn the_format_is_raised_once_no_node_is_at_work_that_does_not_know_it() {
    let database = TestDatabase::new();
    let log = database.open();
    let format = || database.execute("select value from cortado.meta where key = 'format'");
    log.heartbeat(NodeMessage { node: 1, ..NodeMessage::default() }).unwrap();
    assert!(!log.raise_format(2), "this version does not know it either");
    database.execute("update cortado.node set newest_format = 2");
    database.execute(OLD_HEARTBEAT);
    assert!(!log.raise_format(2), "the older node does not");
    assert_eq!(format(), ["1"]);
    log.apply_alone(puts(&[(&chunk(0), b"zero")])).unwrap();
    let hour_ago =
        "update cortado.node set heartbeat = now() - interval '1 hour' where name = 'old'";
    database.execute(hour_ago);
    assert!(log.raise_format(2));
    assert!(!log.raise_format(2), "it is raised already");
    assert!(!log.raise_format(1), "it is never lowered");
    assert_eq!(format(), ["2"]);
    // The older node comes back, and this one has not been updated either.
    database.execute(OLD_HEARTBEAT);
    let refused = log.apply(puts(&[(&chunk(1), b"one")]));
    assert!(matches!(refused, Err(StoreError::Newer { found: 2, newest: 1, .. })), "{refused:?}");
}

#[test]
fn an_older_schema_is_updated_while_older_nodes_are_at_work() {
    let database = TestDatabase::new();
    database.execute(
        "create schema cortado; create table cortado.meta (key text primary key, value text not null);
         insert into cortado.meta (key, value) values ('format', '1')",
    );
    database.execute(include_str!("../migrations/0001.sql"));
    database.execute(OLD_HEARTBEAT);
    database.execute("insert into cortado.row (key, value) values ('meta', '1')");
    assert!(
        PostgresLog::open(database.settings())
            .is_err_and(|error| error.to_string().contains("older version"))
    );
    let log = database.open();
    database.execute(OLD_HEARTBEAT);
    let mut seen = log.heartbeat(NodeMessage { node: 1, ..NodeMessage::default() }).unwrap();
    seen.sort_by_key(|node| node.node);
    let of = |node: &NodeHeartbeat| (node.node, node.version.clone(), node.figures.clone());
    assert_eq!(of(&seen[1]), (7, "0.0.1".to_owned(), "{}".to_owned()));
    assert_eq!(database.execute("select value from cortado.meta where key = 'format'"), ["1"]);
    assert_eq!(
        database.execute("select value from cortado.meta where key = 'migrations'"),
        [MIGRATIONS.len().to_string()]
    );
}

#[test]
fn the_lag_of_a_node_is_the_age_of_what_it_has_not_read() {
    let database = TestDatabase::new();
    let log = database.open();
    for number in 0..3 {
        log.apply_alone(puts(&[(&chunk(number), b"chunk")])).unwrap();
    }
    database.execute("update cortado.chunk set at = now() - number * interval '1 minute'");
    let lag = |next_chunk| {
        let message = NodeMessage { node: 1, next_chunk, ..NodeMessage::default() };
        log.heartbeat(message).unwrap()[0].lag.as_secs()
    };
    assert_eq!(lag(3), 0);
    assert!((120..180).contains(&lag(2)), "{}", lag(2));
    assert!((60..120).contains(&lag(1)), "{}", lag(1));
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
            let Err(StoreError::Replaced(why)) = &refused else {
                panic!("{failover}: {refused:?}")
            };
            assert!(why.contains("lost commits"), "{why}");
            assert!(matches!(log.reopen(), Err(StoreError::Replaced(_))), "{failover}");
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
fn a_head_is_known_to_be_durable_only_on_the_server_on_which_the_epoch_began() {
    let database = TestDatabase::new();
    let epoch = Epoch(1);
    for (part, other) in [("^[0-9]+", "1"), ("/.*", "/000000FF"), ("[0-9]+$", "1")] {
        let running = database.open();
        assert_eq!(running.recorded_head(epoch), Ok(Some(0)));
        let number = keys(&running, b"j", b"j").len() as u64;
        running.apply_alone(puts(&[(&chunk(number), b"one"), (b"meta", b"old")])).unwrap();
        let promote = format!(
            "update cortado.meta set value = regexp_replace(value, '{part}', '{other}') where key = 'server'"
        );
        database.execute(&promote);
        // Nothing of the log is missing, but that cannot be known.
        let refused = running.apply(puts(&[(&chunk(number + 1), b"two"), (b"meta", b"two")]));
        assert!(matches!(refused, Err(StoreError::Replaced(_))), "{refused:?}");
        assert!(matches!(running.check_identity(), Err(StoreError::Replaced(_))));
        assert!(matches!(running.heartbeat(NodeMessage::default()), Err(StoreError::Replaced(_))));
        assert!(matches!(running.reopen(), Err(StoreError::Replaced(_))));
        let (first, second) = (database.open(), database.open());
        for starting in [&first, &second] {
            assert_eq!(starting.recorded_head(epoch), Ok(None));
        }
        assert_eq!(first.begin_epoch(puts(&[(b"meta", b"first")])), Ok(Applied::Done));
        assert!(second.begin_epoch(puts(&[(b"meta", b"second")])).unwrap().is_lost());
        assert_eq!(second.recorded_head(epoch), Ok(Some(0)));
        assert_eq!(second.get(b"meta"), Ok(Some(b"first".to_vec())));
        for log in [&first, &second] {
            assert_eq!(log.check_identity(), Ok(()));
        }
        first.apply_alone(puts(&[(&chunk(number + 1), b"two")])).unwrap();
    }
}
