//! Logins through a provider that the tests run, as it should be and with everything that can be wrong.

pub(crate) mod provider;

use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::Query;
use axum::http::header::{CONTENT_TYPE, COOKIE};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use openidconnect::{ClientId, IssuerUrl, RedirectUrl};
use serde_json::{Value, json};

use super::*;
use crate::access::Role;
use crate::http::external::group_roles::GroupRoles;
use provider::{CLIENT_ID, CLIENT_SECRET, SigningKey, TestProvider};

fn now() -> Time {
    Time::of(SystemTime::now())
}

fn settings(issuer: &str) -> OidcSettings {
    let roles = [("staff", Role::Viewer), ("ops", Role::Operator)];
    let roles = roles.map(|(group, role)| (group.to_owned(), role)).into();
    OidcSettings {
        issuer: IssuerUrl::new(issuer.to_owned()).unwrap(),
        client_id: ClientId::new(CLIENT_ID.to_owned()),
        client_secret: CLIENT_SECRET.into(),
        scopes: vec!["profile".into()],
        name_claim: "preferred_username".into(),
        groups_claim: "groups".into(),
        roles: GroupRoles::new(roles, None),
        label: "the test provider".into(),
        redirect: RedirectUrl::new("http://jobs.test/login/oidc/callback".into()).unwrap(),
        timeout: Duration::from_secs(20),
        max_response: 64 << 10,
        refresh: Duration::from_secs(3_600),
        login_time: Duration::from_secs(600),
        leeway: Duration::from_secs(30),
    }
}

fn login_with(settings: OidcSettings) -> OidcLogin {
    OidcLogin::new(settings, b"a secret of this server").unwrap()
}

fn login(provider: &TestProvider) -> OidcLogin {
    login_with(settings(&provider.issuer()))
}

/// A browser with the cookie of one login, and the URL that the provider sent it to.
#[derive(Clone)]
struct Returning {
    cookie: String,
    url: Uri,
}

impl Returning {
    async fn from_provider(login: &OidcLogin) -> Returning {
        let start = login.begin("jobs?q=a", now()).await.unwrap();
        let cookie = start.cookie.split(';').next().unwrap().to_owned();
        Returning { cookie, url: TestProvider::log_in(&start.location).await }
    }

    /// The same browser with a changed URL.
    fn changed(&self, from: &str, to: &str) -> Returning {
        let url = self.url.to_string();
        assert!(url.contains(from), "{url}");
        Returning { url: url.replace(from, to).parse().unwrap(), ..self.clone() }
    }

    fn part(&self, name: &str) -> String {
        let query = self.url.query().unwrap();
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(given, _)| *given == name).unwrap().1.to_owned()
    }

    async fn finish_at(&self, login: &OidcLogin, at: Time) -> Result<OidcEnd, OidcError> {
        let headers =
            HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(&self.cookie).unwrap())]);
        let Query(answer) = Query::try_from_uri(&self.url).unwrap();
        login.finish(answer, &headers, at).await
    }

    async fn finish(&self, login: &OidcLogin) -> Result<OidcEnd, OidcError> {
        self.finish_at(login, now()).await
    }
}

/// One login from start to end.
async fn log_in(login: &OidcLogin) -> Result<OidcEnd, OidcError> {
    Returning::from_provider(login).await.finish(login).await
}

#[tokio::test]
async fn a_person_logs_in_with_the_role_of_their_group_and_returns_to_their_page() {
    let provider = TestProvider::start().await;
    let login = login(&provider);
    let end = log_in(&login).await.unwrap();
    assert_eq!((end.person.name.as_str(), end.person.role), ("anna", Role::Viewer));
    assert_eq!(end.next, "jobs?q=a");
    provider.behaviour().person["groups"] = json!(["staff", "ops"]);
    assert_eq!(log_in(&login).await.unwrap().person.role, Role::Operator);
    let documents = "/.well-known/openid-configuration";
    assert_eq!((provider.requests(documents), provider.requests("/keys")), (1, 1), "cached");
}

