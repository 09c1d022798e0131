//! Tests of the pages on a memory store, with a small client that sends GET and POST requests and reads HTML as text.
//! The engine is draining from the start and runs no job, so each test decides what happens to its jobs.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode, header};
use tower::ServiceExt;

use crate::clock::{Clock, ManualClock, SystemClock};
use crate::engine::{Engine, EngineConfig, KindInfo, Registry, Submission, example};
use crate::http::layers::auth::Hosts;
use crate::http::{Access, Anonymous};
use crate::job::{Job, Json, Kind, Outcome, QueueName, Schema, Verdict, WorkerName};
use crate::shutdown::Shutdown;
use crate::store::{Claim, Lease, MemoryStore, Settlement, Store, StoreLimits, WorkerPlace};

mod access;
mod actions;
mod api_reference;
mod bulk;
mod failures;
mod find;
mod forms;
mod kinds;
mod lists;
mod new_job;
mod nodes;
mod offered;
mod one_job;
mod rewind;
mod roles;
mod schedules;
mod server_faults;
mod shared;
mod slow_forms;
mod submit;
mod timeline;
mod users_and_tokens;
mod waits;
mod waterfall;
mod whole;
mod workers;

/// The schema of the kind `mail`: an input of every type, and more inputs than the form shows at first.
const MAIL: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "required": ["to", "copies"],
  "properties": {
    "to": {"type": "string", "title": "To", "format": "email", "description": "who gets <it>"},
    "copies": {"type": "integer", "title": "Copies", "minimum": 1, "maximum": 9},
    "subject": {"type": "string", "maxLength": 80},
    "size": {"enum": ["a4", "a5"], "default": "a4"},
    "urgent": {"type": "boolean", "default": false},
    "receipt": {"type": "boolean", "default": true},
    "cc": {"type": "array", "items": {"type": "string", "format": "email"}, "maxItems": 3},
    "extra": {"type": "object"}
  }
}"#;

/// The pages, with their engine and store.
struct Desk {
    store: Arc<MemoryStore>,
    engine: Engine,
    pages: Router,
}

/// A response, read to its end.
struct Answer {
    status: StatusCode,
    location: String,
    content_type: String,
    cache: String,
    /// The first cookie that it sets, without its attributes.
    cookie: String,
    text: String,
}

impl Desk {
    fn open() -> Desk {
        Desk::with(StoreLimits::default())
    }

    fn with(limits: StoreLimits) -> Desk {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Desk::over(MemoryStore::new(limits, clock))
    }

    /// Opens the pages on an engine that runs jobs, as a real server does.
    fn awake() -> Desk {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Desk::obeying(MemoryStore::new(StoreLimits::default(), clock), Shutdown::default())
    }

    fn over(store: Arc<MemoryStore>) -> Desk {
        let still = Shutdown::default();
        still.draining.cancel();
        Desk::obeying(store, still)
    }

    /// Opens the pages with this clock.
    fn by(clock: ManualClock) -> Desk {
        let clock: Arc<dyn Clock> = Arc::new(clock);
        let still = Shutdown::default();
        still.draining.cancel();
        Desk::started(MemoryStore::new(StoreLimits::default(), clock.clone()), still, clock)
    }

    fn obeying(store: Arc<MemoryStore>, shutdown: Shutdown) -> Desk {
        Desk::started(store, shutdown, Arc::new(SystemClock))
    }

