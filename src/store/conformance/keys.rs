//! Idempotency keys: each stands for one job as long as that job is stored.

use super::{Draft, Harness, Rig, draft, secs};
use crate::access::Scope;
use crate::job::{Json, QueueName, Role, Verdict};
use crate::store::{EnqueueError, Enqueued, Keep, KeyOwner, Retention, ReusedKey, StoreLimits};

pub(crate) async fn a_key_makes_one_job(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let first = rig.add(draft().key("k").priority(5)).await;
    let again = rig.add_existing(draft().key("k").priority(5)).await;
    assert_eq!(again, first);
    assert_eq!((rig.jobs().await.len(), rig.store.head().seq), (1, 1));
    rig.add(draft().key("K")).await; // keys are case-sensitive
}

pub(crate) async fn a_key_makes_one_job_within_a_batch(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let batch = [draft().key("k"), draft(), draft().key("k"), draft().key("j")].map(Draft::job);
    let first = batch[0].id;
    let answers = rig.store.enqueue(batch.into()).await.unwrap();
    let new: Vec<bool> = answers.iter().map(|answer| matches!(answer, Enqueued::New(_))).collect();
    assert_eq!(new, [true, true, false, true]);
    assert_eq!((answers[2].job().id, rig.jobs().await.len()), (first, 3));
}