#[tokio::test]
async fn an_id_token_is_accepted_only_if_every_part_of_it_is_right() {
    fn later(claims: &mut Value, claim: &str, seconds: i64) {
        let at = claims["iat"].as_i64().unwrap() + seconds;
        claims[claim] = at.into();
    }
    type Case = (&'static str, fn(&mut Value), Option<&'static str>);
    let cases: [Case; 19] = [
        ("as it is", |_| {}, None),
        ("wrong nonce", |claims| claims["nonce"] = "other".into(), Some("nonce")),
        ("no nonce", |claims| claims["nonce"] = Value::Null, Some("nonce")),
        ("wrong audience", |claims| claims["aud"] = "other".into(), Some("audience")),
        ("no audience", |claims| claims["aud"] = json!([]), Some("audience")),
        (
            "one more audience",
            |claims| claims["aud"] = json!([CLIENT_ID, "other"]),
            Some("audience"),
        ),
        ("a list of one", |claims| claims["aud"] = json!([CLIENT_ID]), None),
        ("wrong issuer", |claims| claims["iss"] = "http://evil.test".into(), Some("issuer")),
        (
            "issuer with a slash",
            |claims| {
                claims["iss"] = format!("{}/", claims["iss"].as_str().unwrap()).into();
            },
            Some("issuer"),
        ),
        ("expired", |claims| later(claims, "exp", -60), Some("expired")),
        ("just expired", |claims| later(claims, "exp", -5), None),
        ("from the future", |claims| later(claims, "iat", 300), Some("in the future")),
        ("from a clock that is slightly fast", |claims| later(claims, "iat", 5), None),
        ("for another party", |claims| claims["azp"] = "other".into(), Some("azp")),
        ("for this party", |claims| claims["azp"] = CLIENT_ID.into(), None),
        ("with another access token", |claims| claims["at_hash"] = "AAAA".into(), Some("at_hash")),
        (
            "without at_hash",
            |claims| {
                claims.as_object_mut().unwrap().remove("at_hash");
            },
            None,
        ),
        (
            "without subject",
            |claims| {
                claims.as_object_mut().unwrap().remove("sub");
            },
            Some("cannot be parsed"),
        ),
        (
            "without expiry",
            |claims| {
                claims.as_object_mut().unwrap().remove("exp");
            },
            Some("cannot be parsed"),
        ),
    ];
    let provider = TestProvider::start().await;
    let login = login(&provider);
    for (what, edit, refused) in cases {
        provider.behaviour().edit = edit;
        match (log_in(&login).await, refused) {
            (Ok(end), None) => assert_eq!(end.person.name.as_str(), "anna", "{what}"),
            (Err(error), Some(reason)) => {
                let why = error.to_string();
                assert!(why.to_lowercase().contains(reason), "{what}: {why}");
                let unreadable = matches!(error, OidcError::Unavailable(_));
                assert!(error.is_suspicious() || unreadable, "{what}: {why}");
            }
            (ended, _) => panic!("{what}: {ended:?}"),
        }
    }
}

#[tokio::test]
async fn only_a_published_key_of_the_provider_can_sign() {
    let provider = TestProvider::start().await;
    let login = login(&provider);
    log_in(&login).await.unwrap();
    for (algorithm, key, reason) in [
        ("none", None, "ignature"),
        ("HS256", None, "HS256"),
        ("ES256", Some("first"), "Signature"),
        ("ES256", Some("unknown"), "key"),
        ("ES384", None, "ES384"),
        ("XS1", None, "cannot be parsed"),
    ] {
        provider.behaviour().algorithm = algorithm;
        provider.behaviour().unpublished = key.map(SigningKey::new);
        let why = log_in(&login).await.unwrap_err().to_string();
        assert!(why.contains(reason), "{algorithm} by {key:?}: {why}");
    }
}

#[tokio::test]
async fn keys_are_fetched_again_when_the_provider_has_changed_them() {
    let provider = TestProvider::start().await;
    let login = login(&provider);
    log_in(&login).await.unwrap();
    provider.behaviour().published.push(SigningKey::new("second"));
    log_in(&login).await.unwrap();
    assert_eq!(provider.requests("/keys"), 2);
    provider.behaviour().published = vec![SigningKey::new("second")];
    log_in(&login).await.unwrap();
    assert_eq!(provider.requests("/keys"), 3, "another key under the same name");
    log_in(&login).await.unwrap();
    assert_eq!(provider.requests("/keys"), 3);
}

