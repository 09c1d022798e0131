//! Checks the index that a server would build against the folded journal and the records in its chunks.

use std::collections::{BTreeMap, BTreeSet};

use super::report::Report;
use crate::job::{JobId, State};
use crate::store::StoreError;
use crate::store::log_store::archive::keys;
use crate::store::log_store::commit::core::Core;
use crate::store::log_store::journal::fold::JournalFold;
use crate::store::log_store::read::records::RecordReader;

pub(super) fn check(
    core: &Core,
    fold: &JournalFold,
    archived: &BTreeSet<JobId>,
    report: &mut Report,
) -> Result<(), StoreError> {
    let shared = &core.shared;
    let mut reader = RecordReader::new(shared);
    let mut keys = BTreeMap::new();
    for (id, entry) in &core.index.entries {
        let name = format!("j {}", entry.trail.first());
        report.count(entry.status.state);
        let Some(folded) = fold.jobs.get(id) else {
            report.problem(&name, format!("job {id} is in the index, but not in the journal"));
            continue;
        };
        if folded.status != entry.status || !folded.trail.iter().eq(entry.trail.iter()) {
            report.problem(&name, format!("the index and the journal disagree on job {id}"));
        }
        if archived.contains(id) {
            report.problem(&name, format!("job {id} is both archived and not"));
        }
        let trail: Vec<u64> = entry.trail.iter().collect();
        let job = match reader.fold(*id, &trail) {
            Ok(Some(job)) => job,
            Ok(None) => {
                report.problem(&name, format!("a chunk of job {id} is missing"));
                continue;
            }
            Err(error) => {
                report.problem(&name, error.to_string());
                continue;
            }
        };
        let key = entry.key.as_deref();
        let finished = job.finished_at().map(|at| (job.seq, at));
        if job.seq != folded.seq
            || job.status != entry.status
            || job.labels != entry.labels
            || job.run_at != entry.run_at
            || job.spec.priority != entry.priority
            || job.spec.idempotency_key.as_ref() != key
            || finished != entry.finished
        {
            report.problem(&name, format!("the record of job {id} and the index disagree"));
        }
        if let Some(key) = key {
            if let Some(other) = keys.insert(key.clone(), *id) {
                report.problem(&name, format!("jobs {id} and {other} have the same key"));
            }
            if shared.log.get(&keys::row(key))?.is_some() {
                report.problem(&name, format!("the key of job {id} is an archived job's too"));
            }
            if core.index.keys.get(key) != Some(id) {
                report.problem(&name, format!("the index does not know the key of job {id}"));
            }
        }
    }
    for (id, folded) in &fold.jobs {
        if !core.index.entries.contains_key(id) {
            let name = format!("j {}", folded.trail.first());
            report.problem(&name, format!("job {id} is in the journal, but not in the index"));
        }
    }
    check_counters(core, report);
    Ok(())
}

/// Checks the counters that a server would show against the numbers of this report.
fn check_counters(core: &Core, report: &mut Report) {
    for state in State::ALL {
        let (shown, counted) = (core.index.in_state(state), report.jobs[&state]);
        if shown != counted {
            report.problem(
                "",
                format!("the counter shows {shown} {state} jobs, but there are {counted}"),
            );
        }
    }
    let head = core.shared.head().seq;
    if head != report.head {
        report.problem("", format!("the log ends at {}, the server says {head}", report.head));
    }
}
