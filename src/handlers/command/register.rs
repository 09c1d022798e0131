//! A file for each running command, beside the store, so that the next start finds the first process of a command even
//! if it has removed the variables from its environment. Only the end of the server matters here, and the kernel keeps
//! what a process has written when that process is killed, so nothing is synced; after a power cut no command runs.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::survivors::{Process, Survivor};
use crate::job::JobId;

/// The name of the directory in the data directory.
pub const DIR: &str = "commands";

/// The entry of one command, which is removed when this is dropped.
#[derive(Debug)]
pub(super) struct RegisterEntry(Option<PathBuf>);

impl RegisterEntry {
    /// Writes the entry of a command that was just started. Without a directory, or when it cannot be written, there is
    /// none; the variables in the environment remain.
    pub fn write(dir: Option<&Path>, pid: Option<u32>, job: JobId, attempt: u16) -> RegisterEntry {
        let write = || {
            let process = Process::read(i32::try_from(pid?).ok()?)?;
            let server = Process::own()?;
            let path = dir?.join(process.pid.to_string());
            let line = [
                boot()?,
                format!("{} {}", server.pid, server.started),
                format!("{} {} {job} {attempt}\n", process.pid, process.started),
            ];
            let mut options = OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&path).ok()?;
            file.write_all(line.join(" ").as_bytes()).ok()?;
            Some(path)
        };
        RegisterEntry(write())
    }
}

impl Drop for RegisterEntry {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // If it stays, the next start finds that its process has ended.
            let _ = fs::remove_file(path);
        }
    }
}

/// Creates the directory, and returns the processes of the entries that a killed server has left in it. The entries are
/// removed by [`clear`].
pub fn open(dir: &Path) -> std::io::Result<Vec<Survivor>> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        created => return created.map(|()| Vec::new()),
    }
    let paths = fs::read_dir(dir)?.collect::<std::io::Result<Vec<_>>>()?;
    let texts = paths.iter().filter_map(|entry| fs::read_to_string(entry.path()).ok());
    Ok(texts.filter_map(|text| survivor(&text)).collect())
}

/// Removes all entries, which are those of earlier processes.
pub fn clear(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        // If it stays, the next start finds that its process has ended.
        let _ = fs::remove_file(entry.path());
    }
}

fn survivor(text: &str) -> Option<Survivor> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [boot_id, server, server_started, pid, started, job, attempt] = words[..] else {
        return None;
    };
    let server = (server.parse().ok()?, server_started.parse().ok()?);
    if boot()? != boot_id || Process::is_running(server.0, server.1) {
        return None;
    }
    let process = Process::read(pid.parse().ok()?)?;
    let is_same = Some(process.started) == started.parse().ok();
    is_same.then_some(Survivor { job: job.parse().ok()?, attempt: attempt.parse().ok()?, process })
}

/// The id of this run of the system: ids of processes and times of their starts mean nothing in another one.
fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_that_is_still_the_same_and_has_lost_its_server_is_found() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join(DIR);
        assert!(open(&dir).unwrap().is_empty());
        let job = JobId::generate();
        let entry = RegisterEntry::write(Some(&dir), Some(child.id()), job, 2);
        let path = dir.join(child.id().to_string());
        let text = fs::read_to_string(&path).unwrap();
        assert!(open(&dir).unwrap().is_empty(), "its server is this process");

        let words: Vec<&str> = text.split_whitespace().collect();
        let changed = |at: usize, word: &str| {
            let mut words = words.clone();
            words[2] = "1"; // the server has ended
            words[at] = word;
            fs::write(&path, words.join(" ")).unwrap();
            open(&dir).unwrap()
        };
        let [found] = &changed(2, "1")[..] else { panic!("the lost process") };
        assert_eq!((found.job, found.attempt), (job, 2));
        assert!(changed(0, "another-boot").is_empty());
        assert!(changed(4, "1").is_empty(), "the id belongs to another process by now");
        assert!(changed(3, "no-number").is_empty());
        drop(entry);
        assert!(!path.exists());
        fs::write(&path, "").unwrap();
        clear(&dir);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
