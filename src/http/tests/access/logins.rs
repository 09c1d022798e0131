//! Logins: which credentials are accepted, how much work a refusal is, and what a session needs to last.

use std::net::IpAddr;

use axum::http::Request;
use axum::http::request::Parts;

use crate::access::AccessCommand;
use crate::http::access::principal::Credential;
use crate::http::access::sessions::{BrowserVisit, LogInError};
use crate::http::access::{Authenticator, Principal};
use crate::http::layers::auth::Hosts;
use crate::http::layers::login_limiter::LoginFailure;
use crate::http::tests::support::Server;
use crate::http::tests::team::{PASSWORD, add_token, add_user, basic, bearer, user};
use crate::http::{Access, Anonymous, HttpLimits};
use crate::job::Role;

const TOKEN: &str = "environment-0123456789";
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn authenticator(server: &Server, token: Option<&str>) -> Authenticator {
    let access = Access {
        token: token.map(Into::into),
        anonymous: Anonymous::AllowedWithoutUsers,
        hosts: Hosts::Any,
        trusted_origins: Vec::new(),
        external: Default::default(),
    };
    let limits = HttpLimits { login_failures: 1_000, ..HttpLimits::default() };
    let limits =
        HttpLimits { login_failures_per_user: 1_000, login_failures_total: 10_000, ..limits };
    Authenticator::new(server.engine.clone(), &limits, &access).unwrap()
}

