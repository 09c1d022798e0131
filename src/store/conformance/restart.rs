//! What the store returns after a restart or a crash.

use std::time::Duration;

use super::rig::{completed, failed};
use super::{Draft, Harness, Rig, draft, secs};
use crate::job::{Change, EventType, FailureClass, Interruption, JobId, NewJob, State, Verdict};
use crate::store::{
    Claim, Extension, Lease, MAX_STARTS, SettleError, Settlement, StoreLimits, WorkerPlace,
};

pub(crate) async fn an_orderly_restart_changes_nothing(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    rig.add(draft()).await;
    rig.add(draft().after(secs(60)).queue("q")).await;
    let lease = rig.start(draft().priority(1)).await;
    rig.note(&lease, &["a line"]).await;
    rig.settle(&lease, failed(secs(60))).await.unwrap();
    rig.finish(draft().priority(1)).await;
    let (log, jobs, stats) = (rig.log().await, rig.jobs().await, rig.stats().await);
    let rig = rig.reopen().await.reopen().await;
    assert_eq!((rig.log().await, rig.jobs().await, rig.stats().await), (log, jobs, stats));
}

pub(crate) async fn a_restart_of_an_empty_store_is_empty(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let head = rig.store.head();
    let rig = rig.crash().await.reopen().await;
    assert_eq!((rig.store.head(), rig.jobs().await), (head, Vec::new()));
    assert_eq!(rig.add(draft()).await.seq, 1);
}

pub(crate) async fn a_crash_loses_nothing_that_was_answered(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let mut ids = Vec::new();
    for n in 0..100 {
        ids.push(rig.add(draft().key(&format!("key {n}"))).await.id);
    }
    for lease in rig.claim(30).await {
        rig.complete(&lease).await;
    }
    for id in &ids[30..40] {
        rig.delete(*id).await.unwrap();
    }
    let (log, jobs, stats) = (rig.log().await, rig.jobs().await, rig.stats().await);
    let rig = rig.crash().await;
    assert_eq!((rig.log().await, rig.jobs().await, rig.stats().await), (log, jobs, stats));
}

pub(crate) async fn the_log_goes_on_after_a_restart(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    rig.finish(draft()).await;
    let head = rig.store.head();
    let rig = rig.crash().await;
    assert_eq!((rig.store.head(), rig.add(draft()).await.seq), (head, head.seq + 1));
    let after: Vec<u64> = rig.log_after(head).await.iter().map(|event| event.seq).collect();
    assert_eq!(after, [head.seq + 1]); // a cursor from before the crash is still valid
}

pub(crate) async fn running_jobs_are_given_back_at_once(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft().attempts(2)).await;
    rig.pass(secs(3));
    let rig = rig.crash().await;
    let job = rig.job(lease.job.id).await;
    assert_eq!((job.status.state, job.status.attempt), (State::Available, 1));
    let moment = job.history.last().unwrap();
    assert_eq!(moment.change, Change::Rescued { why: Interruption::Crash });
    assert_eq!((moment.attempt, moment.at, job.run_at), (1, rig.now(), rig.now()));
    assert_eq!(rig.settle(&lease, completed()).await, Err(SettleError::Stale));
    assert_eq!(rig.claim_one().await.job.status.attempt, 2);
    assert_eq!(rig.tick().await.rescued, 0);
}

pub(crate) async fn running_jobs_are_given_back_after_an_orderly_close_too(h: impl Harness) {
    let rig = Rig::open(h).await;
    let lease = rig.start(draft()).await;
    let rig = rig.reopen().await;
    assert_eq!(rig.state(lease.job.id).await, State::Available);
    assert_eq!(rig.story(lease.job.id).await.pop(), Some(EventType::JobRescued));
    assert_eq!(rig.stats().await.states[&State::Running], 0);
}

pub(crate) async fn a_crash_on_the_last_attempt_discards_the_job(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft().attempts(1)).await;
    let rig = rig.crash().await;
    let job = rig.job(lease.job.id).await;
    assert_eq!((job.status.state, job.finished_at()), (State::Discarded, Some(rig.now())));
    let failure = job.last_failure().unwrap();
    assert_eq!(failure.class, FailureClass::Lost);
    assert_eq!(&*failure.message, Interruption::Crash.lost_message());
}

