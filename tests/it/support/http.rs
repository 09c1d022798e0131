//! A client of the HTTP API. Its calls panic when they fail, except for `try_send`, which is for servers that may die
//! at any moment.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::audit::Event;
use super::{eventually, within};

/// A client of one server.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
}

/// The fields of a row of the job list that tests use.
#[derive(Debug, Clone, Deserialize)]
pub struct Row {
    pub id: String,
    pub state: String,
    pub attempt: u16,
    pub seq: u64,
}

/// All rows by id, each with the log position at which it was read.
pub type Rows = BTreeMap<String, (Row, u64)>;

#[derive(Deserialize)]
struct Page {
    jobs: Vec<Row>,
    next: Option<String>,
    cursor: String,
}

#[derive(Deserialize)]
struct Events {
    events: Vec<Event>,
    cursor: String,
    gap: Option<Value>,
}

/// A builder of HTTP clients for tests that need their own: with the TLS library that the server's clients use.
pub fn http_builder() -> reqwest::ClientBuilder {
    // It sets up the library for the whole process.
    drop(cortado::internal::cli::http_client().unwrap());
    reqwest::Client::builder()
}

impl Client {
    pub fn new(address: SocketAddr) -> Client {
        let http = cortado::internal::cli::http_client().unwrap();
        Client { http, base: format!("http://{address}") }
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request and returns the status and the body.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<(u16, String)> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    /// Returns the body of a GET request, which must succeed.
    pub async fn text(&self, path: &str) -> String {
        let answer = within(path, self.try_send(Method::GET, path, None)).await.unwrap();
        assert_eq!(answer.0, 200, "GET {path}: {}", answer.1);
        answer.1
    }

    /// Returns the JSON of a GET request, which must succeed.
    pub async fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path).await).unwrap()
    }

    /// Returns the JSON of a POST request, which must succeed.
    pub async fn post(&self, path: &str, body: Option<&Value>) -> Value {
        let answer = within(path, self.try_send(Method::POST, path, body)).await.unwrap();
        assert!((200..300).contains(&answer.0), "POST {path}: {} {}", answer.0, answer.1);
        serde_json::from_str(&answer.1).unwrap_or_default()
    }

    /// Submits a job and returns its id.
    pub async fn submit(&self, job: &Value) -> String {
        self.post("/api/v1/jobs", Some(job)).await["id"].as_str().unwrap().to_owned()
    }

    /// Submits a batch and returns the ids.
    pub async fn submit_all(&self, jobs: Vec<Value>) -> Vec<String> {
        let answer = self.post("/api/v1/jobs", Some(&Value::Array(jobs))).await;
        let jobs = answer["jobs"].as_array().unwrap();
        jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns a job.
    pub async fn job(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/jobs/{id}")).await
    }

    /// Waits until a job is in a state.
    pub async fn job_in(&self, id: &str, state: &str) -> Value {
        eventually(&format!("job {id} {state}"), || async {
            Some(self.job(id).await).filter(|job| job["state"] == state)
        })
        .await
    }

    /// Counts the jobs in a state.
    pub async fn count(&self, state: &str) -> u64 {
        self.get("/api/v1/stats").await["states"][state].as_u64().unwrap()
    }

    /// The cursor of the end of the log.
    pub async fn head(&self) -> String {
        self.get("/api/v1/events").await["cursor"].as_str().unwrap().to_owned()
    }

    /// The cursor before the first event.
    pub async fn start_of_log(&self) -> String {
        let head = self.head().await;
        format!("{}:0", head.split(':').next().unwrap())
    }

    /// Every event after a cursor, and the cursor after them. The log must not have a gap there.
    pub async fn log_after(&self, cursor: &str) -> (Vec<Event>, String) {
        let (all, cursor, gap) = self.log_there_is_after(cursor).await;
        assert!(gap.is_none(), "the log has a gap up to {gap:?}");
        (all, cursor)
    }

    /// Every event after a cursor, the cursor after them, and the end of a gap before them, if there is one.
    pub async fn log_there_is_after(&self, cursor: &str) -> (Vec<Event>, String, Option<u64>) {
        let (mut all, mut cursor, mut gap) = (Vec::new(), cursor.to_owned(), None);
        loop {
            let text = self.text(&format!("/api/v1/events?limit=1000&after={cursor}")).await;
            let read: Events = serde_json::from_str(&text).unwrap();
            if let Some(told) = &read.gap {
                assert!(all.is_empty(), "a gap between two pages: {told}");
                gap = Some(seq_of(told["to"].as_str().unwrap()));
            } else if read.events.is_empty() {
                return (all, cursor, gap);
            }
            all.extend(read.events);
            cursor = read.cursor;
        }
    }

    /// The whole log.
    pub async fn log(&self) -> Vec<Event> {
        let start = self.start_of_log().await;
        self.log_after(&start).await.0
    }

    /// Every job of the list, read page by page.
    pub async fn rows(&self) -> Rows {
        let (mut rows, mut after) = (Rows::new(), String::new());
        loop {
            let text = self.text(&format!("/api/v1/jobs?limit=500{after}")).await;
            let page: Page = serde_json::from_str(&text).unwrap();
            for row in page.jobs {
                let double = rows.insert(row.id.clone(), (row, seq_of(&page.cursor)));
                assert!(double.is_none(), "twice in the list: {double:?}");
            }
            match page.next {
                Some(next) => after = format!("&after={next}"),
                None => return rows,
            }
        }
    }
}

/// The number in a cursor.
pub fn seq_of(cursor: &str) -> u64 {
    cursor.split_once(':').unwrap().1.parse().unwrap()
}
