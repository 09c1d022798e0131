//! Rules for a log that several processes share. Two handles stand for two processes.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::{LogHarness, chunk, keys, puts, scanned};
use crate::store::StoreError;
use crate::store::log::{Applied, Log};

const LONG: Duration = Duration::from_secs(60);

pub(crate) fn one_of_two_batches_with_the_same_chunk_is_written(harness: &impl LogHarness) {
    const ROUNDS: u64 = 50;
    let logs = [harness.open(), harness.open()];
    assert!(logs.iter().all(|log| log.is_shared()));
    let start = Barrier::new(2);
    let outcomes = thread::scope(|scope| {
        let append = |(log, name): (_, u8)| {
            let start = &start;
            let log: &dyn Log = log;
            scope.spawn(move || {
                let mut outcomes = Vec::new();
                for number in 0..ROUNDS {
                    let batch = puts(&[(&chunk(number), &[name]), (b"last", &[name])]);
                    start.wait();
                    outcomes.push(log.apply(batch).unwrap());
                    start.wait();
                }
                outcomes
            })
        };
        let [one, two] = [(&*logs[0], 1), (&*logs[1], 2)].map(append);
        (one.join().unwrap(), two.join().unwrap())
    });
    for (number, (one, two)) in (0..).zip(outcomes.0.iter().zip(&outcomes.1)) {
        let winner = match (one, two) {
            (Applied::Done, Applied::Lost(_)) => 1,
            (Applied::Lost(_), Applied::Done) => 2,
            both => panic!("chunk {number}: {both:?}"),
        };
        assert_eq!(logs[0].get(&chunk(number)).unwrap(), Some(vec![winner]), "chunk {number}");
        assert_eq!(logs[1].get(&chunk(number)).unwrap(), Some(vec![winner]), "chunk {number}");
    }
    assert_eq!(logs[0].get(b"last").unwrap(), logs[0].get(&chunk(ROUNDS - 1)).unwrap());
}

pub(crate) fn nothing_of_a_lost_batch_is_written(harness: &impl LogHarness) {
    let (one, two) = (harness.open(), harness.open());
    let rows: [(&[u8], &[u8]); 4] =
        [(&chunk(0), b"0"), (&chunk(1), b"1"), (b"kept", b"1"), (b"changed", b"1")];
    one.apply_alone(puts(&rows)).unwrap();
    let mut batch = puts(&[(&chunk(1), b"mine"), (&chunk(2), b"2"), (&chunk(3), b"3")]);
    batch.put("new", b"1".to_vec());
    batch.put("changed", b"2".to_vec());
    batch.remove("kept", 1);
    batch.remove(chunk(0), 1);
    let Applied::Lost(others) = two.apply(batch).unwrap() else { panic!("it was written") };
    assert!(others.is_empty() || others == [(chunk(1), b"1".to_vec())], "{others:?}");
    let mut expected = rows.map(|(key, value)| (key.to_vec(), value.to_vec()));
    expected.sort();
    for log in [&one, &two] {
        assert_eq!(scanned(&**log, b"", b""), expected);
    }
    let refused = two.apply_alone(puts(&[(&chunk(0), b"mine")]));
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    let next = puts(&[(&chunk(2), b"2"), (&chunk(3), b"3"), (b"changed", b"2")]);
    assert_eq!(two.apply(next), Ok(Applied::Done));
    assert_eq!(one.get(b"changed").unwrap(), Some(b"2".to_vec()));
}