pub(crate) async fn a_crash_of_a_job_to_be_cancelled_cancels_it(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft().attempts(1)).await;
    rig.cancel(lease.job.id).await.unwrap();
    let rig = rig.crash().await;
    assert_eq!(rig.state(lease.job.id).await, State::Cancelled);
    assert_eq!(rig.story(lease.job.id).await.pop(), Some(EventType::JobCancelled));
}

pub(crate) async fn lost_jobs_are_given_back_in_the_order_of_their_ids(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    for n in 0..10 {
        rig.add(draft().priority(n)).await;
    }
    let mut ids: Vec<JobId> = rig.claim(10).await.iter().map(|lease| lease.job.id).collect();
    rig.log().await;
    let head = rig.store.head();
    let rig = rig.crash().await;
    let given_back: Vec<JobId> = rig
        .log_after(head)
        .await
        .iter()
        .map(|event| match &event.fact {
            crate::job::Fact::Job { id, .. } => *id,
            crate::job::Fact::Queue { .. }
            | crate::job::Fact::Schedule { .. }
            | crate::job::Fact::Access { .. }
            | crate::job::Fact::Kind { .. }
            | crate::job::Fact::Worker { .. } => panic!(),
        })
        .collect();
    ids.sort();
    assert_eq!(given_back, ids);
}

pub(crate) async fn a_job_is_given_back_once_however_often_the_server_restarts(h: impl Harness) {
    let rig = Rig::open(h).await;
    let lease = rig.start(draft()).await;
    let rig = rig.crash().await.crash().await.reopen().await;
    let story = rig.story(lease.job.id).await;
    assert_eq!(story[2..], [EventType::JobRescued]);
}

pub(crate) async fn timers_survive(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let snoozed = rig.start(draft()).await;
    rig.settle(&snoozed, Verdict::Snoozed { delay: secs(50) }).await.unwrap();
    let retryable = rig.start(draft()).await;
    rig.settle(&retryable, failed(secs(50))).await.unwrap();
    let scheduled = rig.add(draft().after(secs(50))).await.id;
    let rig = rig.crash().await;
    assert_eq!(rig.tick().await.next, Some(rig.now().after(secs(50))));
    rig.pass(secs(50));
    let rig = rig.reopen().await;
    assert_eq!(rig.tick().await.due, 3);
    for id in [snoozed.job.id, retryable.job.id, scheduled] {
        assert_eq!(rig.state(id).await, State::Available);
    }
}

pub(crate) async fn changed_limits_of_attempts_survive(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft().attempts(1)).await;
    rig.settle(&lease, failed(secs(0))).await.unwrap();
    let status = rig.retry(lease.job.id).await.unwrap();
    let rig = rig.crash().await.reopen().await;
    assert_eq!((rig.job(lease.job.id).await.status, status.max_attempts), (status, 2));
}

pub(crate) async fn a_large_backlog_keeps_its_order(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let job = |n: usize| draft().priority((n * 7 % 5) as i16).job();
    let batch: Vec<NewJob> = (0..2_000).map(job).collect();
    let mut expected: Vec<_> =
        batch.iter().map(|job| (std::cmp::Reverse(job.spec.priority), job.id)).collect();
    expected.sort();
    for part in batch.chunks(500) {
        rig.store.enqueue(part.to_vec()).await.unwrap();
    }
    let first = rig.claim(500).await;
    let settlements =
        first.iter().map(|lease| Settlement { lease: lease.key(), verdict: completed() }).collect();
    rig.store.settle(settlements).await.unwrap();
    let rig = rig.reopen().await;
    let rest = rig.claim(5_000).await;
    let ids: Vec<JobId> = first.iter().chain(&rest).map(|lease| lease.job.id).collect();
    assert_eq!(ids, expected.iter().map(|(_, id)| *id).collect::<Vec<_>>());
}

pub(crate) async fn every_opening_is_remembered(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let first = rig.now();
    assert_eq!(rig.store.starts(), [first]);
    rig.pass(secs(5));
    let rig = rig.reopen().await;
    rig.pass(secs(5));
    let mut rig = rig.crash().await;
    assert_eq!(rig.store.starts(), [first, first.after(secs(5)), first.after(secs(10))]);
    for _ in 0..MAX_STARTS {
        rig = rig.reopen().await;
    }
    let starts = rig.store.starts();
    assert_eq!((starts.len(), starts[0]), (MAX_STARTS, first.after(secs(10))));
}

