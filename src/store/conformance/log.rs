//! The event log: without gaps, in order, readable from any cursor, and followed live.

use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::mpsc;

use super::rig::{completed, failed};
use super::{Harness, Rig, draft, secs};
use crate::job::{Cursor, Epoch, Event, EventType, Job, Json, Verdict};
use crate::store::{Events, Settlement, StoreLimits};

/// Makes events of most types.
async fn bustle<H: Harness>(rig: &Rig<H>) {
    for n in 0..20u64 {
        let batch = (0..n % 4 + 1).map(|n| draft().after(secs(n)).job()).collect();
        rig.store.enqueue(batch).await.unwrap();
        rig.pass(secs(1));
        rig.tick().await;
        let leases = rig.claim(2).await;
        for lease in &leases {
            rig.note(lease, &["line"]).await;
        }
        if let [first, .., second] = &leases[..] {
            rig.settle(first, failed(secs(1))).await.unwrap();
            rig.settle(second, completed()).await.unwrap();
        }
        rig.pause("default").await;
        rig.resume("default").await;
    }
}

fn assert_dense(log: &[Event], first: u64) {
    let seqs: Vec<u64> = log.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (first..first + log.len() as u64).collect::<Vec<_>>());
    assert!(log.windows(2).all(|pair| pair[0].at <= pair[1].at));
}

pub(crate) async fn the_log_is_dense_from_one(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    assert_eq!(rig.store.head().seq, 0);
    assert_eq!(rig.log().await, []);
    bustle(&rig).await;
    let log = rig.log().await;
    assert_dense(&log, 1);
    assert_eq!(rig.store.head().seq, log.len() as u64);
    let stats = rig.stats().await;
    assert_eq!((stats.oldest.seq, stats.oldest.epoch), (0, rig.store.head().epoch));
}

pub(crate) async fn the_log_can_be_read_from_any_place(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    bustle(&rig).await;
    let log = rig.log().await;
    let head = rig.store.head();
    for seq in 0..=head.seq {
        let max = (seq % 7) as usize;
        let rest = &log[seq as usize..];
        let expected = Events::Some(rest[..max.min(rest.len())].to_vec());
        let answer = rig.store.events(Cursor { seq, ..head }, max).await.unwrap();
        assert_eq!(answer, expected, "after {seq}, at most {max}");
    }
}

pub(crate) async fn a_place_that_never_was_is_a_gap(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    rig.add(draft()).await;
    let (head, oldest) = (rig.store.head(), rig.origin());
    let other_life = Cursor { epoch: Epoch(head.epoch.0 ^ 1), ..head };
    for place in [Cursor { seq: 2, ..head }, Cursor { seq: u64::MAX, ..head }, other_life] {
        let answer = rig.store.events(place, 10).await.unwrap();
        assert_eq!(answer, Events::Gap { oldest, head }, "{place}");
    }
}

pub(crate) async fn a_record_is_the_fold_of_its_events(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    bustle(&rig).await;
    let log = rig.log().await;
    for job in rig.jobs().await {
        let mut folded: Option<Job> = None;
        for event in &log {
            let crate::job::Fact::Job { id, state, .. } = &event.fact else { continue };
            if *id != job.id {
                continue;
            }
            match &mut folded {
                None => folded = Job::from_enqueued(event),
                Some(folded) => {
                    let status = crate::job::Status { state: *state, ..job.status };
                    folded.apply(event, status, Default::default());
                }
            }
        }
        let mut folded = folded.unwrap();
        folded.status = job.status;
        assert_eq!(folded, job);
    }
}

/// Receives events up to number `last`.
async fn read_to(last: u64, follower: &mut mpsc::Receiver<Arc<[Event]>>) -> Vec<Event> {
    let mut seen: Vec<Event> = Vec::new();
    while seen.last().is_none_or(|event| event.seq < last) {
        let batch = follower.recv().await.expect("more events should arrive");
        assert!(!batch.is_empty(), "an empty batch");
        seen.extend(batch.iter().cloned());
    }
    seen
}

pub(crate) async fn a_follower_sees_exactly_the_log(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    rig.add(draft()).await;
    let mut follower = rig.store.follow(10_000);
    let mut other = rig.store.follow(10_000);
    bustle(&rig).await;
    let log = rig.log().await;
    let last = log.last().unwrap().seq;
    assert_eq!(read_to(last, &mut follower).await, log[1..]);
    assert_eq!(read_to(last, &mut other).await, log[1..]);
}

pub(crate) async fn a_follower_sees_concurrent_changes_in_order(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let mut follower = rig.store.follow(10_000);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = rig.store.clone();
        let request = rig.claim_request(1);
        tasks.spawn(async move {
            for _ in 0..10 {
                store.enqueue(vec![draft().job(), draft().job()]).await.unwrap();
                for lease in store.claim(request.clone()).await.unwrap().leases {
                    let verdict = completed();
                    store.settle(vec![Settlement { lease: lease.key(), verdict }]).await.unwrap();
                }
            }
        });
    }
    tasks.join_all().await;
    let log = rig.log().await;
    assert_dense(&log, 1);
    assert_eq!(read_to(log.last().unwrap().seq, &mut follower).await, log);
}

