//! The rules of the table: each command, and what is refused.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::job::{
    AccessChange, Actor, JobId, LinkSubject, QueueName, Secret, SessionId, Time, TokenName,
    UserName,
};

mod sessions;

pub(crate) fn user(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}

/// The hash of no password, but another one for each number: hashing takes long.
pub(crate) fn password(number: u32) -> PasswordHash {
    let salt = format!("{number:A<22}");
    let text = PasswordHash::of_nobody().as_phc().replacen(&"A".repeat(22), &salt, 1);
    PasswordHash::from_phc(&text).unwrap()
}

pub(crate) fn add_user(name: &str, role: Role) -> AccessCommand {
    AccessCommand::AddUser { name: user(name), password: password(1), role }
}

pub(crate) fn new_token(name: &str, role: Role) -> (NewToken, Secret) {
    NewToken::generate(TokenName::parse(name).unwrap(), role).unwrap()
}

pub(crate) fn new_session(who: SessionOwner, credential: Option<SecretHash>) -> NewSession {
    NewSession::generate(who, credential, "192.0.2.1", "Firefox").unwrap().0
}

fn at(seconds: i64) -> Time {
    Time::from_millis(1_800_000_000_000 + seconds * 1_000)
}

/// A table with commands that are carried out one second after the other.
struct Fixture {
    table: AccessTable,
    limits: AccessLimits,
    now: i64,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture { table: AccessTable::default(), limits: AccessLimits::default(), now: 0 }
    }

    /// With an admin anna and a viewer bob.
    fn with_users() -> Fixture {
        let mut fixture = Fixture::new();
        fixture.run(add_user("anna", Role::Admin)).unwrap();
        fixture.run(add_user("bob", Role::Viewer)).unwrap();
        fixture
    }

    fn run(&mut self, command: AccessCommand) -> Result<AccessStep, AccessRefusal> {
        self.now += 1;
        let before = self.table.clone();
        let by = Actor::User(user("anna"));
        let done = self.table.apply(command, Some(&by), at(self.now), &self.limits);
        match &done {
            Ok(step) => {
                // A store that writes the changes of rows has the same table.
                let mut stored = before;
                for change in &step.records {
                    match change {
                        RecordChange::Put(record) => stored.put(record.clone()),
                        RecordChange::Remove(record) => stored.remove(record),
                    }
                }
                assert_eq!(stored, self.table);
            }
            Err(_) => assert_eq!(before, self.table, "a refused command changes nothing"),
        }
        done
    }

    fn changes(&mut self, command: AccessCommand) -> Vec<AccessChange> {
        self.run(command).unwrap().changes.into_iter().map(|(_, change)| change).collect()
    }

    /// Opens a session of a user with the present password.
    fn log_in(&mut self, name: &str) -> Result<SessionId, AccessRefusal> {
        let credential = self.table.user(&user(name)).map(|user| user.password.fingerprint());
        let new = new_session(SessionOwner::User(user(name)), credential);
        let id = new.id.clone();
        self.run(AccessCommand::OpenSession(new)).map(|_| id)
    }

    /// Adds a token and opens a session with it.
    fn log_in_with(&mut self, token: NewToken) -> SessionId {
        let who = SessionOwner::Token { id: token.id.clone(), name: token.name.clone() };
        let new = new_session(who, Some(token.secret));
        let id = new.id.clone();
        self.run(AccessCommand::AddToken(token)).unwrap();
        self.run(AccessCommand::OpenSession(new)).unwrap();
        id
    }

    fn scope(&self, id: &SessionId) -> Option<Scope> {
        let session = self.table.session(id)?;
        self.table.scope_of(session, at(self.now), &self.limits)
    }
}

#[test]
fn users_are_added_once_and_the_first_is_an_admin() {
    let mut fixture = Fixture::new();
    let refused = fixture.run(add_user("bob", Role::Operator)).unwrap_err();
    assert_eq!(refused, AccessRefusal::FirstUserNotAdmin);
    let added = [AccessChange::UserAdded { role: Role::Admin }];
    assert_eq!(fixture.changes(add_user("anna", Role::Admin)), added);
    fixture.run(add_user("bob", Role::Viewer)).unwrap();
    let again = fixture.run(add_user("bob", Role::Viewer)).unwrap_err();
    assert_eq!(again, AccessRefusal::Exists { what: "user" });
    fixture.limits.max_users = 2;
    let many = fixture.run(add_user("carl", Role::Viewer)).unwrap_err();
    assert_eq!(many.to_string(), "the limit of 2 users is reached");
    for unknown in [
        AccessCommand::DeleteUser(user("zoe")),
        AccessCommand::DisableUser(user("zoe")),
        AccessCommand::EnableUser(user("zoe")),
        AccessCommand::SetRole { name: user("zoe"), role: Role::Viewer },
        AccessCommand::SetPassword { name: user("zoe"), password: password(2), replaces: None },
        AccessCommand::CloseSessionsOf(user("zoe")),
    ] {
        let refused = fixture.run(unknown.clone()).unwrap_err();
        assert_eq!(refused, AccessRefusal::NotFound { what: "user" }, "{unknown:?}");
    }
}

