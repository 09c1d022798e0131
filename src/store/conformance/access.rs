//! Users, tokens, sessions and share links.

use std::sync::Arc;

use super::{Harness, Outage, Rig, draft, secs};
use crate::access::tests::{add_user, new_session, new_token, password, user};
use crate::access::{
    AccessApplied, AccessCommand, AccessLimits, AccessRecord, AccessRefusal, AccessTable, NewLink,
    Role, SessionOwner, SharedPayload, parse_token,
};
use crate::job::{Actor, JobId, Kind, LinkId, LinkSubject, QueueName, TokenId};
use crate::store::{AccessError, MemoryStore, StoreLimits};

impl<H: Harness> Rig<H> {
    async fn access(&self, command: AccessCommand) -> Result<AccessApplied, AccessRefusal> {
        let by = Some(Actor::User(user("anna")));
        match self.store.access(command, by).await {
            Ok(applied) => Ok(applied),
            Err(AccessError::Refused(refused)) => Err(refused),
            Err(AccessError::Store(error)) => panic!("{error}"),
        }
    }

    fn table(&self) -> Arc<AccessTable> {
        self.store.access_table().borrow().clone()
    }

    /// Adds an admin, a viewer with a session, two tokens and two links. Returns the id of the second token and the id of
    /// the second link.
    async fn add_some(&self) -> (TokenId, LinkId) {
        self.access(add_user("anna", Role::Admin)).await.unwrap();
        self.access(add_user("bob", Role::Viewer)).await.unwrap();
        let credential = Some(password(1).fingerprint());
        let session = new_session(SessionOwner::User(user("bob")), credential);
        self.access(AccessCommand::OpenSession(session)).await.unwrap();
        self.access(AccessCommand::AddToken(new_token("ci", Role::Submitter).0)).await.unwrap();
        let (mut token, _) = new_token("worker", Role::Worker);
        token.queues = Some(vec![QueueName::parse("mail").unwrap()]);
        token.kinds = Some(vec![Kind::parse("echo").unwrap()]);
        token.expires_at = Some(self.now().after(secs(600)));
        let token_id = token.id.clone();
        self.access(AccessCommand::AddToken(token)).await.unwrap();
        let mut link_id = None;
        for subject in
            [LinkSubject::Job(JobId::from_u128(7)), LinkSubject::Queue(QueueName::default())]
        {
            let mut link = NewLink::generate(subject, self.now().after(secs(600))).unwrap();
            if link_id.is_some() {
                link.payload = SharedPayload::Hidden;
            }
            link_id = Some(link.id.clone());
            self.access(AccessCommand::AddLink(link)).await.unwrap();
        }
        (token_id, link_id.unwrap())
    }
}

/// A record of each sort, with every sort of owner.
pub(crate) fn one_of_each() -> Vec<AccessRecord> {
    let store = MemoryStore::new(StoreLimits::default(), Arc::new(super::clock()));
    let run = async {
        let rig: Rig<crate::store::memory::tests::MemoryHarness> =
            Rig { harness: Harness::new(super::clock()), store };
        rig.add_some().await;
        let (revoked, _) = new_token("revoked", Role::Viewer);
        let id = revoked.id.clone();
        rig.access(AccessCommand::AddToken(revoked)).await.unwrap();
        rig.access(AccessCommand::RevokeToken(id)).await.unwrap();
        let token = rig.table().tokens()[0].clone();
        let who = SessionOwner::Token { id: token.id.clone(), name: token.name.clone() };
        let external =
            SessionOwner::External { name: user("carl@example.com"), role: Role::Viewer };
        for (who, credential) in
            [(who, Some(token.secret)), (external, None), (SessionOwner::Environment, None)]
        {
            let session = new_session(who, credential);
            rig.access(AccessCommand::OpenSession(session)).await.unwrap();
        }
        rig.table().records().collect()
    };
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run)
}

pub(crate) async fn users_tokens_sessions_and_links_survive_a_restart(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    rig.add_some().await;
    let before = rig.table();
    assert_eq!((before.users().count(), before.tokens().len(), before.links().count()), (2, 2, 2));
    assert_eq!(before.sessions().len(), 1);
    let rig = rig.reopen().await;
    assert_eq!(rig.table(), before);
    let rig = rig.crash().await;
    assert_eq!(rig.table(), before);
}

