//! The stop on a signal, as the system and clients see it: which jobs finish, which are given back, what clients
//! receive, and the exit code.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use cortado::internal::config::{Config, FileConfig, ServeArgs};
use cortado::internal::engine::Submission;
use cortado::{Context, Cortado};
use nix::sys::signal::Signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::support::{Dir, Server, Socket, within};

/// A server, a job that sleeps for ten minutes, and a socket that has received its start. A lease that reaches its
/// worker after the beginning of the stop is returned unused, so a second job shows that the first is really running.
async fn with_running(dir: &Dir, args: &[&str]) -> (Server, String, Socket) {
    let server = Server::start(dir, args).await;
    let mut socket = server.socket("").await;
    let job = json!({ "kind": "sleep", "payload": { "ms": 600_000 } });
    let id = server.client.submit(&job).await;
    socket.event(&id, "job.started").await;
    let second = server.client.submit(&json!({ "kind": "echo" })).await;
    socket.event(&second, "job.completed").await;
    (server, id, socket)
}

/// The log line that reports the stop.
fn stopped_line(log: &[String]) -> &str {
    let line = log.iter().find(|line| line.contains("finished=") && line.contains("duration_ms="));
    line.unwrap_or_else(|| panic!("no line reports the stop: {log:#?}"))
}

/// Asserts that the stop ended a stream, and returns its last events.
async fn assert_sent_away(socket: &mut Socket) -> Vec<crate::support::Event> {
    let (events, bye, frame) = socket.rest().await;
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1001, "stopping"));
    assert_eq!(bye["why"], "stopping", "{bye}");
    assert!(bye["retry_ms"].is_u64(), "{bye}");
    events
}

#[tokio::test]
async fn an_idle_server_stops_at_once_at_each_signal() {
    for signal in [SIGTERM, SIGINT, SIGHUP, SIGQUIT] {
        let dir = Dir::new();
        let mut server = Server::start(&dir, &[]).await;
        let begun = Instant::now();
        server.process.signal(signal);
        let status = server.process.exit().await;
        assert_eq!(status.code(), Some(0), "{signal}");
        assert!(begun.elapsed() < Duration::from_secs(10), "the stop does not wait for the grace");
        let log = server.process.err.so_far();
        let line = stopped_line(&log);
        for count in ["finished=0", "interrupted=0", "open_connections=0"] {
            assert!(line.contains(count), "{line}");
        }
        assert!(!line.contains("WARN"), "{line}");
    }
}

#[tokio::test]
async fn a_job_that_ends_within_the_grace_completes_and_its_subscribers_see_it() {
    for signal in [SIGTERM, SIGINT, SIGHUP, SIGQUIT] {
        let dir = Dir::new();
        let mut server = Server::start(&dir, &["--grace", "50s"]).await;
        let mut socket = server.socket("").await;
        let job = json!({ "kind": "sleep", "payload": { "ms": 1_500, "progress": true } });
        let id = server.client.submit(&job).await;
        socket.event(&id, "job.progressed").await;
        server.process.signal(signal);
        let draining = socket.next_of("draining").await;
        assert_eq!(draining["grace_ms"], 50_000);
        let events = assert_sent_away(&mut socket).await;
        let last = events.last().expect("the job's end comes before the close frame");
        assert!(last.is_of(&id) && last.kind == "job.completed", "{last:?}");
        assert_eq!(server.process.exit().await.code(), Some(0));
        let log = server.process.err.so_far();
        let line = stopped_line(&log);
        assert!(line.contains("finished=1") && line.contains("interrupted=0"), "{line}");

        let server = Server::start(&dir, &[]).await;
        let job = server.client.job(&id).await;
        assert_eq!((&job["state"], &job["attempt"]), (&json!("completed"), &json!(1)));
        server.stop().await;
    }
}

