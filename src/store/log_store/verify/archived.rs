//! The archive: run headers agree with their chunks, jobs with the log, key rows with jobs.
//! Each run is read once; only ids are remembered.

use std::collections::{BTreeMap, BTreeSet};

use super::report::{Report, key_name};
use crate::job::{Job, JobId, State, Time};
use crate::store::StoreError;
use crate::store::log::Log;
use crate::store::log_store::archive::keys;
use crate::store::log_store::archive::runs::Run;
use crate::store::log_store::commit::meta::Meta;
use crate::store::log_store::journal::fold::Fold;

/// Answers with the ids that are archived.
pub(super) fn check(
    log: &dyn Log,
    meta: &Meta,
    fold: &Fold,
    report: &mut Report,
) -> Result<BTreeSet<JobId>, StoreError> {
    let mut chunks: BTreeMap<u64, usize> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut keyed = 0;
    for row in log.scan(b"r") {
        let (key, value) = row?;
        let name = key_name(&key);
        report.runs += 1;
        let Some(run) = header(&name, &key, &value, meta, report) else { continue };
        chunks.insert(run.no, run.chunks.len());
        match run.jobs(log) {
            Ok(jobs) => {
                check_run(&name, &run, &jobs, report);
                for job in &jobs {
                    check_job(&name, job, meta, fold, report);
                    if !seen.insert(job.id) {
                        report.problem(&name, format!("job {} is archived twice", job.id));
                    }
                    keyed += check_key(&name, log, job, report)?;
                }
            }
            Err(error) => report.problem(&name, error.to_string()),
        }
    }
    for row in log.scan(b"t") {
        let (key, value) = row?;
        let name = key_name(&key);
        if let Some(run) = header(&name, &key, &value, meta, report) {
            chunks.insert(run.no, run.chunks.len());
        }
    }
    for row in log.scan(b"a") {
        let (key, _) = row?;
        let (Some(no), Some(n)) = (number(&key, 1..9), number(&key, 9..13)) else { continue };
        if chunks.get(&no).is_none_or(|count| n >= *count as u64) {
            report.problem(&key_name(&key), "belongs to no run");
        }
    }
    if keyed != report.keys {
        let rows = report.keys;
        report.problem("k", format!("{rows} rows for {keyed} archived jobs with a key"));
    }
    Ok(seen)
}

fn number(key: &[u8], range: std::ops::Range<usize>) -> Option<u64> {
    Some(key.get(range)?.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)))
}

fn header(name: &str, key: &[u8], value: &[u8], meta: &Meta, report: &mut Report) -> Option<Run> {
    let run = match Run::decode(value) {
        Ok(run) => run,
        Err(why) => {
            report.problem(name, why);
            return None;
        }
    };
    if number(key, 1..9) != Some(run.no) {
        report.problem(name, format!("the header says that it is run {}", run.no));
    }
    if run.no >= meta.next_run {
        report.problem(name, format!("the next run is to be {}", meta.next_run));
    }
    Some(run)
}

/// The header's ids, counts and times against the jobs.
fn check_run(name: &str, run: &Run, jobs: &[Job], report: &mut Report) {
    if !jobs.is_sorted_by(|a, b| a.id < b.id) {
        report.problem(name, "the jobs are not in the order of their ids");
    }
    if run.chunks.iter().any(|chunk| chunk.first > chunk.last)
        || !run.chunks.is_sorted_by(|a, b| a.last < b.first)
    {
        report.problem(name, "the ranges of ids overlap");
    }
    let within = |id: JobId| run.chunks.iter().any(|c| c.first <= id && id <= c.last);
    let ends = |id: JobId| jobs.iter().any(|job| job.id == id);
    if jobs.iter().any(|job| !within(job.id))
        || run.chunks.iter().any(|chunk| !ends(chunk.first) || !ends(chunk.last))
    {
        report.problem(name, "the ranges of ids are not those of the jobs");
    }
    let mut counts = BTreeMap::new();
    let mut finished: BTreeMap<State, (Time, Time)> = BTreeMap::new();
    for job in jobs {
        let state = job.status.state;
        let group = (job.labels.queue.clone(), job.labels.kind.clone(), state);
        *counts.entry(group).or_insert(0u64) += 1;
        let at = job.finished_at().unwrap_or_default();
        let times = finished.entry(state).or_insert((at, at));
        *times = (times.0.min(at), times.1.max(at));
    }
    let stated = run.counts.iter().map(|(q, k, s, n)| ((q.clone(), k.clone(), *s), *n));
    if stated.collect::<BTreeMap<_, _>>() != counts {
        report.problem(name, "the counts are not those of the jobs");
    }
    if run.finished != finished {
        report.problem(name, "the times are not those of the jobs");
    }
    if run.first_seq != jobs.iter().map(|job| job.seq).min().unwrap_or_default() {
        report.problem(name, format!("does not begin with event {}", run.first_seq));
    }
    let keyed = jobs.iter().filter(|job| job.spec.idempotency_key.is_some()).count() as u64;
    if run.keyed != keyed {
        report.problem(name, format!("{} jobs with keys, not {keyed}", run.keyed));
    }
}

fn check_job(name: &str, job: &Job, meta: &Meta, fold: &Fold, report: &mut Report) {
    let (id, state) = (job.id, job.status.state);
    report.archived += 1;
    report.count(state);
    if !state.is_final() || job.finished_at().is_none() {
        report.problem(name, format!("job {id} is archived while {state}"));
    }
    if job.seq > meta.archived {
        let (seq, archived) = (job.seq, meta.archived);
        report.problem(name, format!("job {id} finished at event {seq}, past {archived}"));
    }
    if let Some(known) = fold.jobs.get(&id)
        && (known.seq != job.seq || known.status != job.status || known.labels != job.labels)
    {
        report.problem(
            name,
            format!(
                "job {id} is archived as {state} at event {}, but the log makes it {} at {}",
                job.seq, known.status.state, known.seq
            ),
        );
    }
}

/// The row of an archived job's key. Answers with the number of keys, none or one.
fn check_key(name: &str, log: &dyn Log, job: &Job, report: &mut Report) -> Result<u64, StoreError> {
    let Some(key) = &job.spec.idempotency_key else { return Ok(0) };
    match keys::owner(log, key)? {
        Some(id) if id == job.id => {}
        Some(other) => {
            report.problem(name, format!("the key of job {} is said to be {other}'s", job.id));
        }
        None => report.problem(name, format!("the key of job {} has no row", job.id)),
    }
    Ok(1)
}
