//! The newest runs of a schedule as a strip: one mark for each run, whose form and colour say what became of its job.

use crate::engine::{Engine, KEPT_RUNS, ScheduleRun};
use crate::job::{Cursor, Schedule, State, Time};
use crate::ui::layout::error::UiError;
use crate::ui::parts::time_format::{TimeText, length};

/// What became of a run whose job somebody has deleted.
const DELETED: &str = "deleted";

/// The newest runs, oldest first.
pub struct RunStrip {
    /// The marks.
    pub marks: Vec<RunMark>,
}

/// A run.
pub struct RunMark {
    /// The id of its job; `None` when the job was deleted, so that there is no page of it.
    pub job: Option<String>,
    /// The state of its job, or that it was deleted.
    pub outcome: &'static str,
    /// When it was submitted.
    pub at: TimeText,
    /// What its tooltip says before that time.
    pub about: String,
}

impl RunStrip {
    /// The strip of these runs.
    pub fn of(runs: &[ScheduleRun], now: Time) -> RunStrip {
        RunStrip { marks: runs.iter().map(|run| RunMark::of(run, now)).collect() }
    }

    /// How many runs there are of each outcome, the most frequent ones first. It is the legend, too.
    pub fn outcomes(&self) -> Vec<(&'static str, usize)> {
        let mut counts: Vec<(&'static str, usize)> = Vec::new();
        for mark in self.marks.iter().rev() {
            match counts.iter_mut().find(|(outcome, _)| *outcome == mark.outcome) {
                Some((_, count)) => *count += 1,
                None => counts.push((mark.outcome, 1)),
            }
        }
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }

    /// What the strip is called.
    pub fn label(&self) -> String {
        match self.marks.len() {
            1 => "The last run".to_owned(),
            count => format!("The last {count} runs, oldest first"),
        }
    }
}

impl RunMark {
    fn of(run: &ScheduleRun, now: Time) -> RunMark {
        let outcome = run.state.map_or(DELETED, State::as_str);
        let took = run.took().map(|took| format!(", took {}", length(took))).unwrap_or_default();
        let asked = if run.due.is_none() { ", requested by hand" } else { "" };
        RunMark {
            job: run.state.map(|_| run.job.to_string()),
            outcome,
            at: TimeText::new(run.at, now),
            about: format!("{outcome}{took}{asked}: "),
        }
    }
}

/// The runs of these schedules, oldest first, each with the last one that its schedule knows of, and the position in the log
/// from which a page of them follows the events.
///
/// # Errors
/// When the store cannot be read.
pub async fn runs_of(
    engine: &Engine,
    schedules: &[&Schedule],
    read_at: Cursor,
) -> Result<(Vec<Vec<ScheduleRun>>, Cursor), UiError> {
    let names: Vec<_> = schedules.iter().map(|schedule| &schedule.name).collect();
    let (mut runs, counted) = engine.schedule_runs(&names);
    for (schedule, runs) in schedules.iter().zip(&mut runs) {
        // A run of this moment may not have been counted yet, or be older than the events that were.
        let Some(last) = schedule.last else { continue };
        if runs.iter().any(|run| run.job == last.job) {
            continue;
        }
        let job = engine.job(last.job).await?.0;
        let state = job.as_ref().map(|job| job.status.state);
        let ended_at = job.as_ref().and_then(|job| job.finished_at());
        let (due, at) = (last.due, last.at);
        runs.push(ScheduleRun { job: last.job, due, at, state, started_at: None, ended_at });
        let surplus = runs.len().saturating_sub(KEPT_RUNS);
        runs.drain(..surplus);
    }
    Ok((runs, Cursor { seq: counted.seq.min(read_at.seq), ..read_at }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::job::JobId;

    fn run(state: Option<State>, took_ms: u64) -> ScheduleRun {
        let at = Time::from_millis(1_000_000);
        ScheduleRun {
            job: JobId::from_u128(7),
            due: Some(at),
            at,
            state,
            started_at: Some(at),
            ended_at: Some(at.after(Duration::from_millis(took_ms))),
        }
    }

    #[test]
    fn a_mark_says_what_became_of_the_run_and_how_long_it_took() {
        let by_hand = ScheduleRun { due: None, ..run(Some(State::Discarded), 2_400) };
        let runs = [run(Some(State::Completed), 12), by_hand, run(None, 0)];
        let strip = RunStrip::of(&runs, Time::from_millis(2_000_000));
        let about: Vec<&str> = strip.marks.iter().map(|mark| mark.about.as_str()).collect();
        let hand = "discarded, took 2.4 s, requested by hand: ";
        assert_eq!(about, ["completed, took 12 ms: ", hand, "deleted, took 0 ms: "]);
        assert!(strip.marks[1].job.is_some() && strip.marks[2].job.is_none());
    }

    #[test]
    fn the_legend_counts_each_outcome() {
        let (good, bad) = (run(Some(State::Completed), 1), run(Some(State::Discarded), 1));
        let strip = RunStrip::of(&[good, good, bad], Time::default());
        assert_eq!(strip.outcomes(), [("completed", 2), ("discarded", 1)]);
    }
}
