//! Tests of the intervals, their rows, and how counting goes on after a restart.

use super::*;
use crate::job::{Change, Epoch, JobId, Json, Kind, Labels, State};
use crate::store::MAX_HISTORY_VALUE;

const HOUR: i64 = 3_600_000;
const EPOCH: Epoch = Epoch(7);

fn queue(name: &str) -> QueueName {
    QueueName::parse(name).unwrap()
}

fn completed(seq: u64, ms: i64, name: &str) -> Event {
    completed_of(seq, ms, name, "echo")
}

fn completed_of(seq: u64, ms: i64, name: &str, kind: &str) -> Event {
    let labels = Labels { queue: queue(name), kind: Kind::parse(kind).unwrap(), tags: [].into() };
    let change = Change::Completed { result: Json::null() };
    let (id, labels) = (JobId::from_u128(1), labels.into());
    let fact = Fact::Job { id, labels, state: State::Completed, attempt: 1, change };
    Event { seq, at: Time::from_millis(ms), by: None, fact }
}

fn paused(seq: u64, ms: i64, name: &str) -> Event {
    let fact = Fact::Queue { queue: queue(name), change: QueueChange::Paused };
    Event { seq, at: Time::from_millis(ms), by: None, fact }
}

fn counting() -> Rollup {
    let mut rollup = Rollup::new(9);
    let head = Cursor { epoch: EPOCH, seq: 0 };
    rollup.resume(progress_at(None, head), Vec::new());
    rollup
}

/// The numbers of intervals, and the jobs that were completed in them.
fn counts(rows: &[HistoryRow]) -> Vec<(u64, u32)> {
    let point = |(key, value): &HistoryRow| {
        (key.number, point(key.step, key.number, value).unwrap().counts.completed)
    };
    rows.iter().map(point).collect()
}

fn of(rollup: &Rollup, step: HistoryStep) -> Vec<(u64, u32)> {
    counts(&rollup.rows(step, &HistorySeries::Server, 0))
}

#[test]
fn an_event_counts_once_into_each_step() {
    let mut rollup = counting();
    let seconds = [100 * HOUR, 100 * HOUR + 59_999, 100 * HOUR + 60_000, 101 * HOUR];
    for (seq, ms) in (1..).zip(seconds) {
        rollup.add(&completed(seq, ms, "a"), TimedPhase::Run(Time::from_millis(ms - 40)));
        rollup.add(&completed(seq, ms, "a"), TimedPhase::Nothing);
    }
    assert_eq!(of(&rollup, HistoryStep::Minute), [(6_000, 2), (6_001, 1), (6_060, 1)]);
    assert_eq!(of(&rollup, HistoryStep::TenMinutes), [(600, 3), (606, 1)]);
    assert_eq!(of(&rollup, HistoryStep::Hour), [(100, 3), (101, 1)]);
    let rows = rollup.rows(HistoryStep::Hour, &HistorySeries::Queue(queue("a")), 101);
    assert_eq!(counts(&rows), [(101, 1)]);
    let point = point(HistoryStep::Hour, 101, &rows[0].1).unwrap();
    assert_eq!((point.at.millis(), point.run.unwrap().p99), (101 * HOUR, 40));
    assert_eq!(rollup.rows(HistoryStep::Hour, &HistorySeries::Queue(queue("b")), 0), []);
}

#[test]
fn counting_goes_on_after_a_restart_from_what_was_stored() {
    let events: Vec<Event> =
        (1..100).map(|seq| completed(seq, 100 * HOUR + 45_000 * seq as i64, "a")).collect();
    let mut whole = counting();
    events.iter().for_each(|event| whole.add(event, TimedPhase::Nothing));
    let mut stored = BTreeMap::new();
    let mut rollup = counting();
    for (index, event) in events.iter().enumerate() {
        rollup.add(event, TimedPhase::Nothing);
        if index % 7 != 6 {
            continue;
        }
        let batch = rollup.save().unwrap();
        stored.extend(batch.rows);
        rollup.saved();
        // The process is killed two events later, and reads all events again.
        rollup.add(&events[index + 1], TimedPhase::Nothing);
        let last = Rollup::last_intervals(&batch.progress);
        let is_last = |key: &HistoryKey| last.contains(&(key.step, key.number));
        let rows = stored.iter().filter(|(key, _)| is_last(key));
        let mut next = Rollup::new(9);
        let head = Cursor { epoch: EPOCH, seq: event.seq + 1 };
        let progress = progress_at(Some(batch.progress), head);
        next.resume(progress, rows.map(|(key, value)| (key.clone(), value.clone())).collect());
        rollup = next;
        events[..=index].iter().for_each(|event| rollup.add(event, TimedPhase::Nothing));
    }
    stored.extend(rollup.save().unwrap().rows);
    let expected: BTreeMap<_, _> = whole.save().unwrap().rows.into_iter().collect();
    assert_eq!(stored, expected);
}

#[test]
fn what_could_not_be_stored_is_stored_later_in_its_newest_form() {
    let mut rollup = counting();
    rollup.add(&completed(1, 100 * HOUR, "a"), TimedPhase::Nothing);
    rollup.add(&completed(2, 101 * HOUR, "a"), TimedPhase::Nothing);
    assert_eq!(counts_in(&rollup.save().unwrap(), HistoryStep::Hour), [(100, 1), (101, 1)]);
    rollup.add(&completed(3, 101 * HOUR + 1, "a"), TimedPhase::Nothing);
    assert_eq!(of(&rollup, HistoryStep::Hour), [(100, 1), (101, 2)], "it is shown meanwhile");
    rollup.not_saved();
    let batch = rollup.save().unwrap();
    assert_eq!(batch.progress.through.seq, 3);
    assert_eq!(counts_in(&batch, HistoryStep::Hour), [(100, 1), (101, 2)]);
    rollup.saved();
    assert!(rollup.save().is_none());
}

