//! Users, tokens and sessions on a server that is killed with SIGKILL at random moments or crashes at chosen points of its
//! store. No acknowledged change is lost after a restart: what was revoked stays revoked.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use nix::sys::signal::Signal;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{Command, Dir, Server};

/// The token of the configuration, with which everything is done.
const TOKEN: &str = "crash-0123456789abcdef";
const PASSWORD: &str = "correct horse battery";
/// How many clients change things at the same time, each its own.
const CLIENTS: usize = 4;
const ROLES: [&str; 3] = ["viewer", "submitter", "operator"];

/// The API of one server, which may die at any moment.
struct Api {
    http: reqwest::Client,
    base: String,
}

/// A response, or that the server is gone. Then the request has had its effect, or none.
enum Answer {
    Got(StatusCode, String),
    Gone,
}

impl Api {
    fn of(server: &Server) -> Api {
        // This installs the provider of TLS, which every client needs.
        cortado::internal::cli::http_client().unwrap();
        let http = crate::support::http::http_builder().no_proxy();
        let http = http.redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Api { http, base: format!("http://{}", server.address) }
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(TOKEN);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let Ok(response) = request.send().await else { return Answer::Gone };
        let status = response.status();
        match response.text().await {
            // A store that is about to crash may refuse a change without knowing whether it is durable.
            Ok(text) if !status.is_server_error() => Answer::Got(status, text),
            Ok(_) | Err(_) => Answer::Gone,
        }
    }

    async fn get(&self, path: &str) -> Value {
        match self.send(Method::GET, path, None).await {
            Answer::Got(StatusCode::OK, text) => serde_json::from_str(&text).unwrap(),
            Answer::Got(status, text) => panic!("{path}: {status} {text}"),
            Answer::Gone => panic!("{path}: the server is gone"),
        }
    }

    /// Logs a browser in. Returns its cookie; `None` if the server is gone.
    async fn log_in(&self) -> Option<String> {
        let form = format!("name=&password={TOKEN}&next=jobs");
        let login = self.http.post(format!("{}/login", self.base)).body(form);
        let login = login.header("content-type", "application/x-www-form-urlencoded");
        let answer = login.send().await.ok().filter(|it| !it.status().is_server_error())?;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        Some(cookie.split(';').next().unwrap().to_owned())
    }

