//! Forms whose bodies take a while.

use std::convert::Infallible;

use axum::http::Method;
use futures_util::{FutureExt, poll, stream};

use super::access::{HTML, Site, text};
use super::*;
use crate::access::AccessCommand;
use crate::http::HttpLimits;
use crate::http::tests::team::{PASSWORD, add_user};
use crate::job::{Role, UserName};

const NEW_USER: &str = "name=eve&role=admin&password=a+long+password";

/// A site with an admin root, a second admin anna, and the cookie of a session of anna.
async fn with_session() -> (Site, UserName, String) {
    let site = Site::at("/");
    add_user(&site.desk.engine, "root", Role::Admin).await;
    let anna = add_user(&site.desk.engine, "anna", Role::Admin).await;
    let form = [("name", "anna"), ("password", PASSWORD), ("next", "")];
    let (_, headers, _) = site.ask(Method::POST, "/login", &[("accept", HTML)], &form).await;
    let cookie = text(&headers, header::SET_COOKIE).split(';').next().unwrap().to_owned();
    (site, anna, cookie)
}

fn form(path: &str, cookie: &str, body: Body) -> Request<Body> {
    let request = Request::post(path).header(header::ACCEPT, HTML).header(header::COOKIE, cookie);
    let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    request.body(body).unwrap()
}

#[tokio::test]
async fn a_form_whose_session_ends_while_it_arrives_changes_nothing() {
    let (site, anna, cookie) = with_session().await;
    let engine = site.desk.engine.clone();
    let ends = async move {
        engine.access(AccessCommand::CloseSessionsOf(anna)).await.unwrap();
    };
    let sent = stream::once(ends.map(|()| Ok::<_, Infallible>(NEW_USER)));
    let asked = form("/users", &cookie, Body::from_stream(sent));
    let response = site.routes.clone().oneshot(asked).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let page = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let page = String::from_utf8(page.to_vec()).unwrap();
    assert!(page.contains("name=\"password\""), "the page is that of the login: {page}");
    assert_eq!(site.desk.engine.access_table().borrow().users().count(), 2);
}

#[tokio::test]
async fn a_form_whose_session_ends_while_a_password_waits_to_be_hashed_changes_nothing() {
    let engine_of = |site: &Site| site.desk.engine.clone();
    for (path, body) in [("/users", NEW_USER), ("/users/root/password", "password=a+long+password")]
    {
        let (site, anna, cookie) = with_session().await;
        let engine = engine_of(&site);
        let before = engine.access_table().borrow().clone();
        let held = engine.hold_hash_permits().await;
        let asked = form(path, &cookie, Body::from(body));
        let mut answer = Box::pin(site.routes.clone().oneshot(asked));
        assert!(poll!(&mut answer).is_pending(), "the password waits");
        engine.access(AccessCommand::DisableUser(anna.clone())).await.unwrap();
        drop(held);
        assert_eq!(answer.await.unwrap().status(), StatusCode::UNAUTHORIZED, "{path}");
        let after = engine.access_table().borrow().clone();
        let others = |table: &crate::access::AccessTable| {
            table.users().filter(|user| user.name != anna).cloned().collect::<Vec<_>>()
        };
        assert_eq!(others(&after), others(&before), "{path}");
    }
}

#[tokio::test]
async fn a_form_that_does_not_arrive_is_given_up() {
    let limits = HttpLimits { body_timeout: Duration::from_millis(50), ..HttpLimits::default() };
    let site = Site::with("/", limits);
    let sent = stream::pending::<Result<&str, Infallible>>();
    let asked = form("/login", "", Body::from_stream(sent));
    let response = site.routes.clone().oneshot(asked).await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
}
