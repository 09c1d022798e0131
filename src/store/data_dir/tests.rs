//! Snapshots of directories, and directories built from them.

use tempfile::TempDir;

use super::*;
use crate::access::Role;
use crate::access::tests::{add_user, user};
use crate::clock::SystemClock;
use crate::job::{State, Time, WorkerName};
use crate::store::conformance::{draft, kinds, queue, secs};
use crate::store::log_store::tests::fixture;
use crate::store::snapshot::Head;
use crate::store::{Claim, Store, WorkerPlace};

fn pieces(dir: &Path) -> Vec<Piece> {
    let mut pieces = Vec::new();
    read_all_pieces::<StoreError>(dir, |piece| {
        pieces.push(piece);
        Ok(())
    })
    .unwrap();
    pieces
}

fn build(pieces: &[Piece]) -> Result<TempDir, StoreError> {
    let dir = tempfile::tempdir().unwrap();
    let mut builder = DataDirBuilder::create(dir.path())?;
    for piece in pieces {
        builder.push(piece.clone())?;
    }
    builder.finish()?;
    Ok(dir)
}

fn without_epoch(pieces: &[Piece]) -> Vec<String> {
    let line = |piece: &Piece| {
        let mut piece = piece.clone();
        if let Piece::Head(head) = &mut piece {
            head.epoch.0 = 0;
        }
        String::from_utf8(piece.to_line().unwrap()).unwrap()
    };
    pieces.iter().map(line).collect()
}

