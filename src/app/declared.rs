//! What the configuration and the program declare: kinds and schedules.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};

use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::demo;
use crate::engine::{ConfiguredKinds, Kinds, Registry};
use crate::job::{KindSpec, Origin, ScheduleName, ScheduleSpec};

/// The declared schedules with the defaults of their kinds. Once the store is open, those of the kinds that were declared at
/// run time are among them, as for every other schedule.
pub(super) fn specs_of(
    config: &Config,
    kinds: &Kinds,
) -> anyhow::Result<Vec<(ScheduleName, ScheduleSpec)>> {
    let now = SystemClock.now();
    let mut specs = Vec::new();
    for (name, schedule) in config.schedules.expose() {
        let spec = schedule.clone().into_spec(Origin::Config, kinds, now);
        let spec = spec.map_err(|wrong| {
            let wrong = wrong.iter().map(|one| format!("{}: {}", one.field, one.message));
            anyhow::anyhow!("schedule {name}: {}", wrong.collect::<Vec<_>>().join("; "))
        });
        specs.push((name.clone(), spec?));
    }
    if config.demo {
        specs.extend(demo::schedules(now));
    }
    Ok(specs)
}

/// Checks that the configuration only sets the defaults of kinds that have a handler, which decides everything else.
pub(super) fn check_kinds(configured: &ConfiguredKinds, registry: &Registry) -> anyhow::Result<()> {
    for (kind, KindSpec { about, example, schema, defaults: _ }) in configured {
        if registry.knows(kind) && (about.is_some() || example.is_some() || schema.is_some()) {
            bail!(
                "kinds.{kind}: this program has a handler for the kind, so only queue, max_attempts, \
                 backoff and timeout can be set"
            );
        }
    }
    Ok(())
}

/// What happens to a schedule of an unknown kind. Before the store is open, those are unknown that it declares.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum UnknownKind {
    Later,
    Refused,
}

/// Checks the declared schedules, because the engine does not check them again.
pub(super) fn check_schedules(
    config: &Config,
    kinds: &Kinds,
    unknown: UnknownKind,
) -> anyhow::Result<()> {
    let (declared, most) = (&config.engine.schedules, config.limits.max_schedules);
    if declared.len() > most {
        bail!("{} schedules are declared, but store.max_schedules is {most}", declared.len());
    }
    let mut names = BTreeSet::new();
    for (name, schedule) in declared {
        if !names.insert(name) {
            bail!("schedule {name} is declared twice");
        }
        let (kind, payload) = (&schedule.labels.kind, &schedule.spec.payload);
        if unknown == UnknownKind::Later && !kinds.knows(kind) {
            continue;
        }
        let checked = config.engine.check_payload(payload);
        checked
            .and_then(|()| kinds.check(kind, payload))
            .with_context(|| format!("schedule {name} cannot be declared"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::app::{Cortado, DeclaredSchedule, Server};
    use crate::config::{Config, FileConfig, ServeArgs};
    use crate::engine::KindSubmission;
    use crate::job::{JobQuery, Kind, State};

    const FILE: &str = "[schedules.filed]\ncron = '@yearly'\nkind = 'resize'\n";

    async fn start(dir: &Path, file: &str) -> Server {
        let file: FileConfig = toml::from_str(file).unwrap();
        let config = Config::build(file, &ServeArgs::default()).unwrap();
        let server = Cortado::builder().config(config).listen(([127, 0, 0, 1], 0));
        let server = server.data_dir(dir);
        let server = if dir.join("db").exists() {
            let schedule = DeclaredSchedule::cron("@yearly").kind("resize", &()).max_attempts(3);
            server.schedule("built", schedule)
        } else {
            server
        };
        server.start().await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn declared_schedules_have_the_defaults_of_kinds_that_were_declared_at_run_time() {
        let dir = tempfile::tempdir().unwrap();
        let server = start(dir.path(), "").await;
        let kind = Kind::parse("resize").unwrap();
        let text = r#"{"queue": "media", "max_attempts": 7, "timeout_ms": 900}"#;
        let spec = KindSubmission::parse(&kind, text, Default::default()).unwrap();
        server.engine().set_kind(kind, spec).await.unwrap();
        server.stop().await;
        let server = start(dir.path(), FILE).await;
        let (stored, _) = server.engine().schedules().await.unwrap();
        let found: Vec<_> = stored
            .iter()
            .map(|schedule| {
                let (labels, spec) = (&schedule.spec.labels, &schedule.spec.spec);
                let attempts = spec.retry.max_attempts;
                (schedule.name.as_str(), labels.queue.as_str(), attempts, spec.timeout_ms)
            })
            .collect();
        let expected = [("built", "media", 3, Some(900)), ("filed", "media", 7, Some(900))];
        assert_eq!(found, expected);
        server.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn without_the_demo_its_kinds_are_gone_and_its_jobs_wait_for_a_worker() {
        let dir = tempfile::tempdir().unwrap();
        let server = start(dir.path(), "demo = true\nstop = { grace = '1ms' }").await;
        let engine = server.engine();
        let kind = Kind::parse("nightly-report").unwrap();
        assert!(engine.kinds().has_handler(&kind));
        assert_eq!(engine.schedules().await.unwrap().0.len(), 3);
        let query = JobQuery { kinds: vec![kind.clone()], limit: 1, ..JobQuery::default() };
        let mut live = engine.live();
        while engine.jobs(query.clone()).await.unwrap().jobs.is_empty() {
            live.recv().await.unwrap();
        }
        server.stop().await;

        let file = "[schedules.own]\ncron = '@yearly'\nkind = 'echo'\n";
        let file: FileConfig = toml::from_str(file).unwrap();
        let config = Config::build(file, &ServeArgs::default()).unwrap();
        let server = Cortado::builder().config(config).listen(([127, 0, 0, 1], 0));
        let server = server.data_dir(dir.path()).start().await.unwrap();
        let engine = server.engine();
        assert!(!engine.kinds().knows(&kind));
        let (schedules, _) = engine.schedules().await.unwrap();
        assert_eq!(schedules.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["own"]);
        let query = JobQuery { states: vec![State::Available], ..query };
        let jobs = engine.jobs(query).await.unwrap().jobs;
        let reason = engine.wait_reason(&jobs[0]).await.unwrap().unwrap();
        assert_eq!(reason.to_string(), "No worker for kind nightly-report is connected.");
        server.stop().await;
    }

    #[tokio::test]
    async fn the_first_request_of_a_start_sees_the_declared_schedules() {
        let schedule = DeclaredSchedule::cron("@yearly").kind("echo", &());
        let server = Cortado::builder().listen(([127, 0, 0, 1], 0)).in_memory();
        let server = server.schedule("yearly", schedule).start().await.unwrap();
        assert_eq!(server.engine().schedules().await.unwrap().0.len(), 1);
        server.stop().await;
    }
}
