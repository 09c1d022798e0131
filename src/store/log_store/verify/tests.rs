//! Each kind of damage, done to a directory in which everything occurs.

use std::path::Path;

use tempfile::TempDir;

use super::super::tests::fixture;
use super::*;
use crate::access::{AccessRecord, User};
use crate::job::{AccessChange, AccessSubject, Change, Event, Fact, Json, State};
use crate::store::Piece;
use crate::store::data_dir::{read_all_pieces, verify};
use crate::store::log::WriteBatch;
use crate::store::log_store::archive::runs::Run;
use crate::store::log_store::journal::codec::Packer;
use crate::store::sled::SledLog;

async fn full() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fixture::fill(dir.path()).await;
    dir
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
        }
    }
    to
}

fn open(dir: &Path) -> SledLog {
    SledLog::for_test(dir)
}

fn rows(log: &dyn Log, letter: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    log.scan(letter.as_bytes()).map(Result::unwrap).collect()
}

fn put(log: &dyn Log, key: &[u8], value: &[u8]) {
    let mut writes = WriteBatch::default();
    writes.put(key, value.to_vec());
    log.apply_alone(writes).unwrap();
}

fn remove(log: &dyn Log, (key, value): &(Vec<u8>, Vec<u8>)) {
    let mut writes = WriteBatch::default();
    writes.remove(key.clone(), value.len());
    log.apply_alone(writes).unwrap();
}

/// The first record whose key begins so.
fn record(log: &dyn Log, prefix: &str) -> AccessRecord {
    let (key, value) = rows(log, prefix).swap_remove(0);
    access_rows::decode(&key, &value).unwrap()
}

fn put_record(log: &dyn Log, record: &AccessRecord) {
    let mut writes = WriteBatch::default();
    access_rows::put(&mut writes, &mut Default::default(), record).unwrap();
    log.apply_alone(writes).unwrap();
}

/// Appends a chunk with these records, made from the newest event number.
fn append(log: &dyn Log, records: impl FnOnce(u64) -> Vec<Record>) {
    let (key, value) = rows(log, "j").pop().unwrap();
    let last = Chunk::decode(&value).unwrap();
    let count = last.records.iter().filter(|r| matches!(r, Record::Event(_))).count() as u64;
    let mut packer = Packer::new(last.at, last.first_seq + count);
    for record in records(last.first_seq + count) {
        packer.push(&record).unwrap();
    }
    let next = chunks::key(chunks::number(&key).unwrap() + 1);
    put(log, &next, &packer.finish().unwrap()[0].seal());
}

fn jobs(dir: &Path) -> Vec<crate::job::Job> {
    let mut jobs = Vec::new();
    read_all_pieces::<StoreError>(dir, |piece| {
        if let Piece::Job(job) = piece {
            jobs.push(*job);
        }
        Ok(())
    })
    .unwrap();
    jobs
}

