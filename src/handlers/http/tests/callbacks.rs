//! Callbacks that come before, with and after the response of the service, and the stop while one is awaited. The test is the
//! service: it gets each request with its lease, and answers it when it likes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::any;
use futures_util::future::join_all;
use futures_util::poll;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::clock::SystemClock;
use crate::engine::tests::faults::Faulty;
use crate::engine::{
    AttemptEnding, Drained, Engine, EngineConfig, ExtendAnswer, KindInfo, NoteAnswer, Registry,
    SettleAnswer, UpdateAnswer, WorkerNote, WorkerSettle, WorkerUpdate,
};
use crate::handlers::http::{Http, HttpSettings};
use crate::job::{
    Backoff, Job, JobId, Json, Kind, Labels, LogLine, NewJob, Outcome, QueueName, RetryPolicy,
    Spec, Start, State, Stream, Time,
};
use crate::shutdown::{Shutdown, StopBounds};
use crate::store::memory::MemoryStore;
use crate::store::{Store as _, StoreLimits};

/// Far longer than any step takes; only a failing test waits that long.
const BOUND: Duration = Duration::from_secs(20);

/// A request that the service has got: the text of its lease, and where its status goes.
type Request = (String, oneshot::Sender<u16>);

/// An engine that runs jobs of the kind `http`, and the service that they call.
struct CalledService {
    engine: Engine,
    store: Arc<Faulty>,
    requests: mpsc::UnboundedReceiver<Request>,
    job: JobId,
}

