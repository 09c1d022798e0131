//! What killed workers have done and were told, compared with the log.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::support::Event;

/// What the log says about each job.
#[derive(Default)]
pub struct Attempts {
    /// How often each attempt was started. An attempt that was given back is not charged, so its number is used again.
    pub started: BTreeMap<(String, u16), usize>,
    /// The number of attempts that a worker has ended.
    pub settled: BTreeMap<String, usize>,
    /// The number of the attempt that completed the job.
    pub completed: BTreeMap<String, u16>,
}

impl Attempts {
    pub fn of(log: &[Event]) -> Attempts {
        let mut attempts = Attempts::default();
        for event in log {
            let Some(job) = &event.job else { continue };
            match &*event.kind {
                "job.started" => {
                    *attempts.started.entry((job.id.clone(), job.attempt)).or_default() += 1;
                }
                "job.completed" | "job.retry_scheduled" | "job.interrupted" => {
                    *attempts.settled.entry(job.id.clone()).or_default() += 1;
                    if event.kind == "job.completed" {
                        attempts.completed.insert(job.id.clone(), job.attempt);
                    }
                }
                _ => {}
            }
        }
        attempts
    }
}

/// What the workers have written to their files.
#[derive(Default)]
pub struct Effects {
    /// The job and attempt of each call of a handler, by the mark that is also the result.
    pub begun: BTreeMap<String, (String, u16)>,
    /// How often the server has confirmed to a worker that it has ended the attempt of a job.
    pub confirmed: BTreeMap<String, usize>,
    /// The languages whose workers were told so.
    pub told: BTreeSet<String>,
}

impl Effects {
    pub fn read(files: &Path) -> Effects {
        let mut effects = Effects::default();
        for file in std::fs::read_dir(files).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            let text = std::fs::read_to_string(file.path()).unwrap();
            for line in text.lines() {
                match line.split(' ').collect::<Vec<_>>()[..] {
                    ["began", id, attempt, mark] => {
                        let begun = (id.to_owned(), attempt.parse().unwrap());
                        let double = effects.begun.insert(mark.to_owned(), begun);
                        assert_eq!(double, None, "{line}");
                    }
                    ["confirmed", id] => {
                        *effects.confirmed.entry(id.to_owned()).or_default() += 1;
                        effects.told.insert(name.split('-').next().unwrap().to_owned());
                    }
                    _ => panic!("a strange line: {line}"),
                }
            }
        }
        effects
    }

    pub fn assert_agree(&self, attempts: &Attempts) {
        let mut calls: BTreeMap<&(String, u16), usize> = BTreeMap::new();
        for begun in self.begun.values() {
            *calls.entry(begun).or_default() += 1;
        }
        for (attempt, calls) in calls {
            let started = attempts.started.get(attempt).copied().unwrap_or(0);
            assert!(
                calls <= started,
                "{attempt:?} ran {calls} times and was started {started} times"
            );
        }
        for (id, confirmed) in &self.confirmed {
            let settled = attempts.settled.get(id).copied().unwrap_or(0);
            assert!(
                *confirmed <= settled,
                "{confirmed} ends of {id} were confirmed, and the log has {settled}"
            );
        }
    }
}
