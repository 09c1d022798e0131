//! What was counted over time: rows that no event tells about.

use super::{Harness, Rig, draft, queue};
use crate::job::{Cursor, Kind};
use crate::store::{
    HistoryBatch, HistoryKey, HistoryProgress, HistoryRow, HistorySeries, HistoryStep,
};

/// The series of a queue, of the server for an empty name, and of a kind for `kind:NAME`.
fn series(name: &str) -> HistorySeries {
    match name.strip_prefix("kind:") {
        Some(kind) => HistorySeries::Kind(Kind::parse(kind).unwrap()),
        None if name.is_empty() => HistorySeries::Server,
        None => HistorySeries::Queue(queue(name)),
    }
}

fn row(step: HistoryStep, name: &str, number: u64, value: &str) -> HistoryRow {
    (HistoryKey { step, series: series(name), number }, value.as_bytes().to_vec())
}

impl<H: Harness> Rig<H> {
    fn counted(&self, seq: u64) -> HistoryProgress {
        let through = Cursor { epoch: self.store.head().epoch, seq };
        HistoryProgress { through, at: self.now() }
    }

    async fn put(&self, seq: u64, rows: Vec<HistoryRow>) -> bool {
        let batch = HistoryBatch { progress: self.counted(seq), rows, forget: Vec::new() };
        self.store.history().put(batch).await.unwrap()
    }

    async fn rows(&self, step: HistoryStep, name: &str, from: u64) -> Vec<HistoryRow> {
        self.store.history().rows(step, series(name), from).await.unwrap()
    }
}

pub(crate) async fn counted_rows_survive_a_restart_and_are_no_events(harness: impl Harness) {
    use HistoryStep::{Hour, Minute};
    let rig = Rig::open(harness).await;
    assert_eq!(rig.store.history().progress().await, Ok(None));
    let head = rig.store.head();
    let minutes = [row(Minute, "", 7, "a"), row(Minute, "", 300, "b")];
    let of_queues = [row(Minute, "mail", 7, "c"), row(Minute, "mail-2", 7, "d")];
    let hours = [row(Hour, "", 7, "e"), row(Hour, "mail", 8, "f")];
    assert!(rig.put(1, [&minutes[..], &of_queues, &hours].concat()).await);
    assert_eq!((rig.store.head(), rig.log().await.len()), (head, 0));
    let counted = rig.counted(1);
    // Rows that were written again leave nothing behind, and neither do longer ones.
    rig.add(draft()).await;
    let rig = rig.reopen().await.crash().await;
    assert_eq!(rig.store.history().progress().await, Ok(Some(counted)));
    assert_eq!(rig.rows(Minute, "", 0).await, minutes);
    assert_eq!(rig.rows(Minute, "", 8).await, minutes[1..]);
    assert_eq!(rig.rows(Minute, "mail", 0).await, of_queues[..1]);
    assert_eq!(rig.rows(Hour, "mail", 0).await, hours[1..]);
    assert_eq!(rig.rows(Hour, "mail-2", 0).await, []);
    let at = rig.store.history().rows_at(Minute, 7).await.unwrap();
    assert_eq!(at, [&minutes[..1], &of_queues].concat());
}

pub(crate) async fn a_kind_and_a_queue_of_one_name_have_rows_of_their_own(harness: impl Harness) {
    use HistoryStep::{Hour, Minute};
    let rig = Rig::open(harness).await;
    let of_queue = [row(Minute, "mail", 7, "queue"), row(Minute, "mail", 8, "queue")];
    let of_kind = [row(Minute, "kind:mail", 7, "kind"), row(Minute, "kind:mail", 9, "kind")];
    let longer = [row(Minute, "kind:mail.send", 7, "longer"), row(Hour, "kind:mail", 7, "hour")];
    assert!(rig.put(1, [&of_queue[..], &of_kind, &longer].concat()).await);
    let rig = rig.reopen().await.crash().await;
    assert_eq!(rig.rows(Minute, "mail", 0).await, of_queue);
    assert_eq!(rig.rows(Minute, "kind:mail", 0).await, of_kind);
    assert_eq!(rig.rows(Minute, "kind:mail", 8).await, of_kind[1..]);
    assert_eq!(rig.rows(Hour, "kind:mail", 0).await, longer[1..]);
    assert_eq!(rig.rows(Minute, "", 0).await, []);
    let at = rig.store.history().rows_at(Minute, 7).await.unwrap();
    assert_eq!(at, [&of_queue[..1], &of_kind[..1], &longer[..1]].concat());
}