fn request(headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::get("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

#[tokio::test]
async fn the_token_of_the_configuration_is_an_admin_in_every_form() {
    let server = Server::start().await;
    let auth = authenticator(&server, Some(TOKEN));
    let who = async |value: &str| {
        let found = auth.authenticate(&request(&[("authorization", value)]), CLIENT).await;
        found.map(|found| found.map(|who| (who.to_string(), who.role())))
    };
    let environment = Some(("token environment".to_owned(), Role::Admin));
    for good in
        [bearer(TOKEN), format!("bearer  {TOKEN}"), basic("anybody", TOKEN), basic("", TOKEN)]
    {
        assert_eq!(who(&good).await.unwrap(), environment, "{good}");
    }
    for bad in [
        bearer("environment-012345678"),
        TOKEN.to_owned(),
        format!("Basic {TOKEN}"),
        basic("anybody", "environment-012345678"),
        "Bearer ".to_owned(),
    ] {
        assert_eq!(who(&bad).await.unwrap_err().code(), "unauthorized", "{bad}");
    }
    assert_eq!(auth.limiter.rejected_tokens(), 5);
    assert!(auth.authenticate(&request(&[]), CLIENT).await.is_err());
    assert_eq!(auth.limiter.rejected_tokens(), 5, "a request without credentials is no login");
}

#[tokio::test]
async fn a_refused_password_is_as_much_work_as_any_other() {
    let server = Server::start().await;
    add_user(&server.engine, "anna", Role::Admin).await;
    let gone = add_user(&server.engine, "gone", Role::Viewer).await;
    server.engine.access(AccessCommand::DisableUser(gone)).await.unwrap();
    let auth = authenticator(&server, None);
    for (n, (name, password)) in [
        ("anna", "wrong password 1"),
        ("nobody", "wrong password 2"),
        ("gone", PASSWORD),
        ("no user, could have this name", PASSWORD),
        ("", "wrong password 3"),
    ]
    .into_iter()
    .enumerate()
    {
        let failed = auth.check_password(CLIENT, name, password.into()).await;
        assert_eq!(failed.unwrap_err(), LoginFailure::Wrong, "{name}");
        assert_eq!(
            server.engine.checked_passwords(),
            n as u64 + 1,
            "the password of {name:?} was hashed"
        );
    }
    // The right one is hashed once, and then remembered as long as it stays the same.
    for _ in 0..3 {
        let known = auth.check_password(CLIENT, "anna", PASSWORD.into()).await.unwrap();
        assert_eq!(known.name, user("anna"));
        assert_eq!(server.engine.checked_passwords(), 6);
    }
    let password = server.engine.hash_password("another password".into()).await.unwrap();
    let set = AccessCommand::SetPassword { name: user("anna"), password, replaces: None };
    server.engine.access(set).await.unwrap();
    assert!(auth.check_password(CLIENT, "anna", PASSWORD.into()).await.is_err());
    assert_eq!(server.engine.checked_passwords(), 7);
    assert_eq!(auth.limiter.rejected_passwords(), 6);
}

#[tokio::test]
async fn many_logins_at_once_are_checked_two_at_a_time_and_the_rest_is_told_to_wait() {
    let server = Server::start().await;
    add_user(&server.engine, "anna", Role::Admin).await;
    let auth = authenticator(&server, None);
    let wrong: Vec<String> = (0..100).map(|n| format!("wrong password {n}")).collect();
    let checks =
        wrong.iter().map(|wrong| auth.check_password(CLIENT, "anna", wrong.as_str().into()));
    let failures = futures_util::future::join_all(checks).await;
    let busy = failures.iter().filter(|failure| matches!(failure, Err(LoginFailure::Busy(_))));
    let busy = busy.count() as u64;
    assert!(busy >= 30, "{busy}");
    assert_eq!(server.engine.checked_passwords(), 100 - busy);
    assert_eq!(auth.limiter.rejected_passwords(), 100 - busy);
}

#[tokio::test]
async fn right_passwords_lock_nobody_out_whether_or_not_somebody_waits_for_the_answer() {
    let server = Server::start().await;
    let access =
        Access { hosts: Hosts::Any, ..crate::http::tests::support::Setup::default().access };
    let auth = Authenticator::new(server.engine.clone(), &HttpLimits::default(), &access).unwrap();
    let names: Vec<String> = (0..12).map(|n| format!("user-{n}")).collect();
    for name in &names {
        add_user(&server.engine, name, Role::Admin).await;
    }
    // Twelve requests whose clients leave before the answer.
    let held = server.engine.hold_hash_permits().await;
    for name in &names {
        let mut check = Box::pin(auth.check_password(CLIENT, name, PASSWORD.into()));
        assert!(futures_util::poll!(&mut check).is_pending());
    }
    drop(held);
    let checks = names.iter().map(|name| auth.check_password(CLIENT, name, PASSWORD.into()));
    let answers = futures_util::future::join_all(checks).await;
    for (name, answer) in names.iter().zip(answers) {
        assert_eq!(answer.unwrap().name.as_str(), name);
    }
    assert_eq!((auth.limiter.refused(), auth.limiter.rejected_passwords()), (0, 0));
}

fn cookie(set_cookie: &str) -> &str {
    set_cookie.split(';').next().unwrap()
}

#[tokio::test]
async fn a_session_lasts_until_it_or_its_password_or_its_token_ends() {
    let server = Server::start().await;
    let engine = &server.engine;
    add_user(engine, "root", Role::Admin).await;
    let auth = authenticator(&server, Some(TOKEN));
    let visit = BrowserVisit::of(&request(&[("user-agent", "Firefox")]));
    let of = |auth: &Authenticator, cookie: &str| -> Option<Principal> {
        auth.by_cookie(&request(&[("cookie", cookie)]))
    };
    let id = |who: &Principal| match &who.credential {
        Credential::Session(id) => id.clone(),
        other => panic!("{other:?}"),
    };

    // The password of a user.
    add_user(engine, "anna", Role::Viewer).await;
    let opened = auth.log_in(&visit, "anna", PASSWORD.into()).await.unwrap();
    let session = cookie(&opened).to_owned();
    let who = of(&auth, &session).unwrap();
    assert_eq!((who.to_string().as_str(), who.role()), ("user anna", Role::Viewer));
    assert!(!format!("{who:?} {auth:?}").contains(session.split('=').nth(1).unwrap()));
    let set = AccessCommand::SetRole { name: user("anna"), role: Role::Operator };
    engine.access(set).await.unwrap();
    assert_eq!(of(&auth, &session).unwrap().role(), Role::Operator, "the role is that of now");
    assert!(!auth.is_still(Some(&who)) && auth.is_still(of(&auth, &session).as_ref()));
    let password = engine.hash_password("another password".into()).await.unwrap();
    engine
        .access(AccessCommand::SetPassword { name: user("anna"), password, replaces: None })
        .await
        .unwrap();
    assert_eq!(of(&auth, &session), None);

    // A token, and the token of the configuration.
    let (token, text) = add_token(engine, "ci", Role::Operator, |_| {}).await;
    let opened = auth.log_in(&visit, "", text.as_str().into()).await.unwrap();
    let session = cookie(&opened).to_owned();
    assert_eq!(of(&auth, &session).unwrap().to_string(), "token ci");
    engine.access(AccessCommand::RevokeToken(token)).await.unwrap();
    assert_eq!(of(&auth, &session), None);
    let opened = auth.log_in(&visit, "", TOKEN.into()).await.unwrap();
    let session = cookie(&opened).to_owned();
    assert_eq!(of(&auth, &session).unwrap().to_string(), "token environment");
    let changed = authenticator(&server, Some("environment-9876543210"));
    assert_eq!(of(&changed, &session), None, "another token is configured");

    // A logout, and a revocation by somebody else.
    let who = of(&auth, &session).unwrap();
    let closing = auth.log_out(&visit, Some(&who)).await.unwrap();
    assert!(closing.contains("=; Max-Age=0"), "{closing}");
    assert_eq!(of(&auth, &session), None);
    let opened = auth.log_in(&visit, "root", PASSWORD.into()).await.unwrap();
    let who = of(&auth, cookie(&opened)).unwrap();
    engine.access(AccessCommand::CloseSession(id(&who))).await.unwrap();
    assert_eq!(of(&auth, cookie(&opened)), None);
    assert!(auth.log_out(&visit, Some(&who)).await.is_ok(), "it is closed already");

    for (name, password) in [("root", "wrong password"), ("", "cortado_wrong"), ("", "")] {
        let failed = auth.log_in(&visit, name, password.into()).await.unwrap_err();
        assert_eq!(failed, LogInError::Failed(LoginFailure::Wrong), "{name:?} {password:?}");
    }
}

#[tokio::test]
async fn the_last_use_of_a_credential_is_recorded() {
    let server = Server::start().await;
    let (id, text) = add_token(&server.engine, "ci", Role::Viewer, |_| {}).await;
    let auth = authenticator(&server, Some(TOKEN));
    let bearer = bearer(&text);
    let mut table = auth.table_receiver();
    for _ in 0..3 {
        let parts = request(&[("authorization", bearer.as_str())]);
        assert!(auth.authenticate(&parts, CLIENT).await.unwrap().is_some());
    }
    let used = table.wait_for(|table| table.token(&id).unwrap().last_used_at.is_some());
    crate::http::tests::support::within(used).await.unwrap();
}

#[tokio::test]
async fn a_server_without_users_ignores_credentials_that_it_does_not_know() {
    let server = Server::start().await;
    let auth = authenticator(&server, None);
    assert!(!auth.is_required());
    for value in [basic("proxy", "its password"), bearer("unknown")] {
        let parts = request(&[("authorization", value.as_str())]);
        assert_eq!(auth.authenticate(&parts, CLIENT).await.unwrap(), None, "{value}");
    }
    assert_eq!((server.engine.checked_passwords(), auth.limiter.rejected_tokens()), (0, 0));
    let (_, text) = add_token(&server.engine, "ci", Role::Viewer, |_| {}).await;
    let parts = request(&[("authorization", bearer(&text).as_str())]);
    let who = auth.authenticate(&parts, CLIENT).await.unwrap().unwrap();
    assert_eq!(who.role(), Role::Viewer, "a token that is given counts");
    add_user(&server.engine, "root", Role::Admin).await;
    assert!(auth.is_required());
}
