//! Wrong tokens on the real server, at every interface that takes one: each leaves a line in the log and is counted, and
//! too many of them slow down their client and nobody else.

use reqwest::{Method, Response, StatusCode};

use crate::support::{Dir, Server, within};

const TOKEN: &str = "token-0123456789abcdef";
/// A part of every wrong token.
const GUESS: &str = "guess-0123456789";

/// A server that believes the addresses that its test reports, and the client of that test.
struct Guarded {
    server: Server,
    http: reqwest::Client,
}

impl Guarded {
    async fn start(dir: &Dir) -> Guarded {
        let config = format!(
            "[auth]\ntoken = '{TOKEN}'\n[http]\ntrusted_proxies = ['127.0.0.1']\n\
             login_failures = 3\nlogin_window = '1h'\n"
        );
        let server = Server::start(dir, &["--config", &dir.config(&config)]).await;
        // This installs the provider of TLS, which every client needs.
        cortado::internal::cli::http_client().unwrap();
        let http = crate::support::http::http_builder();
        let http = http.no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Guarded { server, http }
    }

    async fn send(
        &self,
        client: &str,
        (method, path): (Method, &str),
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let url = format!("http://{}{path}", self.server.address);
        let mut request = self.http.request(method, url).header("x-forwarded-for", client);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        within(path, request.body(body.to_owned()).send()).await.unwrap()
    }

    /// Sends a token in the way of an interface.
    async fn attempt(&self, interface: &str, client: &str, token: &str) -> Response {
        let bearer = format!("Bearer {token}");
        let authorization = ("authorization", bearer.as_str());
        let html = ("accept", "text/html,application/xhtml+xml");
        let get = |path| (Method::GET, path);
        match interface {
            "API" => self.send(client, get("/api/v1/stats"), &[authorization], "").await,
            "page" => self.send(client, get("/queues"), &[authorization, html], "").await,
            "metrics" => self.send(client, get("/metrics"), &[authorization], "").await,
            "events" => {
                let accept = ("accept", "text/event-stream");
                self.send(client, get("/api/v1/events"), &[authorization, accept], "").await
            }
            "WebSocket" => {
                let upgrade = [
                    authorization,
                    ("connection", "upgrade"),
                    ("upgrade", "websocket"),
                    ("sec-websocket-version", "13"),
                    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ];
                self.send(client, get("/api/v1/ws"), &upgrade, "").await
            }
            "submission" => {
                let json = ("content-type", "application/json");
                let post = (Method::POST, "/api/v1/jobs");
                self.send(client, post, &[authorization, json], r#"{"kind":"echo"}"#).await
            }
            "login form" => {
                let form = ("content-type", "application/x-www-form-urlencoded");
                let body = format!("name=&password={token}&next=jobs");
                self.send(client, (Method::POST, "/login"), &[form, html], &body).await
            }
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn wrong_tokens_are_logged_counted_and_slowed_down_at_every_interface() {
    let dir = Dir::new();
    let guarded = Guarded::start(&dir).await;
    let interfaces = ["API", "page", "metrics", "events", "WebSocket", "submission", "login form"];
    for (n, interface) in interfaces.into_iter().enumerate() {
        let client = format!("2001:db8:0:{n}::7");
        for _ in 0..3 {
            let answer = guarded.attempt(interface, &client, GUESS).await;
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{interface}");
        }
        // The right token is not recognized either, so that guessing is of no use.
        let neighbour = format!("2001:db8:0:{n}:ffff::9");
        for token in [GUESS, TOKEN] {
            let answer = guarded.attempt(interface, &neighbour, token).await;
            assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS, "{interface}");
            let wait = answer.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap();
            assert!((1_100..=1_200).contains(&wait), "{interface}: {wait} s");
            let is_page = ["page", "login form"].contains(&interface);
            let text = answer.text().await.unwrap();
            let says = if is_page { "Too many failed logins" } else { "too_many_failed_logins" };
            assert!(text.contains(says), "{interface}: {text}");
        }
        let other = guarded.attempt(interface, "192.0.2.8", TOKEN).await;
        assert!(other.status().as_u16() < 400, "{interface}: {}", other.status());
        // Without credentials, the answer stays what it was.
        let answer = guarded.send(&client, (Method::GET, "/api/v1/stats"), &[], "").await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{interface}");
    }

    // A session stays open, also for a client that is slowed down.
    let answer = guarded.attempt("login form", "192.0.2.9", TOKEN).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap();
    let session = [("cookie", cookie)];
    let answer = guarded.send("2001:db8::7", (Method::GET, "/system"), &session, "").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let page = answer.text().await.unwrap();
    let metrics = guarded.attempt("metrics", "192.0.2.8", TOKEN).await.text().await.unwrap();
    for (name, shown, reason, count) in [
        ("rejected", "Logins rejected (wrong token)", "wrong_token", 21),
        ("refused", "Logins refused (too many wrong ones)", "too_many", 14),
    ] {
        let line = format!("cortado_logins_rejected_total{{reason=\"{reason}\"}} {count}\n");
        assert!(metrics.contains(&line), "{metrics}");
        let fact = format!("<dt>{shown}</dt><dd class=\"num\">{count}</dd>");
        assert!(page.contains(&fact), "{name}: {page}");
    }
    let log = guarded.server.stop().await;
    let rejected: Vec<&String> =
        log.iter().filter(|line| line.contains("login rejected: wrong token")).collect();
    assert_eq!(rejected.len(), 21, "{log:#?}");
    for (line, n) in rejected.iter().zip((0..7).flat_map(|n| [n, n, n])) {
        // The address is in the form of Rust, which shortens the first run of zeros.
        let client = format!("2001:db8:0:{n}::7").parse::<std::net::IpAddr>().unwrap();
        assert!(line.contains(" WARN ") && line.contains(&client.to_string()), "{line}");
    }
    assert!(
        log.iter().any(|line| line.contains("login refused: too many wrong tokens or passwords"))
    );
    let secrets = log.iter().find(|line| line.contains(GUESS) || line.contains(TOKEN));
    assert_eq!(secrets, None, "no token is logged");
}