    /// Whether somebody with this header is let in.
    async fn accepts(&self, (name, value): &(&'static str, String)) -> bool {
        let request = self.http.get(format!("{}/api/v1/me", self.base)).header(*name, value);
        let status = request.send().await.unwrap().status();
        assert!(matches!(status.as_u16(), 200 | 401), "{status}");
        status == StatusCode::OK
    }

    /// The id of the session with this cookie; `None` if the server is gone.
    async fn session_id(&self, cookie: &str) -> Option<String> {
        let request = self.http.get(format!("{}/api/v1/sessions", self.base));
        let answer = request.header("cookie", cookie).send().await.ok()?.text().await.ok()?;
        let sessions: Value = serde_json::from_str(&answer).ok()?;
        let current = sessions["sessions"].as_array()?.iter().find(|it| it["current"] == true);
        Some(current?["id"].as_str()?.to_owned())
    }
}

/// A token or a session.
struct Credential {
    /// The path at which it is revoked.
    path: String,
    /// The header that carries it.
    header: (&'static str, String),
    validity: Validity,
}

/// What is known about a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Validity {
    Valid,
    Revoked,
    /// The server died before it answered the revocation.
    Unknown,
}

/// The role of a user, and whether the user is disabled; `None` if there is no such user.
type UserStatus = Option<(&'static str, bool)>;

/// What one client has done.
struct Ledger {
    client: usize,
    random: Rng,
    names: u32,
    credentials: Vec<Credential>,
    /// What each user may look like: one status, or two if the last change was not answered.
    users: BTreeMap<String, Vec<UserStatus>>,
    /// How many changes were acknowledged.
    acknowledged: u32,
}

impl Ledger {
    fn name(&mut self, what: &str) -> String {
        self.names += 1;
        format!("{what}-{}-{}", self.client, self.names)
    }

    /// Changes things until the server is gone.
    async fn change_until_it_dies(&mut self, api: &Api) {
        while self.change(api).await.is_some() {
            self.acknowledged += 1;
        }
    }

    /// Makes one change. `None` when the server is gone.
    async fn change(&mut self, api: &Api) -> Option<()> {
        match self.random.u8(0..12) {
            0 => {
                let name = self.name("user");
                let role = ROLES[self.random.usize(..ROLES.len())];
                let body = json!({ "name": name, "role": role, "password": PASSWORD });
                let request = api.send(Method::POST, "/api/v1/users", Some(body));
                self.set_user(name, Some((role, false)), request).await
            }
            1..4 => self.change_user(api).await,
            4..7 => {
                let body = json!({ "name": self.name("token"), "role": "viewer" });
                let answer = api.send(Method::POST, "/api/v1/tokens", Some(body)).await;
                let Answer::Got(status, text) = answer else { return None };
                assert_eq!(status, StatusCode::CREATED, "{text}");
                let token: Value = serde_json::from_str(&text).unwrap();
                let path = format!("/api/v1/tokens/{}", token["id"].as_str().unwrap());
                let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
                self.keep(path, ("authorization", bearer));
                Some(())
            }
            7..9 => {
                let cookie = api.log_in().await?;
                let id = api.session_id(&cookie).await?;
                self.keep(format!("/api/v1/sessions/{id}"), ("cookie", cookie));
                Some(())
            }
            _ => self.revoke(api).await,
        }
    }

    fn keep(&mut self, path: String, header: (&'static str, String)) {
        self.credentials.push(Credential { path, header, validity: Validity::Valid });
    }

    /// Revokes one of the credentials, if there is one.
    async fn revoke(&mut self, api: &Api) -> Option<()> {
        let valid = self.credentials.iter_mut().filter(|one| one.validity == Validity::Valid);
        let Some(one) = self.random.choice(valid.collect::<Vec<_>>()) else { return Some(()) };
        one.validity = Validity::Unknown;
        let Answer::Got(status, text) = api.send(Method::DELETE, &one.path, None).await else {
            return None;
        };
        assert_eq!(status, StatusCode::NO_CONTENT, "{}: {text}", one.path);
        one.validity = Validity::Revoked;
        Some(())
    }

    /// Gives one of the users another role, disables, enables or deletes the user, if there is one.
    async fn change_user(&mut self, api: &Api) -> Option<()> {
        let there = self.users.iter().filter_map(|(name, known)| match known[..] {
            [Some((role, disabled))] => Some((name.clone(), role, disabled)),
            [None] | [] | [_, _, ..] => None,
        });
        let Some((name, role, disabled)) = self.random.choice(there.collect::<Vec<_>>()) else {
            return Some(());
        };
        let path = format!("/api/v1/users/{name}");
        let (method, body, after) = match self.random.u8(0..3) {
            0 => {
                let other = ROLES[self.random.usize(..ROLES.len())];
                (Method::PUT, Some(json!({ "role": other })), Some((other, disabled)))
            }
            1 => (Method::PUT, Some(json!({ "disabled": !disabled })), Some((role, !disabled))),
            _ => (Method::DELETE, None, None),
        };
        let request = api.send(method, &path, body);
        self.set_user(name, after, request).await
    }

    async fn set_user(
        &mut self,
        name: String,
        after: UserStatus,
        request: impl Future<Output = Answer>,
    ) -> Option<()> {
        let known = self.users.entry(name).or_insert_with(|| vec![None]);
        known.push(after);
        let Answer::Got(status, text) = request.await else { return None };
        assert!(status.is_success(), "{status} {text}");
        *known = vec![after];
        Some(())
    }

    /// Compares what is known with a server after a restart, and learns what became of unanswered changes.
    async fn check(&mut self, api: &Api) {
        let list = api.get("/api/v1/users").await;
        let users = list["users"].as_array().unwrap();
        for (name, known) in &mut self.users {
            let found = users.iter().find(|user| user["name"] == **name);
            let found = found.map(|user| {
                let role = ROLES.into_iter().find(|role| user["role"] == **role).unwrap();
                (role, user["disabled"] == true)
            });
            assert!(known.contains(&found), "{name} is {found:?} instead of {known:?}");
            *known = vec![found];
        }
        for one in &mut self.credentials {
            let is_valid = api.accepts(&one.header).await;
            match one.validity {
                Validity::Valid => assert!(is_valid, "{} is lost", one.path),
                Validity::Revoked => assert!(!is_valid, "{} is valid again", one.path),
                Validity::Unknown if is_valid => one.validity = Validity::Valid,
                Validity::Unknown => one.validity = Validity::Revoked,
            }
        }
    }
}

/// Waits for the end of a server that crashes, or kills it at a random moment.
async fn end(mut process: Command, fault: Option<&str>, random: &mut Rng) {
    if fault.is_none() {
        sleep(Duration::from_millis(random.u64(50..400))).await;
        process.signal(Signal::SIGKILL);
    }
    let status = process.exit().await;
    assert_eq!(status.code(), None, "{fault:?}: {status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_granted_and_revoked_stays_so_over_kills_at_random_moments() {
    let rounds = std::env::var("CORTADO_CRASH_ROUNDS").map_or(100, |text| text.parse().unwrap());
    let seed = std::env::var("CORTADO_CRASH_SEED").ok().map(|text| text.parse().unwrap());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("CORTADO_CRASH_SEED={seed}"); // shown when the test fails
    let mut random = Rng::with_seed(seed);
    let dir = Dir::new();
    let config = dir.config(&format!(
        "log.access = 'off'\nauth.token = '{TOKEN}'\n[http]\nlogin_failures = 1000000\n\
         login_failures_total = 1000000\n[access]\nsessions_per_user = 10000\n"
    ));
    let args = ["--log", "warn", "--config", &config];
    let mut ledgers: Vec<Ledger> = (0..CLIENTS)
        .map(|client| {
            let (random, names, acknowledged) = (random.fork(), 0, 0);
            let (credentials, users) = Default::default();
            Ledger { client, random, names, credentials, users, acknowledged }
        })
        .collect();
    let server = Server::start(&dir, &args).await;
    let admin = json!({ "name": "root", "role": "admin", "password": PASSWORD });
    let added = Api::of(&server).send(Method::POST, "/api/v1/users", Some(admin)).await;
    assert!(matches!(added, Answer::Got(StatusCode::CREATED, _)));
    server.kill().await;
    // A fifth of the rounds of the jobs, because each begins with a request for every credential.
    for round in 0..(rounds / 5).max(1) {
        let points = ["apply", "after-apply", "after-flush", "sync", "after-sync"];
        let point = points[round as usize / 2 % points.len()];
        let fault = format!("crash:{point}:{}", random.u8(3..60));
        let fault = Some(fault.as_str()).filter(|_| round % 2 == 1);
        let server = match fault {
            None => Server::start(&dir, &args).await,
            Some(fault) => {
                let process = Server::launch_with_fault(&dir, &args, fault);
                match Server::unless_ended(process).await {
                    Ok(server) => server,
                    Err(process) => {
                        end(process, Some(fault), &mut random).await;
                        continue;
                    }
                }
            }
        };
        let api = Api::of(&server);
        if fault.is_none() {
            for ledger in &mut ledgers {
                ledger.check(&api).await;
            }
        }
        let load = join_all(ledgers.iter_mut().map(|ledger| ledger.change_until_it_dies(&api)));
        tokio::join!(load, end(server.process, fault, &mut random));
        let data = dir.data();
        let verified = move || cortado::internal::store::data_dir::verify(&data);
        let report = tokio::task::spawn_blocking(verified).await.unwrap();
        assert!(report.is_sound(), "{report}");
    }
    let server = Server::start(&dir, &args).await;
    let api = Api::of(&server);
    for ledger in &mut ledgers {
        ledger.check(&api).await;
    }
    let revoked = ledgers.iter().flat_map(|ledger| &ledger.credentials);
    let revoked = revoked.filter(|one| one.validity == Validity::Revoked).count();
    let acknowledged: u32 = ledgers.iter().map(|ledger| ledger.acknowledged).sum();
    println!("{acknowledged} acknowledged changes, {revoked} revoked credentials");
    assert!(acknowledged > rounds && revoked > 0, "the load was too small to show anything");
    server.stop().await;
}