#[test]
fn nobody_has_the_name_of_a_user_in_another_case() {
    let mut fixture = Fixture::with_users();
    for name in ["Bob", "BOB", "bob"] {
        let refused = fixture.run(add_user(name, Role::Viewer)).unwrap_err();
        assert_eq!(refused, AccessRefusal::Exists { what: "user" }, "{name}");
    }
    let owner = SessionOwner::External { name: user("Eve"), role: Role::Admin };
    fixture.run(AccessCommand::OpenSession(new_session(owner.clone(), None))).unwrap();
    let open = |fixture: &Fixture| {
        let session = fixture.table.sessions()[0].clone();
        fixture.table.scope_of(&session, at(fixture.now), &fixture.limits)
    };
    assert!(open(&fixture).is_some());
    fixture.run(add_user("eve", Role::Viewer)).unwrap();
    assert!(open(&fixture).is_none(), "eve would be mistaken for Eve");
    assert_eq!(fixture.table.user_like(&user("EVE")).map(|user| user.name.as_str()), Some("eve"));
}

#[test]
fn the_last_admin_stays() {
    let mut fixture = Fixture::with_users();
    let removals = [
        AccessCommand::DeleteUser(user("anna")),
        AccessCommand::DisableUser(user("anna")),
        AccessCommand::SetRole { name: user("anna"), role: Role::Operator },
    ];
    for removal in &removals {
        assert_eq!(fixture.run(removal.clone()).unwrap_err(), AccessRefusal::LastAdmin);
    }
    fixture.run(AccessCommand::SetRole { name: user("bob"), role: Role::Admin }).unwrap();
    fixture.run(AccessCommand::DisableUser(user("bob"))).unwrap();
    for removal in &removals {
        let refused = fixture.run(removal.clone()).unwrap_err();
        assert_eq!(refused, AccessRefusal::LastAdmin, "a disabled admin cannot log in");
    }
    fixture.run(AccessCommand::EnableUser(user("bob"))).unwrap();
    fixture.run(AccessCommand::DeleteUser(user("anna"))).unwrap();
    let refused = fixture.run(AccessCommand::DeleteUser(user("bob"))).unwrap_err();
    assert_eq!(refused, AccessRefusal::LastAdmin);
}

#[test]
fn what_changes_nothing_is_no_event() {
    let mut fixture = Fixture::with_users();
    let same = AccessCommand::SetRole { name: user("bob"), role: Role::Viewer };
    for (command, expected) in [
        (same, vec![]),
        (AccessCommand::EnableUser(user("bob")), vec![]),
        (AccessCommand::DisableUser(user("bob")), vec![AccessChange::UserDisabled]),
        (AccessCommand::DisableUser(user("bob")), vec![]),
        (AccessCommand::EnableUser(user("bob")), vec![AccessChange::UserEnabled]),
        (AccessCommand::CloseSessionsOf(user("bob")), vec![]),
    ] {
        assert_eq!(fixture.changes(command.clone()), expected, "{command:?}");
    }
}

#[test]
fn a_token_is_found_by_its_text_until_it_expires_or_is_revoked() {
    let mut fixture = Fixture::new();
    let (new, text) = new_token("ci", Role::Submitter);
    let queues = Some(vec![QueueName::parse("mail").unwrap()]);
    let new = NewToken { queues: queues.clone(), expires_at: Some(at(100)), ..new };
    let (id, hash) = (new.id.clone(), parse_token(text.expose()).unwrap());
    fixture.run(AccessCommand::AddToken(new)).unwrap();
    let token = fixture.table.live_token(&hash, at(99)).unwrap();
    assert_eq!((token.scope().role, token.scope().queues), (Role::Submitter, queues));
    assert_eq!(token.created_by, Some(Actor::User(user("anna"))));
    assert_eq!(fixture.table.ended_token(&hash, at(99)), None);
    assert!(fixture.table.live_token(&hash, at(100)).is_none(), "it has expired");
    assert_eq!(fixture.table.ended_token(&hash, at(100)), Some(&id), "it is no guess");
    assert!(fixture.table.live_token(&SecretHash::of("another"), at(9)).is_none());

    for name in ["ci", "environment", "in-process"] {
        let refused = fixture.run(AccessCommand::AddToken(new_token(name, Role::Viewer).0));
        assert_eq!(refused.unwrap_err(), AccessRefusal::Exists { what: "token" }, "{name}");
    }
    fixture.limits.max_tokens = 1;
    let refused = fixture.run(AccessCommand::AddToken(new_token("other", Role::Viewer).0));
    assert_eq!(refused.unwrap_err(), AccessRefusal::TooMany { what: "token", limit: 1 });

    let revoked = [AccessChange::TokenRevoked];
    assert_eq!(fixture.changes(AccessCommand::RevokeToken(id.clone())), revoked);
    assert!(fixture.table.live_token(&hash, at(9)).is_none());
    assert_eq!(fixture.table.ended_token(&hash, at(9)), Some(&id), "it is no guess");
    assert_eq!(fixture.table.ended_token(&SecretHash::of("another"), at(9)), None);
    let again = fixture.run(AccessCommand::RevokeToken(id)).unwrap_err();
    assert_eq!(again, AccessRefusal::NotFound { what: "token" });
}

