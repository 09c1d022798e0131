//! Which jobs the store accepts, and in which state.

use super::rig::completed;
use super::{Draft, Harness, Rig, draft, secs};
use crate::job::{Change, EventType, Fact, Json, NewJob, Start, State, Status};
use crate::store::{EnqueueError, Enqueued, StoreLimits, TooManyQueues};

pub(crate) async fn a_job_is_kept_as_it_was_asked_for(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let payload = Json::parse("{\"b\": 12345678901234567890, \"a\": [1.0, null]}").unwrap();
    let asked = draft().queue("mail").kind("send").tag("customer=Müller & Söhne").key("k 1");
    let asked = asked.payload(payload).priority(-7).attempts(3).timeout(1_500).job();

    let job = rig.add(asked.clone()).await;
    assert_eq!((job.id, &job.labels, &job.spec), (asked.id, &asked.labels, &asked.spec));
    assert_eq!((job.enqueued_at, job.run_at, job.seq), (rig.now(), rig.now(), 1));
    assert_eq!(job.status, Status::new(3, State::Available));
    assert_eq!(rig.job(job.id).await, job);

    let event = rig.log().await.remove(0);
    let change = Change::Enqueued { spec: asked.spec, run_at: rig.now() };
    let (labels, state) = (asked.labels, State::Available);
    let fact = Fact::Job { id: job.id, labels, state, attempt: 0, change };
    assert_eq!((event.seq, event.at, event.fact), (1, rig.now(), fact));
}

pub(crate) async fn a_batch_is_answered_and_logged_in_its_order(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let mut batch: Vec<NewJob> = (0..50).map(|_| draft().into()).collect();
    batch.reverse(); // so that the ids are out of order
    let answers = rig.store.enqueue(batch.clone()).await.unwrap();
    let ids: Vec<_> = answers.iter().map(|answer| answer.job().id).collect();
    assert_eq!(ids, batch.iter().map(|job| job.id).collect::<Vec<_>>());
    let seqs: Vec<u64> = answers.iter().map(|answer| answer.job().seq).collect();
    assert_eq!(seqs, (1..=50).collect::<Vec<_>>());
}

pub(crate) async fn an_empty_batch_changes_nothing(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    assert_eq!(rig.store.enqueue(Vec::new()).await.unwrap(), []);
    assert_eq!(rig.store.head().seq, 0);
}

pub(crate) async fn only_a_job_for_later_is_scheduled(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    rig.pass(secs(100));
    let now = rig.now();
    let early = crate::job::Time::from_millis(now.millis() - 5_000);
    let cases = [
        (Start::Now, State::Available, now),
        (Start::After(secs(0)), State::Available, now),
        (Start::At(now), State::Available, now),
        (Start::At(early), State::Available, now),
        (Start::After(secs(60)), State::Scheduled, now.after(secs(60))),
        (Start::At(now.after(secs(9))), State::Scheduled, now.after(secs(9))),
    ];
    for (start, state, run_at) in cases {
        let job = rig.add(draft().start(start)).await;
        assert_eq!((job.status.state, job.run_at), (state, run_at), "{start:?}");
    }
}

pub(crate) async fn a_full_backlog_accepts_nothing_of_a_batch(harness: impl Harness) {
    let rig =
        Rig::open_with(harness, StoreLimits { max_waiting: 3, ..StoreLimits::default() }).await;
    rig.add(draft()).await;
    rig.add(draft().after(secs(60))).await;
    let batch = vec![draft().job(), draft().job()];
    let refused = rig.store.enqueue(batch.clone()).await;
    assert!(matches!(refused, Err(EnqueueError::Full { waiting: 2, limit: 3 })), "{refused:?}");
    assert_eq!((rig.jobs().await.len(), rig.store.head().seq), (2, 2));
    assert_eq!(rig.find(batch[0].id).await, None);
    rig.add(draft()).await; // reaches the limit exactly
    assert!(rig.store.enqueue(vec![draft().job()]).await.is_err());
}

