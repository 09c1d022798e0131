//! Snapshots: the whole store at one position of the log, whatever changes in the meantime.

use super::rig::{completed, failed};
use super::schedule::every;
use super::{Harness, Rig, draft, kinds, per_minute, queue, secs};
use crate::access::Role;
use crate::access::tests::add_user;
use crate::job::{Concurrency, Event, Job, QueueSettings, State};
use crate::store::snapshot::{FORMAT, Head, Piece, Snapshot, Totals};
use crate::store::{Keep, KindCommand, Retention, StoreLimits};

/// Adds jobs in every state, queues with settings, schedules and declared kinds.
async fn some_of_each<H: Harness>(rig: &Rig<H>) {
    for n in 0..6 {
        rig.finish(draft().key(&format!("done {n}"))).await;
    }
    let failing = rig.start(draft()).await;
    rig.settle(&failing, failed(secs(60))).await.unwrap();
    let ended = rig.add(draft().queue("other")).await;
    rig.cancel(ended.id).await.unwrap();
    rig.add(draft().after(secs(100))).await;
    rig.pause("zz").await;
    rig.pause("held").await;
    rig.set_concurrency("held", Some(5)).await;
    rig.set_rate_limit("held", Some(per_minute(9))).await;
    rig.set("nightly", every("every 1h", draft())).await;
    rig.set("hourly", every("every 1h", draft())).await;
    for name in ["resize", "bill"] {
        let set = KindCommand::Set(kinds::kind(name), kinds::spec("Works.").into());
        rig.kind(set).await.unwrap();
    }
    rig.start(draft().queue("running")).await;
    rig.add(draft().queue("waiting").key("waits")).await;
    rig.store.access(add_user("anna", Role::Admin), None).await.unwrap();
    rig.log().await; // waits until everything is durable
}

async fn read(snapshot: &mut dyn Snapshot) -> Vec<Piece> {
    let mut all = Vec::new();
    loop {
        let pieces = snapshot.next().await.unwrap();
        if pieces.is_empty() {
            return all;
        }
        all.extend(pieces);
    }
}

fn jobs(pieces: &[Piece]) -> Vec<Job> {
    let job = |piece: &Piece| match piece {
        Piece::Job(job) => Some((**job).clone()),
        Piece::Head(_)
        | Piece::Queue { .. }
        | Piece::Schedule(_)
        | Piece::Kind(_)
        | Piece::Access(_)
        | Piece::Event(_)
        | Piece::End(_) => None,
    };
    pieces.iter().filter_map(job).collect()
}

fn events(pieces: &[Piece]) -> Vec<Event> {
    let event = |piece: &Piece| match piece {
        Piece::Event(event) => Some(event.clone()),
        Piece::Head(_)
        | Piece::Queue { .. }
        | Piece::Schedule(_)
        | Piece::Kind(_)
        | Piece::Access(_)
        | Piece::Job(_)
        | Piece::End(_) => None,
    };
    pieces.iter().filter_map(event).collect()
}

pub(crate) async fn a_snapshot_is_everything_in_its_order(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    some_of_each(&rig).await;
    let (log, stored, head) = (rig.log().await, rig.jobs().await, rig.store.head());
    let pieces = read(&mut *rig.store.snapshot().await.unwrap()).await;

    let at = rig.now();
    let expected =
        Head { cortado_export: FORMAT, epoch: head.epoch, at, oldest: 0, head: head.seq };
    assert_eq!(pieces[0], Piece::Head(expected));
    let paused = QueueSettings { paused: true, ..QueueSettings::default() };
    let rate_limit = Some(per_minute(9));
    let expected = [
        Piece::Queue {
            name: queue("held"),
            settings: QueueSettings {
                concurrency: Some(Concurrency::clamped(5)),
                rate_limit,
                ..paused
            },
        },
        Piece::Queue { name: queue("zz"), settings: paused },
    ];
    assert_eq!(pieces[1..3], expected);
    let schedules = rig.store.schedules().await.unwrap().0.into_iter();
    let schedules: Vec<Piece> = schedules.map(|one| Piece::Schedule(one.into())).collect();
    assert_eq!((schedules.len(), &pieces[3..5]), (2, &schedules[..]));
    let kinds: Vec<Piece> = rig.store.kinds().borrow().iter().cloned().map(Piece::Kind).collect();
    assert_eq!((kinds.len(), &pieces[5..7]), (2, &kinds[..]));
    let records: Vec<Piece> =
        rig.store.access_table().borrow().records().map(Piece::Access).collect();
    assert_eq!((records.len(), &pieces[7..9]), (2, &records[..]));
    assert_eq!(events(&pieces), log);
    let (mut finished, mut rest): (Vec<Job>, Vec<Job>) =
        stored.into_iter().partition(|job| job.status.state.is_final());
    finished.sort_by_key(|job| job.seq);
    rest.sort_by_key(|job| job.id);
    assert!(finished.len() > 6 && rest.len() > 3);
    let jobs = jobs(&pieces);
    assert_eq!(jobs, [finished, rest].concat());
    let (jobs, events) = (jobs.len() as u64, log.len() as u64);
    let totals = Totals { jobs, events, queues: 2, schedules: 2, kinds: 2, access: 2 };
    assert_eq!(pieces.last(), Some(&Piece::End(totals)));
}

pub(crate) async fn a_snapshot_sees_nothing_of_what_comes_after(harness: impl Harness) {
    let one = Keep { age: secs(1_000_000), count: 1 };
    let retention = Retention { completed: one, cancelled: one, discarded: one, events: one };
    let rig = Rig::open_with(harness, StoreLimits { retention, ..StoreLimits::default() }).await;
    some_of_each(&rig).await;
    let expected = read(&mut *rig.store.snapshot().await.unwrap()).await;
    let mut snapshot = rig.store.snapshot().await.unwrap();
    let mut pieces = snapshot.next().await.unwrap();
    assert!(pieces.len() < expected.len() || expected.len() <= 256);

    // Finish, expire, prune and trim as much as the store allows while a snapshot is open.
    rig.resume("zz").await;
    for n in 0..40 {
        rig.finish(draft()).await;
        rig.finish(draft().key(&format!("more {n}"))).await;
        rig.catch_up().await;
    }
    for job in rig.jobs().await {
        if job.status.state.is_final() {
            rig.delete(job.id).await.unwrap();
        }
    }
    rig.pass(secs(30));
    rig.catch_up().await;
    pieces.extend(read(&mut *snapshot).await);
    assert_eq!(pieces, expected);
    drop(snapshot);

    rig.catch_up().await;
    let later = read(&mut *rig.store.snapshot().await.unwrap()).await;
    assert_eq!(jobs(&later), {
        let mut stored = rig.jobs().await;
        stored.sort_by_key(|job| (!job.status.state.is_final(), job.id));
        stored
    });
    let rig = rig.reopen().await;
    assert_eq!(rig.stats().await.states[&State::Running], 0);
}

pub(crate) async fn a_snapshot_of_nothing_has_a_head_and_an_end(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let pieces = read(&mut *rig.store.snapshot().await.unwrap()).await;
    assert!(matches!(&pieces[..2], [Piece::Head(_), Piece::Access(_)]), "{pieces:?}");
    assert_eq!(pieces[2..], [Piece::End(Totals { access: 1, ..Totals::default() })]);
    rig.add(draft()).await;
    let lease = rig.claim_one().await;
    rig.settle(&lease, completed()).await.unwrap();
    assert_eq!(read(&mut *rig.store.snapshot().await.unwrap()).await.len(), 3 + 3 + 1);
}
