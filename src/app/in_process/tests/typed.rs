//! Typed jobs: their handlers, their options, and the jobs that handlers enqueue, in the server's process and in workers.

use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, oneshot};

use super::*;
use crate::app::Builder;
use crate::client::{
    Context, HandlerError, JobInfo, JobKind, JobOptions, State, Submitted, Worker, WorkerProtocol,
};

/// The shortest backoff that the server accepts.
const SHORT: Duration = Duration::from_millis(10);

#[derive(Serialize, Deserialize)]
struct Resize {
    width: u32,
}

impl JobKind for Resize {
    const KIND: &'static str = "resize";

    fn options() -> JobOptions {
        let options = JobOptions::new().queue("images").max_attempts(5).priority(3).tag("media");
        options.timeout(Duration::from_secs(30)).backoff(SHORT, SHORT)
    }
}

#[derive(Serialize, Deserialize)]
struct Thumbnail {
    of: u32,
}

impl JobKind for Thumbnail {
    const KIND: &'static str = "thumbnail";
}

/// Enqueues the thumbnail, fails once, and says in the end whether it was enqueued already.
async fn resize(context: Context, job: Resize) -> Result<bool, HandlerError> {
    let draft = context.enqueue(&Thumbnail { of: job.width }).queue("small");
    let submitted = draft.once("thumbnail").await?;
    if context.attempt() == 1 {
        return Err(HandlerError::retry("the first attempt"));
    }
    Ok(submitted.existing)
}

async fn thumbnail(_: Context, job: Thumbnail) -> Result<u32, HandlerError> {
    Ok(job.of)
}

fn builder(file: &str) -> Builder {
    let config = Config::build(FileConfig::parse(file).unwrap(), &ServeArgs::default()).unwrap();
    let server = Cortado::builder().config(config).in_memory();
    server.listen(SocketAddr::from(([127, 0, 0, 1], 0)))
}

async fn jobs_of(client: &Client, kind: &str) -> Vec<JobInfo> {
    client.jobs(JobFilter::all().kind(kind)).next_page().await.unwrap().unwrap().jobs
}

/// Runs a job whose handler enqueues another one in each of its two attempts.
async fn enqueues_once(client: &Client, submitted: Submitted) {
    let job = within(client.wait(&submitted.id, BOUND)).await.unwrap();
    assert_eq!((job.attempt, job.result_as::<bool>().unwrap()), (2, true));
    let thumbnails = jobs_of(client, "thumbnail").await;
    let [thumbnail] = &thumbnails[..] else { panic!("{thumbnails:?}") };
    assert_eq!(thumbnail.queue, "small");
    assert_eq!(thumbnail.idempotency_key.as_deref(), Some(&*format!("{}/thumbnail", job.id)));
    let thumbnail = within(client.wait(&thumbnail.id, BOUND)).await.unwrap();
    assert_eq!(thumbnail.result_as::<u32>().unwrap(), 640);
}

#[tokio::test]
async fn a_handler_enqueues_a_job_once_however_often_it_runs() {
    let server = builder("").handle(resize).handle(thumbnail).start().await.unwrap();
    let client = server.client();
    let submitted = client.submit(&Resize { width: 640 }).await.unwrap();
    enqueues_once(&client, submitted).await;
    server.stop().await;
}

async fn of_a_worker(protocol: WorkerProtocol, choose: fn([Client; 2]) -> Client) {
    let server = builder("[kinds.resize]\n[kinds.thumbnail]").start().await.unwrap();
    let client = choose(both(&server));
    let worker = Worker::new(&client).queues(["images", "small"]).protocol(protocol);
    let (stop, stopped) = oneshot::channel::<()>();
    let run = worker.handle(resize).handle(thumbnail).run(async { drop(stopped.await) });
    let run = tokio::spawn(run);
    let submitted = client.submit(&Resize { width: 640 }).await.unwrap();
    enqueues_once(&client, submitted).await;
    drop(stop);
    let end = within(run).await.unwrap().unwrap();
    assert_eq!((end.returned, end.unconfirmed), (0, 0));
    server.stop().await;
}

#[tokio::test]
async fn a_worker_elsewhere_enqueues_a_job_once_as_well() {
    for protocol in [WorkerProtocol::WebSocket, WorkerProtocol::Http] {
        of_a_worker(protocol, |[_, network]| network).await;
    }
}

#[tokio::test]
async fn a_worker_in_the_process_of_its_server_uses_requests() {
    of_a_worker(WorkerProtocol::WebSocket, |[in_process, _]| in_process).await;
}

#[tokio::test]
async fn the_options_of_a_kind_are_its_defaults_for_every_other_program() {
    for (file, queue, attempts) in
        [("", "images", 5), ("[kinds.resize]\nqueue = 'pictures'", "pictures", 5)]
    {
        let server = builder(file).handle(resize).paused().start().await.unwrap();
        let client = server.client();
        let untyped = client.submit_kind("resize", &json!({"width": 1})).await.unwrap();
        let untyped = client.get(&untyped.id).await.unwrap();
        assert_eq!((untyped.queue.as_str(), untyped.max_attempts), (queue, attempts));
        let typed = client.submit(&Resize { width: 1 }).await.unwrap();
        let typed = client.get(&typed.id).await.unwrap();
        assert_eq!((typed.queue.as_str(), typed.priority), ("images", 3));
        assert_eq!(typed.tags, ["media"]);
        server.stop().await;
    }
}

#[derive(Clone)]
struct Signals {
    begun: std::sync::Arc<Notify>,
    go: std::sync::Arc<Notify>,
    enqueued: std::sync::Arc<Mutex<Option<Result<Submitted, ClientError>>>>,
}

async fn late(context: Context, _: (), State(signals): State<Signals>) -> Result<(), HandlerError> {
    signals.begun.notify_one();
    signals.go.notified().await;
    let enqueued = context.enqueue_kind("echo", &1).await;
    *signals.enqueued.lock().unwrap() = Some(enqueued);
    Ok(())
}

#[tokio::test]
async fn a_handler_that_ends_during_the_stop_can_still_enqueue() {
    let signals =
        Signals { begun: Default::default(), go: Default::default(), enqueued: Default::default() };
    let server =
        builder("").handle_kind("late", late).state(signals.clone()).start().await.unwrap();
    server.client().submit_kind("late", &()).await.unwrap();
    within(signals.begun.notified()).await;
    let draining = server.engine().shutdown().draining.clone();
    let stop = tokio::spawn(server.stop());
    within(draining.cancelled()).await;
    signals.go.notify_one();
    let report = within(stop).await.unwrap();
    assert_eq!((report.finished, report.clean), (1, true));
    let enqueued = signals.enqueued.lock().unwrap().take().unwrap();
    assert!(!enqueued.unwrap().existing);
}
