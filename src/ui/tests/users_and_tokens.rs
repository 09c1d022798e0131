//! The pages of users, tokens, the account and the audit log.

use super::offered::principal;
use super::*;
use crate::access::{AccessCommand, NewSession, SessionOwner};
use crate::http::access::Principal;
use crate::http::access::principal::Credential;
use crate::http::external::ExternalPerson;
use crate::http::tests::team::user as user_name;
use crate::job::{Actor, Role, ScheduleName, SessionId, TokenName};
use crate::ui::access::parts::end_sessions;

const PASSWORD: &str = "correct horse battery";

fn user<'a>(name: &'a str, role: &'a str, password: &'a str) -> [(&'a str, &'a str); 3] {
    [("name", name), ("role", role), ("password", password)]
}

/// The text of the element with the id `secret`.
fn secret(answer: &Answer) -> Option<String> {
    let (_, rest) = answer.text.split_once("<code id=\"secret\">")?;
    rest.split('<').next().map(str::to_owned)
}

#[tokio::test]
async fn the_first_user_is_an_admin_and_every_mistake_stands_beside_its_field() {
    let desk = Desk::open();
    let empty = desk.get("/users").await;
    empty.assert_has("Everybody who can reach this address may do everything.");
    empty.assert_lacks("value=\"viewer\"");
    let refused = desk.post("/users", &user("anna", "viewer", PASSWORD)).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    refused.assert_has("The first user must have the role admin.");
    for (name, password, says) in [
        ("an na", PASSWORD, "id=\"name-error\">User &#34;an na&#34; is not valid"),
        ("", PASSWORD, "id=\"name-error\">User"),
        ("anna", "short", "id=\"password-error\">The password is too short: use at least 12"),
    ] {
        let refused = desk.post("/users", &user(name, "admin", password)).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{says}");
        refused.assert_has(says);
        refused.assert_sound();
    }
    let added = desk.post("/users", &user("anna", "admin", PASSWORD)).await;
    assert_eq!((added.status, added.location.as_str()), (StatusCode::SEE_OTHER, "/users"));
    let taken = desk.post("/users", &user("anna", "viewer", PASSWORD)).await;
    taken.assert_has("id=\"name-error\">There is already a user with this name.");
    taken.assert_lacks(PASSWORD);
    desk.get("/users").await.assert_has("href=\"users/anna\"");
}

#[tokio::test]
async fn a_generated_password_is_on_one_page_only_and_is_right() {
    let desk = Desk::open();
    let added = desk.post("/users", &user("anna", "admin", "")).await;
    assert_eq!((added.status, added.cache.as_str()), (StatusCode::OK, "no-store"));
    let first = secret(&added).unwrap();
    added.assert_lacks("data-cursor");
    let is_right = |password: &str| {
        let table = desk.engine.access_table();
        table.borrow().user(&"anna".parse().unwrap()).unwrap().password.verify(&password.into())
    };
    assert!(is_right(&first));
    let reset = desk.post("/users/anna/password", &[("password", "")]).await;
    assert_eq!((reset.status, reset.cache.as_str()), (StatusCode::OK, "no-store"));
    let second = secret(&reset).unwrap();
    reset.assert_lacks("data-cursor");
    assert_ne!(first, second);
    assert!(!is_right(&first) && is_right(&second));
    for path in ["/users", "/users/anna", "/audit", "/users/anna/password"] {
        let page = desk.get(path).await;
        page.assert_lacks(&first);
        page.assert_lacks(&second);
    }
}

