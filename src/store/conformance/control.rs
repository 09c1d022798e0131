//! The controls: cancel, retry, delete, pause, resume, and the limits of a queue.

use super::rig::{completed, failed, failure};
use super::{Harness, Rig, draft, per_minute, queue, secs};
use crate::job::{
    Change, Concurrency, Event, EventType, Fact, JobId, QueueChange, QueueSettings, RateRule,
    Refused, State, Step, Verdict,
};
use crate::store::{
    Control, ControlError, Extension, JobControlError, Keep, Retention, StoreLimits, TooManyQueues,
};

fn refused(state: State, step: Step) -> JobControlError {
    JobControlError::Refused(Refused { state, step })
}

pub(crate) async fn a_waiting_job_is_cancelled_at_once(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let retryable = rig.start(draft()).await;
    rig.settle(&retryable, failed(secs(5))).await.unwrap();
    let ids =
        [rig.add(draft()).await.id, rig.add(draft().after(secs(5))).await.id, retryable.job.id];
    for id in ids {
        assert_eq!(rig.cancel(id).await.unwrap().state, State::Cancelled);
        let job = rig.job(id).await;
        assert_eq!((job.status.state, job.finished_at()), (State::Cancelled, Some(rig.now())));
        assert_eq!(rig.story(id).await.pop(), Some(EventType::JobCancelled));
    }
    rig.pass(secs(5));
    assert_eq!(rig.tick().await.due, 0);
    assert_eq!(rig.claim(9).await.len(), 0);
}

pub(crate) async fn a_running_job_is_asked_to_stop_once(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft()).await;
    let status = rig.cancel(lease.job.id).await.unwrap();
    assert_eq!((status.state, status.cancel_asked), (State::Running, true));
    assert_eq!(rig.extend(&lease, secs(30)).await, Extension::CancelAsked);
    let head = rig.store.head();
    assert_eq!(rig.cancel(lease.job.id).await, Ok(status)); // the second time without an event
    assert_eq!(rig.store.head(), head);
    let story = rig.story(lease.job.id).await;
    assert_eq!(story[1..], [EventType::JobStarted, EventType::JobCancelAsked]);
    let moment = rig.job(lease.job.id).await.history.pop().unwrap();
    assert_eq!((moment.state, moment.attempt), (State::Running, 1));
}

pub(crate) async fn a_finished_job_cannot_be_cancelled(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let done = rig.finish(draft()).await;
    assert_eq!(rig.cancel(done).await, Err(refused(State::Completed, Step::AskCancel)));
    let gone = rig.add(draft()).await.id;
    rig.cancel(gone).await.unwrap();
    assert_eq!(rig.cancel(gone).await, Err(refused(State::Cancelled, Step::AskCancel)));
}

pub(crate) async fn a_retried_job_is_available_now(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let done = rig.finish(draft()).await;
    let cancelled = rig.add(draft()).await.id;
    rig.cancel(cancelled).await.unwrap();
    let later = rig.add(draft().after(secs(60))).await.id;
    let failing = rig.start(draft()).await;
    rig.settle(&failing, failed(secs(60))).await.unwrap();
    rig.pass(secs(5));
    for id in [done, cancelled, later, failing.job.id] {
        let status = rig.retry(id).await.unwrap();
        let job = rig.job(id).await;
        assert_eq!((job.status, status.state), (status, State::Available));
        assert_eq!((job.run_at, job.result()), (rig.now(), None));
        assert_eq!(rig.story(id).await.pop(), Some(EventType::JobRetried));
        assert_eq!(rig.claim_one().await.job.id, id);
    }
    rig.pass(secs(60));
    assert_eq!(rig.tick().await.due, 0); // the old due times no longer apply
}

pub(crate) async fn a_retried_dead_job_has_an_attempt_left(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft().attempts(1)).await;
    rig.settle(&lease, failed(secs(1))).await.unwrap();
    let status = rig.retry(lease.job.id).await.unwrap();
    assert_eq!((status.attempt, status.max_attempts), (1, 2));
    let lease = rig.claim_one().await;
    assert_eq!(lease.job.status.attempt, 2);
    assert_eq!(rig.settle(&lease, failed(secs(1))).await.unwrap().state, State::Discarded);
}