#[tokio::test]
async fn a_browser_can_finish_only_the_login_that_it_began_and_only_once() {
    let provider = TestProvider::start().await;
    let login = login(&provider);
    let first = Returning::from_provider(&login).await;
    let other = Returning::from_provider(&login).await;
    let (state, code) = (first.part("state"), first.part("code"));

    let expired = [
        ("no cookie", Returning { cookie: "a=b".into(), ..first.clone() }),
        (
            "the cookie of another login",
            Returning { cookie: other.cookie.clone(), ..first.clone() },
        ),
        ("no state", first.changed(&format!("&state={state}"), "")),
        ("an empty state", first.changed(&state, "")),
    ];
    for (what, returning) in expired {
        assert_eq!(returning.finish(&login).await, Err(OidcError::Expired), "{what}");
    }
    let renamed = other.cookie.split_once('=').unwrap().1;
    let renamed = format!("{}={renamed}", first.cookie.split_once('=').unwrap().0);
    let mismatches = [
        ("a changed state", first.changed(&state, &format!("{state}x"))),
        ("a renamed cookie of another login", Returning { cookie: renamed, ..first.clone() }),
        ("a changed cookie", Returning { cookie: format!("{}A", first.cookie), ..first.clone() }),
        ("no code", first.changed(&format!("code={code}&"), "")),
        ("another issuer", first.changed("?code", "?iss=http%3A%2F%2Fevil.test&code")),
    ];
    for (what, returning) in mismatches {
        let error = returning.finish(&login).await.unwrap_err();
        assert!(matches!(error, OidcError::Mismatch(_)), "{what}: {error:?}");
        assert!(error.is_suspicious());
    }
    let late = first.finish_at(&login, now().after(Duration::from_secs(601))).await;
    assert_eq!(late, Err(OidcError::Expired));
    assert_eq!(provider.requests("/token"), 0, "none of these has reached the provider");

    // The code of another login does not have the secret of this one (PKCE).
    let injected = first.changed(&code, &other.part("code")).finish(&login).await.unwrap_err();
    assert!(injected.to_string().contains("invalid_grant"), "{injected}");

    first.finish(&login).await.unwrap();
    let replayed = first.finish(&login).await.unwrap_err();
    assert!(replayed.to_string().contains("invalid_grant"), "{replayed}");
    assert!(replayed.is_suspicious());

    let after_restart = Returning::from_provider(&login).await;
    let restarted = login_with(settings(&provider.issuer()));
    after_restart.finish(&restarted).await.unwrap();
}

#[tokio::test]
async fn a_login_that_the_provider_refuses_is_not_suspicious() {
    let provider = TestProvider::start().await;
    let login = login(&provider);
    let returning = Returning::from_provider(&login).await;
    let code = returning.part("code");
    let cancelled = returning
        .changed(&format!("code={code}"), "error=access_denied&error_description=no%0Athanks");
    let error = cancelled.finish(&login).await.unwrap_err();
    assert!(matches!(error, OidcError::Refused(_)) && !error.is_suspicious());
    assert_eq!(
        error.to_string(),
        r#"the provider refused the login: "access_denied" "no\nthanks""#
    );
}

#[tokio::test]
async fn a_person_without_a_group_that_has_a_role_does_not_get_in() {
    let provider = TestProvider::start().await;
    let strict = login(&provider);
    let mut others = settings(&provider.issuer());
    others.roles = GroupRoles::new([].into(), Some(Role::Viewer));
    let open = login_with(others);
    assert_ne!(strict.fingerprint(), open.fingerprint(), "a change of roles ends sessions");
    assert_eq!(strict.fingerprint(), login(&provider).fingerprint());
    for groups in [json!(["unknown"]), json!([]), Value::Null] {
        provider.behaviour().person["groups"] = groups.clone();
        let error = log_in(&strict).await.unwrap_err();
        assert!(matches!(&error, OidcError::NoRole(name) if name.as_str() == "anna"), "{groups}");
        assert!(!error.is_suspicious());
        assert_eq!(log_in(&open).await.unwrap().person.role, Role::Viewer);
    }
}

#[tokio::test]
async fn claims_that_the_id_token_lacks_come_from_the_user_info_of_the_same_person() {
    let provider = TestProvider::start().await;
    provider.behaviour().person = json!({"sub": "1", "preferred_username": "anna"});
    let more = json!({"sub": "1", "preferred_username": "root", "groups": ["ops"]});
    provider.behaviour().user_info = Some(more);
    let login = login(&provider);
    let person = log_in(&login).await.unwrap().person;
    assert_eq!((person.name.as_str(), person.role), ("anna", Role::Operator), "the ID token wins");
    provider.behaviour().user_info = Some(json!({"sub": "2", "groups": ["ops"]}));
    let error = log_in(&login).await.unwrap_err();
    assert!(matches!(error, OidcError::Unverified(_)), "{error}");
    provider.behaviour().trouble.insert("/user", || StatusCode::FORBIDDEN.into_response());
    let error = log_in(&login).await.unwrap_err();
    assert!(matches!(error, OidcError::Unavailable(_)), "{error}");
    provider.behaviour().person["groups"] = json!(["staff"]);
    log_in(&login).await.expect("the ID token has everything");
}

