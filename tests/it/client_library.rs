//! `cortado::client` against the real server: a worker in this process runs jobs, over each transport.

use std::time::Duration;

use cortado::client::{
    CancelCause, Client, ClientError, Context, EventFilter, HandlerError, Submitted, TailItem,
    Worker, WorkerEnd, WorkerProtocol,
};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::process::lasting_address;
use crate::support::{BOUND, Dir, Server, eventually, within};

struct RunningWorker {
    stop: oneshot::Sender<()>,
    run: JoinHandle<Result<WorkerEnd, ClientError>>,
}

impl RunningWorker {
    /// Starts a worker with three handlers: `double`; `wait`, which ends when it is cancelled; and `stuck`, which does not.
    fn start(client: &Client, protocol: WorkerProtocol) -> RunningWorker {
        let (stop, stopped) = oneshot::channel();
        let worker = Worker::new(client)
            .name("library")
            .protocol(protocol)
            .lease(Duration::from_secs(20))
            .grace(Duration::from_millis(50))
            .reconnect(Duration::from_millis(20), Duration::from_millis(100))
            .reconnect_refused(Duration::from_millis(100), Duration::from_millis(400))
            .handle_kind("double", |context: Context, number: u64| async move {
                context.log(format!("doubling {number}"));
                Ok::<_, HandlerError>(json!({"doubled": number * 2}))
            })
            .handle_kind("wait", |context: Context, _: Value| async move {
                context.progress(1, Some(2), None);
                context.cancelled().await;
                match context.cancel_cause() {
                    Some(CancelCause::Cancelled) => Err::<(), _>(HandlerError::Cancelled),
                    cause => Err(format!("{cause:?}").into()),
                }
            })
            .handle_kind("stuck", |context: Context, _: Value| async move {
                context.progress(1, None, None);
                std::future::pending::<Result<(), HandlerError>>().await
            });
        let until = async {
            stopped.await.unwrap();
        };
        RunningWorker { stop, run: tokio::spawn(worker.run(until)) }
    }

    async fn stop(self) -> WorkerEnd {
        self.stop.send(()).unwrap();
        within("the end of the worker", self.run).await.unwrap().unwrap()
    }
}

fn client(server: &Server) -> Client {
    Client::new(format!("http://{}", server.address)).unwrap()
}

/// Submits a job as soon as the worker has announced its kind.
async fn submit(client: &Client, kind: &str, payload: &Value) -> Submitted {
    eventually("a known kind", || async {
        match client.submit_kind(kind, payload).send().await {
            Ok(submitted) => Some(submitted),
            Err(error) => {
                assert_eq!(error.code(), "unknown_kind", "{error}");
                None
            }
        }
    })
    .await
}

/// Waits until the handler of a job has reported progress.
async fn begun(client: &Client, id: &str) {
    eventually("a handler that has begun", || async {
        client.get(id).await.unwrap().progress.map(|_| ())
    })
    .await;
}

async fn runs_jobs(protocol: WorkerProtocol) {
    let dir = Dir::new();
    let server = Server::start(&dir, &[]).await;
    let client = client(&server);
    let completed = EventFilter::all().event_type("job.completed");
    let mut events = client.subscribe(completed).after(server.client.head().await);
    let worker = RunningWorker::start(&client, protocol);
    let job = submit(&client, "double", &json!(21)).await;
    let done = client.wait(&job.id, BOUND).await.unwrap();
    assert!(done.is_completed(), "{done:?}");
    assert_eq!(done.result_as::<Value>().unwrap(), json!({"doubled": 42}));
    let log = within("the log", reqwest_text(&client_url(&server, &job.id))).await;
    assert!(log.contains("doubling 21"), "{log}");

    let wrong = submit(&client, "double", &json!("twenty")).await;
    assert_eq!(client.wait(&wrong.id, BOUND).await.unwrap().state, "discarded");

    let waiting = submit(&client, "wait", &Value::Null).await;
    begun(&client, &waiting.id).await;
    client.cancel(&waiting.id).await.unwrap();
    assert_eq!(client.wait(&waiting.id, BOUND).await.unwrap().state, "cancelled");

    let stuck = submit(&client, "stuck", &Value::Null).await;
    begun(&client, &stuck.id).await;
    let end = worker.stop().await;
    assert_eq!((end.returned, end.unconfirmed), (1, 0));
    let back = client.get(&stuck.id).await.unwrap();
    assert_eq!((back.state.as_str(), back.attempt), ("available", 0));

    match within("an event", events.next()).await.unwrap() {
        TailItem::Event(event) => {
            assert_eq!(event.parse::<Value>().unwrap()["job"]["id"], job.id);
        }
        TailItem::Gap { .. } => panic!("a gap"),
    }
    server.stop().await;
}

fn client_url(server: &Server, id: &str) -> String {
    format!("http://{}/api/v1/jobs/{id}/log", server.address)
}

async fn reqwest_text(url: &str) -> String {
    let http = cortado::internal::cli::http_client().unwrap();
    http.get(url).send().await.unwrap().text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_of_the_client_library_runs_jobs_over_a_web_socket() {
    runs_jobs(WorkerProtocol::WebSocket).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_of_the_client_library_runs_jobs_over_http() {
    runs_jobs(WorkerProtocol::Http).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_token_is_refused_goes_on_when_it_is_accepted_again() {
    let tokens = ["the-token-of-workers", "another-token-of-workers"];
    for protocol in [WorkerProtocol::WebSocket, WorkerProtocol::Http] {
        let (dir, address) = (Dir::new(), lasting_address());
        let start = |token| {
            let data = dir.data();
            async move { Server::start_on(address, &data, &["--auth-token", token]).await }
        };
        let server = start(tokens[0]).await;
        let client = client(&server).token(tokens[0]).unwrap();
        let worker = RunningWorker::start(&client, protocol);
        let job = submit(&client, "double", &json!(1)).await;
        assert!(client.wait(&job.id, BOUND).await.unwrap().is_completed());
        server.kill().await;
        let server = start(tokens[1]).await;
        let line = server.process.err.line_with("login rejected: wrong token");
        assert!(within("a refused worker", line).await.is_some());
        server.kill().await;
        let server = start(tokens[0]).await;
        let job = submit(&client, "double", &json!(2)).await;
        assert!(client.wait(&job.id, BOUND).await.unwrap().is_completed(), "{protocol:?}");
        worker.stop().await;
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_goes_on_while_the_server_is_killed_and_restarted() {
    for protocol in [WorkerProtocol::WebSocket, WorkerProtocol::Http] {
        let (dir, address) = (Dir::new(), lasting_address());
        let server = Server::start_on(address, &dir.data(), &[]).await;
        let client = client(&server);
        let worker = RunningWorker::start(&client, protocol);
        let waiting = submit(&client, "wait", &Value::Null).await;
        begun(&client, &waiting.id).await;
        server.kill().await;
        let server = Server::start_on(address, &dir.data(), &[]).await;
        let job = client.get(&waiting.id).await.unwrap();
        assert_eq!((job.state.as_str(), job.attempt), ("running", 1), "{protocol:?}");
        client.cancel(&waiting.id).await.unwrap();
        let job = client.wait(&waiting.id, BOUND).await.unwrap();
        assert_eq!((job.state.as_str(), job.attempt), ("cancelled", 1), "{protocol:?}");
        worker.stop().await;
        server.stop().await;
    }
}