/// Each submission differs from the first one in one field.
pub(crate) async fn a_key_of_another_submission_is_refused(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let json = |text: &str| Json::parse(text).unwrap();
    let first = || draft().key("k").payload(json(r#"{"a": 1, "b": [2]}"#)).tag("x");
    let job = rig.add(first()).await;
    let same = first().payload(json(r#"{"b":[2],"a":1}"#)).after(secs(60));
    assert_eq!(rig.add_existing(same).await.id, job.id);
    for (other, field) in [
        (first().kind("sleep"), "kind"),
        (first().payload(json(r#"{"a":1}"#)), "payload"),
        (first().queue("other"), "queue"),
        (first().tag("z"), "tags"),
        (first().priority(1), "priority"),
        (first().attempts(1), "max_attempts"),
        (first().timeout(9), "timeout_ms"),
    ] {
        let refused = rig.store.enqueue(vec![other.job()]).await.unwrap_err();
        let differences = vec![field];
        let reused = ReusedKey { owner: Some(KeyOwner::Job(job.id)), differences, at: None };
        assert_eq!(refused, EnqueueError::KeyReused(reused));
    }
    // A changed job is compared as it was submitted, also when it is finished.
    rig.move_to(job.id, "other").await.unwrap();
    rig.reprioritise(job.id, 7).await.unwrap();
    assert_eq!(rig.add_existing(first()).await.id, job.id);
    assert!(rig.store.enqueue(vec![first().queue("other").job()]).await.is_err());
    rig.cancel(job.id).await.unwrap();
    let rig = rig.reopen().await;
    assert_eq!(rig.add_existing(first()).await.id, job.id);
    assert!(rig.store.enqueue(vec![first().queue("other").job()]).await.is_err());
}

pub(crate) async fn a_batch_with_a_key_of_another_submission_is_refused_as_a_whole(
    harness: impl Harness,
) {
    let rig = Rig::open(harness).await;
    let job = rig.add(draft().key("k")).await;
    let refused = async |batch: Vec<Draft>| {
        let batch = batch.into_iter().map(Draft::job).collect();
        match rig.store.enqueue(batch).await {
            Err(EnqueueError::KeyReused(reused)) => (reused.owner, reused.at),
            other => panic!("a refusal was expected, not {other:?}"),
        }
    };
    let other = || draft().key("k").queue("other");
    assert_eq!(
        refused(vec![draft(), draft().key("k"), other()]).await,
        (Some(KeyOwner::Job(job.id)), Some(2))
    );
    let twice = vec![draft(), draft().key("new"), draft().key("new").priority(3)];
    assert_eq!(refused(twice).await, (Some(KeyOwner::Earlier(1)), Some(2)));
    assert_eq!(rig.jobs().await.len(), 1);

    let mixed = [draft(), draft().key("k"), draft().key("new"), draft().key("new")].map(Draft::job);
    let answers = rig.store.enqueue(mixed.into()).await.unwrap();
    let new: Vec<bool> = answers.iter().map(|answer| matches!(answer, Enqueued::New(_))).collect();
    assert_eq!(new, [true, false, true, false]);
    assert_eq!(answers[1].job().id, job.id);
    assert_eq!(rig.jobs().await.len(), 3);
}

/// The same answer for a job that differs, and for one that was moved out of the scope.
pub(crate) async fn a_key_of_a_job_outside_of_the_scope_is_refused_without_a_word_about_the_job(
    harness: impl Harness,
) {
    let rig = Rig::open(harness).await;
    let mail = || draft().queue("mail");
    rig.add(draft().queue("other").key("foreign")).await;
    let moved = rig.add(mail().key("moved")).await;
    rig.move_to(moved.id, "other").await.unwrap();
    let own = rig.add(mail().key("own")).await;
    let scope = Scope {
        queues: Some(vec![QueueName::parse("mail").unwrap()]),
        ..Scope::of(Role::Submitter)
    };
    for key in ["foreign", "moved"] {
        let reused =
            |at| EnqueueError::KeyReused(ReusedKey { owner: None, differences: vec![], at });
        let one = vec![mail().key(key).job()];
        assert_eq!(rig.store.enqueue_within(one, Some(&scope)).await, Err(reused(None)), "{key}");
        let many = vec![mail().job(), mail().key(key).job()];
        let refused = rig.store.enqueue_within(many, Some(&scope)).await;
        assert_eq!(refused, Err(reused(Some(1))), "{key}");
    }
    assert_eq!(rig.jobs().await.len(), 3, "no batch was stored in part");
    let again = rig.store.enqueue_within(vec![mail().key("own").job()], Some(&scope)).await;
    assert_eq!(again, Ok(vec![Enqueued::Existing(own)]));
}

pub(crate) async fn a_finished_job_still_has_its_key(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let done = rig.finish(draft().key("done")).await;
    let cancelled = rig.add(draft().key("cancelled")).await.id;
    rig.cancel(cancelled).await.unwrap();
    let lease = rig.start(draft().key("dead")).await;
    let failure = super::rig::failure();
    rig.settle(&lease, Verdict::Discarded { failure }).await.unwrap();
    let rig = rig.reopen().await;
    for (key, id) in [("done", done), ("cancelled", cancelled), ("dead", lease.job.id)] {
        assert_eq!(rig.add_existing(draft().key(key)).await, rig.job(id).await, "{key}");
    }
}

pub(crate) async fn a_running_or_waiting_job_has_its_key_after_a_crash(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let running = rig.start(draft().key("running")).await.job.id;
    let later = rig.add(draft().key("later").after(secs(60))).await.id;
    let rig = rig.crash().await;
    assert_eq!(rig.add_existing(draft().key("running")).await.id, running);
    assert_eq!(rig.add_existing(draft().key("later")).await.id, later);
}

pub(crate) async fn a_deleted_job_frees_its_key(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let waiting = rig.add(draft().key("a")).await.id;
    let done = rig.finish(draft().key("b").queue("q")).await;
    rig.delete(waiting).await.unwrap();
    rig.delete(done).await.unwrap();
    let rig = rig.reopen().await;
    rig.add(draft().key("a")).await;
    rig.add(draft().key("b")).await;
}

pub(crate) async fn a_pruned_job_frees_its_key(harness: impl Harness) {
    let completed = Keep { age: secs(10), count: 100 };
    let retention = Retention { completed, ..Retention::default() };
    let rig = Rig::open_with(harness, StoreLimits { retention, ..StoreLimits::default() }).await;
    let id = rig.finish(draft().key("k")).await;
    rig.pass(secs(10));
    assert_eq!(rig.add_existing(draft().key("k")).await.id, id); // pruned only by the next tick
    assert_eq!(rig.catch_up().await.pruned, 1);
    let new = rig.add(draft().key("k")).await;
    let rig = rig.reopen().await;
    assert_eq!(rig.add_existing(draft().key("k")).await.id, new.id);
}