pub(crate) async fn a_job_that_runs_or_is_ready_cannot_be_retried(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let running = rig.start(draft()).await.job.id;
    let ready = rig.add(draft()).await.id;
    assert_eq!(rig.retry(running).await, Err(refused(State::Running, Step::RetryNow)));
    assert_eq!(rig.retry(ready).await, Err(refused(State::Available, Step::RetryNow)));
}

pub(crate) async fn a_deleted_job_is_gone_but_its_story_stays(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let waiting = rig.add(draft()).await.id;
    let done = rig.finish(draft().queue("q")).await;
    for (id, state) in [(waiting, State::Available), (done, State::Completed)] {
        assert_eq!(rig.delete(id).await.unwrap().state, state);
        assert_eq!(rig.find(id).await, None);
        let Event { fact, .. } = rig.log().await.pop().unwrap();
        let Fact::Job { id: whose, state: was, change, .. } = fact else { panic!() };
        assert_eq!((whose, was, change), (id, state, Change::Deleted));
        assert_eq!(rig.delete(id).await, Err(JobControlError::NotFound));
    }
    assert_eq!(rig.jobs().await, []);
    assert_eq!(rig.claim(9).await.len(), 0);
    let rig = rig.reopen().await;
    assert_eq!((rig.jobs().await, rig.find(done).await), (Vec::new(), None));
}

pub(crate) async fn a_running_job_cannot_be_deleted(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft()).await;
    let answer = rig.delete(lease.job.id).await;
    assert_eq!(answer, Err(refused(State::Running, Step::Delete)));
    rig.complete(&lease).await;
    rig.delete(lease.job.id).await.unwrap();
}

pub(crate) async fn a_control_answers_for_each_job_in_order(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let (a, b) = (rig.add(draft()).await.id, rig.add(draft()).await.id);
    let unknown = JobId::generate();
    let answers = rig.store.control(Control::Cancel(vec![b, unknown, a, b]), None).await.unwrap();
    let ids: Vec<JobId> = answers.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [b, unknown, a, b]);
    assert!(answers[0].1.is_ok() && answers[2].1.is_ok());
    assert_eq!(answers[1].1, Err(JobControlError::NotFound));
    assert_eq!(answers[3].1, Err(refused(State::Cancelled, Step::AskCancel)));
    assert_eq!(rig.store.control(Control::Retry(Vec::new()), None).await.unwrap(), []);
}

pub(crate) async fn pausing_and_resuming_are_events_only_when_they_change(h: impl Harness) {
    let rig = Rig::open(h).await;
    rig.resume("a").await;
    rig.pause("a").await;
    rig.pause("a").await;
    rig.resume("a").await;
    rig.resume("a").await;
    let log = rig.log().await;
    let facts: Vec<&Fact> = log.iter().map(|event| &event.fact).collect();
    let paused = Fact::Queue { queue: queue("a"), change: QueueChange::Paused };
    let resumed = Fact::Queue { queue: queue("a"), change: QueueChange::Resumed };
    assert_eq!(facts, [&paused, &resumed]);
}

pub(crate) async fn a_paused_queue_stays_paused_over_restarts(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    rig.add(draft().queue("a")).await;
    rig.pause("a").await;
    rig.pause("empty").await;
    let rig = rig.reopen().await.crash().await;
    assert_eq!(rig.claim_from("a", 1).await.len(), 0);
    let queues = rig.stats().await.queues;
    assert!(queues[&queue("a")].settings.paused && queues[&queue("empty")].settings.paused);
    rig.resume("a").await;
    let rig = rig.crash().await;
    assert!(!rig.stats().await.queues[&queue("a")].settings.paused);
    assert_eq!(rig.claim_from("a", 1).await.len(), 1);
}

