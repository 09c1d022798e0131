//! Share links over the API: who creates, lists and revokes which.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::access::AccessCommand;
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::http::HttpLimits;
use crate::http::tests::support::{Answer, Growing, Server, Setup, Socket, errors, within};
use crate::http::tests::team::{add_token, add_user, bearer, restrict};
use crate::job::Role;
use crate::store::StoreLimits;
use crate::store::memory::MemoryStore;

/// A server with users, and an operator who shares.
pub(super) struct Sharing {
    pub server: Server,
    pub operator: String,
}

/// A link that was created.
#[derive(Debug)]
pub(super) struct Link {
    pub id: String,
    /// The path that it opens.
    pub path: String,
    pub view: Value,
}

impl Sharing {
    pub async fn start() -> Sharing {
        Sharing::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Sharing {
        let server = Server::with(setup).await;
        add_user(&server.engine, "root", Role::Admin).await;
        let (_, token) = add_token(&server.engine, "ops", Role::Operator, |_| {}).await;
        Sharing { server, operator: bearer(&token) }
    }

    pub async fn send(&self, who: &str, method: &str, path: &str, body: &Value) -> Answer {
        let headers = [("authorization", who), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.server.send(method, path, &headers, &body).await
    }

    pub async fn submit(&self, job: Value) -> String {
        let answer = self.send(&self.operator, "POST", "/api/v1/jobs", &job).await;
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    pub async fn share(&self, body: Value) -> Link {
        let answer = self.send(&self.operator, "POST", "/api/v1/links", &body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let view = answer.json();
        let path = view["url"].as_str().unwrap().split_once(&self.host()).unwrap().1.to_owned();
        assert!(path.starts_with("/shared/"), "{path}");
        Link { id: view["id"].as_str().unwrap().to_owned(), path, view }
    }

    pub async fn share_job(&self, id: &str) -> Link {
        self.share(json!({"job": id, "expires_in": "1h"})).await
    }

    pub async fn share_queue(&self, name: &str) -> Link {
        self.share(json!({"queue": name, "expires_in": "1h"})).await
    }

    fn host(&self) -> String {
        self.server.address.to_string()
    }

    pub async fn socket(&self, path: &str) -> Socket {
        let url = format!("ws://{}{path}", self.server.address);
        Socket(within(tokio_tungstenite::connect_async(url)).await.unwrap().0)
    }

    pub async fn events(&self, path: &str) -> Growing {
        self.server.open(path, &[("accept", "text/event-stream")]).await
    }
}

/// A job that runs until the gate of the server opens.
pub(super) fn held(queue: &str) -> Value {
    json!({"kind": "hold", "queue": queue, "payload": {"customer": "secret-customer"}, "tags": ["secret-tag"],
           "idempotency_key": format!("secret-key-{queue}")})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_are_created_listed_and_revoked_by_those_who_may_act() {
    let it = Sharing::start().await;
    let job = it.submit(held("mail")).await;
    let of_job = it.share(json!({"job": job, "expires_in": "7d", "payload": "hidden"})).await;
    assert_eq!(of_job.view["job"], job.as_str());
    assert_eq!((&of_job.view["queue"], &of_job.view["payload"]), (&Value::Null, &json!("hidden")));
    assert_eq!(of_job.view["created_by"], json!({"token": "ops"}));
    let of_queue = it.share_queue("mail").await;
    assert_eq!((&of_queue.view["job"], &of_queue.view["payload"]), (&Value::Null, &Value::Null));
    let listed = it.send(&it.operator, "GET", "/api/v1/links", &Value::Null).await.json();
    let urls = |listed: &Value| -> Vec<String> {
        let links = listed["links"].as_array().unwrap().iter();
        links.map(|link| link["url"].as_str().unwrap().to_owned()).collect()
    };
    let mut listed_urls = urls(&listed);
    listed_urls.sort();
    let mut created = vec![&of_job, &of_queue]
        .into_iter()
        .map(|link| link.view["url"].as_str().unwrap().to_owned())
        .collect::<Vec<_>>();
    created.sort();
    assert_eq!(listed_urls, created, "the address can be shown again");

    for (role, name) in
        [(Role::Viewer, "reader"), (Role::Submitter, "sender"), (Role::Worker, "worker")]
    {
        let (_, token) = add_token(&it.server.engine, name, role, |_| {}).await;
        let body = json!({"job": job, "expires_in": "1h"});
        let answer = it.send(&bearer(&token), "POST", "/api/v1/links", &body).await;
        answer.is_problem(403, "forbidden");
        it.send(&bearer(&token), "GET", "/api/v1/links", &Value::Null)
            .await
            .is_problem(403, "forbidden");
    }
    let path = format!("/api/v1/links/{}", of_job.id);
    assert_eq!(it.send(&it.operator, "DELETE", &path, &Value::Null).await.status, 204);
    it.send(&it.operator, "DELETE", &path, &Value::Null).await.is_problem(404, "no_such_link");
    let listed = it.send(&it.operator, "GET", "/api/v1/links", &Value::Null).await.json();
    assert_eq!(urls(&listed), [of_queue.view["url"].as_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_for_a_link_that_makes_no_sense_is_refused_with_the_reason() {
    let it = Sharing::start().await;
    let job = it.submit(held("mail")).await;
    for (body, status, code, error) in [
        (json!({}), 422, "invalid_fields", "job: is required, or queue"),
        (json!({"job": job}), 422, "invalid_fields", "expires_in: is required"),
        (json!({"job": "x", "expires_in": "1h"}), 422, "invalid_fields", "job: "),
        (
            json!({"job": job, "queue": "mail", "expires_in": "1h"}),
            422,
            "invalid_fields",
            "queue: cannot be given with job",
        ),
        (
            json!({"job": job, "expires_in": "soon"}),
            422,
            "invalid_fields",
            "expires_in: must be a duration such as 1h or 7d",
        ),
        (
            json!({"job": job, "expires_in": "31d"}),
            422,
            "invalid_fields",
            "expires_in: must be from 1 second to 30 days",
        ),
        (
            json!({"job": job, "expires_in": "0"}),
            422,
            "invalid_fields",
            "expires_in: must be from 1 second",
        ),
        (
            json!({"job": job, "expires_in": "1h", "payload": "no"}),
            422,
            "invalid_fields",
            "payload: must be shown or hidden",
        ),
        (json!({"job": job, "expires_in": "1h", "x": 1}), 422, "invalid_fields", "x: is not known"),
        (
            json!({"job": "019ab001-7c3e-7d10-8a55-0242ac120002", "expires_in": "1h"}),
            404,
            "no_such_job",
            "",
        ),
        (json!({"queue": "nowhere", "expires_in": "1h"}), 404, "no_such_queue", ""),
    ] {
        let answer = it.send(&it.operator, "POST", "/api/v1/links", &body).await;
        let problem = answer.is_problem(status, code);
        if !error.is_empty() {
            let errors = errors(&problem);
            assert!(errors.iter().any(|found| found.starts_with(error)), "{body}: {errors:?}");
        }
    }
    assert_eq!(it.server.engine.access_table().borrow().links().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restricted_credentials_share_only_what_they_are_for_and_manage_only_their_links() {
    let it = Sharing::start().await;
    let (inside, outside) =
        (it.submit(json!({"kind": "echo", "queue": "mail"})).await, it.submit(held("other")).await);
    let (_, token) = add_token(&it.server.engine, "ci", Role::Operator, restrict).await;
    let ci = bearer(&token);
    let share = async |body: Value| it.send(&ci, "POST", "/api/v1/links", &body).await;
    share(json!({"job": outside, "expires_in": "1h"})).await.is_problem(404, "no_such_job");
    share(json!({"queue": "other", "expires_in": "1h"})).await.is_problem(403, "forbidden");
    let reason = "the token is restricted to a kind, and a queue has jobs of all kinds";
    let answer = share(json!({"queue": "mail", "expires_in": "1h"})).await;
    assert_eq!(answer.status, 403, "{reason}");
    let own = share(json!({"job": inside, "expires_in": "1h"})).await;
    assert_eq!(own.status, 201, "{own:?}");
    let of_others = it.share_job(&inside).await;
    let listed = it.send(&ci, "GET", "/api/v1/links", &Value::Null).await.json();
    let ids: Vec<&Value> =
        listed["links"].as_array().unwrap().iter().map(|link| &link["id"]).collect();
    assert_eq!(ids, [&own.json()["id"]]);
    let path = format!("/api/v1/links/{}", of_others.id);
    it.send(&ci, "DELETE", &path, &Value::Null).await.is_problem(404, "no_such_link");
    let path = format!("/api/v1/links/{}", own.json()["id"].as_str().unwrap());
    assert_eq!(it.send(&ci, "DELETE", &path, &Value::Null).await.status, 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_does_not_manage_the_links_of_a_revoked_one_with_the_same_name() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let store = MemoryStore::new(StoreLimits::default(), clock.clone());
    let it = Sharing::with(Setup { store, ..Setup::default() }).await;
    let job = it.submit(json!({"kind": "echo", "queue": "mail"})).await;
    let engine = &it.server.engine;
    let (former, token) = add_token(engine, "ci", Role::Operator, restrict).await;
    let body = json!({"job": job, "expires_in": "1h"});
    let link = it.send(&bearer(&token), "POST", "/api/v1/links", &body).await.json();
    engine.access(AccessCommand::RevokeToken(former)).await.unwrap();
    clock.advance(Duration::from_millis(1));
    let (_, token) = add_token(engine, "ci", Role::Operator, restrict).await;
    let ci = bearer(&token);
    let path = format!("/api/v1/links/{}", link["id"].as_str().unwrap());
    it.send(&ci, "DELETE", &path, &Value::Null).await.is_problem(404, "no_such_link");
    let listed = async || it.send(&ci, "GET", "/api/v1/links", &Value::Null).await.json();
    assert_eq!(listed().await["links"], json!([]));
    let own = it.send(&ci, "POST", "/api/v1/links", &body).await.json();
    assert_eq!(listed().await["links"][0]["id"], own["id"]);
    assert_eq!(it.send(&it.operator, "DELETE", &path, &Value::Null).await.status, 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_begins_with_the_configured_url() {
    let limits =
        HttpLimits { base_url: Some("https://jobs.example.com/".into()), ..HttpLimits::default() };
    let it = Sharing::with(Setup { limits, ..Setup::default() }).await;
    let body = json!({"job": it.submit(held("mail")).await, "expires_in": "1h"});
    let link = it.send(&it.operator, "POST", "/api/v1/links", &body).await.json();
    let url = link["url"].as_str().unwrap();
    assert!(url.starts_with("https://jobs.example.com/shared/"), "{url}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_credentials_on_the_server_links_work_alike() {
    let server = Server::start().await;
    let job = server.job("").await["id"].as_str().unwrap().to_owned();
    let body = json!({"job": job, "expires_in": "1h"}).to_string();
    let link = server.post("/api/v1/links", &body).await.json();
    assert_eq!(link["created_by"], Value::Null);
    let path =
        link["url"].as_str().unwrap().split_once(&server.address.to_string()).unwrap().1.to_owned();
    assert_eq!(server.get(&format!("{path}/events")).await.status, 200);
    server.get(&format!("{}x/events", path)).await.is_problem(404, "no_such_link");
    let id = link["id"].as_str().unwrap();
    assert_eq!(server.send("DELETE", &format!("/api/v1/links/{id}"), &[], "").await.status, 204);
    server.get(&format!("{path}/events")).await.is_problem(404, "no_such_link");
}
