//! The demo on an engine: every state and every kind within ten seconds, and what remains without the demo.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::clock::SystemClock;
use crate::engine::{Engine, EngineConfig, QueueConfig, Registry};
use crate::job::{Fact, Kind, QueueName, State};
use crate::shutdown::Shutdown;
use crate::store::{StoreLimits, memory::MemoryStore};

fn engine() -> Engine {
    let mut registry = Registry::default();
    register(&mut registry).unwrap();
    let queues = QUEUES.map(|(name, concurrency)| {
        (
            QueueName::parse(name).unwrap(),
            QueueConfig { concurrency, limit: Some(concurrency), weight: 1, rate_limit: None },
        )
    });
    let config = EngineConfig { queues: queues.into(), ..EngineConfig::default() };
    let store = MemoryStore::new(StoreLimits::default(), Arc::new(SystemClock));
    Engine::start(store, registry, config, Shutdown::default())
}

#[test]
fn every_kind_has_a_sentence_and_a_valid_example() {
    let mut registry = Registry::default();
    register(&mut registry).unwrap();
    let names: Vec<_> = registry.kinds().iter().map(|info| info.kind.to_string()).collect();
    let expected =
        ["charge-card", "nightly-report", "resize-image", "send-receipt", "sync-inventory"];
    assert_eq!(names, expected);
    for info in registry.kinds() {
        assert!(info.about.starts_with("Demo: ") && info.about.ends_with('.'), "{}", info.about);
        let schema = info.schema.as_ref().unwrap();
        assert!(schema.unknown_keywords().is_empty(), "{:?}", schema.unknown_keywords());
        assert_eq!(schema.check(&info.example), [], "{}", info.kind);
    }
}

#[test]
fn all_jobs_and_schedules_are_tagged_and_their_payloads_valid() {
    let mut registry = Registry::default();
    register(&mut registry).unwrap();
    let mut cancelled = 0;
    for number in 0..200 {
        for planned in orders::step(number).unwrap() {
            let (labels, spec) = (&planned.job.labels, &planned.job.spec);
            assert_eq!(labels.tags[0].as_str(), "demo");
            let wrong = registry.violations(&labels.kind, &spec.payload);
            assert_eq!(wrong, Some(Vec::new()), "{}", spec.payload.as_str());
            let early = number < feed::FIRST_STEPS;
            cancelled += usize::from(early && planned.fate == orders::Fate::Cancelled);
        }
    }
    assert_eq!(cancelled, 1);
    for (name, schedule) in schedules(Time::from_millis(1_780_000_000_000)) {
        let wrong = registry.violations(&schedule.labels.kind, &schedule.spec.payload);
        assert_eq!(wrong, Some(Vec::new()), "{name}");
    }
}

#[tokio::test]
async fn a_newcomer_sees_every_state_an_outage_a_recovery_and_a_backlog_within_ten_seconds() {
    let engine = engine();
    let mut live = engine.live();
    let feeding = tokio::spawn(feed(engine.clone()));
    let mut states = BTreeSet::from(State::ALL);
    let mut kinds: BTreeSet<Kind> =
        ["charge-card", "nightly-report", "resize-image", "send-receipt"]
            .map(|name| Kind::parse(name).unwrap())
            .into();
    let mut failed = BTreeSet::new();
    let (mut backlog, mut recovered, mut outage) = (0, false, false);
    let look = async {
        while !(states.is_empty() && kinds.is_empty() && backlog > 10 && recovered && outage) {
            for event in live.recv().await.unwrap().events.iter() {
                let Fact::Job { id, state, labels, .. } = &event.fact else { continue };
                states.remove(state);
                match state {
                    State::Retryable => {
                        failed.insert(*id);
                        outage |= labels.kind.as_str() == "charge-card";
                    }
                    State::Completed => {
                        kinds.remove(&labels.kind);
                        recovered |= failed.contains(id);
                    }
                    State::Scheduled
                    | State::Available
                    | State::Running
                    | State::Cancelled
                    | State::Discarded => {}
                }
            }
            backlog = backlog.max(feed::imported(&engine.stats().await.unwrap()));
        }
    };
    let all_seen = timeout(Duration::from_secs(10), look).await;
    assert!(
        all_seen.is_ok(),
        "not seen: {states:?} {kinds:?}; {backlog} waited; recovered {recovered}, outage {outage}"
    );

    engine.shutdown().draining.cancel();
    timeout(Duration::from_secs(5), feeding).await.unwrap().unwrap();
}
