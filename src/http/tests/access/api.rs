//! The endpoints for users, tokens, sessions and oneself.

use serde_json::{Value, json};

use crate::access::{AccessCommand, NewSession, SessionOwner};
use crate::http::access::sessions::BrowserVisit;
use crate::http::tests::support::{Answer, Server, Setup, errors};
use crate::http::tests::team::{PASSWORD, add_user, basic, bearer};
use crate::http::{Access, Anonymous};
use crate::job::{Role, UserName};

const TOKEN: &str = "environment-0123456789";

async fn start() -> Server {
    let access = Access { token: Some(TOKEN.into()), ..Setup::default().access };
    assert_eq!(access.anonymous, Anonymous::AllowedWithoutUsers);
    Server::with(Setup { access, ..Setup::default() }).await
}

async fn send(server: &Server, method: &str, path: &str, body: Value) -> Answer {
    send_as(server, &bearer(TOKEN), method, path, body).await
}

async fn send_as(
    server: &Server,
    authorization: &str,
    method: &str,
    path: &str,
    body: Value,
) -> Answer {
    let headers = [("authorization", authorization), ("content-type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    server.send(method, path, &headers, &body).await
}

#[tokio::test]
async fn users_are_added_changed_and_deleted_and_their_passwords_shown_nowhere() {
    let server = start().await;
    let start = crate::job::Cursor { seq: 0, ..server.engine.head() };
    let anna = json!({"name": "anna@example.com", "password": PASSWORD, "role": "admin"});
    let added = send(&server, "POST", "/api/v1/users", anna.clone()).await;
    assert_eq!((added.status, added.header("location")), (201, "/api/v1/users/anna@example.com"));
    let added = added.json();
    assert_eq!((&added["role"], &added["disabled"]), (&json!("admin"), &json!(false)));
    let again = send(&server, "POST", "/api/v1/users", anna).await;
    again.is_problem(409, "already_exists");
    let bert = json!({"name": "bert", "password": PASSWORD, "role": "viewer"});
    assert_eq!(send(&server, "POST", "/api/v1/users", bert).await.status, 201);

    let as_bert = |password: &str| basic("bert", password);
    let me = send_as(&server, &as_bert(PASSWORD), "GET", "/api/v1/me", Value::Null).await.json();
    let expected = json!({"actor": {"user": "bert"}, "role": "viewer", "queues": null, "kinds": null,
                          "credential": "password", "session": null});
    assert_eq!(me, expected);
    let bert = "/api/v1/users/bert";
    let change = json!({"role": "operator", "password": "another password"});
    let changed = send(&server, "PUT", bert, change).await;
    assert_eq!((changed.status, &changed.json()["role"]), (200, &json!("operator")));
    let me = send_as(&server, &as_bert(PASSWORD), "GET", "/api/v1/me", Value::Null).await;
    me.is_problem(401, "unauthorized");
    let as_bert = as_bert("another password");
    let pause = send_as(&server, &as_bert, "POST", "/api/v1/queues/mail/pause", Value::Null).await;
    assert_eq!(pause.status, 204);
    let disabled = send(&server, "PUT", bert, json!({"disabled": true})).await.json();
    assert_eq!(disabled["disabled"], true);
    let me = send_as(&server, &as_bert, "GET", "/api/v1/me", Value::Null).await;
    me.is_problem(401, "unauthorized");
    send(&server, "PUT", bert, json!({"disabled": false})).await;

    for (method, body) in [
        ("PUT", json!({"role": "viewer"})),
        ("PUT", json!({"disabled": true})),
        ("DELETE", Value::Null),
    ] {
        let refused = send(&server, method, "/api/v1/users/anna@example.com", body).await;
        refused.is_problem(409, "last_admin");
    }
    assert_eq!(send(&server, "DELETE", bert, Value::Null).await.status, 204);
    for (method, body) in
        [("GET", Value::Null), ("PUT", json!({"role": "viewer"})), ("DELETE", Value::Null)]
    {
        send(&server, method, bert, body).await.is_problem(404, "no_such_user");
    }
    let users = send(&server, "GET", "/api/v1/users", Value::Null).await;
    assert_eq!(users.json()["users"].as_array().unwrap().len(), 1);

    // Every change is an event of the one who made it, and no answer has a password or a hash.
    let path = format!("/api/v1/events?after={start}");
    let events = send(&server, "GET", &path, Value::Null).await;
    let all = events.json();
    let types: Vec<&str> =
        all["events"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect();
    for name in
        ["user.added", "user.role_set", "user.password_set", "user.disabled", "user.deleted"]
    {
        assert!(types.contains(&name), "{name}: {types:?}");
    }
    let paused = all["events"].as_array().unwrap().iter().find(|e| e["type"] == "queue.paused");
    assert_eq!(paused.unwrap()["by"], json!({"user": "bert"}), "{all}");
    let export = send(&server, "GET", "/api/v1/export", Value::Null).await;
    for shown in [&events.body, &export.body, &users.body] {
        for secret in [PASSWORD, "another password", "argon2"] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
    }
}

#[tokio::test]
async fn a_user_is_enabled_after_everything_else_and_disabled_before() {
    let server = start().await;
    add_user(&server.engine, "root", Role::Admin).await;
    add_user(&server.engine, "bert", Role::Admin).await;
    for (disabled, expected) in [
        (true, ["user.disabled", "user.role_set", "user.password_set"]),
        (false, ["user.role_set", "user.password_set", "user.enabled"]),
    ] {
        let before = server.engine.head().seq;
        let role = if disabled { "viewer" } else { "operator" };
        let change = json!({"disabled": disabled, "role": role, "password": "another password"});
        assert_eq!(send(&server, "PUT", "/api/v1/users/bert", change).await.status, 200);
        let cursor = crate::job::Cursor { seq: before, ..server.engine.head() };
        let path = format!("/api/v1/events?after={cursor}");
        let events = send(&server, "GET", &path, Value::Null).await.json();
        let types: Vec<_> =
            events["events"].as_array().unwrap().iter().map(|event| &event["type"]).collect();
        assert_eq!(types, expected);
    }
}

#[tokio::test]
async fn tokens_are_created_listed_and_revoked_and_their_texts_shown_once() {
    let server = start().await;
    let start = crate::job::Cursor { seq: 0, ..server.engine.head() };
    let ci = json!({"name": "ci", "role": "submitter", "queues": ["mail"], "kinds": ["echo"],
                    "expires_at": "2999-01-01T00:00:00Z"});
    let created = send(&server, "POST", "/api/v1/tokens", ci.clone()).await;
    assert_eq!(created.status, 201);
    let created = created.json();
    let text = created["token"].as_str().unwrap().to_owned();
    assert!(text.starts_with("cortado_") && text.len() == 51, "{text}");
    assert_eq!(created["created_by"], json!({"token": "environment"}));
    send(&server, "POST", "/api/v1/tokens", ci).await.is_problem(409, "already_exists");
    let reserved = json!({"name": "environment", "role": "viewer"});
    send(&server, "POST", "/api/v1/tokens", reserved).await.is_problem(409, "already_exists");

    let job = json!({"kind": "echo", "queue": "mail"});
    let submitted = send_as(&server, &bearer(&text), "POST", "/api/v1/jobs?wait=20s", job).await;
    assert_eq!(submitted.status, 200, "{submitted:?}");
    let tokens = send(&server, "GET", "/api/v1/tokens", Value::Null).await;
    let listed = tokens.json()["tokens"][0].clone();
    for (field, value) in [
        ("name", json!("ci")),
        ("role", json!("submitter")),
        ("queues", json!(["mail"])),
        ("kinds", json!(["echo"])),
        ("expires_at", json!("2999-01-01T00:00:00.000Z")),
        ("token", Value::Null),
    ] {
        assert_eq!(listed[field], value, "{field}: {listed}");
    }
    let path = format!("/api/v1/tokens/{}", listed["id"].as_str().unwrap());
    assert_eq!(send(&server, "DELETE", &path, Value::Null).await.status, 204);
    send(&server, "DELETE", &path, Value::Null).await.is_problem(404, "no_such_token");
    let refused = send_as(&server, &bearer(&text), "GET", "/api/v1/me", Value::Null).await;
    refused.is_problem(401, "unauthorized");
    let events = send(&server, "GET", &format!("/api/v1/events?after={start}"), Value::Null).await;
    let all = events.json();
    let enqueued = all["events"].as_array().unwrap().iter().find(|e| e["type"] == "job.enqueued");
    assert_eq!(enqueued.unwrap()["by"], json!({"token": "ci"}), "{all}");
    let export = send(&server, "GET", "/api/v1/export", Value::Null).await;
    for shown in [&tokens.body, &events.body, &export.body] {
        assert!(!shown.contains(&text), "{shown}");
    }
}

#[tokio::test]
async fn everybody_has_their_own_sessions_and_an_admin_all_of_them() {
    let server = start().await;
    add_user(&server.engine, "root", Role::Admin).await;
    for name in ["anna", "bert"] {
        add_user(&server.engine, name, Role::Viewer).await;
    }
    let access = Access { token: Some(TOKEN.into()), ..Setup::default().access };
    let auth = crate::http::access::Authenticator::new(
        server.engine.clone(),
        &crate::http::HttpLimits::default(),
        &access,
    )
    .unwrap();
    let request = axum::http::Request::get("/").header("user-agent", "Firefox");
    let visit = BrowserVisit::of(&request.body(()).unwrap().into_parts().0);
    let mut cookies = Vec::new();
    for name in ["anna", "bert"] {
        let opened = auth.log_in(&visit, name, PASSWORD.into()).await.unwrap();
        cookies.push(opened.split(';').next().unwrap().to_owned());
    }
    let with_cookie = async |method: &str, path: &str, cookie: &str| {
        server.send(method, path, &[("cookie", cookie)], "").await
    };
    let sessions = async |cookie: &str| {
        with_cookie("GET", "/api/v1/sessions", cookie).await.json()["sessions"].clone()
    };
    let of_anna = sessions(&cookies[0]).await;
    assert_eq!(of_anna.as_array().unwrap().len(), 1, "{of_anna}");
    let (of, current, browser) =
        (&of_anna[0]["of"], &of_anna[0]["current"], &of_anna[0]["browser"]);
    let expected = (&json!({"user": "anna"}), &json!(true), &json!("Firefox"));
    assert_eq!((of, current, browser), expected);
    let me = with_cookie("GET", "/api/v1/me", &cookies[0]).await.json();
    assert_eq!((&me["credential"], &me["session"]), (&json!("session"), &of_anna[0]["id"]));
    let path = format!("/api/v1/sessions/{}", of_anna[0]["id"].as_str().unwrap());
    with_cookie("DELETE", &path, &cookies[1]).await.is_problem(404, "no_such_session");
    let all = send(&server, "GET", "/api/v1/sessions", Value::Null).await;
    assert_eq!(all.json()["sessions"].as_array().unwrap().len(), 2);
    let secret = cookies[0].split('=').nth(1).unwrap();
    assert!(!all.body.contains(secret), "{}", all.body);
    assert_eq!(send(&server, "DELETE", &path, Value::Null).await.status, 204);
    with_cookie("GET", "/api/v1/me", &cookies[0]).await.is_problem(401, "unauthorized");
    assert_eq!(sessions(&cookies[1]).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_session_that_no_request_could_use_is_not_listed() {
    let server = start().await;
    add_user(&server.engine, "root", Role::Admin).await;
    // No provider is configured any more.
    let name = UserName::parse("carl").unwrap();
    let owner = SessionOwner::External { name, role: Role::Viewer };
    let (session, _) = NewSession::generate(owner, None, "192.0.2.1", "Firefox").unwrap();
    server.engine.access(AccessCommand::OpenSession(session)).await.unwrap();
    let all = send(&server, "GET", "/api/v1/sessions", Value::Null).await;
    assert_eq!(all.json()["sessions"], json!([]));
}

#[tokio::test]
async fn every_invalid_field_of_a_user_or_a_token_is_named() {
    let server = start().await;
    add_user(&server.engine, "anna", Role::Admin).await;
    let long = "x".repeat(1_025);
    for (method, path, body, wrong) in [
        (
            "POST",
            "/api/v1/users",
            json!({}),
            &["name: is required", "password: is required", "role: is required"][..],
        ),
        (
            "POST",
            "/api/v1/users",
            json!({"name": "a:b", "password": 123_456, "role": "root", "colour": 1}),
            &[
                "name: user \"a:b\" is not valid",
                "password: must be a string",
                "role: role \"root\" is not valid",
                "colour: is not known",
            ],
        ),
        (
            "POST",
            "/api/v1/users",
            json!({"name": "b", "password": "short", "role": "viewer"}),
            &["password: the password is too short: use at least 12 characters"],
        ),
        (
            "POST",
            "/api/v1/users",
            json!({"name": "b", "password": long, "role": "viewer"}),
            &["password: the password is too long: use at most 1024 bytes"],
        ),
        (
            "PUT",
            "/api/v1/users/anna",
            json!({}),
            &[": expected at least one of role, password, disabled"],
        ),
        (
            "PUT",
            "/api/v1/users/anna",
            json!({"disabled": "yes"}),
            &["disabled: must be true or false"],
        ),
        ("PUT", "/api/v1/users/anna", json!({"role": 7}), &["role: must be a string, but is 7"]),
        (
            "POST",
            "/api/v1/tokens",
            json!({"name": "a b"}),
            &["name: token \"a b\" is not valid", "role: is required"],
        ),
        (
            "POST",
            "/api/v1/tokens",
            json!({"name": "t", "role": "viewer", "queues": [], "kinds": ["a", "b c"], "expires_at": "2001-01-01T00:00:00Z"}),
            &[
                "queues: must have at least one name",
                "kinds[1]: kind \"b c\" is not valid",
                "expires_at: must be in the future",
            ],
        ),
        (
            "POST",
            "/api/v1/tokens",
            json!({"name": "t", "role": "viewer", "expires_at": "soon"}),
            &["expires_at: \"soon\" is not an RFC 3339 time"],
        ),
        (
            "POST",
            "/api/v1/tokens",
            json!({"name": "t", "role": "viewer", "expires_in": "soon"}),
            &["expires_in: must be a duration such as 12h or 90d, but is \"soon\""],
        ),
        (
            "POST",
            "/api/v1/tokens",
            json!({"name": "t", "role": "viewer", "expires_in": "0s"}),
            &["expires_in: must be longer than 0s"],
        ),
        (
            "POST",
            "/api/v1/tokens",
            json!({"name": "t", "role": "viewer", "expires_in": "1d", "expires_at": "2999-01-01T00:00:00Z"}),
            &["expires_in: cannot be given with expires_at"],
        ),
    ] {
        let answer = send(&server, method, path, body.clone()).await;
        let found = errors(&answer.is_problem(422, "invalid_fields"));
        assert_eq!(found.len(), wrong.len(), "{body}: {found:?}");
        for (found, wrong) in found.iter().zip(wrong) {
            assert!(found.starts_with(wrong), "{body}: {found}");
        }
        assert!(!answer.body.contains("123456") && !answer.body.contains(&long), "{answer:?}");
    }
    for path in ["/api/v1/users/a%20b", "/api/v1/users/nobody"] {
        send(&server, "GET", path, Value::Null).await.is_problem(404, "no_such_user");
    }
}

#[tokio::test]
async fn the_first_user_is_an_admin() {
    let server = Server::start().await;
    let user = |role: &str| json!({"name": "anna", "password": PASSWORD, "role": role}).to_string();
    let refused = server.post("/api/v1/users", &user("viewer")).await;
    let found = errors(&refused.is_problem(422, "invalid_fields"));
    assert_eq!(found, ["role: the first user must have the role admin"]);
    assert_eq!(server.post("/api/v1/users", &user("admin")).await.status, 201);
    server.get("/api/v1/users").await.is_problem(401, "unauthorized");
}