#[tokio::test]
async fn a_job_past_the_grace_is_given_back_and_not_charged() {
    let dir = Dir::new();
    let (mut server, id, mut socket) = with_running(&dir, &["--grace", "1s"]).await;
    // Pause the queue, so that the job is still waiting after the restart.
    server.client.post("/api/v1/queues/default/pause", None).await;
    server.process.signal(SIGTERM);
    let events = assert_sent_away(&mut socket).await;
    let last = events.last().expect("the interruption comes before the close frame");
    assert!(last.is_of(&id) && last.kind == "job.interrupted", "{last:?}");
    assert_eq!(last.why.as_deref(), Some("stop"));
    assert_eq!(server.process.exit().await.code(), Some(0), "it was given back in an orderly way");
    let log = server.process.err.so_far();
    let line = stopped_line(&log);
    assert!(line.contains("interrupted=1"), "{line}");

    let server = Server::start(&dir, &["--grace", "1s"]).await;
    let job = server.client.job(&id).await;
    assert_eq!((&job["state"], &job["attempt"]), (&json!("available"), &json!(0)), "{job}");
    let last = job["timeline"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["type"], &last["why"]), (&json!("job.interrupted"), &json!("stop")));
    let mut socket = server.socket("").await;
    server.client.post("/api/v1/queues/default/resume", None).await;
    socket.event(&id, "job.started").await;
    assert_eq!(server.client.job(&id).await["attempt"], 1, "the attempt was not charged");
    server.stop().await;
}