pub(crate) async fn a_slow_follower_never_holds_the_store_up(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let mut slow = rig.store.follow(2);
    for _ in 0..50 {
        rig.add(draft()).await; // would hang if the store waited for the follower
    }
    let first = slow.recv().await.unwrap();
    assert_eq!(first[0].seq, 1);
    let mut last = first.last().unwrap().seq;
    while let Ok(batch) = slow.try_recv() {
        assert_eq!(batch[0].seq, last + 1);
        last = batch.last().unwrap().seq;
    }
    assert!(last < 50, "a full channel takes no more");
    // The follower reads again and sees a jump in `seq`; the stored log has the missing events.
    let next = rig.add(draft()).await.seq;
    let seen = read_to(next, &mut slow).await;
    assert!(seen[0].seq > last + 1);
    let missed = rig.log_after(Cursor { seq: last, ..rig.store.head() }).await;
    assert_eq!((missed[0].seq, missed.len() as u64), (last + 1, next - last));
}

pub(crate) async fn a_follower_that_left_is_forgotten(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    drop(rig.store.follow(1));
    let mut follower = rig.store.follow(100);
    rig.add(draft()).await;
    rig.add(draft()).await;
    assert_eq!(read_to(2, &mut follower).await.len(), 2);
}

pub(crate) async fn an_answer_comes_after_its_events_can_be_read(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    for n in 1..=20 {
        let job = rig.add(draft()).await;
        assert_eq!((job.seq, rig.store.head().seq), (n, n));
        let after = Cursor { seq: n - 1, ..rig.store.head() };
        let Events::Some(events) = rig.store.events(after, 9).await.unwrap() else { panic!() };
        assert_eq!(events.len(), 1);
    }
    let lease = rig.claim_one().await;
    rig.complete(&lease).await;
    assert_eq!(rig.store.head().seq, 22);
}

pub(crate) async fn what_is_read_can_be_followed_from_its_cursor(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    for _ in 0..30 {
        rig.add(draft()).await;
        rig.claim(1).await; // may not be durable yet during the next reads
        let page = rig.store.list(Default::default()).await.unwrap().cursor;
        let stats = rig.stats().await.cursor;
        let one = rig.store.get(crate::job::JobId::generate()).await.unwrap().1;
        for place in [page, stats, one] {
            let answer = rig.store.events(place, 9).await.unwrap();
            assert!(matches!(answer, Events::Some(_)), "{place}: {answer:?}");
        }
    }
}

/// Bytes of each payload and of each result.
pub(super) const LARGE: usize = 100_000;
/// Bytes that one read may examine.
pub(super) const READ_BYTES: usize = 250_000;

pub(super) async fn large_jobs<H: Harness>(harness: H, count: usize) -> Rig<H> {
    let limits = StoreLimits { read_bytes: READ_BYTES, ..StoreLimits::default() };
    let rig = Rig::open_with(harness, limits).await;
    let text = Json::of(&"x".repeat(LARGE)).unwrap();
    for n in 0..count {
        let lease = rig.start(draft().payload(text.clone())).await;
        let result = if n % 2 == 0 { text.clone() } else { Json::null() };
        rig.settle(&lease, Verdict::Completed { result }).await.unwrap();
    }
    rig
}

pub(crate) async fn a_read_of_the_log_is_bounded_by_bytes_and_goes_on_where_it_ended(
    harness: impl Harness,
) {
    let rig = large_jobs(harness, 20).await;
    rig.log().await; // waits until everything is durable
    let (mut log, mut reads, mut place) = (Vec::new(), 0, rig.origin());
    loop {
        let Events::Some(events) = rig.store.events(place, 1_000).await.unwrap() else { panic!() };
        let Some(last) = events.last() else { break };
        let large = events.iter().filter(|event| holds_content(event)).count();
        assert!(large <= READ_BYTES / LARGE + 1, "{large} large events in one read");
        assert!(events.iter().all(|event| event.bytes() < LARGE), "an event has a payload");
        place = last.cursor(place);
        (log, reads) = ([log, events].concat(), reads + 1);
    }
    assert_dense(&log, 1);
    assert_eq!(log.len(), 60);
    assert!(reads >= 10, "all in {reads} reads");
    // During a stop, reads are shorter, but they still make progress.
    rig.store.end_searches();
    rig.pass(secs(60));
    let last = Cursor { seq: 59, ..rig.store.head() };
    assert_eq!(rig.store.events(last, 9).await.unwrap(), Events::Some(log[59..].to_vec()));
    assert_eq!(rig.log().await, log);
    let one = rig.store.events(rig.origin(), 1).await.unwrap();
    assert_eq!(one, Events::Some(log[..1].to_vec()));
}

/// Whether the store reads a payload for this event, although the event does not contain it.
fn holds_content(event: &Event) -> bool {
    event.event_type() == EventType::JobEnqueued
}

pub(crate) async fn a_read_of_the_log_that_nobody_waits_for_is_under_way_no_more(
    harness: impl Harness,
) {
    let rig = large_jobs(harness, 10).await;
    for _ in 0..20 {
        let read = rig.store.events(rig.origin(), 1_000);
        // Polled once, then dropped.
        let _given_up = read.now_or_never();
    }
    while rig.store.storage().await.unwrap().log_reads > 0 {
        tokio::task::yield_now().await;
    }
}