    fn started(store: Arc<MemoryStore>, shutdown: Shutdown, clock: Arc<dyn Clock>) -> Desk {
        let mut registry = Registry::default();
        let kinds = [
            ("echo", r#"{"hello":"world"}"#, "Answers with its payload.", None),
            ("sleep", r#"{"ms":2000}"#, "Waits <a while>.", None),
            ("mail", r#"{"to":"a@b.example","copies":1}"#, "Sends a mail.", Some(MAIL)),
        ];
        for (kind, payload, about, schema) in kinds {
            let kind = Kind::parse(kind).unwrap();
            let schema = schema.map(|text| Schema::parse(text).unwrap());
            let info = KindInfo { kind, about: about.into(), example: example(payload), schema };
            registry.add(info, |_, _: serde_json::Value| async { Outcome::Cancel });
        }
        let config = EngineConfig::default();
        let engine = Engine::start_with_clock(store.clone(), registry, config, shutdown, clock);
        let pages = super::router(engine.clone(), settings());
        Desk { store, engine, pages }
    }

    /// Requests an address as pages write them: relative to the base, which is the root here.
    async fn get(&self, address: &str) -> Answer {
        let path = format!("/{}", address.trim_start_matches("./").trim_start_matches('/'));
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::HOST, "desk.example")
            .body(Body::from(form.finish()));
        self.send(request.unwrap()).await
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response: Response<Body> = self.pages.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let text =
            |name| head.headers.get(name).map_or(String::new(), |v| v.to_str().unwrap().to_owned());
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: head.status,
            location: text(header::LOCATION),
            content_type: text(header::CONTENT_TYPE),
            cache: text(header::CACHE_CONTROL),
            cookie: text(header::SET_COOKIE).split(';').next().unwrap_or_default().to_owned(),
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// Enqueues a job.
    async fn submit(&self, submission: Submission) -> Job {
        let job = submission.into_new_job(self.engine.kinds()).unwrap();
        self.engine.enqueue(vec![job]).await.unwrap().remove(0).into_job()
    }

    /// The job that a form created: the one to which the response redirects.
    #[track_caller]
    fn made(&self, answer: &Answer) -> crate::job::JobId {
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        answer.location.strip_prefix("/jobs/").unwrap().parse().unwrap()
    }

    /// Enqueues `count` echo jobs.
    async fn echoes(&self, count: usize) {
        for _ in 0..count {
            self.submit(echo("null")).await;
        }
    }

    /// Claims one job from the default queue.
    async fn claim(&self) -> Lease {
        self.claim_from(QueueName::default().as_str()).await
    }

    async fn claim_from(&self, queue: &str) -> Lease {
        let claim = Claim {
            queues: vec![QueueName::parse(queue).unwrap()],
            kinds: Arc::new(["echo", "sleep"].map(|kind| Kind::parse(kind).unwrap()).into()),
            max: 1,
            worker: WorkerName::parse("w1").unwrap(),
            place: WorkerPlace::InProcess,
            ttl: Duration::from_secs(3_600),
        };
        self.store.claim(claim).await.unwrap().leases.remove(0)
    }

    async fn settle(&self, lease: &Lease, verdict: Verdict) {
        let settlement = Settlement { lease: lease.key(), verdict };
        self.store.settle(vec![settlement]).await.unwrap().remove(0).unwrap();
    }

    async fn complete(&self, result: &str) {
        let lease = self.claim().await;
        self.settle(&lease, Verdict::Completed { result: Json::parse(result).unwrap() }).await;
    }
}

impl Answer {
    /// Asserts the rules that apply to every page.
    fn assert_sound(&self) {
        assert_eq!(self.content_type, "text/html; charset=utf-8");
        assert_eq!(self.cache, "no-cache");
        for inline in [" style=", "<style", "<script>", " onclick=", "javascript:"] {
            assert!(!self.text.contains(inline), "{inline:?} in\n{}", self.text);
        }
        assert!(self.text.ends_with("</html>"), "{}", self.text);
        for attribute in ["href", "action", "src"] {
            for address in self.values(attribute) {
                let own = ["#main", "#keys"].iter().any(|place| address.ends_with(place))
                    || self.text.contains(&format!("<base href=\"{address}\">"));
                let relative = !address.starts_with(['/', '#', '?']) && !address.is_empty();
                assert!(own || relative, "{address:?} leads out of the base path");
            }
        }
    }

    #[track_caller]
    fn assert_has(&self, what: &str) {
        assert!(self.text.contains(what), "no {what:?} in\n{}", self.text);
    }

    #[track_caller]
    fn assert_lacks(&self, what: &str) {
        assert!(!self.text.contains(what), "{what:?} in\n{}", self.text);
    }

    /// Every value of an attribute, with `&` unescaped for URLs.
    fn values(&self, attribute: &str) -> Vec<String> {
        let start = format!(" {attribute}=\"");
        let parts = self.text.split(&start).skip(1);
        parts.map(|part| part.split('"').next().unwrap().replace("&#38;", "&")).collect()
    }
}

/// The access of a server that asks nobody who they are until it has users.
fn open_to_all() -> Access {
    Access {
        token: None,
        anonymous: Anonymous::AllowedWithoutUsers,
        hosts: Hosts::Any,
        trusted_origins: Vec::new(),
        external: Default::default(),
    }
}

fn settings() -> Vec<crate::config::Setting> {
    let defaults = crate::config::FileConfig::default();
    crate::config::Config::build(defaults, &Default::default()).unwrap().settings
}

fn echo(payload: &str) -> Submission {
    let payload = Some(serde_json::from_str(payload).unwrap());
    Submission { kind: "echo".into(), payload, ..Submission::default() }
}