#[test]
fn an_external_user_has_one_owner_whatever_the_role() {
    let mut fixture = Fixture::new();
    fixture.limits.sessions_per_user = 1;
    let external = |role| SessionOwner::External { name: user("anna@example.com"), role };
    let mut ids = Vec::new();
    for role in [Role::Viewer, Role::Operator] {
        let new = new_session(external(role), None);
        ids.push(new.id.clone());
        fixture.run(AccessCommand::OpenSession(new)).unwrap();
    }
    assert_eq!(fixture.table.session(&ids[0]), None);
    assert_eq!(fixture.scope(&ids[1]), Some(Scope::of(Role::Operator)));
    let closed = fixture.run(AccessCommand::CloseSessionsOf(user("anna@example.com"))).unwrap();
    assert_eq!(closed.applied, AccessApplied::Closed(1));
    assert_eq!(fixture.scope(&ids[1]), None);
}

#[test]
fn an_external_session_ends_when_a_user_of_this_server_gets_the_name() {
    let mut fixture = Fixture::with_users();
    let external = || SessionOwner::External { name: user("carl"), role: Role::Admin };
    let new = new_session(external(), None);
    let id = new.id.clone();
    fixture.run(AccessCommand::OpenSession(new)).unwrap();
    assert_eq!(fixture.scope(&id), Some(Scope::of(Role::Admin)));
    fixture.run(add_user("carl", Role::Viewer)).unwrap();
    assert_eq!(fixture.scope(&id), None);
    let refused = fixture.run(AccessCommand::OpenSession(new_session(external(), None)));
    assert_eq!(refused.unwrap_err(), AccessRefusal::NotFound { what: "user" });
}

#[test]
fn a_password_is_replaced_only_once() {
    let mut fixture = Fixture::with_users();
    let set = |number, replaced: Option<u32>| AccessCommand::SetPassword {
        name: user("bob"),
        password: password(number),
        replaces: replaced.map(|number| password(number).fingerprint()),
    };
    let changed = [AccessChange::UserPasswordSet];
    assert_eq!(fixture.changes(set(2, Some(1))), changed);
    let refused = fixture.run(set(3, Some(1))).unwrap_err();
    assert_eq!(refused, AccessRefusal::PasswordChanged, "another change was first");
    assert_eq!(fixture.changes(set(4, None)), changed, "an admin need not know the old one");
    assert_eq!(fixture.run(set(5, Some(2))).unwrap_err(), AccessRefusal::PasswordChanged);
    assert_eq!(fixture.changes(set(5, Some(4))), changed);
}

#[test]
fn a_session_is_found_by_its_cookie() {
    let mut fixture = Fixture::with_users();
    let credential = fixture.table.user(&user("bob")).unwrap().password.fingerprint();
    let owner = SessionOwner::User(user("bob"));
    let (new, cookie) =
        NewSession::generate(owner, Some(credential), "::1", &"x".repeat(9_000)).unwrap();
    fixture.run(AccessCommand::OpenSession(new.clone())).unwrap();
    let again = fixture.run(AccessCommand::OpenSession(new.clone())).unwrap_err();
    assert_eq!(again, AccessRefusal::Exists { what: "session" });
    let find = |fixture: &Fixture, cookie: &str| {
        let hash = SecretHash::of(cookie);
        fixture.table.session_of(&hash).map(|session| session.id.clone())
    };
    assert_eq!(find(&fixture, cookie.expose()), Some(new.id.clone()));
    assert_eq!(find(&fixture, "another"), None);
    assert!(fixture.table.session(&new.id).unwrap().browser.len() < 300);
    fixture.run(AccessCommand::CloseSession(new.id)).unwrap();
    assert_eq!(find(&fixture, cookie.expose()), None);
}