async fn full() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fixture::fill(dir.path()).await;
    dir
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_built_from_a_snapshot_gives_the_same_snapshot() {
    let original = full().await;
    let report = verify(original.path());
    assert!(report.is_sound(), "{report}");
    let first = pieces(original.path());
    let copy = build(&first).unwrap();
    let report = verify(copy.path());
    assert!(report.is_sound(), "{report}");
    let second = pieces(copy.path());
    assert_eq!(without_epoch(&first), without_epoch(&second));
    let (Piece::Head(a), Piece::Head(b)) = (&first[0], &second[0]) else { panic!() };
    assert_ne!(a.epoch, b.epoch, "a new life");

    // And it is a store that goes on where the other stood, but for the jobs that were running.
    let store = open(copy.path(), StoreLimits::default(), Arc::new(SystemClock)).unwrap();
    assert_eq!(store.head().epoch, b.epoch);
    assert!(store.head().seq > a.head);
    store.close().await.unwrap();
    drop(store);
    let report = verify(copy.path());
    assert!(report.is_sound(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_not_whole_makes_no_store() {
    let whole = pieces(full().await.path());
    let refused = |pieces: &[Piece]| build(pieces).err().map(|error| error.to_string());
    assert_eq!(refused(&whole), None);
    for missing in 0..whole.len() {
        let mut less = whole.clone();
        less.remove(missing);
        assert!(refused(&less).is_some(), "without piece {missing}");
    }
    let mut more = whole.clone();
    more.push(whole[1].clone());
    assert!(refused(&more).unwrap().contains("after the end"));

    // A directory in which it broke off is no store, for nobody, however early that was.
    for pieces in [0, 1, whole.len() - 1] {
        let dir = tempfile::tempdir().unwrap();
        let mut builder = DataDirBuilder::create(dir.path()).unwrap();
        whole[..pieces].iter().for_each(|piece| builder.push(piece.clone()).unwrap());
        builder.builder.flush().unwrap();
        drop(builder);
        let opened = open(dir.path(), StoreLimits::default(), Arc::new(SystemClock));
        assert!(opened.err().unwrap().to_string().contains("an unfinished backup"));
        let report = verify(dir.path());
        assert!(report.to_string().contains("an unfinished backup"), "{report}");
        let read = read_all_pieces::<StoreError>(dir.path(), |_| Ok(()));
        assert!(read.unwrap_err().to_string().contains("an unfinished backup"));
        // The same command works a second time.
        let mut builder = DataDirBuilder::create(dir.path()).unwrap();
        whole.iter().for_each(|piece| builder.push(piece.clone()).unwrap());
        builder.finish().unwrap();
        assert!(verify(dir.path()).is_sound());
        assert!(
            DataDirBuilder::create(dir.path()).err().unwrap().to_string().contains("not empty")
        );
    }
}

#[test]
fn an_empty_store_survives_too_and_so_do_its_numbers() {
    let head = Head {
        cortado_export: crate::store::snapshot::FORMAT,
        epoch: crate::job::Epoch(1),
        at: Time::from_millis(5),
        oldest: 70,
        head: 70,
    };
    let all = [Piece::Head(head), Piece::End(Totals::default())];
    let copy = build(&all).unwrap();
    assert_eq!(without_epoch(&pieces(copy.path())), without_epoch(&all));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_ended_while_its_files_were_moved_can_be_repeated() {
    let whole = pieces(full().await.path());
    let made = build(&whole).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(made.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name != "db")
        .collect();
    names.sort();
    for moved in 1..=names.len() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("incomplete")).unwrap();
        for name in &names[..moved] {
            let to = dir.path().join(name);
            if made.path().join(name).is_dir() {
                std::fs::create_dir(to).unwrap();
            } else {
                std::fs::copy(made.path().join(name), to).unwrap();
            }
        }
        // A snapshot that the new store will not have must not stay.
        std::fs::write(dir.path().join("snap.00000000FFFFFFFF"), "of another store").unwrap();
        let mut builder = DataDirBuilder::create(dir.path()).unwrap();
        whole.iter().for_each(|piece| builder.push(piece.clone()).unwrap());
        builder.finish().unwrap();
        let report = verify(dir.path());
        assert!(report.is_sound(), "{moved} moved: {report}");
        assert_eq!(without_epoch(&pieces(dir.path())), without_epoch(&whole));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_store_is_never_replaced() {
    let whole = pieces(full().await.path());
    let dir = tempfile::tempdir().unwrap();
    let mut builder = DataDirBuilder::create(dir.path()).unwrap();
    whole.iter().for_each(|piece| builder.push(piece.clone()).unwrap());
    // Meanwhile another process makes a store here, whatever lock it holds.
    std::fs::write(dir.path().join("db"), "another store").unwrap();
    assert!(builder.finish().unwrap_err().to_string().contains("created a store in it"));
    assert_eq!(std::fs::read(dir.path().join("db")).unwrap(), b"another store");

    // Two commands at once: the second waits for the first, and then finds a store.
    let dir = tempfile::tempdir().unwrap();
    let mut first = DataDirBuilder::create(dir.path()).unwrap();
    whole.iter().for_each(|piece| first.push(piece.clone()).unwrap());
    let path = dir.path().to_owned();
    let second =
        std::thread::spawn(move || DataDirBuilder::create(&path).err().unwrap().to_string());
    first.finish().unwrap();
    let why = second.join().unwrap();
    assert!(why.contains("not empty") || why.contains("in use"), "{why}");
    assert_eq!(without_epoch(&pieces(dir.path())), without_epoch(&whole));

    let inside = DataDirBuilder::create(&dir.path().join("before")).err().unwrap().to_string();
    assert!(inside.contains("inside of a data directory"), "{inside}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_opened_to_maintain_it_keeps_the_jobs_of_a_crashed_server() {
    let dir = tempfile::tempdir().unwrap();
    let open = || open(dir.path(), StoreLimits::default(), Arc::new(SystemClock)).unwrap();
    let server = open();
    let job = draft().queue("mail").job();
    let id = job.id;
    server.enqueue(vec![job]).await.unwrap();
    let worker = WorkerName::parse("w1").unwrap();
    let claim = Claim {
        queues: vec![queue("mail")],
        kinds: kinds(&["echo"]),
        max: 1,
        worker,
        place: WorkerPlace::InProcess,
        ttl: secs(60),
    };
    assert_eq!(server.claim(claim).await.unwrap().leases.len(), 1);
    server.close().await.unwrap(); // the claim is durable, and nobody reports how the attempt ended
    let (starts, head) = (server.starts(), server.head());
    drop(server);

    let store = open_to_maintain(dir.path(), Arc::new(SystemClock)).unwrap();
    assert_eq!((store.starts(), store.head()), (starts.clone(), head));
    store.access(add_user("anna", Role::Admin), None).await.unwrap();
    let state = |job: Option<crate::job::Job>| job.unwrap().status.state;
    assert_eq!(state(store.get(id).await.unwrap().0), State::Running);
    store.close().await.unwrap();
    drop(store);

    let server = open();
    assert_eq!(state(server.get(id).await.unwrap().0), State::Available);
    assert_eq!(server.starts().len(), starts.len() + 1);
    assert!(server.access_table().borrow().user(&user("anna")).is_some());
}
