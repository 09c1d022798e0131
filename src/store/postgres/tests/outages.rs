//! Servers that end, and servers that cannot be used.

use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use super::server::{TestDatabase, TestServer};
use crate::store::StoreError;
use crate::store::log::conformance::{chunk, keys, puts, within_bound};
use crate::store::log::{Applied, Log};
use crate::store::postgres::{PostgresLog, PostgresSettings};

#[test]
fn a_log_works_again_when_its_server_does() {
    let server = TestServer::start();
    let database = server.database();
    let log = database.open();
    log.apply_alone(puts(&[(&chunk(0), b"zero")])).unwrap();
    assert_eq!(log.has_chunk(0), Ok(true));
    server.crash();
    let is_unavailable = |error: StoreError| match error {
        StoreError::Unavailable(why) => why,
        other => panic!("{other:?}"),
    };
    is_unavailable(log.get(b"row").unwrap_err());
    is_unavailable(log.scan(b"j").next().unwrap().unwrap_err());
    is_unavailable(log.has_chunk(1).unwrap_err());
    let why = is_unavailable(log.apply(puts(&[(&chunk(1), b"one")])).unwrap_err());
    assert!(why.contains(log.location()), "{why}");
    log.shut();
    is_unavailable(log.reopen().unwrap_err());
    is_unavailable(log.get(b"row").unwrap_err());

    server.start_again();
    log.reopen().unwrap();
    assert_eq!(keys(&log, b"j", b"j"), [chunk(0)]);
    assert_eq!(log.apply(puts(&[(&chunk(1), b"one")])), Ok(Applied::Done));

    // A log that nobody has used in the meantime notices nothing.
    server.crash();
    server.start_again();
    assert_eq!(log.get(&chunk(1)).unwrap(), Some(b"one".to_vec()));
    assert_eq!(log.apply(puts(&[(&chunk(2), b"two")])), Ok(Applied::Done));
}

