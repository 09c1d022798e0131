//! Appends whose answers are lost, and connections that end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::proxy::LossyProxy;
use super::server::{TestDatabase, TestServer};
use crate::store::StoreError;
use crate::store::log::conformance::{chunk, keys, puts, within_bound};
use crate::store::log::{Applied, Log};
use crate::store::postgres::PostgresLog;

/// Waits until the database tells this of one of its sessions.
fn wait_until(database: &TestDatabase, condition: &str) {
    let count = format!(
        "select count(*) from pg_stat_activity where datname = current_database() and {condition}"
    );
    while database.execute(&count) == ["0"] {
        thread::yield_now();
    }
}

#[test]
fn an_append_whose_answer_was_lost_is_found_by_its_group() {
    let database = TestDatabase::new();
    drop(database.open());
    let proxy = LossyProxy::start(TestServer::shared().socket_dir());
    let settings = database.url_at(&proxy.socket_dir()).parse().unwrap();
    let log = PostgresLog::open(settings).unwrap();
    log.apply_alone(puts(&[(&chunk(0), b"zero")])).unwrap();
    for number in 1..10 {
        proxy.lose_next();
        let batch = puts(&[(&chunk(number), &[number as u8]), (b"row", &[number as u8])]);
        assert_eq!(log.apply(batch), Ok(Applied::Done));
        assert!(proxy.has_lost());
    }
    assert_eq!(log.get(b"row").unwrap(), Some(vec![9]));
    assert_eq!(database.execute("select count(*), count(distinct grp) from cortado.chunk"), ["10"]);
}

#[test]
fn an_append_of_another_process_is_recognized_when_the_answer_was_lost() {
    let database = TestDatabase::new();
    let other = database.open();
    let proxy = LossyProxy::start(TestServer::shared().socket_dir());
    let settings = database.url_at(&proxy.socket_dir()).parse().unwrap();
    let log = PostgresLog::open(settings).unwrap();
    log.apply_alone(puts(&[(&chunk(0), b"zero")])).unwrap();
    other.apply_alone(puts(&[(&chunk(1), b"other")])).unwrap();
    proxy.lose_next();
    assert!(log.apply(puts(&[(&chunk(1), b"mine"), (b"row", b"1")])).unwrap().is_lost());
    assert!(proxy.has_lost());
    assert_eq!(keys(&other, b"", b""), [chunk(0), chunk(1)]);
}

#[test]
fn a_session_that_is_ended_before_its_commit_is_followed_by_a_second_try() {
    within_bound(|| {
        let database = TestDatabase::new();
        let log = database.open();
        log.apply_alone(puts(&[(&chunk(0), b"zero"), (b"row", b"0")])).unwrap();
        let other = database.session();
        // The lock of the row keeps the append from ending.
        other.execute("begin; update cortado.row set value = '1'");
        let waits = "query like '%from cortado.append(%' and wait_event_type = 'Lock'";
        thread::scope(|scope| {
            let append = scope.spawn(|| log.apply(puts(&[(&chunk(1), b"one"), (b"row", b"2")])));
            wait_until(&database, waits);
            let end = "select pg_terminate_backend(pid, 60000) from pg_stat_activity where ";
            let own = " and datname = current_database()";
            assert_eq!(database.execute(&format!("{end}{waits}{own}")), ["t"]);
            wait_until(&database, waits);
            other.execute("commit");
            assert_eq!(append.join().unwrap(), Ok(Applied::Done));
        });
        assert_eq!(keys(&log, b"j", b"j").len(), 2);
        assert_eq!(log.get(b"row").unwrap(), Some(b"2".to_vec()));
    });
}

#[test]
fn sessions_that_are_ended_all_the_time_lose_and_double_nothing() {
    within_bound(|| {
        const APPENDS: u64 = 300;
        let database = TestDatabase::new();
        let log = database.open();
        let ended = AtomicBool::new(false);
        let killed = thread::scope(|scope| {
            let killer = scope.spawn(|| {
                let mut killed = 0;
                while !ended.load(Ordering::Relaxed) {
                    // Those that have not appended yet are still being opened.
                    killed += database
                        .execute(
                            "select pg_terminate_backend(pid) from pg_stat_activity
                         where query like '%from cortado.append(%' and datname = current_database()
                         and pid <> pg_backend_pid()",
                        )
                        .len();
                }
                killed
            });
            for number in 0..APPENDS {
                let value = number.to_be_bytes();
                let batch = puts(&[(&chunk(number), &value), (b"last", &value)]);
                if log.apply(batch) != Ok(Applied::Done) {
                    break; // the chunks are counted below
                }
            }
            ended.store(true, Ordering::Relaxed);
            killer.join().unwrap()
        });
        assert!(killed > 20, "only {killed} sessions were ended");
        assert_eq!(keys(&log, b"j", b"j"), (0..APPENDS).map(chunk).collect::<Vec<_>>());
        assert_eq!(log.get(b"last").unwrap(), Some((APPENDS - 1).to_be_bytes().to_vec()));
    });
}