pub(crate) async fn who_has_counted_more_replaces_the_rows(harness: impl Harness) {
    use HistoryStep::Minute;
    let rig = Rig::open(harness).await;
    assert!(rig.put(5, vec![row(Minute, "", 1, &"long ".repeat(900))]).await);
    // Another process that shares the store has counted less, or the same.
    assert!(!rig.put(4, vec![row(Minute, "", 1, "4"), row(Minute, "", 2, "4")]).await);
    assert!(!rig.put(5, vec![row(Minute, "", 1, "5")]).await);
    assert_eq!(rig.rows(Minute, "", 2).await, []);
    assert!(rig.put(6, vec![row(Minute, "", 1, "6"), row(Minute, "", 2, "6")]).await);
    let rig = rig.crash().await;
    let rows = [row(Minute, "", 1, "6"), row(Minute, "", 2, "6")];
    assert_eq!(rig.rows(Minute, "", 0).await, rows);
    // After a loss of the log, events of the new epoch have smaller numbers.
    let mut progress = rig.counted(2);
    progress.through.epoch.0 ^= 1;
    let batch = HistoryBatch { progress, rows: vec![row(Minute, "", 3, "2")], forget: Vec::new() };
    assert!(rig.store.history().put(batch).await.unwrap());
    assert_eq!(rig.rows(Minute, "", 0).await.len(), 3);
}

pub(crate) async fn old_rows_are_forgotten_step_by_step(harness: impl Harness) {
    use HistoryStep::{Hour, Mark, Minute};
    let rig = Rig::open(harness).await;
    let names = ["", "a", "a-b", "b", "kind:a", "kind:b"];
    let all = |step| {
        let numbers = move |name| (1..9_u64).map(move |number| row(step, name, number, "x"));
        names.into_iter().flat_map(numbers).collect::<Vec<_>>()
    };
    assert!(rig.put(1, [all(Minute), all(Hour), all(Mark)].concat()).await);
    let forget = vec![(Minute, 6), (Mark, 100)];
    let batch = HistoryBatch { progress: rig.counted(2), rows: Vec::new(), forget };
    assert!(rig.store.history().put(batch).await.unwrap());
    let rig = rig.crash().await;
    for name in names {
        let left = |rows: Vec<HistoryRow>| rows.len();
        let (minutes, hours) = (rig.rows(Minute, name, 0).await, rig.rows(Hour, name, 0).await);
        assert_eq!((left(minutes), left(hours)), (3, 8), "{name}");
        assert_eq!(rig.rows(Mark, name, 0).await, [], "{name}");
    }
}

pub(crate) async fn a_row_without_a_value_removes_the_one_of_its_key(harness: impl Harness) {
    use HistoryStep::ScheduleRuns;
    let rig = Rig::open(harness).await;
    let rows = [row(ScheduleRuns, "", 3, "a"), row(ScheduleRuns, "", u64::MAX, "b")];
    assert!(rig.put(1, rows.to_vec()).await);
    let rig = rig.reopen().await;
    assert_eq!(rig.rows(ScheduleRuns, "", 0).await, rows);
    let gone = vec![row(ScheduleRuns, "", 3, ""), row(ScheduleRuns, "", 4, "")];
    assert!(rig.put(2, gone).await);
    assert_eq!(rig.rows(ScheduleRuns, "", 0).await, rows[1..]);
    let rig = rig.crash().await;
    assert_eq!(rig.rows(ScheduleRuns, "", 0).await, rows[1..]);
}