#[test]
fn a_share_link_shows_its_job_or_queue_until_it_expires_or_is_revoked() {
    let mut fixture = Fixture::new();
    let queue = QueueName::parse("mail").unwrap();
    let link = |end| NewLink::generate(LinkSubject::Queue(queue.clone()), at(end)).unwrap();
    let (short, long) = (link(10), link(1_000));
    for new in [&short, &long] {
        let added = [AccessChange::LinkAdded { expires_at: new.expires_at }];
        assert_eq!(fixture.changes(AccessCommand::AddLink(new.clone())), added);
    }
    let stored = fixture.table.link(&short.id).unwrap();
    assert_eq!(stored.scope().queues, Some(vec![queue.clone()]));
    assert!(!stored.is_expired(at(9)) && stored.is_expired(at(10)));
    fixture.limits.max_links = 2;
    let refused = fixture.run(AccessCommand::AddLink(link(2_000))).unwrap_err();
    assert_eq!(refused.to_string(), "the limit of 2 share links is reached");
    fixture.now = 10;
    fixture.run(AccessCommand::AddLink(link(2_000))).unwrap();
    assert_eq!(fixture.table.link(&short.id), None, "expired links do not count and go");
    let revoked = AccessCommand::RevokeLink(long.id.clone());
    assert_eq!(fixture.changes(revoked.clone()), [AccessChange::LinkRevoked]);
    let again = fixture.run(revoked).unwrap_err();
    assert_eq!(again, AccessRefusal::NotFound { what: "share link" });
}

#[test]
fn uses_are_recorded_and_never_go_back() {
    let mut fixture = Fixture::new();
    let (new, _) = new_token("ci", Role::Viewer);
    let id = new.id.clone();
    fixture.run(AccessCommand::AddToken(new)).unwrap();
    for (used, known) in [(5, 5), (3, 5), (8, 8)] {
        let unknown = SessionId::parse("none").unwrap();
        let uses = (vec![(id.clone(), at(used))], vec![(unknown, at(used))]);
        let step = fixture.run(AccessCommand::Touch { tokens: uses.0, sessions: uses.1 }).unwrap();
        assert!(step.changes.is_empty());
        assert_eq!(fixture.table.token(&id).unwrap().last_used_at, Some(at(known)));
    }
}

#[test]
fn nothing_shows_a_secret() {
    let mut fixture = Fixture::with_users();
    let session = fixture.log_in("bob").unwrap();
    let (new, text) = new_token("ci", Role::Viewer);
    let command = AccessCommand::AddToken(new);
    let shown = format!("{command:?}");
    fixture.run(command).unwrap();
    fixture.table.put(AccessRecord::SigningKey(SigningKey::from_bytes([77; 32])));
    let shown = format!("{shown} {:?} {session}", fixture.table);
    for secret in [text.expose().as_str(), "argon2id", "77, 77"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
    assert!(shown.contains("(not shown)"));
}

#[test]
fn a_link_is_opened_by_its_own_signature_until_it_ends() {
    let mut fixture = Fixture::new();
    fixture.table.put(AccessRecord::SigningKey(SigningKey::generate().unwrap()));
    let mut added = |subject: LinkSubject| {
        let new = NewLink::generate(subject, at(100)).unwrap();
        match fixture.run(AccessCommand::AddLink(new)).unwrap().applied {
            AccessApplied::Link(link) => link,
            other => panic!("{other:?}"),
        }
    };
    let one = added(LinkSubject::Queue(QueueName::default()));
    let other = added(LinkSubject::Job(JobId::from_u128(7)));
    let table = fixture.table;
    let (text, of_other) = (table.link_text(&one).unwrap(), table.link_text(&other).unwrap());
    let signature = |text: &str| text.split_once('.').unwrap().1.to_owned();
    assert_eq!(signature(&text).len(), 43);
    assert_eq!(table.live_link(&text, at(5)).map(|link| &link.id), Some(&one.id));
    let swapped = format!("{}.{}", one.id, signature(&of_other));
    let longer = format!("{text}=");
    for bad in ["", ".", one.id.as_str(), &swapped, &longer, &text[..text.len() - 1]] {
        assert_eq!(table.live_link(bad, at(5)), None, "{bad}");
    }
    assert_eq!(table.live_link(&text, one.expires_at), None, "it has expired");
    // The signature is of everything that the link promises.
    let edits: [fn(&mut ShareLink); 3] = [
        |link| link.expires_at = link.expires_at.after(Duration::from_secs(1)),
        |link| link.subject = LinkSubject::Queue(QueueName::parse("mail").unwrap()),
        |link| link.subject = LinkSubject::Job(JobId::from_u128(8)),
    ];
    for edit in edits {
        let mut table = table.clone();
        let mut edited = (*one).clone();
        edit(&mut edited);
        table.put(AccessRecord::Link(Arc::new(edited)));
        assert_eq!(table.live_link(&text, at(5)), None);
    }
    let mut of_another_store = table;
    of_another_store.put(AccessRecord::SigningKey(SigningKey::generate().unwrap()));
    assert_eq!(of_another_store.live_link(&text, at(5)), None);
}