pub(crate) async fn only_waiting_jobs_count_against_the_backlog(harness: impl Harness) {
    let rig =
        Rig::open_with(harness, StoreLimits { max_waiting: 1, ..StoreLimits::default() }).await;
    let running = rig.start(draft()).await;
    rig.finish(draft()).await;
    let waiting = rig.add(draft()).await;
    assert!(rig.store.enqueue(vec![draft().job()]).await.is_err());
    rig.cancel(waiting.id).await.unwrap();
    rig.add(draft()).await;
    // A job that waits for a retry is never refused, and counts against the backlog again.
    rig.settle(&running, super::rig::failed(secs(1))).await.unwrap();
    let refused = rig.store.enqueue(vec![draft().job()]).await;
    assert!(matches!(refused, Err(EnqueueError::Full { waiting: 2, limit: 1 })), "{refused:?}");
}

pub(crate) async fn an_existing_job_is_answered_even_when_the_backlog_is_full(h: impl Harness) {
    let rig = Rig::open_with(h, StoreLimits { max_waiting: 2, ..StoreLimits::default() }).await;
    let first = rig.add(draft().key("k")).await;
    let batch = [draft().key("k"), draft().key("j"), draft().key("j")];
    let answers = rig.store.enqueue(batch.map(Draft::job).into()).await.unwrap();
    assert_eq!(answers[0], Enqueued::Existing(first.clone()));
    assert_eq!(answers[1].job().id, answers[2].job().id);
    assert_eq!(rig.add_existing(draft().key("k")).await, first);
}

pub(crate) async fn one_queue_too_many_is_refused(harness: impl Harness) {
    let rig =
        Rig::open_with(harness, StoreLimits { max_queues: 2, ..StoreLimits::default() }).await;
    rig.add(draft().queue("a")).await;
    let batch = vec![draft().queue("b").job(), draft().queue("c").job()];
    let refused = rig.store.enqueue(batch).await;
    assert!(
        matches!(refused, Err(EnqueueError::TooManyQueues(TooManyQueues { limit: 2 }))),
        "{refused:?}"
    );
    assert_eq!((rig.jobs().await.len(), rig.store.head().seq), (1, 1));
    rig.add(draft().queue("b")).await;
    rig.add(draft().queue("a")).await;
    assert!(rig.store.enqueue(vec![draft().queue("c").job()]).await.is_err());
}

pub(crate) async fn a_payload_of_a_mebibyte_survives(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let text: String = (0..1_048_574u32)
        .map(|n| char::from(b'a' + (n.wrapping_mul(2_654_435_761) >> 16) as u8 % 26))
        .collect();
    let payload = Json::of(&text).unwrap();
    let lease = rig.start(draft().payload(payload.clone())).await;
    assert!(lease.job.spec.payload == payload);
    rig.settle(&lease, crate::job::Verdict::Completed { result: payload.clone() }).await.unwrap();
    let rig = rig.reopen().await;
    let job = rig.job(lease.job.id).await;
    assert!(job.spec.payload == payload, "the payload has changed");
    assert!(job.result() == Some(&payload), "the result has changed");
    assert_eq!(rig.log().await.len(), 3);
}

pub(crate) async fn odd_text_survives(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let text = "\"\\u0000 \u{202e}𝕳é e\u{301} 👩‍👩‍👧 \\ud83d\\ude00 \u{feff} \u{10ffff} <script>\"";
    let payload = Json::parse(text).unwrap();
    let asked = draft().payload(payload.clone()).tag("Ünï 🦀 / ''").key("\u{202e}key 🔑");
    let lease = rig.start(asked.clone()).await;
    rig.note(&lease, &["", "\u{0}\u{1b}[31m", "line\nend", "🦀".repeat(50).as_str()]).await;
    rig.settle(&lease, completed()).await.unwrap();
    let before = rig.job(lease.job.id).await;
    let rig = rig.reopen().await;
    let job = rig.job(lease.job.id).await;
    assert_eq!((job.spec.payload.as_str(), &job), (text, &before));
    assert_eq!(rig.story(job.id).await[0], EventType::JobEnqueued);
    assert_eq!(rig.add_existing(asked).await.id, job.id);
}
