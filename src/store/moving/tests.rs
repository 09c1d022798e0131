//! Stores that are moved to a PostgreSQL server, which the tests start, and back.

use std::sync::Arc;

use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::access::AccessRecord;
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::job::{JobId, JobQuery, State, Time, WorkerName};
use crate::store::conformance::{draft, kinds, queue, secs};
use crate::store::log_store::LogStore;
use crate::store::log_store::tests::fixture;
use crate::store::postgres::tests::server::TestDatabase;
use crate::store::{Claim, LeaseRef, Piece, Store, StoreLimits, WorkerPlace, data_dir, database};

/// Everything in a store, as text.
fn lines(location: &StorageLocation) -> Vec<String> {
    let line = |piece: &Piece| String::from_utf8(piece.to_line().unwrap()).unwrap();
    pieces(location).iter().map(line).collect()
}

fn pieces(location: &StorageLocation) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let take = |piece| -> Result<(), StoreError> {
        pieces.push(piece);
        Ok(())
    };
    location.read_all_pieces(take).unwrap();
    pieces
}

/// A runtime for the verbs of stores. What waits for a server of the tests runs outside of it.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A directory in which everything occurs, as a crashed server has left it.
fn full(runtime: &Runtime) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    runtime.block_on(fixture::fill(dir.path()));
    dir
}

fn in_directory(dir: &TempDir) -> StorageLocation {
    dir.path().into()
}

fn in_database(database: &TestDatabase) -> StorageLocation {
    database.settings().into()
}

fn moved(from: &StorageLocation, to: &StorageLocation) {
    let report = move_store(from, to).unwrap();
    assert!(report.is_sound(), "{report}");
}

fn refused(from: &StorageLocation, to: &StorageLocation) -> String {
    move_store(from, to).unwrap_err().to_string()
}

fn serve(database: &TestDatabase, node: &str, clock: &Arc<dyn Clock>) -> Arc<LogStore> {
    let mut settings = database.settings();
    settings.node = node.to_owned();
    database::open(settings, StoreLimits::default(), clock.clone()).unwrap()
}

fn cannot_serve(location: &StorageLocation) -> String {
    let (limits, clock) = (StoreLimits::default(), Arc::new(SystemClock));
    let opened = match location {
        StorageLocation::Directory(dir) => data_dir::open(dir, limits, clock),
        StorageLocation::Database(settings) => {
            database::open(PostgresSettings::clone(settings), limits, clock)
        }
    };
    opened.err().unwrap().to_string()
}

#[test]
fn what_is_moved_to_a_database_and_back_is_the_same() {
    let (runtime, database) = (runtime(), TestDatabase::new());
    let (one, two) = (full(&runtime), tempfile::tempdir().unwrap());
    let before = lines(&in_directory(&one));
    moved(&in_directory(&one), &in_database(&database));
    assert_eq!(lines(&in_database(&database)), before, "with the same epoch");
    let said = cannot_serve(&in_directory(&one));
    let location = in_database(&database).to_string();
    assert!(said.contains(&format!("was moved to {location}")), "{said}");
    assert_eq!(lines(&in_directory(&one)), before, "what is left can still be read");
    let said = refused(&in_directory(&one), &in_directory(&two));
    assert!(said.contains("was moved to"), "{said}");

    moved(&in_database(&database), &in_directory(&two));
    assert_eq!(lines(&in_directory(&two)), before);
    let said = cannot_serve(&in_database(&database));
    assert!(said.contains(&format!("was moved to {}", two.path().display())), "{said}");
    let format = "select count(*) from cortado.meta where key = 'format'";
    assert_eq!(database.execute(format), ["0"], "and no process appends to it");

    let store = data_dir::open(two.path(), StoreLimits::default(), Arc::new(SystemClock)).unwrap();
    runtime.block_on(async {
        let stats = store.stats().await.unwrap();
        assert_eq!(stats.states[&State::Running], 1, "a remote worker goes on");
        store.close().await.unwrap();
    });
}

#[test]
fn submissions_in_sql_are_never_left_behind() {
    let (runtime, database) = (runtime(), TestDatabase::new());
    let (one, two) = (full(&runtime), tempfile::tempdir().unwrap());
    moved(&in_directory(&one), &in_database(&database));
    let enqueue = "select cortado.enqueue('echo')";
    database.execute(enqueue);
    let said = refused(&in_database(&database), &in_directory(&two));
    assert!(said.contains("jobs that were submitted in SQL wait"), "{said}");
    database.execute("delete from cortado.inbox");
    moved(&in_database(&database), &in_directory(&two));
    let said = database.session().refusal(enqueue);
    assert!(said.contains("moved to another place"), "{said}");
}