impl CalledService {
    /// Submits a job, which may fail once.
    async fn call() -> CalledService {
        let (seen, requests) = mpsc::unbounded_channel::<Request>();
        let service = any(move |headers: HeaderMap| async move {
            let address = headers["cortado-callback"].to_str().unwrap();
            let lease = address.rsplit('/').next().unwrap().to_owned();
            let (reply, status) = oneshot::channel();
            seen.send((lease, reply)).unwrap();
            StatusCode::from_u16(status.await.unwrap()).unwrap()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let app = Router::new().route("/", service);
        tokio::spawn(async move { axum::serve(listener, app).await });

        let settings = HttpSettings {
            allow: vec!["127.0.0.1/32".parse().unwrap()],
            base_url: Some("https://jobs.example.com/".parse().unwrap()),
            ..HttpSettings::default()
        };
        let (mut registry, kind) = (Registry::default(), Kind::parse("http").unwrap());
        registry.add(KindInfo::plain(kind.clone()), Http::new(&settings).unwrap());
        let memory = MemoryStore::new(StoreLimits::default(), Arc::new(SystemClock));
        let store = Faulty::new(memory);
        let config = EngineConfig::default();
        let engine = Engine::start(store.clone(), registry, config, Shutdown::default());
        let new = NewJob {
            id: JobId::generate(),
            labels: Arc::new(Labels { queue: QueueName::default(), kind, tags: Box::default() }),
            spec: Arc::new(Spec {
                payload: Json::of(&json!({"url": url})).unwrap(),
                priority: 0,
                retry: RetryPolicy { max_attempts: 1, backoff: Backoff { base_ms: 1, cap_ms: 1 } },
                timeout_ms: None,
                idempotency_key: None,
            }),
            start: Start::Now,
            by: None,
            omitted: Default::default(),
        };
        let job = new.id;
        store.enqueue(vec![new]).await.unwrap();
        CalledService { engine, store, requests, job }
    }

    /// The next request.
    async fn request(&mut self) -> Request {
        timeout(BOUND, self.requests.recv()).await.unwrap().unwrap()
    }

    async fn report(&self, update: WorkerUpdate) -> UpdateAnswer {
        timeout(BOUND, self.engine.update_leases(update)).await.unwrap().unwrap()
    }

    async fn extend(&self, lease: &str) -> ExtendAnswer {
        let update = WorkerUpdate { extend: vec![lease.to_owned()], ..WorkerUpdate::default() };
        self.report(update).await.extend.remove(0).answer
    }

    async fn settle(&self, lease: &str, outcome: Outcome) -> SettleAnswer {
        self.report(settled(lease, outcome)).await.settles.remove(0).answer
    }

    async fn job(&self) -> Job {
        self.store.get(self.job).await.unwrap().0.unwrap()
    }

    /// Waits until the job is in this state.
    async fn is_in(&self, state: State) {
        let mut live = self.engine.live();
        while self.job().await.status.state != state {
            timeout(BOUND, live.recv()).await.unwrap().unwrap();
        }
    }
}

fn settled(lease: &str, outcome: Outcome) -> WorkerUpdate {
    let end = Ok(AttemptEnding::Reached(outcome));
    let settles = vec![WorkerSettle { lease: lease.to_owned(), end }];
    WorkerUpdate { settles, ..WorkerUpdate::default() }
}

fn done() -> Outcome {
    Outcome::Done(Json::of(&json!({"bytes": 5120})).unwrap())
}

const COMPLETED: SettleAnswer = SettleAnswer::Settled(State::Completed);

#[tokio::test]
async fn a_report_before_the_response_counts_and_ends_the_attempt_and_the_request_at_once() {
    let mut service = CalledService::call().await;
    let (lease, mut reply) = service.request().await;
    assert_eq!(service.extend(&lease).await, ExtendAnswer::Kept);
    let line = LogLine { at: Time::default(), stream: Stream::Log, text: "half done".into() };
    let note = WorkerNote { lease: lease.clone(), lines: vec![line], progress: None };
    let noted = service.report(WorkerUpdate { notes: vec![note], ..WorkerUpdate::default() }).await;
    assert_eq!(noted.notes[0].answer, NoteAnswer::Noted);
    // The service has not answered the request, and its status no longer matters.
    assert_eq!(service.settle(&lease, done()).await, COMPLETED);
    timeout(BOUND, reply.closed()).await.expect("the request should be abandoned");
    let job = service.job().await;
    assert_eq!(job.result().unwrap().as_str(), r#"{"bytes":5120}"#);
    assert_eq!(&*job.log.last().unwrap().text, "half done");
    assert_eq!(service.settle(&lease, done()).await, COMPLETED, "a repetition");
    assert_eq!(service.extend(&lease).await, ExtendAnswer::Lost);
}

#[tokio::test]
async fn a_report_after_a_response_that_has_ended_the_attempt_is_stale() {
    for (status, state) in
        [(200, State::Completed), (302, State::Discarded), (500, State::Discarded)]
    {
        let mut service = CalledService::call().await;
        let (lease, reply) = service.request().await;
        // The end of the attempt cannot be stored yet.
        service.store.settles.store(usize::MAX, Ordering::SeqCst);
        reply.send(status).unwrap();
        timeout(BOUND, async {
            while service.store.settles.load(Ordering::SeqCst) == usize::MAX {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        assert_eq!(service.settle(&lease, done()).await, SettleAnswer::Stale, "{status}");
        assert_eq!(service.extend(&lease).await, ExtendAnswer::Lost, "{status}");
        service.store.settles.store(0, Ordering::SeqCst);
        service.is_in(state).await;
    }
}

#[tokio::test]
async fn the_same_report_many_times_at_once_has_one_answer() {
    let mut service = CalledService::call().await;
    let (lease, _reply) = service.request().await;
    service.store.settles.store(usize::MAX, Ordering::SeqCst);
    let all: Vec<_> = (0..20).map(|_| service.settle(&lease, done())).collect();
    let mut all = std::pin::pin!(join_all(all));
    assert!(poll!(all.as_mut()).is_pending());
    timeout(BOUND, async {
        while service.store.settles.load(Ordering::SeqCst) == usize::MAX {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    // The handler has ended, and its end is not stored.
    let mut late = std::pin::pin!(service.settle(&lease, done()));
    assert!(poll!(late.as_mut()).is_pending());
    service.store.settles.store(0, Ordering::SeqCst);
    assert_eq!(all.await, vec![COMPLETED; 20]);
    assert_eq!(late.await, COMPLETED);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_callbacks_and_their_attempts_do_not_count() {
    let mut service = CalledService::call().await;
    let (lease, reply) = service.request().await;
    reply.send(202).unwrap();
    assert_eq!(service.extend(&lease).await, ExtendAnswer::Kept);
    let bounds = StopBounds { grace: 100 * BOUND, ..StopBounds::default() };
    let drained = timeout(BOUND, service.engine.drain(&bounds)).await.unwrap();
    assert_eq!(drained, Drained { interrupted: 1, ..Drained::default() });
    let job = service.job().await;
    assert_eq!((job.status.state, job.status.attempt), (State::Available, 0));
    let last = job.history.iter().last().unwrap();
    assert_eq!(last.change.event_type().as_str(), "job.interrupted", "{:?}", job.history);
}