pub(crate) async fn a_paused_queue_stays_paused_when_its_event_has_left_the_log(
    harness: impl Harness,
) {
    let none = Keep { age: secs(0), count: 0 };
    let retention = Retention { events: none, completed: none, ..Retention::default() };
    let rig = Rig::open_with(harness, StoreLimits { retention, ..StoreLimits::default() }).await;
    rig.pause("a").await;
    for _ in 0..5 {
        rig.finish(draft()).await;
        rig.pass(secs(1));
        rig.catch_up().await;
    }
    let rig = rig.reopen().await;
    assert!(rig.stats().await.oldest.seq > 1, "the event is still there");
    assert!(rig.stats().await.queues[&queue("a")].settings.paused);
    rig.resume("a").await;
    let rig = rig.crash().await;
    assert!(!rig.stats().await.queues.contains_key(&queue("a")));
}

pub(crate) async fn a_job_of_a_paused_queue_can_still_end(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft()).await;
    let other = rig.start(draft()).await;
    rig.pause("default").await;
    assert_eq!(rig.extend(&lease, secs(30)).await, Extension::Kept);
    assert_eq!(rig.settle(&lease, completed()).await.unwrap().state, State::Completed);
    rig.settle(&other, Verdict::Discarded { failure: failure() }).await.unwrap();
}

pub(crate) async fn a_paused_queue_counts_as_a_queue(harness: impl Harness) {
    let rig =
        Rig::open_with(harness, StoreLimits { max_queues: 1, ..StoreLimits::default() }).await;
    rig.pause("a").await;
    let refused = rig.store.control(Control::SetQueue(queue("b"), QueueChange::Paused), None).await;
    assert!(
        matches!(refused, Err(ControlError::TooManyQueues(TooManyQueues { limit: 1 }))),
        "{refused:?}"
    );
    assert!(rig.store.enqueue(vec![draft().queue("b").job()]).await.is_err());
    rig.add(draft().queue("a")).await;
}

fn at_most(concurrency: i64) -> Option<Concurrency> {
    Some(Concurrency::clamped(concurrency))
}

pub(crate) async fn a_concurrency_that_was_set_survives_and_is_an_event_only_when_it_changes(
    harness: impl Harness,
) {
    let rig = Rig::open(harness).await;
    for concurrency in [None, Some(3), Some(3), Some(1)] {
        rig.set_concurrency("a", concurrency).await;
    }
    let rig = rig.reopen().await.crash().await;
    assert_eq!(rig.stats().await.queues[&queue("a")].settings.concurrency, at_most(1));
    for _ in 0..2 {
        rig.set_concurrency("a", None).await;
    }
    let facts: Vec<Fact> = rig.log().await.into_iter().map(|event| event.fact).collect();
    let set = |concurrency| Fact::Queue {
        queue: queue("a"),
        change: QueueChange::ConcurrencySet { concurrency },
    };
    assert_eq!(facts, [set(at_most(3)), set(at_most(1)), set(None)]);
    let rig = rig.crash().await;
    assert!(rig.stats().await.queues.is_empty());
}

pub(crate) async fn a_queue_with_a_concurrency_counts_as_a_queue(harness: impl Harness) {
    let rig =
        Rig::open_with(harness, StoreLimits { max_queues: 1, ..StoreLimits::default() }).await;
    rig.set_concurrency("a", Some(1)).await;
    let refused = rig
        .store
        .control(
            Control::SetQueue(queue("b"), QueueChange::ConcurrencySet { concurrency: at_most(1) }),
            None,
        )
        .await;
    assert!(
        matches!(refused, Err(ControlError::TooManyQueues(TooManyQueues { limit: 1 }))),
        "{refused:?}"
    );
    rig.store
        .control(
            Control::SetQueue(queue("b"), QueueChange::ConcurrencySet { concurrency: None }),
            None,
        )
        .await
        .unwrap();
    assert!(rig.store.enqueue(vec![draft().queue("b").job()]).await.is_err());
}

