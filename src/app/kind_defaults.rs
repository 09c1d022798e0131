//! The options of a typed kind as the defaults of the kind, as `[kinds.NAME]` in the configuration sets them.

use std::sync::Arc;

use crate::client::JobOptions;
use crate::config::Config;
use crate::engine::{BackoffFields, KindSubmission};
use crate::job::{Kind, KindDefaults};

/// Declares the options of a kind as its defaults, for forms and for programs that submit jobs of it. What the configuration
/// says about the kind stays as it is. Priority, delay and tags are no defaults of a kind: whoever submits a job sends them.
///
/// # Errors
/// An option is not valid.
pub(super) fn declare(config: &mut Config, kind: &Kind, options: JobOptions) -> anyhow::Result<()> {
    let JobOptions { queue, max_attempts, backoff, timeout, priority: _, delay: _, tags: _ } =
        options;
    let millis = crate::http::view::millis;
    let submission = KindSubmission {
        queue,
        max_attempts: max_attempts.map(u64::from),
        backoff: backoff.map(|(base, cap)| BackoffFields {
            base_ms: Some(millis(base)),
            cap_ms: Some(millis(cap)),
        }),
        timeout_ms: timeout.map(millis),
        ..KindSubmission::default()
    };
    let spec = submission.into_spec(kind, config.engine.json).map_err(|wrong| {
        let wrong = wrong.iter().map(|one| format!("{}: {}", one.field, one.message));
        anyhow::anyhow!("the options of kind {kind}: {}", wrong.collect::<Vec<_>>().join("; "))
    })?;
    let KindDefaults { queue, max_attempts, backoff, timeout_ms } = spec.defaults;
    let configured = Arc::make_mut(&mut config.engine.kinds).entry(kind.clone()).or_default();
    let known = &mut configured.defaults;
    known.queue = known.queue.take().or(queue);
    known.max_attempts = known.max_attempts.or(max_attempts);
    known.backoff = known.backoff.or(backoff);
    known.timeout_ms = known.timeout_ms.or(timeout_ms);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{FileConfig, ServeArgs};

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_configuration_wins_where_it_says_something() {
        let file =
            FileConfig::parse("[kinds.resize]\nqueue = 'pictures'\nmax_attempts = 2").unwrap();
        let mut config = Config::build(file, &ServeArgs::default()).unwrap();
        let options = JobOptions::new().queue("images").max_attempts(5).timeout(seconds(30));
        let options = options.backoff(seconds(1), seconds(60)).priority(3).tag("media");
        let kinds = ["resize", "shrink"].map(|kind| Kind::parse(kind).unwrap());
        for kind in &kinds {
            declare(&mut config, kind, options.clone()).unwrap();
        }
        let found = kinds.map(|kind| {
            let defaults = &config.engine.kinds[&kind].defaults;
            let backoff = defaults.backoff.unwrap();
            assert_eq!((backoff.base_ms, backoff.cap_ms), (1_000, 60_000));
            let queue = defaults.queue.as_ref().unwrap().to_string();
            (queue, defaults.max_attempts.unwrap(), defaults.timeout_ms)
        });
        let filed = ("pictures".to_owned(), 2, Some(30_000));
        assert_eq!(found, [filed, ("images".to_owned(), 5, Some(30_000))]);
    }

    #[test]
    fn an_invalid_option_is_named() {
        let mut config = Config::build(FileConfig::default(), &ServeArgs::default()).unwrap();
        let kind = Kind::parse("resize").unwrap();
        let options = JobOptions::new().queue("a b").timeout(Duration::ZERO);
        let error = declare(&mut config, &kind, options).unwrap_err().to_string();
        assert!(error.contains("kind resize: ") && error.contains("queue: "), "{error}");
        assert!(error.contains("timeout_ms: "), "{error}");
        assert!(config.engine.kinds.is_empty());
    }
}
