//! Extending a lease and annotating its job during an attempt.

use super::rig::TTL;
use super::{Harness, Rig, draft, lines, secs};
use crate::job::{Change, EventType, Fact, JobId, LogCaps, Progress, State};
use crate::store::{Extension, LeaseRef, Note, StoreLimits};

pub(crate) async fn an_extended_lease_ends_later(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft()).await;
    let head = lease.token;
    rig.pass(secs(20));
    assert_eq!(rig.extend(&lease, secs(30)).await, Extension::Kept);
    rig.pass(secs(29)); // 49 s after the claim
    assert_eq!(rig.tick().await.rescued, 0);
    rig.pass(secs(1));
    assert_eq!(rig.tick().await.rescued, 1);
    assert_eq!(rig.log().await[1].seq, head);
    assert_eq!(rig.story(lease.job.id).await.len(), 3); // an extension is not an event
}

pub(crate) async fn an_extension_counts_from_now_even_when_that_is_sooner(h: impl Harness) {
    let rig = Rig::open(h).await;
    let lease = rig.start(draft()).await;
    rig.extend(&lease, secs(1)).await;
    rig.pass(secs(1));
    assert_eq!(rig.tick().await.rescued, 1);
}

pub(crate) async fn extensions_are_answered_in_order(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let stale = rig.start(draft()).await;
    rig.complete(&stale).await;
    let asked = rig.start(draft()).await;
    rig.cancel(asked.job.id).await.unwrap();
    let kept = rig.start(draft()).await;
    let unknown = LeaseRef { job: JobId::generate(), token: kept.token };
    let other = LeaseRef { token: asked.token, ..kept.key() };
    let leases = vec![stale.key(), asked.key(), unknown, kept.key(), other];
    let answers = rig.store.extend(leases, TTL).await.unwrap();
    use Extension::{CancelAsked, Kept, Lost};
    assert_eq!(answers, [Lost, CancelAsked, Lost, Kept, Lost]);
}

pub(crate) async fn a_lease_to_be_cancelled_is_extended_too(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft()).await;
    rig.cancel(lease.job.id).await.unwrap();
    rig.pass(secs(20));
    assert_eq!(rig.extend(&lease, TTL).await, Extension::CancelAsked);
    rig.pass(secs(20));
    assert_eq!(rig.tick().await.rescued, 0);
    assert_eq!(rig.state(lease.job.id).await, State::Running);
}

pub(crate) async fn a_lease_that_ran_out_can_be_extended_until_it_is_rescued(h: impl Harness) {
    let rig = Rig::open(h).await;
    let lease = rig.start(draft()).await;
    rig.pass(TTL * 2);
    assert_eq!(rig.extend(&lease, TTL).await, Extension::Kept);
    assert_eq!(rig.tick().await.rescued, 0);
    rig.pass(TTL);
    assert_eq!(rig.tick().await.rescued, 1);
    assert_eq!(rig.extend(&lease, TTL).await, Extension::Lost);
}

pub(crate) async fn notes_are_kept_with_the_job_and_in_the_log(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft()).await;
    rig.pass(secs(1));
    let progress = Progress { done: 3, total: Some(4), message: Some("nearly".into()) };
    let (key, two) = (lease.key(), lines(&["a", "b"]));
    let both = Note { lease: key, lines: two.clone(), progress: Some(progress.clone()) };
    let nothing = Note { lease: key, lines: Vec::new(), progress: None };
    rig.store.annotate(vec![both, nothing]).await.unwrap();

    let job = rig.job(lease.job.id).await;
    assert_eq!((&job.log, &job.progress, job.log_dropped), (&two, &Some(progress.clone()), 0));
    assert_eq!((job.status, job.history.len()), (lease.job.status, 1)); // a note is not part of the history
    let log = rig.log().await;
    let said: Vec<_> = log[2..].iter().map(|event| (event.seq, event.at, &event.fact)).collect();
    let fact = |change| {
        let (id, labels) = (job.id, job.labels.clone());
        Fact::Job { id, labels, state: State::Running, attempt: 1, change }
    };
    let logged = fact(Change::Logged(two));
    let progressed = fact(Change::Progressed(progress));
    assert_eq!(said, [(3, rig.now(), &logged), (4, rig.now(), &progressed)]);
    assert_eq!(job.seq, 4);
}

pub(crate) async fn only_the_newest_progress_is_kept_and_a_new_attempt_has_none(h: impl Harness) {
    let rig = Rig::open(h).await;
    let lease = rig.start(draft()).await;
    for done in [1, 2] {
        let progress = Some(Progress { done, total: None, message: None });
        let note = Note { lease: lease.key(), lines: Vec::new(), progress };
        rig.store.annotate(vec![note]).await.unwrap();
    }
    assert_eq!(rig.job(lease.job.id).await.progress.unwrap().done, 2);
    rig.settle(&lease, super::rig::failed(secs(0))).await.unwrap();
    rig.tick().await;
    assert_eq!(rig.job(lease.job.id).await.progress.unwrap().done, 2);
    assert_eq!(rig.claim_one().await.job.progress, None);
}

pub(crate) async fn notes_of_a_stale_lease_are_dropped(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let old = rig.start(draft()).await;
    rig.pass(TTL);
    rig.tick().await;
    rig.note(&old, &["late"]).await;
    let new = rig.claim_one().await;
    let note = |lease, text| Note { lease, lines: lines(&[text]), progress: None };
    let unknown = LeaseRef { job: JobId::generate(), token: new.token };
    let notes = vec![note(old.key(), "stale"), note(unknown, "lost"), note(new.key(), "good")];
    rig.store.annotate(notes).await.unwrap();
    rig.complete(&new).await;
    rig.note(&new, &["after the end"]).await;
    let job = rig.job(new.job.id).await;
    assert_eq!(job.log, lines(&["good"]));
    let logged = rig.types().await.into_iter().filter(|kind| *kind == EventType::JobLogged);
    assert_eq!(logged.count(), 1);
}

pub(crate) async fn a_long_log_keeps_its_newest_lines(harness: impl Harness) {
    let log = LogCaps { lines: 3, bytes: 20 };
    let rig = Rig::open_with(harness, StoreLimits { log, ..StoreLimits::default() }).await;
    let lease = rig.start(draft()).await;
    rig.note(&lease, &["1", "2", "3", "4"]).await;
    rig.note(&lease, &["5"]).await;
    let job = rig.job(lease.job.id).await;
    assert_eq!((job.log, job.log_dropped), (lines(&["3", "4", "5"]), 2));
    rig.note(&lease, &["0123456789", "abcdefghi"]).await;
    let rig = rig.crash().await;
    let job = rig.job(lease.job.id).await;
    assert_eq!((job.log, job.log_dropped), (lines(&["5", "0123456789", "abcdefghi"]), 4));
    let lease = rig.claim_one().await;
    rig.note(&lease, &["0123456789"]).await;
    let job = rig.job(lease.job.id).await;
    assert_eq!((job.log, job.log_dropped), (lines(&["abcdefghi", "0123456789"]), 6));
}

pub(crate) async fn a_line_longer_than_the_log_is_counted_and_dropped(harness: impl Harness) {
    let log = LogCaps { lines: 10, bytes: 8 };
    let rig = Rig::open_with(harness, StoreLimits { log, ..StoreLimits::default() }).await;
    let lease = rig.start(draft()).await;
    rig.note(&lease, &["short"]).await;
    rig.note(&lease, &["far too long"]).await;
    rig.note(&lease, &["new"]).await;
    let job = rig.job(lease.job.id).await;
    assert_eq!((job.log, job.log_dropped), (lines(&["new"]), 2));
}