#[tokio::test]
async fn a_second_signal_shortens_the_grace() {
    let pairs = [
        (SIGTERM, SIGTERM),
        (SIGINT, SIGINT),
        (SIGTERM, SIGINT),
        (SIGHUP, SIGQUIT),
        (SIGQUIT, SIGHUP),
        (SIGHUP, SIGHUP),
    ];
    for (first, second) in pairs {
        let dir = Dir::new();
        let (mut server, id, mut socket) = with_running(&dir, &["--grace", "10m"]).await;
        server.process.signal(first);
        socket.next_of("draining").await;
        assert!(!server.process.has_ended(), "the grace has not begun");
        server.process.signal(second);
        let events = assert_sent_away(&mut socket).await;
        assert!(events.last().is_some_and(|event| event.kind == "job.interrupted"), "{events:?}");
        assert_eq!(server.process.exit().await.code(), Some(0));
        let log = server.process.err.so_far();
        assert!(log.iter().any(|line| line.contains("second signal")), "{log:#?}");
        assert!(stopped_line(&log).contains("interrupted=1"), "{log:#?}");
        let server = Server::start(&dir, &["--grace", "0s"]).await;
        let job = server.client.job(&id).await;
        assert!(job["attempt"].as_u64() <= Some(1), "the attempt was charged: {job}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_server_that_was_started_to_outlive_its_terminal_does() {
    let dir = Dir::new();
    let process = Server::launch_by_shell("trap '' HUP", &dir, &[]);
    let server = Server::unless_ended(process).await.ok().expect("a server that listens");
    server.process.signal(SIGHUP);
    let id = server.client.submit(&json!({ "kind": "echo" })).await;
    server.client.job_in(&id, "completed").await;
    let log = server.stop().await;
    assert_eq!(
        log.iter().filter(|line| line.contains("stopping, no new jobs are claimed")).count(),
        1
    );
}

#[tokio::test]
async fn every_open_socket_gets_its_close_frame() {
    let dir = Dir::new();
    let mut server = Server::start(&dir, &[]).await;
    let mut sockets = Vec::new();
    for query in ["", "?queue=none", "?type=job.completed"].iter().cycle().take(30) {
        sockets.push(server.socket(query).await);
    }
    server.process.signal(SIGTERM);
    for socket in &mut sockets {
        assert_sent_away(socket).await;
    }
    assert_eq!(server.process.exit().await.code(), Some(0));
    assert!(stopped_line(&server.process.err.so_far()).contains("open_connections=0"));
}

#[tokio::test]
async fn a_draining_server_is_not_ready_and_takes_no_new_connections() {
    let dir = Dir::new();
    let (mut server, _, mut socket) = with_running(&dir, &["--grace", "10m"]).await;
    assert_eq!(server.client.get("/readyz").await["status"], "ready");
    // A request whose head is not complete when the stop begins: the answer shows the current state.
    let mut probe = TcpStream::connect(server.address).await.unwrap();
    probe.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n").await.unwrap();
    for _ in 0..20 {
        server.client.get("/readyz").await; // in the meantime the server reads the incomplete head
    }
    server.process.signal(SIGTERM);
    socket.next_of("draining").await;
    probe.write_all(b"\r\n").await.unwrap();
    let answer = read_answer(&mut probe).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("\"draining\""), "{answer}");
    within("a closed door", async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.process.signal(SIGTERM);
    assert_eq!(server.process.exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_request_in_flight_finishes_and_its_job_is_durable() {
    let dir = Dir::new();
    let mut server = Server::start(&dir, &["--grace", "50s"]).await;
    let mut socket = server.socket("").await;
    let body = r#"{"kind":"echo","payload":"slow"}"#;
    let head = format!(
        "POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nexpect: 100-continue\r\n\r\n",
        body.len()
    );
    let mut upload = TcpStream::connect(server.address).await.unwrap();
    upload.write_all(head.as_bytes()).await.unwrap();
    let mut wanted = [0; 25];
    within("100 Continue", upload.read_exact(&mut wanted)).await.unwrap();
    assert_eq!(&wanted, b"HTTP/1.1 100 Continue\r\n\r\n");
    upload.write_all(&body.as_bytes()[..10]).await.unwrap();

    server.process.signal(SIGTERM);
    socket.next_of("draining").await;
    upload.write_all(&body.as_bytes()[10..]).await.unwrap();
    let answer = read_answer(&mut upload).await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let row: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let id = row["id"].as_str().unwrap();
    let events = assert_sent_away(&mut socket).await;
    assert!(events.iter().any(|event| event.is_of(id)), "the socket saw the last job come in");
    assert_eq!(server.process.exit().await.code(), Some(0));

    let server = Server::start(&dir, &[]).await;
    server.client.job_in(id, "completed").await;
    server.stop().await;
}

/// Reads to the end of the connection.
async fn read_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    within("an answer", stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// A gate that blocks a handler, like code that ignores cancellation.
#[derive(Clone, Default)]
struct Door(Arc<(Mutex<bool>, Condvar)>);

impl Door {
    fn wait(&self) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(open, |open| !*open).unwrap());
    }

    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_cannot_be_stopped_does_not_hold_the_stop_and_is_reported() {
    let (dir, door) = (Dir::new(), Door::default());
    let (at, entered) = (door.clone(), Arc::new(Notify::new()));
    let enters = entered.clone();
    let stubborn = move |_: Context, (): ()| {
        let (at, enters) = (at.clone(), enters.clone());
        async move {
            enters.notify_one();
            at.wait();
            Ok::<(), std::io::Error>(())
        }
    };
    let file = FileConfig::parse("[stop]\ngrace = \"1s\"").unwrap();
    let config = Config::build(file, &ServeArgs::default()).unwrap();
    let server = Cortado::builder()
        .config(config)
        .data_dir(dir.data())
        .listen(([127, 0, 0, 1], 0))
        .handle_kind("stubborn", stubborn)
        .start()
        .await
        .unwrap();
    let engine = server.engine().clone();
    let job = Submission { kind: "stubborn".to_owned(), ..Submission::default() };
    engine.enqueue(vec![job.into_new_job(engine.kinds()).unwrap()]).await.unwrap();
    // An attempt whose handler has not begun is given back at once.
    within("a handler that has begun", entered.notified()).await;
    let report = within("the stop", server.stop()).await;
    assert_eq!((report.stuck, report.finished, report.interrupted), (1, 0, 0), "{report:?}");
    assert!(!report.clean, "{report:?}");
    assert!(report.duration < Duration::from_secs(20), "{report:?}");
    door.open();
}
