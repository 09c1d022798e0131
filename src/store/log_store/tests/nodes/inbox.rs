//! Several nodes enqueue from one inbox: each submission makes one job, whatever becomes of the appends.

use std::sync::Arc;

use super::memory_log::{Fault, MemoryLog};
use super::together::{add, eventually, nodes};
use crate::job::{IdempotencyKey, JobId, JobQuery, NewJob};
use crate::store::conformance::draft;
use crate::store::{EnqueueError, Inbox, InboxAnswer, Store, StoreError, StoreLimits};

/// Jobs that were submitted to the inbox.
fn submit(log: &MemoryLog, count: usize) -> Vec<NewJob> {
    let jobs: Vec<NewJob> = (0..count).map(|_| draft().job()).collect();
    jobs.iter().for_each(|job| log.submit(job.id));
    jobs
}

fn with_key(job: &NewJob, key: &str, payload: &str) -> NewJob {
    let mut spec = (*job.spec).clone();
    spec.idempotency_key = Some(IdempotencyKey::parse(key).unwrap());
    spec.payload = crate::job::Json::parse(payload).unwrap();
    NewJob { spec: spec.into(), ..job.clone() }
}

fn inbox(store: &Arc<dyn Store>) -> &dyn Inbox {
    store.inbox().unwrap()
}

async fn jobs(store: &Arc<dyn Store>) -> Vec<JobId> {
    let query = JobQuery { limit: 1_000, ..JobQuery::default() };
    let mut jobs: Vec<JobId> =
        store.list(query).await.unwrap().jobs.iter().map(|job| job.id).collect();
    jobs.sort_unstable();
    jobs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_that_take_the_same_submissions_one_enqueues_them() {
    let nodes = nodes();
    let ((one, log), two) = (nodes.node_with_log(1), nodes.node(2));
    for _ in 0..20 {
        let before = jobs(&one).await;
        let taken = submit(&log, 3);
        let both = tokio::join!(inbox(&one).take(taken.clone()), inbox(&two).take(taken.clone()));
        let answers = [both.0.unwrap(), both.1.unwrap()];
        let enqueued = vec![InboxAnswer::Enqueued; 3];
        assert_eq!(answers.iter().flatten().filter(|some| **some == enqueued).count(), 1);
        let mut expected = [before, taken.iter().map(|job| job.id).collect()].concat();
        expected.sort_unstable();
        assert_eq!(jobs(&two).await, expected);
        assert_eq!(log.waiting(), []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submission_that_is_gone_is_not_enqueued_and_keeps_nobody_waiting() {
    let nodes = nodes();
    let ((one, log), two) = (nodes.node_with_log(1), nodes.node(2));
    let taken = submit(&log, 2);
    let gone = draft().job(); // it was withdrawn, or another node has refused it
    let lost = inbox(&one).take(vec![taken[0].clone(), gone, taken[1].clone()]).await;
    assert_eq!(lost, Ok(None));
    assert_eq!(log.waiting().len(), 2);
    assert_eq!(jobs(&two).await, []);
    add(&one).await;
}

/// The row of a job is gone together with the append, so nobody would submit the job again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_append_was_not_answered_stays_if_its_row_is_gone() {
    let nodes = nodes();
    let ((one, log), two) = (nodes.node_with_log(1), nodes.node(2));
    jobs(&one).await; // node 1 has read on, so the next append is this one
    for fault in [Fault::Before, Fault::After] {
        let taken = submit(&log, 2);
        let ids: Vec<JobId> = taken.iter().map(|job| job.id).collect();
        log.fail_next(fault);
        let (accepted, refused) =
            tokio::join!(inbox(&one).take(taken.clone()), one.enqueue(vec![draft().job()]));
        assert!(matches!(accepted, Err(StoreError::Unavailable(_))), "{accepted:?}");
        drop(refused); // in the same group or in a later one
        eventually(|| async { one.health().is_ok() }).await;
        let is_stored = fault == Fault::After;
        assert_eq!(log.waiting().is_empty(), is_stored);
        let found = jobs(&two).await;
        assert!(ids.iter().all(|id| found.contains(id) == is_stored), "{fault:?}");
        if !is_stored {
            let again = inbox(&one).take(taken).await.unwrap().unwrap();
            assert_eq!(again, [InboxAnswer::Enqueued, InboxAnswer::Enqueued]);
        }
        // The node goes on.
        add(&one).await;
        assert!(jobs(&two).await.len() > found.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_enqueued_stays_and_keeps_no_other_waiting() {
    let mut nodes = nodes();
    nodes.limits = StoreLimits { max_waiting: 3, max_queues: 1, ..StoreLimits::default() };
    let (one, log) = nodes.node_with_log(1);
    let taken = submit(&log, 8);
    let batch = vec![
        with_key(&taken[0], "a", "1"),
        with_key(&taken[1], "a", "1"),
        with_key(&taken[2], "b", "1"),
        NewJob { labels: Arc::new(labels_of_queue(&taken[3], "other")), ..taken[3].clone() },
        taken[4].clone(),
        taken[5].clone(),
    ];
    let answers = inbox(&one).take(batch).await.unwrap().unwrap();
    let InboxAnswer::Refused(EnqueueError::TooManyQueues(_)) = &answers[3] else {
        panic!("{answers:?}")
    };
    let enqueued = [0, 2, 4].map(|at: usize| &answers[at]);
    assert_eq!(enqueued, [&InboxAnswer::Enqueued; 3]);
    // An earlier job of the batch has the key of the one, and the backlog has no room for the other.
    assert_eq!([&answers[1], &answers[5]], [&InboxAnswer::Waits; 2]);
    assert_eq!(log.waiting().len(), 5);
    let repeated =
        vec![with_key(&taken[1], "a", "1"), with_key(&taken[6], "a", "2"), taken[7].clone()];
    let answers = inbox(&one).take(repeated).await.unwrap().unwrap();
    assert_eq!(answers[0], InboxAnswer::Existing(taken[0].id));
    let InboxAnswer::Refused(EnqueueError::KeyReused(_)) = &answers[1] else {
        panic!("{answers:?}")
    };
    assert_eq!(answers[2], InboxAnswer::Waits);
    assert_eq!(log.waiting().len(), 5, "nothing was taken");
}

fn labels_of_queue(job: &NewJob, queue: &str) -> crate::job::Labels {
    crate::job::Labels { queue: queue.parse().unwrap(), ..(*job.labels).clone() }
}
