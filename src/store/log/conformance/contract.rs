//! Rules for every log: batches, scans, values, and what happens when it is shut.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{LogHarness, chunk, keys, puts, scanned};
use crate::store::log::{Applied, WriteBatch};
use crate::store::{Storage, StoreError};

pub(crate) fn a_batch_is_there_when_it_was_applied(harness: &impl LogHarness) {
    let log = harness.open();
    let batch = puts(&[(&chunk(0), b"zero"), (b"meta", b"about"), (&chunk(1), b"one")]);
    assert_eq!(log.apply(batch), Ok(Applied::Done));
    assert_eq!(log.get(b"meta").unwrap().as_deref(), Some(&b"about"[..]));
    for (number, value) in [(0, b"zero".to_vec()), (1, b"one".to_vec())] {
        assert_eq!(log.get(&chunk(number)).unwrap(), Some(value));
    }
    for other in [&b"met"[..], b"metal", &chunk(2), &chunk(1)[..8]] {
        assert_eq!(log.get(other).unwrap(), None, "{other:?}");
    }
    let all = [(chunk(0), b"zero".to_vec()), (chunk(1), b"one".to_vec())];
    assert_eq!(scanned(&*log, b"j", b"j"), all);
    log.sync().unwrap();
}

pub(crate) fn nobody_sees_half_of_a_batch(harness: &impl LogHarness) {
    const ROUNDS: u64 = 200;
    let log = harness.open();
    let batch = |number: u64| {
        let value = number.to_be_bytes();
        puts(&[(b"a", &value), (&chunk(number), &value), (b"z", &value)])
    };
    log.apply_alone(batch(0)).unwrap();
    let ended = AtomicBool::new(false);
    let number = |key: &[u8]| {
        let value = log.get(key).unwrap().expect("a value that every batch puts");
        u64::from_be_bytes(value.try_into().unwrap())
    };
    thread::scope(|scope| {
        for (first, second) in [(b"a", b"z"), (b"z", b"a")] {
            let (number, log, ended) = (&number, &log, &ended);
            scope.spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    let seen = number(first);
                    assert!(log.get(&chunk(seen)).unwrap().is_some());
                    assert!(number(second) >= seen, "half of batch {seen}");
                }
            });
        }
        let applied = (1..=ROUNDS).try_for_each(|round| log.apply_alone(batch(round)));
        ended.store(true, Ordering::Relaxed);
        applied.unwrap();
    });
    assert_eq!((number(b"a"), number(b"z")), (ROUNDS, ROUNDS));
}

