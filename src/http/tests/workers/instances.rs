//! Commands and processes: a worker that comes back is told again what it was told, and a new process with its name is not.

use serde_json::{Value, json};

use super::{Shop, say};
use crate::engine::WorkerState;
use crate::http::tests::support::{Socket, within};

impl Shop {
    async fn stop_worker(&self) {
        let told = self.server.send("POST", "/api/v1/workers/web-1/stop", &[], "").await;
        assert_eq!(told.status, 204, "{told:?}");
    }

    /// Connects a worker whose process has number 1, as in a container. Returns the command in `hello`.
    async fn connect(&self, instance: Option<&str>) -> (Socket, Value) {
        let mut about = json!({"host": "web-1", "pid": 1});
        if let Some(instance) = instance {
            about["instance"] = json!(instance);
        }
        let mut socket = self.socket("web-1").await;
        let ready = json!({"type": "ready", "free": 0, "kinds": ["resize"], "lease_ms": 1000, "about": about});
        say(&mut socket, ready).await;
        let hello = socket.next().await;
        assert_eq!(hello["type"], "hello", "{hello}");
        let command = hello["command"].clone();
        (socket, command)
    }

    async fn claim_of(&self, about: Value) -> Value {
        let answer = self.claim(json!({"lease_ms": 1000, "about": about})).await.json();
        answer["command"].clone()
    }

    async fn is_silent(&self) {
        let is_silent = || {
            let workers = self.server.engine.remote_workers();
            workers.iter().any(|worker| worker.state == WorkerState::Silent)
        };
        within(async {
            while !is_silent() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_process_that_connects_again_learns_of_its_command_and_a_new_one_has_none() {
    let shop = Shop::open().await;
    let (socket, command) = shop.connect(Some("a")).await;
    assert_eq!(command, Value::Null);
    shop.stop_worker().await;
    drop(socket);
    let (socket, command) = shop.connect(Some("a")).await;
    assert_eq!(command, "stop", "it has only connected again");
    drop(socket);
    shop.is_silent().await;
    let (socket, command) = shop.connect(Some("a")).await;
    assert_eq!(command, "stop", "it was not heard from for long");
    drop(socket);
    let (_socket, command) = shop.connect(Some("b")).await;
    assert_eq!(command, Value::Null, "it is another process with the same number");
}

#[tokio::test]
async fn a_worker_that_says_no_instance_is_a_new_process_after_its_silence() {
    let shop = Shop::open().await;
    let (socket, _) = shop.connect(None).await;
    shop.stop_worker().await;
    drop(socket);
    let (socket, command) = shop.connect(None).await;
    assert_eq!(command, "stop", "it has only connected again");
    drop(socket);
    shop.is_silent().await;
    let (_socket, command) = shop.connect(None).await;
    assert_eq!(command, Value::Null, "the first one has died");
}

#[tokio::test]
async fn the_same_holds_for_claims_over_http() {
    let shop = Shop::open().await;
    let about = |instance: &str| json!({"pid": 1, "instance": instance});
    assert_eq!(shop.claim_of(about("a")).await, Value::Null);
    shop.stop_worker().await;
    assert_eq!(shop.claim_of(about("a")).await, "stop");
    assert_eq!(shop.claim_of(Value::Null).await, "stop", "it has said who it is");
    shop.is_silent().await;
    assert_eq!(shop.claim_of(Value::Null).await, "stop");
    assert_eq!(shop.claim_of(about("a")).await, "stop");
    assert_eq!(shop.claim_of(about("b")).await, Value::Null);
    shop.stop_worker().await;
    assert_eq!(shop.claim_of(json!({"pid": 1})).await, "stop", "nothing says that it is another");
    assert_eq!(shop.claim_of(json!({"pid": 2})).await, Value::Null);
    shop.stop_worker().await;
    assert_eq!(shop.claim_of(json!({"pid": 2, "host": "web-2"})).await, Value::Null);
    shop.stop_worker().await;
    shop.is_silent().await;
    assert_eq!(shop.claim_of(Value::Null).await, Value::Null);
}

#[tokio::test]
async fn a_repeated_ready_keeps_the_length_of_the_leases_unless_it_says_another() {
    let shop = Shop::open().await;
    let (mut socket, _) = shop.connect(None).await;
    let lengths = async |socket: &mut Socket, more: Value| {
        let mut ready = json!({"type": "ready", "free": 1, "kinds": ["resize"]});
        ready.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        say(socket, ready).await;
        shop.add(1).await;
        let jobs = socket.next_of("jobs").await;
        let worker = &shop.server.engine.remote_workers()[0];
        (jobs["leases"][0]["expires_in_ms"].as_u64().unwrap(), worker.lease.as_millis())
    };
    assert_eq!(lengths(&mut socket, json!({})).await, (1_000, 1_000));
    assert_eq!(lengths(&mut socket, json!({"lease_ms": 7_000})).await, (7_000, 7_000));
    assert_eq!(lengths(&mut socket, json!({})).await, (7_000, 7_000));
}

#[tokio::test]
async fn a_new_process_on_the_connection_of_a_quiet_one_gets_jobs() {
    let shop = Shop::open().await;
    let mut socket = shop.socket("web-1").await;
    let ready =
        |pid: u32| json!({"type": "ready", "free": 1, "kinds": ["resize"], "about": {"pid": pid}});
    say(&mut socket, ready(1)).await;
    assert_eq!(socket.next().await["type"], "hello");
    shop.server.send("POST", "/api/v1/workers/web-1/quiet", &[], "").await;
    assert_eq!(socket.next().await["command"], "quiet");
    shop.add(1).await;
    say(&mut socket, ready(2)).await;
    let messages = [socket.next().await, socket.next().await];
    let has = |kind: &str| messages.iter().any(|message| message["type"] == kind);
    assert!(has("jobs"), "{messages:?}");
    let resumed = json!({"type": "command", "command": "resume"});
    assert!(messages.contains(&resumed), "{messages:?}");
}