/// Enqueues a job, and claims it for a remote worker.
async fn start_remote<H: Harness>(rig: &Rig<H>, job: Draft, ttl: Duration) -> Lease {
    let id = rig.add(job).await.id;
    let request = Claim { place: WorkerPlace::Remote, ttl, ..rig.claim_request(1) };
    let lease = rig.store.claim(request).await.unwrap().leases.remove(0);
    assert_eq!(lease.job.id, id);
    lease
}

pub(crate) async fn a_remote_worker_goes_on_over_restarts(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    rig.set_concurrency("default", Some(3)).await;
    let remote = start_remote(&rig, draft(), secs(60)).await;
    let cancelled = start_remote(&rig, draft(), secs(60)).await;
    rig.cancel(cancelled.job.id).await.unwrap();
    let local = rig.start(draft()).await;
    rig.note(&remote, &["before"]).await;
    let rig = rig.crash().await.reopen().await.crash().await;
    assert_eq!(rig.state(remote.job.id).await, State::Running);
    assert_eq!(rig.state(local.job.id).await, State::Available);
    rig.add(draft()).await;
    assert_eq!(rig.claim(9).await.len(), 1, "both remote attempts still count");
    assert_eq!(rig.extend(&remote, secs(60)).await, Extension::Kept);
    assert_eq!(rig.extend(&cancelled, secs(60)).await, Extension::CancelAsked);
    rig.note(&remote, &["after"]).await;
    assert_eq!(rig.complete(&remote).await.state, State::Completed);
    assert_eq!(rig.job(remote.job.id).await.log.len(), 2);
    assert_eq!(rig.settle(&cancelled, failed(secs(1))).await.unwrap().state, State::Cancelled);
    let story = rig.story(remote.job.id).await;
    let expected = [EventType::JobEnqueued, EventType::JobStarted, EventType::JobLogged];
    assert_eq!(story[..3], expected);
    assert_eq!(story[3..], [EventType::JobLogged, EventType::JobCompleted]);
}

pub(crate) async fn a_remote_lease_lasts_its_length_from_the_opening(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = start_remote(&rig, draft(), secs(60)).await;
    rig.pass(secs(1_000)); // the server was down for long
    let rig = rig.crash().await;
    assert_eq!(rig.tick().await.next, Some(rig.now().after(secs(60))));
    rig.pass(secs(59));
    assert_eq!(rig.tick().await.rescued, 0);
    rig.pass(secs(1));
    assert_eq!(rig.tick().await.rescued, 1);
    let job = rig.job(lease.job.id).await;
    let rescued = Change::Rescued { why: Interruption::LeaseExpired };
    assert_eq!(job.history.last().unwrap().change, rescued);
    assert_eq!(rig.settle(&lease, completed()).await, Err(SettleError::Stale));
    assert_eq!(rig.claim_one().await.job.status.attempt, 2);
}

pub(crate) async fn a_remote_lease_is_kept_when_its_record_was_copied_forward(h: impl Harness) {
    let mut limits = StoreLimits::default();
    limits.retention.events.count = 1;
    let rig = Rig::open_with(h, limits).await;
    let lease = start_remote(&rig, draft(), secs(1_000)).await;
    for _ in 0..5 {
        let gone = rig.add(draft().queue("other")).await;
        rig.delete(gone.id).await.unwrap();
        rig.catch_up().await;
    }
    let rig = rig.crash().await;
    assert_eq!(rig.extend(&lease, secs(60)).await, Extension::Kept);
    assert_eq!(rig.complete(&lease).await.state, State::Completed);
}

pub(crate) async fn only_the_current_holder_of_a_job_decides_what_a_restart_does(h: impl Harness) {
    let rig = Rig::open(h).await;
    let remote = start_remote(&rig, draft(), secs(60)).await;
    rig.settle(&remote, failed(secs(0))).await.unwrap();
    rig.tick().await;
    let local = rig.claim_one().await;
    assert_eq!(local.job.id, remote.job.id);
    let rig = rig.crash().await;
    assert_eq!(rig.state(local.job.id).await, State::Available);
    let done = start_remote(&rig, draft().priority(1), secs(60)).await;
    rig.complete(&done).await;
    let gone = start_remote(&rig, draft().priority(1), secs(60)).await;
    rig.complete(&gone).await;
    rig.delete(gone.job.id).await.unwrap();
    let rig = rig.crash().await;
    assert_eq!(rig.stats().await.states[&State::Running], 0);
    assert_eq!(rig.extend(&done, secs(60)).await, Extension::Lost);
    assert_eq!(rig.tick().await.next, None);
}