fn change_meta(log: &dyn Log, change: impl FnOnce(&mut Meta)) {
    let mut meta = Meta::decode(&log.get(Meta::KEY).unwrap().unwrap()).unwrap().meta;
    change(&mut meta);
    put(log, Meta::KEY, &meta.encode().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_directory_is_counted_and_not_changed() {
    let dir = full().await;
    let before = rows(&open(dir.path()), "");
    let report = verify(dir.path());
    assert!(report.is_sound(), "{report}");
    assert_eq!(rows(&open(dir.path()), ""), before, "a running job stays running");
    let stored = jobs(dir.path());
    for state in State::ALL {
        let count = stored.iter().filter(|job| job.status.state == state).count() as u64;
        assert!(count > 0 && report.jobs[&state] == count, "{state}: {count}");
    }
    assert!(report.archived > 5 && report.runs > 1 && report.keys > 5 && report.schedules > 0);
    assert_eq!((report.oldest, report.events), (0, report.head));
    let text = report.to_string();
    assert!(text.ends_with("sound") && text.contains(&format!("jobs      {}", stored.len())));
}

/// The letters of all keys and the kinds of all records.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fixture_has_everything_that_can_be_written() {
    let dir = full().await;
    let log = open(dir.path());
    for letter in ["meta", "j", "a", "r", "t", "k", "s", "q", "u", "o", "x", "l", "v", "i"] {
        assert!(!rows(&log, letter).is_empty(), "{letter}");
    }
    let mut types = std::collections::BTreeSet::new();
    let (mut carried, mut pruned, mut largest) = (0, 0, 0);
    for (_, value) in rows(&log, "j") {
        largest = largest.max(value.len());
        for record in Chunk::decode(&value).unwrap().records {
            match record {
                Record::Event(event) => drop(types.insert(event.event_type())),
                Record::Carried(_) => carried += 1,
                Record::Pruned(_) => pruned += 1,
                Record::Note(_) => {}
            }
        }
    }
    assert!(types.iter().eq(&std::collections::BTreeSet::from(crate::job::EventType::ALL)));
    assert!(carried > 0 && pruned > 0 && largest > 14_000, "{carried} {pruned} {largest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_damage_is_named() {
    let sound = full().await;
    let stored = jobs(sound.path());
    let find = |state| stored.iter().find(|job| job.status.state == state).unwrap().clone();
    let archived = stored[0].clone();
    let event_of = |job: &crate::job::Job, seq, change| {
        let (labels, id) = (job.labels.clone(), job.id);
        let fact = Fact::Job { id, labels, state: State::Completed, attempt: 1, change };
        Record::Event(Event { seq, at: Default::default(), by: None, fact })
    };
    let completed = || Change::Completed { result: Json::null() };

    type Damage<'a> = Box<dyn Fn(&dyn Log, &Path) + 'a>;
    let damages: Vec<(&str, Damage<'_>)> = vec![
        (
            "j 3: the checksum",
            Box::new(|log, _| {
                let (key, mut value) = rows(log, "j").swap_remove(3);
                *value.last_mut().unwrap() ^= 1;
                put(log, &key, &value);
            }),
        ),
        ("j 4: chunk 3 is missing", Box::new(|log, _| remove(log, &rows(log, "j")[3]))),
        (
            "cannot be: a scheduled job cannot be completed",
            Box::new(|log, _| {
                append(log, |seq| vec![event_of(&find(State::Scheduled), seq, completed())]);
            }),
        ),
        (
            "says that job",
            Box::new(|log, _| {
                append(log, |seq| vec![event_of(&find(State::Running), seq, Change::Cancelled)]);
            }),
        ),
        (
            "was pruned while",
            Box::new(|log, _| {
                append(log, |_| vec![Record::Pruned(find(State::Available).id)]);
            }),
        ),
        (
            "was copied as",
            Box::new(|log, _| {
                let mut job = find(State::Available);
                job.seq -= 1;
                append(log, |_| vec![Record::Carried(Box::new(job))]);
            }),
        ),
        (
            "u \"anna\": the checksum",
            Box::new(|log, _| {
                let (key, mut value) = rows(log, "u").swap_remove(0);
                *value.last_mut().unwrap() ^= 1;
                put(log, &key, &value);
            }),
        ),
        (
            "u \"bob\": the row of the user and the journal disagree",
            Box::new(|log, _| {
                let AccessRecord::User(bob) = record(log, "ubob") else { panic!("no user") };
                let enabled = User { disabled: false, ..User::clone(&bob) };
                put_record(log, &AccessRecord::User(enabled.into()));
            }),
        ),
        (
            "u \"gone\": the journal says that the user was deleted",
            Box::new(|log, _| {
                let AccessRecord::User(bob) = record(log, "ubob") else { panic!("no user") };
                let gone = User { name: "gone".parse().unwrap(), ..User::clone(&bob) };
                put_record(log, &AccessRecord::User(gone.into()));
            }),
        ),
        (
            "the token was revoked",
            Box::new(|log, _| {
                let AccessRecord::Token(token) = record(log, "o") else { panic!("no token") };
                append(log, |seq| {
                    let (id, name) = (token.id.clone(), token.name.clone());
                    let subject = AccessSubject::Token { id, name };
                    let fact = Fact::Access { subject, change: AccessChange::TokenRevoked };
                    vec![Record::Event(Event { seq, at: Default::default(), by: None, fact })]
                });
            }),
        ),
        (
            "d \"resize\": the row of the declared kind and the journal disagree",
            Box::new(|log, _| {
                let row = rows(log, "d").into_iter().find(|(key, _)| key == b"dresize").unwrap();
                remove(log, &row);
            }),
        ),
        (
            "it holds declared kind",
            Box::new(|log, _| {
                let (_, value) = rows(log, "d").swap_remove(0);
                put(log, b"dzoe", &value);
            }),
        ),
        (
            "it has the key of another",
            Box::new(|log, _| {
                let (_, value) = rows(log, "u").swap_remove(0);
                put(log, b"uzoe", &value);
            }),
        ),
        (
            "is both archived and not",
            Box::new(|log, _| {
                let mut job = archived.clone();
                job.status.state = State::Available;
                append(log, |_| vec![Record::Carried(Box::new(job))]);
            }),
        ),
        (
            "have the same key",
            Box::new(|log, _| {
                let mut job = find(State::Scheduled);
                let retried = stored.iter().find(|job| {
                    job.spec.idempotency_key.is_some() && job.status.state == State::Available
                });
                job.spec = retried.unwrap().spec.clone();
                append(log, |_| vec![Record::Carried(Box::new(job))]);
            }),
        ),
        (
            "is an archived job's too",
            Box::new(|log, _| {
                let mut job = find(State::Scheduled);
                job.spec = archived.spec.clone();
                append(log, |_| vec![Record::Carried(Box::new(job))]);
            }),
        ),
        ("r ", Box::new(|log, _| remove(log, &rows(log, "a")[0]))),
        ("has no row", Box::new(|log, _| remove(log, &rows(log, "k")[0]))),
        ("archived jobs with a key", Box::new(|log, _| put(log, b"kmore", &[0; 16]))),
        ("is said to be", Box::new(|log, _| put(log, &rows(log, "k")[0].0, &[0; 16]))),
        ("counts are not those", Box::new(|log, _| change_run(log, |run| run.counts[0].3 += 1))),
        ("times are not those", Box::new(|log, _| change_run(log, |run| run.finished.clear()))),
        ("does not begin with", Box::new(|log, _| change_run(log, |run| run.first_seq -= 1))),
        ("jobs with keys, not", Box::new(|log, _| change_run(log, |run| run.keyed += 1))),
        (
            "ranges of ids",
            Box::new(|log, _| {
                change_run(log, |run| run.chunks[0].last = run.chunks[0].first);
            }),
        ),
        ("belongs to no run", Box::new(|log, _| remove(log, &rows(log, "r")[0]))),
        ("past 1", Box::new(|log, _| change_meta(log, |meta| meta.archived = 1))),
        ("the log ends at", Box::new(|log, _| change_meta(log, |meta| meta.archived += 999))),
        ("the next run is to be", Box::new(|log, _| change_meta(log, |meta| meta.next_run = 1))),
        ("meta: missing", Box::new(|log, _| remove(log, &rows(log, "meta")[0]))),
        (
            "head: the file is missing",
            Box::new(|_, dir| {
                std::fs::remove_file(dir.join("head")).unwrap();
            }),
        ),
        (
            "was durable; the log ends at 2",
            Box::new(|log, _| {
                for row in rows(log, "j").iter().skip(2) {
                    remove(log, row);
                }
            }),
        ),
        (
            "s \"nightly\": the checksum",
            Box::new(|log, _| {
                let (key, mut value) = rows(log, "s").swap_remove(0);
                *value.last_mut().unwrap() ^= 1;
                put(log, &key, &value);
            }),
        ),
        (
            "s \"other\": it holds schedule nightly",
            Box::new(|log, _| put(log, b"sother", &rows(log, "s")[0].1)),
        ),
        (
            "q \"held\": the settings of the queue and the journal disagree",
            Box::new(|log, _| remove(log, &rows(log, "q")[0])),
        ),
        (
            "q \"freed\": the settings of the queue and the journal disagree",
            Box::new(|log, _| put(log, b"qfreed", &rows(log, "q")[0].1)),
        ),
        ("q \"not a name\"", Box::new(|log, _| put(log, b"qnot a name", &rows(log, "q")[0].1))),
        ("zzz: unknown key", Box::new(|log, _| put(log, b"zzz", b"?"))),
        (
            "1 values are in unsynced",
            Box::new(|_, dir| {
                std::fs::create_dir_all(dir.join("blobs")).unwrap();
                std::fs::write(dir.join("blobs/7"), "x").unwrap();
            }),
        ),
    ];
    for (expected, damage) in damages {
        let dir = copy(sound.path());
        let log = open(dir.path());
        damage(&log, dir.path());
        drop(log);
        let report = verify(dir.path());
        let found = report
            .problems
            .iter()
            .any(|problem| format!("{}: {}", problem.key, problem.what).contains(expected));
        assert!(found, "{expected:?} is not among\n{report}");
    }
}

fn change_run(log: &dyn Log, change: impl FnOnce(&mut Run)) {
    let runs = rows(log, "r").into_iter().map(|(key, value)| (key, Run::decode(&value).unwrap()));
    let (key, mut run) = runs.max_by_key(|(_, run)| run.len()).unwrap();
    change(&mut run);
    let raw = postcard::to_stdvec(&run).unwrap();
    put(
        log,
        &key,
        &crate::store::log_store::journal::codec::seal(crate::store::formats::RUN_HEADER, &raw),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_cannot_be_read_are_a_problem_and_nothing_is_created() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    assert!(verify(&nowhere).to_string().contains("there is no directory"));
    assert!(!nowhere.exists());
    assert!(verify(dir.path()).to_string().contains("there is no store in"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);

    let sound = full().await;
    let bytes = std::fs::read(sound.path().join("db")).unwrap();
    for cut in [0, 1, 1_000] {
        let dir = copy(sound.path());
        std::fs::write(dir.path().join("db"), &bytes[..cut]).unwrap();
        let report = verify(dir.path());
        assert!(!report.is_sound(), "cut at {cut}: {report}");
    }
}