fn counts_in(batch: &HistoryBatch, step: HistoryStep) -> Vec<(u64, u32)> {
    let is_of = |(key, _): &&HistoryRow| key.step == step && key.series == HistorySeries::Server;
    counts(&batch.rows.iter().filter(is_of).cloned().collect::<Vec<_>>())
}

#[test]
fn a_change_of_a_queue_is_marked_for_it_and_for_the_server() {
    let mut rollup = counting();
    rollup.add(&paused(1, 100 * HOUR, "a"), TimedPhase::Nothing);
    rollup.add(&paused(2, 100 * HOUR, "b"), TimedPhase::Nothing);
    let names = |queue: Option<&QueueName>, from| {
        let rows =
            rollup.rows(HistoryStep::Mark, &queue.into(), mark_number(Time::from_millis(from)));
        let names = rows.iter().map(|(_, value)| mark(value).unwrap().queue.to_string());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(None, 0), ["a", "b"]);
    assert_eq!(names(Some(&queue("b")), 100 * HOUR), ["b"]);
    assert_eq!(names(None, 100 * HOUR + 1), Vec::<String>::new());
}

#[test]
fn a_late_event_counts_into_the_newest_interval_and_a_clock_that_was_far_ahead_is_left_behind() {
    let mut rollup = counting();
    rollup.add(&completed(1, 100 * HOUR, "a"), TimedPhase::Nothing);
    rollup.add(&completed(2, 100 * HOUR - 1, "a"), TimedPhase::Nothing);
    assert_eq!(of(&rollup, HistoryStep::Hour), [(100, 2)]);
    rollup.add(&completed(3, 90 * HOUR, "a"), TimedPhase::Nothing);
    assert_eq!(of(&rollup, HistoryStep::Hour), [(90, 1), (100, 2)]);
}

#[test]
fn queues_above_the_limit_count_for_the_server_only_until_others_are_quiet() {
    let mut rollup = Rollup::new(1);
    rollup.resume(progress_at(None, Cursor { epoch: EPOCH, seq: 0 }), Vec::new());
    rollup.add(&completed(1, 100 * HOUR, "a"), TimedPhase::Nothing);
    rollup.add(&completed(2, 100 * HOUR, "b"), TimedPhase::Nothing);
    assert_eq!(of(&rollup, HistoryStep::Hour), [(100, 2)]);
    assert_eq!(rollup.rows(HistoryStep::Hour, &HistorySeries::Queue(queue("b")), 0), []);
    rollup.add(&completed(3, 102 * HOUR, "c"), TimedPhase::Nothing);
    rollup.save().unwrap();
    rollup.add(&completed(4, 102 * HOUR, "b"), TimedPhase::Nothing);
    assert_eq!(
        counts(&rollup.rows(HistoryStep::Hour, &HistorySeries::Queue(queue("b")), 0)),
        [(102, 1)]
    );
}

fn of_kind(rollup: &Rollup, kind: &str) -> Vec<(u64, u32)> {
    let series = HistorySeries::Kind(Kind::parse(kind).unwrap());
    counts(&rollup.rows(HistoryStep::Hour, &series, 0))
}

#[test]
fn an_event_counts_for_its_kind_in_whatever_queue_and_the_number_of_kinds_is_bounded() {
    let mut rollup = Rollup::new(2);
    rollup.resume(progress_at(None, Cursor { epoch: EPOCH, seq: 0 }), Vec::new());
    let events = [("a", "mail"), ("b", "mail"), ("b", "b"), ("a", "third")];
    for (seq, (queue, kind)) in (1..).zip(events) {
        rollup.add(&completed_of(seq, 100 * HOUR, queue, kind), TimedPhase::Nothing);
    }
    assert_eq!(of_kind(&rollup, "mail"), [(100, 2)]);
    assert_eq!(of_kind(&rollup, "b"), [(100, 1)]);
    assert_eq!(of_kind(&rollup, "third"), [], "there are two already");
    assert_eq!(of(&rollup, HistoryStep::Hour), [(100, 4)], "it counts for the server");
    // After two quiet hours, the rows are in the store only, and others have room.
    rollup.add(&completed_of(5, 102 * HOUR, "a", "third"), TimedPhase::Nothing);
    let stored = rollup.save().unwrap();
    let is_of_kind = |(key, _): &&HistoryRow| matches!(key.series, HistorySeries::Kind(_));
    assert_eq!(stored.rows.iter().filter(is_of_kind).count(), 2 * 3, "each in every step");
    rollup.add(&completed_of(6, 102 * HOUR, "a", "third"), TimedPhase::Nothing);
    assert_eq!(of_kind(&rollup, "third"), [(102, 1)]);
}

#[test]
fn the_row_of_the_busiest_hour_fits() {
    let mut rollup = counting();
    let ms = 1_000_000 * HOUR;
    for n in 0..60_000_i64 {
        let since = Time::from_millis(ms - (n * n).min(4_000_000_000));
        rollup.add(&completed(2 * n as u64 + 1, ms, "a"), TimedPhase::Run(since));
        rollup.add(&completed(2 * n as u64 + 2, ms, "a"), TimedPhase::Wait(since));
    }
    let largest = rollup.save().unwrap().rows.iter().map(|(_, value)| value.len()).max();
    assert!(largest.unwrap() < MAX_HISTORY_VALUE, "{largest:?}");
}