#[test]
fn a_directory_in_an_older_format_is_moved_into_the_newest_one() {
    let (runtime, fixtures) = (runtime(), concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"));
    for format in ["store-v1", "store-v1-rates", "store-v2", "store-v3"] {
        let (dir, database) = (tempfile::tempdir().unwrap(), TestDatabase::new());
        fixture::copy(&Path::new(fixtures).join(format), dir.path());
        let before = pieces(&in_directory(&dir));
        moved(&in_directory(&dir), &in_database(&database));
        let (mut after, mut added) = (pieces(&in_database(&database)), 0);
        let is_key = |piece: &Piece| matches!(piece, Piece::Access(AccessRecord::SigningKey(_)));
        assert_eq!(after.iter().filter(|piece| is_key(piece)).count(), 1, "{format}");
        if !before.iter().any(is_key) {
            added = 1; // by the move, because nodes that start at once must agree on it
            after.retain(|piece| !is_key(piece));
        }
        let Some(Piece::End(totals)) = after.last_mut() else { panic!() };
        totals.access -= added;
        assert_eq!(after, before, "{format}");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let node = serve(&database, "node", &clock);
        runtime.block_on(node.close()).unwrap();
        assert!(in_database(&database).verify().is_sound(), "{format}");
    }
}

#[test]
fn jobs_that_ran_when_a_directory_was_moved_are_given_back_by_one_node() {
    let (runtime, database) = (runtime(), TestDatabase::new());
    let dir = full(&runtime);
    moved(&in_directory(&dir), &in_database(&database));
    let manual = ManualClock::at(Time::from_millis(1_790_001_000_000));
    let clock: Arc<dyn Clock> = Arc::new(manual.clone());
    let (one, two) = (serve(&database, "one", &clock), serve(&database, "two", &clock));
    runtime.block_on(async {
        let stats = one.stats().await.unwrap();
        assert_eq!(stats.states[&State::Running], 1, "the others were given back");
        let lease = running(&*one).await;
        // The worker goes on through the other node, so neither gives its job back.
        for _ in 0..3 {
            manual.advance(secs(20));
            let leases = vec![lease];
            two.extend(leases, secs(30)).await.unwrap();
            assert_eq!(
                (one.tick().await.unwrap().rescued, two.tick().await.unwrap().rescued),
                (0, 0)
            );
        }
        manual.advance(secs(31));
        let rescued = one.tick().await.unwrap().rescued + two.tick().await.unwrap().rescued;
        assert_eq!(rescued, 1, "its lease has ended, on one of them");
        one.close().await.unwrap();
        two.close().await.unwrap();
    });
}

/// The lease of the only running job.
async fn running(store: &dyn Store) -> LeaseRef {
    let query = JobQuery { states: vec![State::Running], limit: 10, ..JobQuery::default() };
    let page = store.list(query).await.unwrap();
    let job = store.get(page.jobs[0].id).await.unwrap().0.unwrap();
    let (token, _) = job.lease().unwrap();
    LeaseRef { job: job.id, token }
}

#[test]
fn jobs_that_a_dead_node_was_running_are_given_back_where_the_store_is_moved_to() {
    let (runtime, database) = (runtime(), TestDatabase::new());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let node = serve(&database, "dead", &clock);
    let (lost, kept): (JobId, JobId) = runtime.block_on(async {
        let claim = |place, ttl| Claim {
            queues: vec![queue("default")],
            kinds: kinds(&["echo"]),
            worker: WorkerName::parse("worker").unwrap(),
            place,
            max: 1,
            ttl,
        };
        node.enqueue(vec![draft().job(), draft().job()]).await.unwrap();
        let lost = node.claim(claim(WorkerPlace::InProcess, secs(30))).await.unwrap();
        let kept = node.claim(claim(WorkerPlace::Remote, secs(600))).await.unwrap();
        (lost.leases[0].job.id, kept.leases[0].job.id)
    });
    drop(node); // as a crash
    let dir = tempfile::tempdir().unwrap();
    let said = refused(&in_database(&database), &in_directory(&dir));
    assert!(
        said.contains("in use by nodes: dead (heard of") && said.contains("stop them"),
        "{said}"
    );
    assert!(said.contains(&in_database(&database).to_string()), "{said}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was begun");
    database.execute("update cortado.node set heartbeat = heartbeat - interval '16 seconds'");
    moved(&in_database(&database), &in_directory(&dir));
    let store = data_dir::open(dir.path(), StoreLimits::default(), Arc::new(SystemClock)).unwrap();
    runtime.block_on(async {
        let state = async |id| store.get(id).await.unwrap().0.unwrap().status.state;
        assert_eq!((state(lost).await, state(kept).await), (State::Available, State::Running));
        store.close().await.unwrap();
    });
}

#[test]
fn an_interrupted_move_leaves_no_store_and_can_be_begun_again() {
    let (runtime, database) = (runtime(), TestDatabase::new());
    let dir = full(&runtime);
    let before = lines(&in_directory(&dir));
    let location = in_database(&database);
    for _ in 0..2 {
        let arriving = Arriving::begin(&location).unwrap();
        let said = cannot_serve(&location);
        assert!(said.contains("another command is building a store"), "{said}");
        let second = Arriving::begin(&location).err().unwrap().to_string();
        assert!(second.contains("another command is building a store"), "{second}");
        let from = SledLog::read_only(dir.path()).unwrap();
        let head = verify(&in_directory(&dir));
        log_store::copy(&from, arriving.log().unwrap(), head).unwrap();
        drop(arriving); // as if the process were killed
        let said = cannot_serve(&location);
        assert!(
            said.contains("holds an unfinished import, restore or move and no store"),
            "{said}"
        );
        let report = location.verify().to_string();
        assert!(report.contains("unfinished"), "{report}");
        let said = refused(&location, &in_directory(&tempfile::tempdir().unwrap()));
        assert!(said.contains("unfinished"), "{said}");
        assert_eq!(database.execute("select to_regclass('cortado.chunk') is null"), ["t"]);
    }
    moved(&in_directory(&dir), &location);
    assert_eq!(lines(&location), before);
    let said = refused(&in_directory(&full(&runtime)), &location);
    assert!(said.contains("not empty: there is a store in it; nothing was changed"), "{said}");
}

fn verify(location: &StorageLocation) -> Cursor {
    let report = location.verify();
    Cursor { epoch: report.epoch.unwrap(), seq: report.head }
}

#[test]
fn a_move_that_ended_before_its_last_step_is_finished_by_the_same_command_only() {
    let (runtime, database) = (runtime(), TestDatabase::new());
    let (one, two) = (full(&runtime), tempfile::tempdir().unwrap());
    let before = lines(&in_directory(&one));
    let (here, there, back) = (in_directory(&one), in_database(&database), in_directory(&two));
    for (from, to) in [(&here, &there), (&there, &back)] {
        let target = name(to).unwrap();
        drop(Arriving::begin(to).unwrap());
        Leaving::begin(from, &target).unwrap().leave(&target).unwrap();
        assert!(cannot_serve(from).contains(&format!("was moved to {target}")));
        assert!(cannot_serve(to).contains("unfinished"));
        let elsewhere = tempfile::tempdir().unwrap();
        let said = refused(from, &in_directory(&elsewhere));
        assert!(said.contains(&format!("was moved to {target}")), "{said}");
        moved(from, to);
        assert_eq!(lines(to), before);
    }
}

#[test]
fn nothing_is_written_to_a_database_that_is_being_moved() {
    let database = TestDatabase::new();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (runtime, node) = (runtime(), serve(&database, "late", &clock));
    // A node that has started and was not heard of yet, or that was frozen for long.
    runtime.block_on(node.enqueue(vec![draft().job()])).unwrap();
    let frozen = "
        create function cortado.silent() returns trigger language plpgsql as
            'begin new.heartbeat = clock_timestamp() - interval ''1 hour''; return new; end';
        create trigger silent before insert or update on cortado.node
            for each row execute function cortado.silent();
        update cortado.node set name = name";
    database.execute(frozen);
    let newest = "select max(number) from cortado.chunk";
    let before = database.execute(newest);
    let location = in_database(&database);
    let leaving = Leaving::begin(&location, "elsewhere").unwrap();
    let said = cannot_serve(&location);
    assert!(said.contains("another command is building a store in it, or moving its"), "{said}");
    let locked = "select count(*) from pg_locks where not granted and mode = 'RowExclusiveLock'";
    let writing = runtime.spawn({
        let node = node.clone();
        async move { node.enqueue(vec![draft().job()]).await }
    });
    while database.execute(locked) == ["0"] {
        std::thread::yield_now();
    }
    leaving.leave("elsewhere").unwrap();
    let written = runtime.block_on(writing).unwrap();
    assert!(written.is_err(), "{written:?}");
    assert_eq!(database.execute(newest), before);
    drop(node);
}

#[test]
fn a_place_that_is_no_store_or_the_same_one_is_refused() {
    let (runtime, database) = (runtime(), TestDatabase::new());
    let (dir, empty) = (full(&runtime), tempfile::tempdir().unwrap());
    let said = refused(&in_directory(&empty), &in_database(&database));
    assert!(said.contains("there is no store in"), "{said}");
    let said = refused(&in_database(&database), &in_directory(&empty));
    assert!(said.contains("there is no store in this database"), "{said}");
    assert_eq!(database.execute("select to_regnamespace('cortado') is null"), ["t"]);
    let said = refused(&in_directory(&dir), &in_directory(&dir));
    assert!(said.contains("already"), "{said}");
    let store = data_dir::open(dir.path(), StoreLimits::default(), Arc::new(SystemClock)).unwrap();
    let said = refused(&in_directory(&dir), &in_database(&database));
    assert!(said.contains("in use by another process"), "{said}");
    runtime.block_on(store.close()).unwrap();
}
