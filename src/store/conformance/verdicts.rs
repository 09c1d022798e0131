//! How each verdict changes a job.

use super::rig::{completed, failed, failure};
use super::{Harness, Rig, draft, secs};
use crate::job::{Change, Fact, FailureClass, Interruption, Job, JobId, State, Verdict};
use crate::store::Lease;

/// Settles, asserts that the answer, the record and the event agree, and returns the record.
async fn settled<H: Harness>(rig: &Rig<H>, lease: &Lease, verdict: Verdict) -> Job {
    let status = rig.settle(lease, verdict).await.unwrap();
    let job = rig.job(lease.job.id).await;
    assert_eq!(job.status, status);
    let event = rig.log().await.pop().unwrap();
    assert_eq!((event.seq, event.at), (job.seq, rig.now()));
    let moment = job.history.last().unwrap();
    let Fact::Job { id, state, attempt, change, labels } = event.fact else { panic!() };
    assert_eq!((id, state, &labels), (job.id, status.state, &job.labels));
    assert_eq!((moment.seq, moment.at, moment.state), (event.seq, event.at, state));
    assert_eq!((moment.attempt, &moment.change), (attempt, &change));
    assert!(job.attempts().last().unwrap().end.is_some(), "the attempt is still open");
    job
}

fn last(job: &Job) -> (&Change, u16) {
    let moment = job.history.last().unwrap();
    (&moment.change, moment.attempt)
}

pub(crate) async fn a_completed_job_keeps_its_result(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft()).await;
    rig.pass(secs(2));
    let job = settled(&rig, &lease, completed()).await;
    assert_eq!((job.status.state, job.status.attempt), (State::Completed, 1));
    assert_eq!(job.result().unwrap().as_str(), "{\"n\": 1}");
    assert_eq!(job.finished_at(), Some(rig.now()));
    assert_eq!(job.attempts()[0].duration(), Some(secs(2)));
}

pub(crate) async fn a_failed_attempt_is_followed_by_another(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft().attempts(2)).await;
    let job = settled(&rig, &lease, failed(secs(20))).await;
    let run_at = rig.now().after(secs(20));
    assert_eq!((job.status.state, job.status.attempt, job.run_at), (State::Retryable, 1, run_at));
    assert_eq!(last(&job), (&Change::RetryScheduled { failure: failure(), run_at }, 1));
    rig.pass(secs(20));
    rig.tick().await;
    assert_eq!(rig.claim_one().await.job.status.attempt, 2);
}

pub(crate) async fn the_last_failed_attempt_discards_the_job(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft().attempts(1)).await;
    let job = settled(&rig, &lease, failed(secs(20))).await;
    assert_eq!((job.status.state, job.status.attempt), (State::Discarded, 1));
    assert_eq!(last(&job), (&Change::Discarded { failure: failure() }, 1));
    assert_eq!(job.finished_at(), Some(rig.now()));
}

pub(crate) async fn a_discarded_job_keeps_its_failure(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft()).await;
    let job = settled(&rig, &lease, Verdict::Discarded { failure: failure() }).await;
    assert_eq!((job.status.state, job.status.attempt), (State::Discarded, 1));
    assert_eq!((last(&job).1, job.last_failure()), (1, Some(&failure())));
}

pub(crate) async fn a_snoozed_job_waits_and_is_not_charged(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft().attempts(1)).await;
    let job = settled(&rig, &lease, Verdict::Snoozed { delay: secs(9) }).await;
    let run_at = rig.now().after(secs(9));
    assert_eq!((job.status.state, job.status.attempt, job.run_at), (State::Scheduled, 0, run_at));
    assert_eq!(last(&job), (&Change::Snoozed { run_at }, 1)); // the attempt that ended
    rig.pass(secs(9));
    rig.tick().await;
    assert_eq!(rig.claim_one().await.job.status.attempt, 1);
}

pub(crate) async fn an_interrupted_job_is_available_again_and_not_charged(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft().attempts(1)).await;
    rig.pass(secs(3));
    let why = Interruption::Stop;
    let job = settled(&rig, &lease, Verdict::Interrupted { why }).await;
    assert_eq!((job.status.state, job.status.attempt), (State::Available, 0));
    assert_eq!((last(&job), job.run_at), ((&Change::Interrupted { why }, 1), rig.now()));
    assert_eq!(rig.claim_one().await.job.status.attempt, 1);
}

pub(crate) async fn a_cancelled_attempt_ends_the_job(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft()).await;
    let job = settled(&rig, &lease, Verdict::Cancelled).await;
    assert_eq!((job.status.state, last(&job)), (State::Cancelled, (&Change::Cancelled, 1)));
}

pub(crate) async fn a_job_that_is_to_be_cancelled_never_waits_again(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let verdicts = [
        failed(secs(1)),
        Verdict::Snoozed { delay: secs(1) },
        Verdict::Interrupted { why: Interruption::Stop },
        Verdict::Cancelled,
    ];
    for verdict in verdicts {
        let lease = rig.start(draft()).await;
        rig.cancel(lease.job.id).await.unwrap();
        let job = settled(&rig, &lease, verdict).await;
        assert_eq!((job.status.state, job.status.cancel_asked), (State::Cancelled, false));
        assert_eq!(last(&job), (&Change::Cancelled, 1));
    }
}

pub(crate) async fn a_job_that_ends_by_itself_was_not_cancelled(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let cases = [
        (completed(), State::Completed),
        (Verdict::Discarded { failure: failure() }, State::Discarded),
    ];
    for (verdict, state) in cases {
        let lease = rig.start(draft()).await;
        rig.cancel(lease.job.id).await.unwrap();
        let job = settled(&rig, &lease, verdict).await;
        assert_eq!((job.status.state, job.status.cancel_asked), (state, false));
    }
}

pub(crate) async fn the_whole_story_of_a_job_is_kept(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft().attempts(3).after(secs(0))).await;
    let id: JobId = lease.job.id;
    rig.note(&lease, &["one"]).await;
    rig.settle(&lease, failed(secs(1))).await.unwrap();
    rig.pass(secs(1));
    rig.tick().await;
    let lease = rig.claim_one().await;
    rig.note(&lease, &["two"]).await;
    rig.settle(&lease, Verdict::Interrupted { why: Interruption::Stop }).await.unwrap();
    let lease = rig.claim_one().await;
    rig.complete(&lease).await;
    let before = rig.job(id).await;
    let rig = rig.reopen().await;
    let job = rig.job(id).await;
    assert_eq!(job, before);
    let attempts: Vec<u16> = job.attempts().iter().map(|attempt| attempt.number).collect();
    assert_eq!((attempts, job.log.len()), (vec![1, 2, 2], 2));
    assert_eq!(job.last_failure().unwrap().class, FailureClass::Error);
    let names: Vec<&str> = rig.story(id).await.into_iter().map(|kind| kind.as_str()).collect();
    let expected = "job.enqueued job.started job.logged job.retry_scheduled job.available \
        job.started job.logged job.interrupted job.started job.completed";
    assert_eq!(names.join(" "), expected);
}