pub(crate) async fn what_was_revoked_stays_revoked_after_a_crash(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let (token, link) = rig.add_some().await;
    let secret = rig.table().token(&token).unwrap().secret;
    rig.access(AccessCommand::RevokeToken(token.clone())).await.unwrap();
    rig.access(AccessCommand::RevokeLink(link.clone())).await.unwrap();
    let disabled = AccessCommand::DisableUser(user("bob"));
    rig.access(disabled).await.unwrap();
    let before = rig.table();
    let rig = rig.crash().await;
    let table = rig.table();
    assert_eq!(table, before);
    assert!(table.token(&token).is_none() && table.link(&link).is_none());
    assert_eq!(table.ended_token(&secret, rig.now()), Some(&token), "it is no guess");
    assert!(table.user(&user("bob")).unwrap().disabled && table.sessions().is_empty());
    let rig = rig.reopen().await;
    assert_eq!(rig.table(), before);
}

pub(crate) async fn a_reader_has_the_table_when_the_command_is_answered(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let mut watched = rig.store.access_table();
    watched.mark_unchanged();
    let (new, text) = new_token("ci", Role::Viewer);
    let id = new.id.clone();
    rig.access(AccessCommand::AddToken(new)).await.unwrap();
    assert!(watched.has_changed().unwrap());
    let hash = parse_token(text.expose()).unwrap();
    let find = |table: &AccessTable| table.live_token(&hash, rig.now()).map(|it| it.id.clone());
    assert_eq!(find(&watched.borrow_and_update()), Some(id.clone()));
    rig.access(AccessCommand::RevokeToken(id)).await.unwrap();
    assert!(watched.has_changed().unwrap());
    assert_eq!(find(&watched.borrow_and_update()), None);
}

pub(crate) async fn a_refused_command_changes_no_table(harness: impl Harness) {
    let access = AccessLimits { max_users: 2, ..AccessLimits::default() };
    let rig = Rig::open_with(harness, StoreLimits { access, ..StoreLimits::default() }).await;
    rig.add_some().await;
    let (before, head) = (rig.table(), rig.store.head());
    for (refused, why) in [
        (add_user("carl", Role::Viewer), AccessRefusal::TooMany { what: "user", limit: 2 }),
        (add_user("bob", Role::Viewer), AccessRefusal::Exists { what: "user" }),
        (AccessCommand::DeleteUser(user("anna")), AccessRefusal::LastAdmin),
        (AccessCommand::DeleteUser(user("zoe")), AccessRefusal::NotFound { what: "user" }),
    ] {
        assert_eq!(rig.access(refused).await, Err(why));
    }
    assert_eq!((rig.table(), rig.store.head()), (before.clone(), head));
    assert_eq!(rig.crash().await.table(), before);
}

pub(crate) async fn one_of_many_with_the_same_name_is_added(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let adding = (0..8).map(|_| {
        let store = rig.store.clone();
        tokio::spawn(async move {
            store.access(AccessCommand::AddToken(new_token("ci", Role::Viewer).0), None).await
        })
    });
    let mut added = 0;
    for adding in adding.collect::<Vec<_>>() {
        match adding.await.unwrap() {
            Ok(_) => added += 1,
            Err(error) => {
                assert_eq!(error, AccessError::Refused(AccessRefusal::Exists { what: "token" }));
            }
        }
    }
    assert_eq!((added, rig.table().tokens().len()), (1, 1));
}

pub(crate) async fn a_use_is_remembered_and_is_no_event(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let (token, _) = rig.add_some().await;
    let head = rig.store.head();
    rig.pass(secs(60));
    let (session, now) = (rig.table().sessions()[0].id.clone(), rig.now());
    let touch = AccessCommand::Touch {
        tokens: vec![(token.clone(), now)],
        sessions: vec![(session.clone(), now)],
    };
    assert_eq!(rig.access(touch).await, Ok(AccessApplied::Touched));
    assert_eq!(rig.store.head(), head);
    let rig = rig.crash().await;
    let table = rig.table();
    assert_eq!(table.token(&token).unwrap().last_used_at, Some(now));
    assert_eq!(table.session(&session).unwrap().last_used_at, now);
}

pub(crate) async fn a_store_has_one_signing_key_for_ever(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let key = rig.table().signing_key().cloned().expect("an open store has a key");
    let rig = rig.reopen().await.crash().await;
    assert_eq!(rig.table().signing_key(), Some(&key));
}

pub(crate) async fn jobs_and_users_change_side_by_side(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let adding = (0..20).map(|n| {
        let store = rig.store.clone();
        tokio::spawn(async move {
            store.enqueue(vec![draft().job()]).await.map(drop).map_err(Outage::outage)?;
            let token = new_token(&format!("token-{n}"), Role::Viewer).0;
            let added = store.access(AccessCommand::AddToken(token), None).await;
            added.map(drop).map_err(Outage::outage)
        })
    });
    for adding in adding.collect::<Vec<_>>() {
        adding.await.unwrap().unwrap();
    }
    let rig = rig.crash().await;
    assert_eq!((rig.jobs().await.len(), rig.table().tokens().len()), (20, 20));
}