pub(crate) async fn a_rate_that_was_set_survives_and_is_an_event_only_when_it_changes(
    harness: impl Harness,
) {
    let rig = Rig::open(harness).await;
    for starts in [None, Some(3), Some(3), Some(0)] {
        rig.set_rate_limit("a", starts.map(per_minute)).await;
    }
    rig.set_concurrency("b", Some(1)).await;
    let rig = rig.reopen().await.crash().await;
    assert_eq!(
        rig.stats().await.queues[&queue("a")].settings.rate_limit,
        Some(RateRule::Unlimited)
    );
    assert_eq!(rig.stats().await.queues[&queue("b")].settings.rate_limit, None);
    for _ in 0..2 {
        rig.set_rate_limit("a", None).await;
    }
    let facts = rig.log().await.into_iter().filter_map(|event| match event.fact {
        Fact::Queue { queue: name, change: QueueChange::RateLimitSet { rate_limit } } => {
            Some((name, rate_limit))
        }
        _ => None,
    });
    let set = |rate_limit| (queue("a"), rate_limit);
    let expected = [set(Some(per_minute(3))), set(Some(RateRule::Unlimited)), set(None)];
    assert_eq!(facts.collect::<Vec<_>>(), expected);
    let rig = rig.crash().await;
    assert!(!rig.stats().await.queues.contains_key(&queue("a")));
}

pub(crate) async fn a_queue_with_a_rate_counts_as_a_queue(harness: impl Harness) {
    let rig =
        Rig::open_with(harness, StoreLimits { max_queues: 1, ..StoreLimits::default() }).await;
    rig.set_rate_limit("a", Some(per_minute(1))).await;
    let refused = rig
        .store
        .control(
            Control::SetQueue(
                queue("b"),
                QueueChange::RateLimitSet { rate_limit: Some(per_minute(1)) },
            ),
            None,
        )
        .await;
    assert!(
        matches!(refused, Err(ControlError::TooManyQueues(TooManyQueues { limit: 1 }))),
        "{refused:?}"
    );
    rig.store
        .control(
            Control::SetQueue(queue("b"), QueueChange::RateLimitSet { rate_limit: None }),
            None,
        )
        .await
        .unwrap();
}

pub(crate) async fn the_settings_of_a_queue_survive_together_and_change_one_by_one(
    harness: impl Harness,
) {
    let none = Keep { age: secs(0), count: 0 };
    let retention = Retention { events: none, completed: none, ..Retention::default() };
    let rig = Rig::open_with(harness, StoreLimits { retention, ..StoreLimits::default() }).await;
    rig.pause("a").await;
    rig.set_concurrency("a", Some(3)).await;
    rig.set_rate_limit("a", Some(per_minute(9))).await;
    rig.set_concurrency("b", Some(1)).await;
    let all =
        QueueSettings { paused: true, concurrency: at_most(3), rate_limit: Some(per_minute(9)) };
    let rig = rig.crash().await.reopen().await;
    assert_eq!(rig.settings("a").await, all);

    rig.resume("a").await;
    assert_eq!(rig.settings("a").await, QueueSettings { paused: false, ..all });
    rig.pause("a").await;
    assert_eq!(rig.settings("a").await, all);
    rig.set_concurrency("a", None).await;
    assert_eq!(rig.settings("a").await, QueueSettings { concurrency: None, ..all });
    rig.set_concurrency("a", Some(4)).await;
    rig.set_rate_limit("a", None).await;
    let unrated = QueueSettings { paused: true, concurrency: at_most(4), rate_limit: None };
    assert_eq!(rig.settings("a").await, unrated);
    for _ in 0..5 {
        rig.finish(draft()).await;
        rig.pass(secs(1));
        rig.catch_up().await;
    }
    let rig = rig.crash().await;
    assert!(rig.stats().await.oldest.seq > 8, "the events about queues are still there");
    assert_eq!(rig.settings("a").await, unrated);
    let other = QueueSettings { concurrency: at_most(1), ..QueueSettings::default() };
    assert_eq!(rig.settings("b").await, other);

    rig.resume("a").await;
    rig.set_concurrency("a", None).await;
    rig.set_concurrency("b", None).await;
    let rig = rig.reopen().await;
    assert!(rig.stats().await.queues.is_empty(), "a queue without jobs and settings is not known");
}
