//! Tests of whole servers whose users log in elsewhere: through an OpenID Connect provider, or at a reverse proxy.

use reqwest::header::{ACCEPT, COOKIE, HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{Client, Response, StatusCode, redirect};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::Cortado;
use crate::app::Server;
use crate::config::{Config, FileConfig, ServeArgs};
use crate::http::external::oidc::tests::provider::{CLIENT_ID, CLIENT_SECRET, TestProvider};
use crate::logging::retry_log::testing::LoggedLines;

const TOKEN: &str = "0123456789abcdef";

async fn serve(toml: &str) -> Server {
    let file = FileConfig::parse(toml).unwrap();
    let config = Config::build(file, &ServeArgs::default()).unwrap();
    let builder = Cortado::builder().config(config).listen(([127, 0, 0, 1], 0));
    builder.auth_token(TOKEN).in_memory().start().await.unwrap()
}

fn client() -> Client {
    drop(crate::cli::http_client());
    Client::builder().redirect(redirect::Policy::none()).build().unwrap()
}

/// A browser that keeps cookies and follows no redirects.
struct Browser {
    client: Client,
    base: String,
    cookies: Vec<(String, String)>,
}

impl Browser {
    fn of(server: &Server) -> Browser {
        let base = format!("http://{}/", server.address());
        Browser { client: client(), base, cookies: Vec::new() }
    }

    async fn get(&mut self, path: &str) -> Page {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.client.get(format!("{}{path}", self.base)).header(ACCEPT, "text/html");
        let response = request.header(COOKIE, cookies.join("; ")).send().await.unwrap();
        for set in response.headers().get_all(SET_COOKIE) {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        Page::read(response).await
    }

    /// Begins a login, and returns where the provider sends the browser then.
    async fn come_back(&mut self) -> String {
        let start = self.get("login/oidc?next=queues%3Fq%3Dde").await;
        assert_eq!(start.status, StatusCode::SEE_OTHER, "{}", start.text);
        let back = TestProvider::log_in(&start.location).await.to_string();
        back.strip_prefix("https://jobs.test/").unwrap().to_owned()
    }

    async fn log_in(&mut self) -> Page {
        let back = self.come_back().await;
        self.get(&back).await
    }

    async fn me(&mut self) -> (StatusCode, Value) {
        let page = self.get("api/v1/me").await;
        (page.status, serde_json::from_str(&page.text).unwrap_or_default())
    }
}

struct Page {
    status: StatusCode,
    location: String,
    headers: HeaderMap,
    text: String,
}

impl Page {
    async fn read(response: Response) -> Page {
        let (status, headers) = (response.status(), response.headers().clone());
        let location = headers.get(LOCATION).map(|to| to.to_str().unwrap().to_owned());
        let (location, text) = (location.unwrap_or_default(), response.text().await.unwrap());
        Page { status, location, headers, text }
    }
}

fn with_provider(issuer: &str) -> String {
    // The cookies of a test have no TLS, so the public URL is what the provider redirects to, and nothing else.
    format!(
        "base_url = 'https://jobs.test'\n[oidc]\nissuer = '{issuer}'\nclient_id = '{CLIENT_ID}'\n\
         client_secret = '{CLIENT_SECRET}'\nlabel = 'Example ID'\n\
         roles = {{ staff = 'viewer', ops = 'operator' }}\n[http]\nlogin_failures = 3\nlogin_window = '1h'"
    )
}

#[tokio::test]
async fn a_login_at_the_provider_opens_a_session_with_the_role_of_the_group() {
    let provider = TestProvider::start().await;
    let server = serve(&with_provider(&provider.issuer())).await;
    let mut browser = Browser::of(&server);
    let asked = browser.get("queues?q=de").await;
    assert_eq!(asked.status, StatusCode::UNAUTHORIZED);
    let button = r#"href="login/oidc?next=queues%3Fq%3Dde">Log in with Example ID</a>"#;
    assert!(asked.text.contains(button), "{}", asked.text);
    assert!(browser.get("login").await.text.contains("Log in with Example ID"));

    let end = browser.log_in().await;
    assert_eq!((end.status, end.location.as_str()), (StatusCode::SEE_OTHER, "/queues?q=de"));
    assert_eq!(end.headers["cache-control"], "no-store");
    assert_eq!(browser.cookies.len(), 1, "only the session is left: {:?}", browser.cookies);
    let (status, me) = browser.me().await;
    assert_eq!((status, &me["actor"]), (StatusCode::OK, &json!({"user": "anna"})));
    assert_eq!((&me["role"], &me["credential"]), (&json!("viewer"), &json!("session")));
    assert_eq!(browser.get("queues?q=de").await.status, StatusCode::OK);
    assert_eq!(browser.get("jobs/new").await.status, StatusCode::FORBIDDEN);

    // A user with the same name, in whatever case, is somebody else.
    let body = json!({"name": "Anna", "password": "a long password", "role": "admin"});
    let url = format!("{}api/v1/users", browser.base);
    let added = browser.client.post(url).bearer_auth(TOKEN).json(&body).send().await.unwrap();
    assert!(added.status().is_success(), "{}", added.text().await.unwrap());
    assert_eq!(browser.me().await.0, StatusCode::UNAUTHORIZED, "the session has ended");
    let refused = browser.log_in().await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.text.contains("Anna is also a user of this server"), "{}", refused.text);
    assert_eq!(browser.me().await.0, StatusCode::UNAUTHORIZED);
    server.stop().await;
}

#[tokio::test]
async fn a_login_that_fails_says_what_to_do_and_the_log_says_why() {
    let provider = TestProvider::start().await;
    let server = serve(&with_provider(&provider.issuer())).await;
    let mut browser = Browser::of(&server);
    let (lines, guard) = LoggedLines::catch();

    provider.behaviour().person["groups"] = json!(["guests"]);
    let page = browser.log_in().await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text.contains("no group of yours has access"), "{}", page.text);
    provider.behaviour().person["groups"] = json!(["staff"]);

    provider.behaviour().person["preferred_username"] = json!("an na");
    let page = browser.log_in().await;
    assert!(page.text.contains("gave you a name that this server does not accept"));
    provider.behaviour().person["preferred_username"] = json!("anna");

    let back = browser.come_back().await;
    let cancelled = format!("{}&error=access_denied", back.replace("code=", "x="));
    let page = browser.get(&cancelled).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text.contains("Example ID did not log you in"), "{}", page.text);
    let page = browser.get(&cancelled).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "the login was used");
    assert!(page.text.contains("took too long, was completed already"), "{}", page.text);
    assert!(browser.get("login/oidc/callback").await.text.contains("took too long"));
    assert!(browser.cookies.is_empty(), "{:?}", browser.cookies);

    // Only what cannot be verified is counted, and then slowed down.
    provider.behaviour().edit = |claims| claims["nonce"] = "other".into();
    for _ in 0..3 {
        let page = browser.log_in().await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
        assert!(page.text.contains("could not be verified"), "{}", page.text);
    }
    let back = browser.come_back().await;
    let codes = provider.requests("/token");
    let page = browser.get(&back).await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(page.text.contains("Too many failed logins"), "{}", page.text);
    assert_eq!(provider.requests("/token"), codes, "the provider is not asked");
    assert_eq!(browser.me().await.0, StatusCode::UNAUTHORIZED);
    drop(guard);
    for why in ["no group of user anna has a role", "nonce mismatch", "access_denied", "an na"] {
        assert!(!lines.having(why).is_empty(), "{why}");
    }
    for secret in [CLIENT_SECRET, "the-access-token", "code-0", "eyJ"] {
        assert!(lines.having(secret).is_empty(), "{secret}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_outage_of_the_provider_does_not_affect_other_logins() {
    let server = serve(&with_provider("http://127.0.0.1:1")).await;
    let mut browser = Browser::of(&server);
    let page = browser.get("login/oidc").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.text.contains("Example ID is not available at the moment"), "{}", page.text);
    let url = format!("{}api/v1/me", browser.base);
    let me = browser.client.get(url).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(me.status(), StatusCode::OK);
    server.stop().await;
    let plain = serve("").await;
    let mut browser = Browser::of(&plain);
    for path in ["login/oidc", "login/oidc/callback?code=a&state=b"] {
        assert_eq!(browser.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert!(!browser.get("login").await.text.contains("log-in-with"));
    plain.stop().await;
}

const PROXY: &str =
    "[auth.proxy]\nuser_header = 'Remote-User'\nroles = { ops = 'operator', staff = 'viewer' }\n";

#[tokio::test]
async fn a_trusted_proxy_names_the_user_of_each_request() {
    let server = serve(&format!("http.trusted_proxies = ['127.0.0.1']\n{PROXY}")).await;
    let (client, base) = (client(), format!("http://{}/", server.address()));
    let body = json!({"name": "local", "password": "a long password", "role": "admin"});
    let added = client.post(format!("{base}api/v1/users")).bearer_auth(TOKEN).json(&body);
    assert!(added.send().await.unwrap().status().is_success());

    type Lines = &'static [(&'static str, &'static str)];
    type Person = Option<(&'static str, &'static str)>;
    const ANNA: (&str, &str) = ("Remote-User", "anna");
    let cases: [(Lines, u16, Person); 11] = [
        (&[ANNA, ("Remote-Groups", "staff")], 200, Some(("anna", "viewer"))),
        (&[ANNA, ("Remote-Groups", "staff,ops")], 200, Some(("anna", "operator"))),
        (
            &[("Remote-User", "anna@example.com"), ("Remote-Groups", "ops")],
            200,
            Some(("anna@example.com", "operator")),
        ),
        (&[], 401, None),
        (&[("Remote-User", "")], 401, None),
        (&[("Remote-Groups", "ops")], 401, None),
        (&[ANNA], 403, None),
        (&[ANNA, ANNA, ("Remote-Groups", "ops")], 403, None),
        (&[ANNA, ("Remote-Groups", "staff"), ("Remote-Groups", "ops")], 403, None),
        (&[("Remote-User", "local"), ("Remote-Groups", "ops")], 403, None),
        (&[("Remote-User", "Local"), ("Remote-Groups", "ops")], 403, None),
    ];
    for (lines, status, user) in cases {
        let request =
            lines.iter().fold(client.get(format!("{base}api/v1/me")), |request, (name, value)| {
                request.header(*name, *value)
            });
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{lines:?}");
        let me: Value = answer.json().await.unwrap();
        if let Some((name, role)) = user {
            assert_eq!((&me["actor"]["user"], &me["role"]), (&json!(name), &json!(role)));
            assert_eq!(me["credential"], "proxy");
        }
        if lines.contains(&("Remote-User", "local")) {
            let why = "the header remote-user of the proxy names local, who is a user of this server: it may name only \
                       people who are not; delete the user local, or let local log in here without the header";
            assert_eq!(me["detail"], why);
        }
    }

    // Every request is authenticated by itself: changes, pages, and WebSockets.
    let pause = |groups: &'static str| {
        let request = client.post(format!("{base}api/v1/queues/default/pause"));
        request.header("Remote-User", "anna").header("Remote-Groups", groups).send()
    };
    assert_eq!(pause("staff").await.unwrap().status(), StatusCode::FORBIDDEN);
    assert!(pause("ops").await.unwrap().status().is_success());
    let page = client.get(&base).header(ACCEPT, "text/html").header("Remote-User", "anna");
    let page = page.header("Remote-Groups", "staff").send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let socket = async |user: Option<&str>| {
        let url = base.replace("http", "ws") + "api/v1/ws";
        let mut request = url.into_client_request().unwrap();
        if let Some(user) = user {
            request.headers_mut().insert("remote-user", user.parse().unwrap());
            request.headers_mut().insert("remote-groups", "staff".parse().unwrap());
        }
        tokio_tungstenite::connect_async(request).await.is_ok()
    };
    assert!(socket(Some("anna")).await && !socket(None).await && !socket(Some("local")).await);

    // A program behind the proxy sends its own token.
    let me =
        client.get(format!("{base}api/v1/me")).bearer_auth(TOKEN).header("Remote-User", "anna");
    let me: Value = me.send().await.unwrap().json().await.unwrap();
    assert_eq!(me["credential"], "environment");
    server.stop().await;
}

#[tokio::test]
async fn nobody_else_can_send_the_headers_of_a_proxy() {
    // The proxy has another address, or none is set.
    for toml in [&format!("http.trusted_proxies = ['192.0.2.1']\n{PROXY}"), ""] {
        let server = serve(toml).await;
        let url = format!("http://{}/api/v1/me", server.address());
        let (lines, guard) = LoggedLines::catch();
        let me = client().get(url).header("Remote-User", "anna").header("Remote-Groups", "ops");
        assert_eq!(me.send().await.unwrap().status(), StatusCode::UNAUTHORIZED, "{toml}");
        drop(guard);
        assert!(lines.having("anna").is_empty());
        server.stop().await;
    }
}
