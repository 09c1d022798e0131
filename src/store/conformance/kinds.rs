//! Declared kinds: commands, their events, and durability.

use std::sync::Arc;

use super::{Harness, Rig, draft, queue, secs};
use crate::job::{
    Actor, Backoff, DeclaredKind, Fact, Json, Kind, KindChange, KindDefaults, KindOrigin, KindSpec,
    Schema, State,
};
use crate::store::{KindCommand, KindError, StoreLimits};

pub(crate) fn kind(name: &str) -> Kind {
    Kind::parse(name).unwrap()
}

/// A declaration in which nothing is left out.
pub(crate) fn spec(about: &str) -> KindSpec {
    KindSpec {
        about: Some(about.into()),
        example: Some(Json::parse(r#"{"width": 1.0}"#).unwrap()),
        schema: Some(Schema::parse(r#"{"type": "object", "required": ["width"]}"#).unwrap()),
        defaults: KindDefaults {
            queue: Some(queue("media")),
            max_attempts: Some(3),
            backoff: Some(Backoff { base_ms: 20, cap_ms: 70 }),
            timeout_ms: Some(5_000),
        },
    }
}

impl<H: Harness> Rig<H> {
    pub(crate) async fn kind(&self, command: KindCommand) -> Result<(), KindError> {
        self.store.kind(command, None).await
    }

    async fn set_kind(&self, name: &str, spec: KindSpec) {
        self.kind(KindCommand::Set(kind(name), spec.into())).await.unwrap();
    }

    fn kinds(&self) -> Vec<Arc<DeclaredKind>> {
        self.store.kinds().borrow().iter().cloned().collect()
    }

    /// The changes of kinds in the log.
    async fn kind_changes(&self) -> Vec<(Option<Actor>, String, KindChange)> {
        let change = |event: crate::job::Event| match event.fact {
            Fact::Kind { kind, change } => Some((event.by, kind.to_string(), change)),
            Fact::Job { .. }
            | Fact::Queue { .. }
            | Fact::Schedule { .. }
            | Fact::Access { .. }
            | Fact::Worker { .. } => None,
        };
        self.log().await.into_iter().filter_map(change).collect()
    }
}

pub(crate) async fn a_declared_kind_is_kept_as_it_was_asked_for(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    rig.set_kind("resize", spec("Resizes.")).await;
    rig.set_kind("bill", KindSpec::default()).await;
    let set_at = rig.now();
    let expected =
        [("bill", KindSpec::default()), ("resize", spec("Resizes."))].map(|(name, spec)| {
            DeclaredKind { name: kind(name), spec, origin: KindOrigin::Api, set_at }.into()
        });
    assert_eq!(rig.kinds(), expected);
    let rig = rig.reopen().await.crash().await;
    assert_eq!(rig.kinds(), expected);
    rig.pass(secs(5));
    // A shorter declaration leaves nothing of the longer one behind.
    rig.set_kind("resize", KindSpec::default()).await;
    let rig = rig.crash().await;
    let resize = rig.kinds().pop().unwrap();
    assert_eq!((&resize.spec, resize.set_at), (&KindSpec::default(), rig.now()));
    rig.kind(KindCommand::Delete(kind("resize"))).await.unwrap();
    assert_eq!(rig.kind(KindCommand::Delete(kind("resize"))).await, Err(KindError::NotFound));
    let rig = rig.crash().await;
    assert_eq!(rig.kinds(), expected[..1]);
}

pub(crate) async fn a_change_of_kinds_is_an_event_with_its_actor(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let by: Option<Actor> = "token:worker".parse().ok();
    let announce = || KindCommand::Announce(vec![kind("b"), kind("a"), kind("b")]);
    rig.store.kind(announce(), by.clone()).await.unwrap();
    rig.store.kind(announce(), by.clone()).await.unwrap();
    rig.set_kind("a", spec("A.")).await;
    rig.set_kind("a", spec("A.")).await;
    rig.store.kind(announce(), by.clone()).await.unwrap();
    rig.store.kind(KindCommand::Delete(kind("b")), by.clone()).await.unwrap();
    let expected = [
        (by.clone(), "a".to_owned(), KindChange::Announced),
        (by.clone(), "b".to_owned(), KindChange::Announced),
        (None, "a".to_owned(), KindChange::Set),
        (by, "b".to_owned(), KindChange::Deleted),
    ];
    rig.until_durable(4).await;
    assert_eq!(rig.kind_changes().await, expected, "what changes nothing is no event");
    let rig = rig.crash().await;
    assert_eq!(rig.kind_changes().await, expected);
    let [a] = rig.kinds().try_into().unwrap();
    assert_eq!((a.origin, &a.spec), (KindOrigin::Api, &spec("A.")));
}

pub(crate) async fn an_announced_kind_declares_nothing_else(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    rig.kind(KindCommand::Announce(vec![kind("resize")])).await.unwrap();
    let rig = rig.crash().await;
    let [resize] = rig.kinds().try_into().unwrap();
    assert_eq!((resize.origin, &resize.spec), (KindOrigin::Worker, &KindSpec::default()));
    // Declaring the same about it makes it one of the API, which no worker changes any more.
    rig.set_kind("resize", KindSpec::default()).await;
    rig.kind(KindCommand::Announce(vec![kind("resize")])).await.unwrap();
    assert_eq!(rig.kinds()[0].origin, KindOrigin::Api);
}

pub(crate) async fn one_declared_kind_too_many_is_refused(harness: impl Harness) {
    let limits = StoreLimits { max_kinds: 2, ..StoreLimits::default() };
    let rig = Rig::open_with(harness, limits).await;
    let too_many = Err(KindError::TooMany { limit: 2 });
    rig.set_kind("a", spec("A.")).await;
    let three = KindCommand::Announce(vec![kind("a"), kind("b"), kind("c")]);
    assert_eq!(rig.kind(three).await, too_many, "all or none");
    rig.kind(KindCommand::Announce(vec![kind("a"), kind("b")])).await.unwrap();
    let set = KindCommand::Set(kind("c"), Box::default());
    assert_eq!(rig.kind(set.clone()).await, too_many);
    rig.set_kind("b", spec("B.")).await;
    rig.kind(KindCommand::Delete(kind("a"))).await.unwrap();
    rig.kind(set).await.unwrap();
    let names: Vec<String> = rig.kinds().iter().map(|kind| kind.name.to_string()).collect();
    assert_eq!(names, ["b", "c"]);
}

pub(crate) async fn jobs_of_a_deleted_kind_stay_and_wait(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    rig.set_kind("echo", spec("Gives back.")).await;
    let waiting = rig.add(draft()).await;
    rig.kind(KindCommand::Delete(kind("echo"))).await.unwrap();
    assert_eq!(rig.job(waiting.id).await.status.state, State::Available);
}

pub(crate) async fn a_reader_has_the_kinds_when_the_command_is_answered(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let mut watched = rig.store.kinds();
    watched.mark_unchanged();
    rig.set_kind("resize", spec("Resizes.")).await;
    assert!(watched.has_changed().unwrap());
    assert!(watched.borrow_and_update().get(&kind("resize")).is_some());
    rig.kind(KindCommand::Delete(kind("resize"))).await.unwrap();
    assert!(watched.borrow_and_update().get(&kind("resize")).is_none());
}