pub(crate) fn the_last_change_of_a_key_counts(harness: &impl LogHarness) {
    let log = harness.open();
    log.apply_alone(puts(&[(b"e", b"old"), (b"f", b"old")])).unwrap();
    let mut batch = puts(&[(b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (&chunk(3), b"1")]);
    batch.remove("b", 1);
    batch.remove("c", 1);
    batch.put("c", b"1".to_vec());
    batch.remove("d", 1);
    batch.replace("e", 3, b"new".to_vec());
    batch.remove("e", 3);
    batch.remove("f", 3);
    batch.put("f", b"new".to_vec());
    batch.replace(chunk(3), 1, b"2".to_vec());
    log.apply_alone(batch).unwrap();
    let expected = [(b"a", "2"), (b"c", "1"), (b"f", "new")];
    let rows: Vec<_> =
        scanned(&*log, b"", b"").into_iter().filter(|(key, _)| key.len() == 1).collect();
    assert_eq!(rows, expected.map(|(key, value)| (key.to_vec(), value.as_bytes().to_vec())));
    assert_eq!(log.get(&chunk(3)).unwrap(), Some(b"2".to_vec()));
}

pub(crate) fn what_is_not_there_can_be_removed(harness: &impl LogHarness) {
    let log = harness.open();
    let mut batch = puts(&[(&chunk(5), b"five"), (b"kept", b"1")]);
    batch.remove(chunk(4), 10);
    batch.remove("gone", 10);
    assert_eq!(log.apply(batch), Ok(Applied::Done));
    assert_eq!(keys(&*log, b"", b""), [chunk(5), b"kept".to_vec()]);
}

pub(crate) fn an_empty_log_has_nothing(harness: &impl LogHarness) {
    let log = harness.open();
    assert_eq!(log.get(b"").unwrap(), None);
    assert_eq!(log.get(b"meta").unwrap(), None);
    assert_eq!(log.get(&chunk(0)).unwrap(), None);
    for prefix in [&b""[..], b"j", b"r", b"\xff", &chunk(0)] {
        assert_eq!(scanned(&*log, prefix, prefix), []);
    }
}

pub(crate) fn a_scan_has_all_keys_in_their_order(harness: &impl LogHarness) {
    let log = harness.open();
    let mut expected = vec![
        b"a".to_vec(),
        b"a\0".to_vec(),
        b"a\0b".to_vec(),
        b"ab".to_vec(),
        b"i\xff\xff".to_vec(),
        chunk(0x00ff),
        chunk(0x0100),
        chunk(0x0101),
        b"k".to_vec(),
        b"z\x00".to_vec(),
        b"z\x7f".to_vec(),
        b"z\x80".to_vec(),
        b"\xff\xff".to_vec(),
    ];
    let mut batch = WriteBatch::default();
    expected.iter().rev().for_each(|key| batch.put(key.clone(), key.clone()));
    log.apply_alone(batch).unwrap();
    assert!(expected.is_sorted());
    assert_eq!(keys(&*log, b"", b""), expected);
    assert!(scanned(&*log, b"", b"").iter().all(|(key, value)| key == value));
    expected.drain(..6);
    assert_eq!(keys(&*log, b"", &chunk(0x0100)), expected);
}

pub(crate) fn a_scan_has_exactly_the_keys_with_its_prefix(harness: &impl LogHarness) {
    let log = harness.open();
    let names =
        [&b"q"[..], b"r", b"r\0", b"r1", b"r\xff", b"r\xff\xff", b"s", b"\xff", b"\xff\x01"];
    let mut batch = WriteBatch::default();
    names.iter().for_each(|key| batch.put(*key, vec![1]));
    (0x01fe..0x0202).for_each(|number| batch.put(chunk(number), vec![1]));
    log.apply_alone(batch).unwrap();
    for (prefix, count) in [
        (&b"r"[..], 5),
        (b"r\xff", 2),
        (b"r1", 1),
        (b"r2", 0),
        (b"\xff", 2),
        (b"j", 4),
        (&chunk(0x0100)[..8], 2),
        (&chunk(0x0200)[..8], 2),
        (&chunk(0x0201), 1),
    ] {
        let found = keys(&*log, prefix, prefix);
        assert!(found.iter().all(|key| key.starts_with(prefix)), "{prefix:?}: {found:?}");
        assert_eq!(found.len(), count, "{prefix:?}: {found:?}");
    }
}

pub(crate) fn a_scan_from_a_key_begins_there(harness: &impl LogHarness) {
    let log = harness.open();
    let mut batch = puts(&[(b"r1", b""), (b"r3", b""), (b"r5", b""), (b"s1", b"")]);
    (7..11).for_each(|number| batch.put(chunk(number), vec![1]));
    log.apply_alone(batch).unwrap();
    assert_eq!(keys(&*log, b"r", b"r3"), [b"r3", b"r5"]);
    assert_eq!(keys(&*log, b"r", b"r2"), [b"r3", b"r5"]);
    assert_eq!(keys(&*log, b"r", b"r3\0"), [b"r5"]);
    assert_eq!(keys(&*log, b"r", b"a").len(), 3, "the prefix is where a scan begins at the least");
    assert_eq!(keys(&*log, b"r", b"r6").len(), 0);
    assert_eq!(keys(&*log, b"r", b"s").len(), 0);
    assert_eq!(keys(&*log, b"j", &chunk(9)), [chunk(9), chunk(10)]);
    assert_eq!(keys(&*log, b"j", &chunk(11)).len(), 0);
    assert_eq!(keys(&*log, b"j", &chunk(0)).len(), 4);
    assert_eq!(keys(&*log, b"", b"s").len(), 1);
}

pub(crate) fn a_long_scan_is_complete(harness: &impl LogHarness) {
    const COUNT: u64 = 1_300;
    let log = harness.open();
    let mut batch = WriteBatch::default();
    for number in 0..COUNT {
        // Some values are long, so that the pages of a scan, if it has any, end for every reason.
        let len = if number % 100 == 0 { 300_000 } else { number as usize % 50 };
        batch.put(chunk(number), vec![number as u8; len]);
        batch.put(format!("r{number:06}"), vec![number as u8; len]);
    }
    log.apply_alone(batch).unwrap();
    for prefix in [b"j", b"r"] {
        let rows = scanned(&*log, prefix, prefix);
        assert_eq!(rows.len() as u64, COUNT);
        for (number, (key, value)) in (0..).zip(rows) {
            let expected =
                if prefix == b"j" { chunk(number) } else { format!("r{number:06}").into() };
            assert_eq!(key, expected);
            assert!(value.iter().all(|byte| *byte == number as u8), "value {number}");
        }
    }
    assert_eq!(keys(&*log, b"", b"").len() as u64, 2 * COUNT);
}

pub(crate) fn the_keys_of_a_log_are_those_of_its_rows(harness: &impl LogHarness) {
    let log = harness.open();
    let mut batch = puts(&[(b"a", b"1"), (b"s1", b"1")]);
    (7..11).for_each(|number| batch.put(chunk(number), vec![1]));
    // More than a page of keys may have.
    (0..9_000).for_each(|number| batch.put(format!("r{number:06}"), vec![1; 3]));
    log.apply_alone(batch).unwrap();
    for prefix in [&b""[..], b"a", b"j", b"r", b"r00012", b"r008999", b"s", b"t"] {
        let found: Vec<_> = log.keys(prefix).map(Result::unwrap).collect();
        assert_eq!(found, keys(&*log, prefix, prefix), "{prefix:?}");
    }
    assert_eq!(log.keys(b"r").count(), 9_000);
    log.shut();
    assert!(log.keys(b"r").next().unwrap().is_err());
}

pub(crate) fn a_scan_goes_on_while_the_log_changes(harness: &impl LogHarness) {
    const COUNT: u64 = 1_300;
    let log = harness.open();
    let mut batch = WriteBatch::default();
    (0..COUNT).for_each(|number| batch.put(chunk(number), vec![1; 100]));
    log.apply_alone(batch).unwrap();
    let mut rows = log.scan(b"j");
    for number in 0..10 {
        assert_eq!(rows.next().unwrap().unwrap().0, chunk(number));
    }
    let mut batch = puts(&[(&chunk(COUNT), b"new")]);
    (0..COUNT / 2).for_each(|number| batch.remove(chunk(number), 100));
    log.apply_alone(batch).unwrap();
    let numbers: Vec<Vec<u8>> = rows.map(|row| row.unwrap().0).collect();
    assert!(numbers.is_sorted());
    // What was there all the time is seen; what was removed or added meanwhile may be.
    let expected: Vec<Vec<u8>> = (COUNT / 2..COUNT).map(chunk).collect();
    let seen = numbers.iter().filter(|key| expected.contains(key));
    assert_eq!(seen.count(), expected.len());
}

pub(crate) fn values_of_any_length_come_back(harness: &impl LogHarness) {
    let log = harness.open();
    // Around the lengths at which sled and PostgreSQL store values in another way.
    let sizes = [0, 1, 2_000, 7_167, 7_168, 7_169, 8_192, 65_536, 1_500_000];
    let value = |size: usize| (0..size).map(|at| (at * 7 + size) as u8).collect::<Vec<u8>>();
    let mut batch = WriteBatch::default();
    for (number, size) in (0..).zip(sizes) {
        batch.put(chunk(number), value(size));
        batch.put(format!("v{size:08}"), value(size));
    }
    log.apply_alone(batch).unwrap();
    for (number, size) in (0..).zip(sizes) {
        assert_eq!(log.get(&chunk(number)).unwrap(), Some(value(size)), "chunk of {size} bytes");
        let key = format!("v{size:08}");
        assert_eq!(log.get(key.as_bytes()).unwrap(), Some(value(size)), "row of {size} bytes");
    }
    for prefix in [b"j", b"v"] {
        let lengths: Vec<usize> =
            scanned(&*log, prefix, prefix).iter().map(|(_, value)| value.len()).collect();
        assert_eq!(lengths, sizes);
    }
    log.check_values().unwrap();
}

pub(crate) fn a_value_can_be_replaced_by_a_shorter_one(harness: &impl LogHarness) {
    let log = harness.open();
    for (before, after) in [(0, 30_000), (30_000, 10), (10, 0), (0, 7_168)] {
        let mut batch = WriteBatch::default();
        batch.replace("q", before, vec![after as u8; after]);
        log.apply_alone(batch).unwrap();
        assert_eq!(log.get(b"q").unwrap(), Some(vec![after as u8; after]));
        assert_eq!(scanned(&*log, b"", b"").len(), 1);
    }
    let mut batch = WriteBatch::default();
    batch.remove("q", 7_168);
    log.apply_alone(batch).unwrap();
    assert_eq!(scanned(&*log, b"", b""), []);
}

pub(crate) fn the_oldest_chunks_can_be_removed(harness: &impl LogHarness) {
    let log = harness.open();
    for number in 0..10 {
        let mut batch = puts(&[(&chunk(number), b"chunk")]);
        if let Some(old) = number.checked_sub(3) {
            batch.remove(chunk(old), 5);
        }
        assert_eq!(log.apply(batch), Ok(Applied::Done), "chunk {number}");
    }
    assert_eq!(keys(&*log, b"j", b"j"), [chunk(7), chunk(8), chunk(9)]);
}

pub(crate) fn what_was_written_is_measured(harness: &impl LogHarness) {
    let log = harness.open();
    let measured = || {
        let mut storage = Storage::default();
        log.measure(&mut storage).unwrap();
        storage
    };
    let before = measured();
    for number in 0..3 {
        let mut batch = puts(&[(&chunk(number), &[1; 1_000]), (b"meta", b"1")]);
        batch.event_bytes = 5_000;
        log.apply_alone(batch).unwrap();
        log.sync().unwrap();
    }
    let after = measured();
    assert_eq!(after.groups, before.groups + 3);
    assert_eq!(after.syncs, before.syncs + 3);
    assert_eq!(after.accepted_bytes, before.accepted_bytes + 15_000);
    let written = after.written_bytes - before.written_bytes;
    assert!((3_000..4_000).contains(&written), "{written} bytes");
    assert!(after.disk_bytes >= 3_000, "{} bytes", after.disk_bytes);
}

pub(crate) fn a_log_that_is_shut_refuses_every_call(harness: &impl LogHarness) {
    fn is_unavailable<T: std::fmt::Debug>(result: Result<T, StoreError>) {
        assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
    }
    let log = harness.open();
    log.apply_alone(puts(&[(&chunk(0), b"zero"), (b"meta", b"1")])).unwrap();
    log.shut();
    log.shut();
    is_unavailable(log.get(b"meta"));
    is_unavailable(log.apply(puts(&[(&chunk(1), b"one")])));
    is_unavailable(log.apply(puts(&[(b"meta", b"2")])));
    is_unavailable(log.sync());
    is_unavailable(log.measure(&mut Storage::default()));
    for prefix in [&b""[..], b"j", b"m"] {
        let mut rows = log.scan(prefix);
        is_unavailable(rows.next().expect("an error"));
        assert!(rows.next().is_none(), "a scan ends after its first error");
    }
    assert!(!log.location().is_empty() && !log.name().is_empty());
}

pub(crate) fn a_scan_ends_when_the_log_is_shut(harness: &impl LogHarness) {
    const COUNT: u64 = 2_000;
    let log = harness.open();
    let mut batch = WriteBatch::default();
    (0..COUNT).for_each(|number| batch.put(chunk(number), vec![1; 10]));
    log.apply_alone(batch).unwrap();
    let mut rows = log.scan(b"j");
    rows.next().unwrap().unwrap();
    log.shut();
    // It may have read some rows before, or hold on to what it reads; but after an error comes nothing.
    let rest: Vec<_> = rows.collect();
    assert!(rest.len() < COUNT as usize);
    assert!(rest.iter().rev().skip(1).all(Result::is_ok));
}

pub(crate) fn a_log_that_was_reopened_has_everything_and_goes_on(harness: &impl LogHarness) {
    let log = harness.open();
    for number in 0..3 {
        let batch = puts(&[(&chunk(number), b"chunk"), (b"meta", &[number as u8])]);
        log.apply_alone(batch).unwrap();
        log.sync().unwrap();
        if number != 1 {
            log.shut();
        }
        log.reopen().unwrap();
        assert_eq!(keys(&*log, b"j", b"j").len() as u64, number + 1);
        assert_eq!(log.get(b"meta").unwrap(), Some(vec![number as u8]));
        log.check_identity().unwrap();
    }
}

pub(crate) fn the_next_process_finds_everything(harness: &impl LogHarness) {
    for number in 0..3 {
        let log = harness.open();
        assert_eq!(keys(&*log, b"j", b"j").len() as u64, number);
        log.begin_writing().unwrap();
        let batch = puts(&[(&chunk(number), b"chunk"), (b"meta", &[number as u8])]);
        log.apply_alone(batch).unwrap();
        log.sync().unwrap();
    }
    assert_eq!(harness.open().get(b"meta").unwrap(), Some(vec![2]));
}
