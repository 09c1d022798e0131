//! The limit of the disk: a bare file, appended to and synced.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use super::figures::{Latencies, rate};

/// About the size of one job of the runs: a payload of 100 bytes, an id, a few fields.
pub const JOB_BYTES: usize = 150;

/// Appends `jobs` times [`JOB_BYTES`] in groups, and syncs each. Returns jobs per second and the durations
/// of the syncs.
pub fn append(dir: &Path, jobs: usize, group: usize) -> std::io::Result<(f64, Latencies)> {
    let path = dir.join("baseline");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    let bytes = vec![0x5a; JOB_BYTES * group];
    let mut syncs = Latencies::default();
    let begun = Instant::now();
    for _ in 0..jobs.div_ceil(group) {
        file.write_all(&bytes)?;
        let sync = Instant::now();
        file.sync_data()?;
        syncs.add(sync.elapsed());
    }
    let rate = rate(jobs, begun.elapsed());
    std::fs::remove_file(&path)?;
    Ok((rate, syncs))
}