#[test]
fn an_append_that_is_not_answered_in_time_may_still_be_written_later() {
    within_bound(|| {
        let database = TestDatabase::new();
        database.open().apply_alone(puts(&[(&chunk(0), b"zero")])).unwrap();
        let mut settings = database.settings();
        settings.timeout = Duration::from_millis(300);
        let log = PostgresLog::open(settings).unwrap();
        let other = database.session();
        other.execute("begin; lock table cortado.row");
        let refused = log.apply(puts(&[(&chunk(1), b"one"), (b"row", b"1")]));
        let Err(StoreError::Unavailable(why)) = refused else { panic!("{refused:?}") };
        assert!(why.contains("not known whether the last batch was written"), "{why}");
        other.execute("commit");
        // The sessions that were given up go on when the lock is gone; one of them commits.
        assert_eq!(log.wait_for_chunk(1, Duration::from_secs(30)), Ok(true));
        assert_eq!(log.get(b"row").unwrap(), Some(b"1".to_vec()));
        assert!(log.apply(puts(&[(&chunk(1), b"another")])).unwrap().is_lost());
        assert_eq!(log.apply(puts(&[(&chunk(2), b"two")])), Ok(Applied::Done));
    });
}

#[test]
fn a_commit_that_did_not_wait_for_the_standby_is_not_acknowledged() {
    within_bound(|| {
        let database = TestServer::start().database();
        let mut settings = database.settings();
        settings.timeout = Duration::from_secs(2);
        let log = PostgresLog::create_if_missing(settings, Default::default()).unwrap();
        log.apply_alone(puts(&[(&chunk(0), b"zero")])).unwrap();
        let unavailable = |result: Result<_, StoreError>| match result {
            Err(StoreError::Unavailable(why)) => why,
            other => panic!("{other:?}"),
        };
        let set_standby = |name: &str| {
            database.execute(&format!("alter system set synchronous_standby_names = '{name}'"));
            database.execute("select pg_reload_conf()");
            while database.execute("show synchronous_standby_names") != [name] {
                thread::yield_now();
            }
        };
        let count = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'";
        for (number, end, why) in [
            (1, "pg_cancel_backend(pid)", "synchronous standby"),
            (2, "pg_terminate_backend(pid)", "not known whether the last batch was written"),
        ] {
            set_standby("missing");
            thread::scope(|scope| {
                let append = scope.spawn(|| log.apply(puts(&[(&chunk(number), b"chunk")])));
                wait_until(&database, "wait_event = 'SyncRep'");
                let end =
                    format!("select {end} from pg_stat_activity where wait_event = 'SyncRep'");
                database.execute(&end);
                let refused = unavailable(append.join().unwrap());
                assert!(refused.contains(why), "{refused}");
            });
            assert_eq!(log.get(&chunk(number)).unwrap(), Some(b"chunk".to_vec()), "others see it");
            unavailable(log.apply(puts(&[(b"row", b"1")])));
            unavailable(log.begin_writing().map(|()| Applied::Done));
            unavailable(log.reopen().map(|()| Applied::Done));
            set_standby("");
            while database.execute(count) != ["0"] {
                thread::yield_now();
            }
            log.reopen().unwrap();
        }
        assert_eq!(keys(&log, b"j", b"j"), [chunk(0), chunk(1), chunk(2)]);
        log.apply_alone(puts(&[(&chunk(3), b"three")])).unwrap();
    });
}

#[test]
fn an_append_is_durable_whatever_the_defaults_are() {
    let database = TestDatabase::new();
    database.open();
    // The constraint is checked at the commit.
    database.execute(
        "create table seen (value text);
         create function see() returns trigger language plpgsql as
             $$ begin insert into seen values (current_setting('synchronous_commit')); return null; end $$;
         create constraint trigger see after insert on cortado.chunk initially deferred
             for each row execute function see();
         create constraint trigger see after insert on cortado.row initially deferred
             for each row execute function see();",
    );
    for (number, (setting, used)) in
        (0..).zip([("off", "on"), ("local", "local"), ("remote_apply", "remote_apply")])
    {
        let set = "do $$ begin execute 'alter database ' || current_database() || \
             ' set synchronous_commit = X'; end $$; truncate seen; truncate cortado.row";
        database.execute(&set.replace('X', setting));
        let log = database.open();
        log.apply_alone(puts(&[(&chunk(number), b"chunk")])).unwrap();
        log.apply_alone(puts(&[(b"row", b"row")])).unwrap();
        assert_eq!(database.execute("select distinct value from seen"), [used]);
    }
}