pub(crate) fn many_appenders_make_a_dense_sequence(harness: &impl LogHarness) {
    const APPENDERS: u8 = 8;
    const EACH: u8 = 25;
    let logs = [harness.open(), harness.open()];
    let next = |log: &dyn Log, from: u64| from + keys(log, b"j", &chunk(from)).len() as u64;
    thread::scope(|scope| {
        for name in 0..APPENDERS {
            let log = &*logs[usize::from(name) % 2];
            scope.spawn(move || {
                let mut number = next(log, 0);
                for count in 0..EACH {
                    // Each batch also has a chunk that decides nothing.
                    let key = [b'c', name];
                    loop {
                        let value = [name, count];
                        let (first, second) = (chunk(number), chunk(number + 1));
                        let batch = puts(&[(&first, &value), (&second, &value), (&key, &value)]);
                        match log.apply(batch).unwrap() {
                            Applied::Done => break,
                            Applied::Lost(others) => {
                                let found = (number..).map(chunk).zip(&others);
                                assert!(found.into_iter().all(|(key, other)| key == other.0));
                                number = next(log, number);
                            }
                        }
                    }
                    number += 2;
                }
            });
        }
    });
    let chunks = scanned(&*logs[0], b"j", b"j");
    let count = u64::from(APPENDERS) * u64::from(EACH) * 2;
    assert_eq!(keys(&*logs[1], b"j", b"j"), (0..count).map(chunk).collect::<Vec<_>>());
    assert!(chunks.chunks(2).all(|pair| pair[0].1 == pair[1].1), "a batch was interrupted");
    for name in 0..APPENDERS {
        let own: Vec<u8> = chunks
            .iter()
            .step_by(2)
            .filter(|(_, value)| value[0] == name)
            .map(|(_, value)| value[1])
            .collect();
        assert_eq!(own, (0..EACH).collect::<Vec<u8>>(), "the batches of appender {name}");
        assert_eq!(logs[0].get(&[b'c', name]).unwrap(), Some(vec![name, EACH - 1]));
    }
}

pub(crate) fn a_batch_follows_only_the_chunk_before_it(harness: &impl LogHarness) {
    let log = harness.open();
    log.apply_alone(puts(&[(&chunk(7), b"seven")])).unwrap();
    let refused = log.apply(puts(&[(&chunk(9), b"nine"), (b"row", b"1")]));
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert_eq!(keys(&*log, b"", b""), [chunk(7)]);
    log.apply_alone(puts(&[(&chunk(8), b"eight"), (b"row", b"1")])).unwrap();
}

pub(crate) fn a_batch_without_a_chunk_is_always_written(harness: &impl LogHarness) {
    let (one, two) = (harness.open(), harness.open());
    one.apply_alone(puts(&[(&chunk(0), b"zero"), (b"meta", b"1"), (b"old", b"1")])).unwrap();
    let mut batch = puts(&[(b"meta", b"2")]);
    batch.remove("old", 1);
    assert_eq!(two.apply(batch), Ok(Applied::Done));
    assert_eq!(keys(&*one, b"", b""), [chunk(0), b"meta".to_vec()]);
    assert_eq!(one.get(b"meta").unwrap(), Some(b"2".to_vec()));
}

pub(crate) fn a_chunk_of_another_log_ends_a_wait(harness: &impl LogHarness) {
    let (one, two) = (harness.open(), harness.open());
    let begun = Instant::now();
    thread::scope(|scope| {
        let waits = [2, 2, 1].map(|number| {
            let one = &one;
            scope.spawn(move || one.wait_for_chunk(number, LONG).unwrap())
        });
        for number in 0..3 {
            two.apply_alone(puts(&[(&chunk(number), b"chunk")])).unwrap();
        }
        assert!(waits.into_iter().all(|wait| wait.join().unwrap()));
    });
    assert!(begun.elapsed() < LONG / 4, "it took {:?}", begun.elapsed());
    assert_eq!(one.get(&chunk(2)).unwrap(), Some(b"chunk".to_vec()));
}

pub(crate) fn a_log_knows_whether_a_chunk_is_there(harness: &impl LogHarness) {
    let log = harness.open();
    log.apply_alone(puts(&[(&chunk(4), b"four"), (&chunk(5), b"five")])).unwrap();
    for number in [0, 4, 5] {
        assert_eq!(log.has_chunk(number), Ok(true), "chunk {number}");
    }
    assert_eq!(log.has_chunk(6), Ok(false));
    assert_eq!(log.has_chunk(u64::MAX), Ok(false));
}

pub(crate) fn a_wait_ends_when_its_time_is_over(harness: &impl LogHarness) {
    let log = harness.open();
    let (begun, at_most) = (Instant::now(), Duration::from_millis(300));
    assert_eq!(log.wait_for_chunk(0, at_most), Ok(false));
    assert!(begun.elapsed() >= at_most, "it took only {:?}", begun.elapsed());
}

pub(crate) fn a_wait_fails_when_the_log_is_shut(harness: &impl LogHarness) {
    let log = harness.open();
    let begun = Instant::now();
    thread::scope(|scope| {
        let wait = scope.spawn(|| log.wait_for_chunk(0, LONG));
        log.shut();
        let ended = wait.join().unwrap();
        assert!(matches!(ended, Err(StoreError::Unavailable(_))), "{ended:?}");
    });
    assert!(begun.elapsed() < LONG / 4);
}
