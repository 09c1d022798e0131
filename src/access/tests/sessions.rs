//! When sessions end.

use super::*;

#[test]
fn a_session_ends_with_the_credential_that_opened_it() {
    let ends: [(&str, AccessCommand); 4] = [
        ("disabled", AccessCommand::DisableUser(user("bob"))),
        ("deleted", AccessCommand::DeleteUser(user("bob"))),
        (
            "a new password",
            AccessCommand::SetPassword { name: user("bob"), password: password(2), replaces: None },
        ),
        ("closed", AccessCommand::CloseSessionsOf(user("bob"))),
    ];
    for (how, command) in ends {
        let mut fixture = Fixture::with_users();
        let (session, other) = (fixture.log_in("bob").unwrap(), fixture.log_in("anna").unwrap());
        assert_eq!(fixture.scope(&session), Some(Scope::of(Role::Viewer)));
        fixture.run(command).unwrap();
        assert_eq!(fixture.scope(&session), None, "{how}");
        assert_eq!(fixture.scope(&other), Some(Scope::of(Role::Admin)), "{how}");
    }

    let mut fixture = Fixture::with_users();
    let session = fixture.log_in("bob").unwrap();
    fixture.run(AccessCommand::SetRole { name: user("bob"), role: Role::Operator }).unwrap();
    assert_eq!(fixture.scope(&session), Some(Scope::of(Role::Operator)), "it has the new role");

    let (new, _) = new_token("ci", Role::Viewer);
    let id = new.id.clone();
    let session = fixture.log_in_with(new);
    assert_eq!(fixture.scope(&session), Some(Scope::of(Role::Viewer)));
    fixture.run(AccessCommand::RevokeToken(id)).unwrap();
    assert_eq!(fixture.scope(&session), None);
}

#[test]
fn a_login_that_was_checked_against_an_older_table_opens_no_session() {
    let mut fixture = Fixture::with_users();
    let old = fixture.table.user(&user("bob")).unwrap().password.fingerprint();
    fixture
        .run(AccessCommand::SetPassword {
            name: user("bob"),
            password: password(2),
            replaces: None,
        })
        .unwrap();
    let new = new_session(SessionOwner::User(user("bob")), Some(old));
    let refused = fixture.run(AccessCommand::OpenSession(new)).unwrap_err();
    assert_eq!(refused, AccessRefusal::NotFound { what: "user" });
    fixture.run(AccessCommand::DisableUser(user("bob"))).unwrap();
    assert!(fixture.log_in("bob").is_err() && fixture.log_in("zoe").is_err());
}

#[test]
fn a_session_expires_by_its_age_and_when_it_is_not_used() {
    let mut fixture = Fixture::with_users();
    fixture.limits.session_lifetime = Duration::from_secs(100);
    fixture.limits.session_idle = Duration::from_secs(10);
    let session = fixture.log_in("bob").unwrap();
    let opened = fixture.now;
    for used in [9, 18, 27] {
        fixture.now = opened + used - 1;
        let uses = vec![(session.clone(), at(opened + used))];
        fixture.run(AccessCommand::Touch { tokens: Vec::new(), sessions: uses }).unwrap();
        assert!(fixture.scope(&session).is_some());
    }
    fixture.now = opened + 37;
    assert_eq!(fixture.scope(&session), None, "it was not used for ten seconds");
    let other = fixture.log_in("anna").unwrap();
    assert_eq!(fixture.table.session(&session), None, "a login sweeps what has expired");
    let opened = fixture.now;
    for used in (9..100).step_by(9) {
        fixture.now = opened + used - 1;
        let uses = vec![(other.clone(), at(opened + used))];
        fixture.run(AccessCommand::Touch { tokens: Vec::new(), sessions: uses }).unwrap();
    }
    fixture.now = opened + 100;
    assert_eq!(fixture.scope(&other), None, "it is a hundred seconds old");
}

#[test]
fn a_session_of_a_token_ends_when_the_token_expires() {
    let mut fixture = Fixture::with_users();
    let (mut new, _) = new_token("ci", Role::Viewer);
    new.expires_at = Some(at(100));
    let session = fixture.log_in_with(new);
    let known = fixture.table.session(&session).unwrap().clone();
    assert_eq!(fixture.table.session_end(&known, &fixture.limits), at(100));
    fixture.now = 99;
    assert_eq!(fixture.scope(&session), Some(Scope::of(Role::Viewer)));
    fixture.now = 100;
    assert_eq!(fixture.scope(&session), None);
    fixture.limits.session_idle = Duration::from_secs(20);
    let unused = known.last_used_at.after(Duration::from_secs(20));
    assert_eq!(fixture.table.session_end(&known, &fixture.limits), unused, "whichever is first");
}

#[test]
fn one_login_too_many_ends_the_session_that_was_not_used_for_longest() {
    let mut fixture = Fixture::with_users();
    fixture.limits.sessions_per_user = 2;
    let first = fixture.log_in("bob").unwrap();
    let second = fixture.log_in("bob").unwrap();
    let other = fixture.log_in("anna").unwrap();
    let uses = vec![(first.clone(), at(fixture.now + 1))];
    let touched = fixture.changes(AccessCommand::Touch { tokens: vec![], sessions: uses });
    assert_eq!(touched, []);
    fixture.log_in("bob").unwrap();
    assert!(fixture.scope(&first).is_some() && fixture.scope(&other).is_some());
    assert_eq!(fixture.table.session(&second), None);
    fixture.limits.max_sessions = 3;
    fixture.log_in("bob").unwrap(); // replaces one of his own
    let refused = fixture.log_in("anna").unwrap_err();
    assert_eq!(refused, AccessRefusal::TooMany { what: "session", limit: 3 });
}