#[test]
fn appends_during_crashes_of_the_server_are_all_there_or_refused() {
    within_bound(|| {
        const CRASHES: usize = 3;
        let server = TestServer::start();
        let database = server.database();
        let log = database.open();
        let (mut number, mut refused) = (0, 0);
        thread::scope(|scope| {
            let crashes = scope.spawn(|| {
                for _ in 0..CRASHES {
                    let before = database.execute("select count(*) from cortado.chunk");
                    while database.execute("select count(*) from cortado.chunk") == before {
                        thread::yield_now();
                    }
                    server.crash();
                    server.start_again();
                }
            });
            while !crashes.is_finished() {
                match log
                    .apply(puts(&[(&chunk(number), &[1; 100]), (b"last", &number.to_be_bytes())]))
                {
                    Ok(Applied::Done) => number += 1,
                    Ok(Applied::Lost(_)) => panic!("nobody else appends"),
                    Err(StoreError::Unavailable(_)) => {
                        refused += 1;
                        while log.reopen().is_err() {
                            thread::yield_now();
                        }
                        // It may have been written nevertheless.
                        number = keys(&log, b"j", b"j").len() as u64;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        });
        assert_eq!(keys(&log, b"j", b"j"), (0..number).map(chunk).collect::<Vec<_>>());
        let last = log.get(b"last").unwrap().unwrap();
        assert_eq!(u64::from_be_bytes(last.try_into().unwrap()), number - 1, "{refused} refused");
    });
}

#[test]
fn a_server_that_cannot_be_used_is_named_with_the_reason() {
    let server = TestServer::shared();
    server.execute("postgres", "create role locked login password 's3cret'");
    let socket = server.socket_dir().display();
    for (url, why) in [
        (
            format!("postgresql://locked:wr0ng@/postgres?host={socket}"),
            "password authentication failed",
        ),
        (
            format!("postgresql://cortado@/nothing?host={socket}"),
            "database \"nothing\" does not exist",
        ),
        (format!("postgresql://cortado:wr0ng@/postgres?host={socket}/none"), "No such file"),
        (format!("postgresql://locked:s3cret@/postgres?host={socket}"), "permission denied"),
        (format!("postgresql://cortado:wr0ng@/postgres?host={socket}&sslmode=require"), "TLS"),
    ] {
        let settings = url.parse().unwrap();
        let error = PostgresLog::create_if_missing(settings, Default::default()).err().unwrap();
        let StoreError::Unavailable(text) = &error else { panic!("{url}: {error:?}") };
        assert!(text.contains(why), "{url}: {text}");
        assert!(text.contains(&format!("{socket}")), "{text}");
        assert!(!text.contains("wr0ng") && !text.contains("s3cret"), "{text}");
    }
}

#[test]
fn a_server_that_accepts_connections_and_says_nothing_is_given_up() {
    let dir = tempfile::Builder::new().prefix("silent.").tempdir_in("/tmp").unwrap();
    let listener = UnixListener::bind(dir.path().join(".s.PGSQL.5432")).unwrap();
    let accepted = thread::spawn(move || listener.accept().unwrap());
    within_bound(move || {
        let url = format!("postgresql://cortado@/jobs?host={}", dir.path().display());
        let mut settings: PostgresSettings = url.parse().unwrap();
        settings.connect_timeout = Duration::from_millis(20);
        let refused = PostgresLog::open(settings).err().unwrap().to_string();
        assert!(refused.contains("no connection within 20ms"), "{refused}");
    });
    drop(accepted.join());
}

#[test]
fn a_host_that_says_nothing_leaves_the_others_their_time() {
    let dir = tempfile::Builder::new().prefix("silent.").tempdir_in("/tmp").unwrap();
    let _silent = UnixListener::bind(dir.path().join(".s.PGSQL.5432")).unwrap();
    let database = TestDatabase::new();
    let hosts = format!("{},{}", dir.path().display(), TestServer::shared().socket_dir().display());
    let url = database.url_at(std::path::Path::new(&hosts));
    within_bound(move || {
        let mut settings: PostgresSettings = url.parse().unwrap();
        settings.connect_timeout = Duration::from_millis(500);
        let log = PostgresLog::create_if_missing(settings, Default::default()).unwrap();
        assert_eq!(log.get(b"row"), Ok(None));
    });
}

#[test]
fn a_statement_that_is_not_answered_in_time_is_given_up() {
    let database = TestDatabase::new();
    let mut settings = database.settings();
    settings.timeout = Duration::from_millis(500);
    let log = PostgresLog::create_if_missing(settings, Default::default()).unwrap();
    let session = database.session();
    session.execute("begin; lock table cortado.row in access exclusive mode");
    let refused = log.get(b"row").unwrap_err().to_string();
    assert!(refused.contains("no answer within 500ms"), "{refused}");
    drop(session);
    assert_eq!(log.get(b"row"), Ok(None));
}

#[test]
fn a_log_reads_with_as_many_connections_as_it_is_told() {
    let database = TestDatabase::new();
    drop(database.open());
    let connections = |readers| {
        let mut settings = database.settings();
        settings.readers = readers;
        let log = PostgresLog::open(settings).unwrap();
        for _ in 0..20 {
            log.get(b"row").unwrap();
        }
        let sql = "select count(*) from pg_stat_activity where datname = current_database()
            and query like '%cortado.row%' and pid <> pg_backend_pid()";
        let open = database.execute(sql);
        drop(log);
        // The connections of the next log would be counted with these.
        while database.execute(sql) != ["0"] {
            thread::yield_now();
        }
        open
    };
    assert_eq!(connections(1), ["1"]);
    assert_eq!(connections(3), ["3"]);
}

#[test]
fn a_standby_is_refused() {
    let database = TestDatabase::new();
    database.open();
    database.execute(
        "do $$ begin execute 'alter database ' || current_database() ||
         ' set default_transaction_read_only = on'; end $$",
    );
    let error = PostgresLog::open(database.settings()).err().unwrap();
    let StoreError::Unavailable(why) = &error else { panic!("{error:?}") };
    assert!(why.contains("does not allow writes"), "{why}");
}