#[tokio::test]
async fn the_last_admin_can_neither_be_demoted_nor_disabled_nor_deleted() {
    let desk = Desk::open();
    desk.post("/users", &user("anna", "admin", PASSWORD)).await;
    desk.post("/users", &user("bert", "viewer", PASSWORD)).await;
    for (action, fields) in [("role", &[("role", "viewer")][..]), ("disable", &[]), ("delete", &[])]
    {
        let refused = desk.post(&format!("/users/anna/{action}"), fields).await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "{action}");
        refused.assert_has("Nothing was changed. This is the only user with the role admin");
        refused.assert_sound();
    }
    for (action, fields) in
        [("role", &[("role", "operator")][..]), ("disable", &[]), ("enable", &[]), ("log_out", &[])]
    {
        let done = desk.post(&format!("/users/bert/{action}"), fields).await;
        assert_eq!((done.status, done.location.as_str()), (StatusCode::SEE_OTHER, "/users/bert"));
    }
    let deleted = desk.post("/users/bert/delete", &[]).await;
    assert_eq!(deleted.location, "/users");
    assert_eq!(desk.get("/users/bert").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_text_of_a_token_is_on_one_page_only() {
    let desk = Desk::open();
    let fields = [
        ("name", "ci"),
        ("role", "submitter"),
        ("expires", "30d"),
        ("queues", "mail, web"),
        ("kinds", ""),
    ];
    let created = desk.post("/tokens", &fields).await;
    assert_eq!((created.status, created.cache.as_str()), (StatusCode::OK, "no-store"));
    let text = secret(&created).unwrap();
    created.assert_lacks("data-cursor");
    let hash = crate::access::parse_token(&text).unwrap();
    let table = desk.engine.access_table().borrow().clone();
    let token = table.live_token(&hash, desk.engine.now()).unwrap();
    let list = desk.get("/tokens").await;
    list.assert_has("mail, web <span class=\"hint\">queues</span>");
    for page in [list, desk.get("/audit").await, desk.post("/tokens", &fields).await] {
        page.assert_lacks(&text);
        page.assert_sound();
    }
    let taken = desk.post("/tokens", &fields).await;
    taken.assert_has("id=\"name-error\">There is already a token with this name.");
    let wrong = [("name", "x"), ("role", "viewer"), ("expires", "never"), ("queues", "a b")];
    desk.post("/tokens", &wrong).await.assert_has("id=\"queues-error\">Queue &#34;a b&#34;");
    let revoked = desk.post("/tokens/revoke", &[("id", token.id.as_str())]).await;
    assert_eq!(revoked.location, "/tokens");
    desk.get("/tokens").await.assert_lacks(">ci</span>");
    let again = desk.post("/tokens/revoke", &[("id", token.id.as_str())]).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_audit_log_has_what_somebody_did_newest_first_in_pages_that_miss_nothing() {
    let desk = Desk::open();
    let anna = principal("anna", Role::Admin);
    let nobody = desk.get("/audit").await;
    nobody.assert_has("<strong>Nothing yet.</strong>");
    for n in 0..70 {
        // Events of nobody are between those of anna.
        desk.submit(echo("1")).await;
        let queue = format!("queue-{n}");
        let job = Submission { queue: Some(queue.clone()), ..echo("1") }.into_new_job().unwrap();
        let token = TokenName::parse("ci").unwrap();
        let engine = desk.engine.by(Some(Actor::Token(token)));
        engine.enqueue(vec![job]).await.unwrap();
        let path = format!("/queues/{queue}/pause");
        assert_eq!(desk.post_as(&anna, &path, &[]).await.status, StatusCode::SEE_OTHER);
    }
    let first = desk.get_as(&anna, "/audit").await;
    first.assert_sound();
    first.assert_has("The log reaches back to");
    assert!(first.text.find("queue-69").unwrap() < first.text.find("queue-68").unwrap());
    let mut paused = Vec::new();
    let mut next = Some("audit?by=user:anna&type=queue.*".to_owned());
    let mut pages = 0;
    while let Some(path) = next {
        let page = desk.get_as(&anna, &path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        paused.extend(page.values("href").into_iter().filter(|link| link.starts_with("queues/")));
        next = page.values("href").into_iter().find(|link| link.contains("before="));
        pages += 1;
    }
    let expected: Vec<String> = (0..70).rev().map(|n| format!("queues/queue-{n}")).collect();
    assert_eq!((paused, pages), (expected, 2));
    let token = desk.get_as(&anna, "/audit?by=token:ci").await;
    token.assert_has("Submitted job");
    token.assert_lacks("Paused queue");
    for wrong in ["/audit?by=anna", "/audit?type=queue.stopped"] {
        let refused = desk.get_as(&anna, wrong).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
        refused.assert_has("id=\"problems\"");
        refused.assert_lacks("queue-69");
    }
    desk.get_as(&anna, "/audit?who=anna").await.assert_has("unknown parameter “who”");
}

#[tokio::test]
async fn the_audit_log_shows_changes_of_access_that_nobody_is_known_to_have_caused() {
    let desk = Desk::open();
    desk.submit(echo("1")).await;
    desk.post("/users", &user("anna", "admin", PASSWORD)).await;
    let anna = principal("anna", Role::Admin);
    desk.post_as(&anna, "/users", &user("bert", "viewer", PASSWORD)).await;
    for (path, shown) in [
        ("/audit", ["users/anna", "users/bert"].as_slice()),
        ("/audit?by=system", &["users/anna"]),
        ("/audit?by=user:anna", &["users/bert"]),
        ("/audit?by=system,user:anna&type=user.added", &["users/anna", "users/bert"]),
        ("/audit?by=system&type=token.*", &[]),
    ] {
        let page = desk.get(path).await;
        page.assert_sound();
        page.assert_lacks("Submitted job");
        let links = page.values("href");
        let mut users: Vec<&str> =
            links.iter().map(String::as_str).filter(|it| it.starts_with("users/")).collect();
        users.sort_unstable();
        assert_eq!(users, shown, "{path}");
    }
    desk.get("/audit").await.assert_has("<a href=\"audit?by=system\">system</a>");
    // The stream has no filter for the events of nobody, so the page follows those of everybody.
    desk.get("/audit?by=system").await.assert_has("data-by=\"\"");
    desk.get("/audit?by=user:anna").await.assert_has("data-by=\"user:anna\"");
    desk.get("/audit?by=nobody").await.assert_has("or system");
}

#[tokio::test]
async fn the_audit_log_says_in_which_zone_a_token_expires() {
    let desk = Desk::open();
    let fields = [("name", "ci"), ("role", "viewer"), ("expires", "30d")];
    assert_eq!(desk.post("/tokens", &fields).await.status, StatusCode::OK);
    let page = desk.get("/audit").await;
    page.assert_has("with the role viewer</span> <span class=\"hint\">until <time datetime=");
    page.assert_has(" UTC</time></span>");
}

#[tokio::test]
async fn a_session_that_has_ended_meanwhile_does_not_keep_the_others_open() {
    let desk = Desk::open();
    desk.post("/users", &user("anna", "admin", PASSWORD)).await;
    let anna = user_name("anna");
    let password = desk.engine.access_table().borrow().user(&anna).unwrap().password.fingerprint();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let owner = SessionOwner::User(anna.clone());
        let new = NewSession::generate(owner, Some(password), "127.0.0.1", "");
        let (session, _) = new.unwrap();
        desk.engine.access(AccessCommand::OpenSession(session)).await.unwrap();
    }
    let open = || desk.engine.access_table().borrow().sessions().len();
    ids.extend(desk.engine.access_table().borrow().sessions().iter().map(|it| it.id.clone()));
    desk.engine.access(AccessCommand::CloseSession(ids[0].clone())).await.unwrap();
    assert_eq!(open(), 2);
    end_sessions(&desk.engine, ids).await.unwrap();
    assert_eq!(open(), 0);
}

#[tokio::test]
async fn only_somebody_with_a_session_is_offered_to_log_out() {
    let desk = Desk::open();
    let session = SessionId::stored("0123456789abcdef").unwrap();
    for (credential, is_offered) in [
        (Credential::Session(session), true),
        (Credential::Environment, false),
        (Credential::Proxy(ExternalPerson { name: user_name("anna"), role: Role::Admin }), false),
    ] {
        let anna = Principal { credential, ..principal("anna", Role::Admin) };
        for path in ["/", "/account"] {
            let page = desk.get_as(&anna, path).await;
            assert_eq!(page.text.contains("action=\"logout\""), is_offered, "{path}: {anna:?}");
        }
    }
}

#[tokio::test]
async fn a_job_of_a_schedule_is_attributed_to_it_or_to_who_ran_it() {
    let desk = Desk::open();
    let anna = principal("anna", Role::Operator);
    let fields = [("name", "often"), ("cron", "every 2h"), ("kind", "echo")];
    assert_eq!(desk.post_as(&anna, "/schedules", &fields).await.status, StatusCode::SEE_OTHER);
    desk.post_as(&anna, "/schedules/of/often/run", &[]).await;
    let page = desk.get("/audit").await;
    for says in ["Saved schedule", "Ran schedule", "href=\"schedules/of/often\""] {
        page.assert_has(says);
    }
    let schedule = Actor::Schedule(ScheduleName::parse("often").unwrap());
    let own = desk.get(&format!("/audit?by={schedule}")).await;
    own.assert_lacks("Ran schedule");
}
