//! Warns about schedules that are not due: the machine does not know their time zone, or their pattern matches no time or
//! cannot be parsed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::job::{Schedule, ScheduleName, ScheduleProblem};
use crate::store::Store;

/// How often all schedules are examined.
const INTERVAL: Duration = Duration::from_secs(60);

/// The schedules about which the log has a warning.
#[derive(Debug, Default)]
pub(super) struct ScheduleWarnings {
    reported: BTreeMap<ScheduleName, ScheduleProblem>,
    next: Option<Instant>,
}

/// What has changed since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    problems: Vec<(ScheduleName, ScheduleProblem)>,
    known_again: Vec<ScheduleName>,
}

impl ScheduleWarnings {
    /// Examines all schedules, at most once in [`INTERVAL`], and logs what has changed.
    pub(super) async fn check(&mut self, store: &dyn Store) {
        let now = Instant::now();
        if self.next.is_some_and(|next| now < next) {
            return;
        }
        // If the store cannot answer now, the next tick asks it again.
        let Ok((schedules, _)) = store.schedules().await else { return };
        self.next = Some(now + INTERVAL);
        let Changes { problems, known_again } = self.update(&schedules);
        for (schedule, problem) in problems {
            warn!(%schedule, "{problem}");
        }
        for schedule in known_again {
            info!(%schedule, "the time zone is known again, and the schedule runs");
        }
    }

    fn update(&mut self, schedules: &[Schedule]) -> Changes {
        let mut changes = Changes::default();
        let mut stored = BTreeSet::new();
        for schedule in schedules {
            stored.insert(&schedule.name);
            let problem = schedule.problem();
            let before = match &problem {
                Some(problem) => self.reported.insert(schedule.name.clone(), problem.clone()),
                None => self.reported.remove(&schedule.name),
            };
            match (before, problem) {
                (before, Some(problem)) if before.as_ref() != Some(&problem) => {
                    changes.problems.push((schedule.name.clone(), problem));
                }
                (Some(ScheduleProblem::UnknownZone(_)), None) => {
                    changes.known_again.push(schedule.name.clone());
                }
                // The others end only when the schedule is set.
                (_, Some(_)) | (_, None) => {}
            }
        }
        self.reported.retain(|name, _| stored.contains(name));
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Kinds, ScheduleSubmission};
    use crate::job::{Origin, Time};

    fn schedule(name: &str, zone: &str) -> Schedule {
        with_pattern(name, "@daily", zone)
    }

    fn with_pattern(name: &str, pattern: &str, zone: &str) -> Schedule {
        let (cron, kind) = ("@daily".to_owned(), "echo".to_owned());
        let submission = ScheduleSubmission { cron, kind, ..ScheduleSubmission::default() };
        let mut spec =
            submission.into_spec(Origin::Api, &Kinds::default(), Time::default()).unwrap();
        let cron = serde_json::json!({ "pattern": pattern, "zone": zone });
        spec.cron = serde_json::from_value(cron).unwrap();
        Schedule::new(ScheduleName::parse(name).unwrap(), spec, Time::default())
    }

    #[test]
    fn a_time_zone_that_becomes_unknown_is_reported_once_and_again_when_it_is_known() {
        let mut warnings = ScheduleWarnings::default();
        let name = |text: &str| ScheduleName::parse(text).unwrap();
        let good = schedule("good", "UTC");
        let changes = warnings.update(&[schedule("bad", "Mars/Olympus"), good.clone()]);
        assert_eq!(changes.problems.len(), 1);
        assert_eq!(changes.problems[0].0, name("bad"));
        assert!(changes.problems[0].1.to_string().contains("Mars/Olympus"));
        let same = warnings.update(&[schedule("bad", "Mars/Olympus"), good.clone()]);
        assert_eq!(same, Changes::default());
        let changes = warnings.update(&[schedule("bad", "UTC"), good.clone()]);
        assert_eq!(changes.known_again, [name("bad")]);
        warnings.update(&[schedule("bad", "Mars/Olympus")]);
        warnings.update(&[]);
        let changes = warnings.update(&[schedule("bad", "Mars/Olympus")]);
        assert_eq!(changes.problems.len(), 1, "a new schedule of the same name");
    }

    #[test]
    fn each_reason_for_which_a_schedule_is_not_due_is_reported_once_and_when_it_changes() {
        let mut warnings = ScheduleWarnings::default();
        // The pattern and the zone of one schedule over time, and what is reported.
        for (pattern, zone, reported) in [
            ("@daily", "UTC", None),
            ("0 0 30 2 *", "UTC", Some(("never_due", "matches no time in the next 40 years"))),
            ("0 0 30 2 *", "UTC", None),
            ("61 * * * *", "UTC", Some(("invalid_pattern", "\"61\" is not a valid minute"))),
            ("61 * * * *", "UTC", None),
            ("62 * * * *", "UTC", Some(("invalid_pattern", "\"62\" is not a valid minute"))),
            ("every 0s", "UTC", Some(("invalid_pattern", "is not a valid interval"))),
            ("0 0 30 2 *", "Mars/Olympus", Some(("unknown_zone", "Mars/Olympus"))),
            ("0 0 30 2 *", "UTC", Some(("never_due", "matches no time"))),
            // The schedule was set, which needs no line.
            ("@daily", "UTC", None),
            (", * * * *", "UTC", Some(("never_due", "matches no time"))),
            ("1,,2 * * * *", "UTC", None),
        ] {
            let changes = warnings.update(&[with_pattern("s", pattern, zone)]);
            let found =
                changes.problems.first().map(|(_, problem)| (problem.code(), problem.to_string()));
            match (&found, reported) {
                (Some((code, text)), Some((expected, says))) => {
                    assert!(*code == expected && text.contains(says), "{pattern}: {found:?}");
                }
                (None, None) => {}
                (_, _) => panic!("{pattern} {zone}: {found:?} instead of {reported:?}"),
            }
            assert_eq!(changes.known_again, [], "{pattern}");
        }
    }
}