#[tokio::test]
async fn the_secret_is_sent_in_the_way_that_the_provider_announces() {
    let provider = TestProvider::start().await;
    provider.behaviour().edit_discovery = |document| {
        document["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
    };
    log_in(&login(&provider)).await.unwrap();
    let mut wrong = settings(&provider.issuer());
    wrong.client_secret = "wrong".into();
    let why = log_in(&login_with(wrong)).await.unwrap_err().to_string();
    assert!(why.contains("invalid_client") && !why.contains("wrong"), "{why}");
}

fn json_of(body: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, "application/json")], body.into()).into_response()
}

#[tokio::test]
async fn a_provider_that_does_not_answer_as_it_should_is_unavailable() {
    const DISCOVERY: &str = "/.well-known/openid-configuration";
    type Trouble = (&'static str, &'static str, fn() -> Response, &'static str);
    let troubles: [Trouble; 9] = [
        ("fails", DISCOVERY, || StatusCode::BAD_GATEWAY.into_response(), "502"),
        (
            "moves",
            DISCOVERY,
            || (StatusCode::FOUND, [("location", "http://127.0.0.1:1/")]).into_response(),
            "302",
        ),
        ("sends a page", DISCOVERY, || "<html>".into_response(), "Content-Type"),
        ("is huge", DISCOVERY, || json_of(" ".repeat(80 << 10)), "larger than 65536 bytes"),
        ("is deep", DISCOVERY, || json_of("[".repeat(60 << 10)), "parse"),
        ("fails", "/keys", || StatusCode::NOT_FOUND.into_response(), "404"),
        ("fails", "/token", || StatusCode::BAD_GATEWAY.into_response(), ""),
        ("is huge", "/token", || json_of(" ".repeat(80 << 10)), "larger than 65536 bytes"),
        (
            "quotes a token",
            "/token",
            || json_of(r#"{"access_token": 1, "id_token": "s3cret"}"#),
            "parsed",
        ),
    ];
    for (what, path, trouble, reason) in troubles {
        let provider = TestProvider::start().await;
        let login = login(&provider);
        provider.behaviour().trouble.insert(path, trouble);
        let error = match login.begin("", now()).await {
            Err(error) => error,
            Ok(_) => log_in(&login).await.unwrap_err(),
        };
        let why = error.to_string();
        assert!(matches!(error, OidcError::Unavailable(_)), "{path} {what}: {why}");
        assert!(why.contains(reason) && !why.contains("s3cret"), "{path} {what}: {why}");
    }
    // Nothing listens there.
    let down = login_with(settings("http://127.0.0.1:1/realm"));
    let why = down.begin("", now()).await.unwrap_err().to_string();
    assert!(why.contains("cannot be reached"), "{why}");
    // A secret would be readable on its way.
    let provider = TestProvider::start().await;
    provider.behaviour().edit_discovery = |document| {
        document["token_endpoint"] = "http://id.example.com/token".into();
    };
    let why = log_in(&login(&provider)).await.unwrap_err().to_string();
    assert!(why.contains("not encrypted"), "{why}");
    provider.behaviour().edit_discovery = |document| document["issuer"] = "http://evil.test".into();
    let why = login(&provider).begin("", now()).await.unwrap_err().to_string();
    assert!(why.contains("issuer"), "{why}");
}

#[tokio::test]
async fn a_silent_provider_is_given_up_and_many_logins_wait_for_one_request() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = settings(&format!("http://{}/realm", silent.local_addr().unwrap()));
    settings.timeout = Duration::from_millis(200);
    let login = login_with(settings);
    let all = (0..20).map(|_| login.begin("", now()));
    for ended in futures_util::future::join_all(all).await {
        let why = ended.unwrap_err().to_string();
        assert!(why.contains("did not answer completely within 200ms"), "{why}");
    }
}

#[tokio::test]
async fn old_settings_of_the_provider_are_used_while_it_cannot_be_asked() {
    let provider = TestProvider::start().await;
    let mut settings = settings(&provider.issuer());
    settings.refresh = Duration::ZERO;
    let login = login_with(settings);
    log_in(&login).await.unwrap();
    let known = provider.requests("/keys");
    assert!(known > 1, "they are fetched again when they are old");
    provider.behaviour().trouble.insert("/keys", || StatusCode::BAD_GATEWAY.into_response());
    log_in(&login).await.unwrap();
    assert!(provider.requests("/keys") > known);
}
