//! Processes of commands that are still running although the server that started them was killed. Their jobs are about
//! to run again, so the next start ends these processes first.
//!
//! Every command has a variable that names the process of its server, and its children inherit it, even those in a
//! session of their own. The first process of a command has an entry in the [register](super::register) besides. A
//! process is ended only if its job and attempt are those of an attempt that was lost, and if the process of its server
//! does not exist any more: another server with a copy of the same data keeps its commands.
//! This needs `/proc`; on systems without it, nothing is found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::job::JobId;

/// The variable that names the process of the server: its id and the time of its start.
const SERVER: &str = "CORTADO_SERVER_PROCESS";
/// How often it is checked whether a process has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How long a killed process may take to end. Only one that waits for a device takes longer.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// A process of the process table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub pid: i32,
    pub group: i32,
    /// In ticks since the system was started. With it, an id that was reused is not taken for the same process.
    pub started: u64,
}

/// A process of a command. If its server does not exist any more, it has outlived it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survivor {
    /// The job.
    pub job: JobId,
    /// The attempt.
    pub attempt: u16,
    pub(super) process: Process,
}

impl Survivor {
    fn key(&self) -> (JobId, u16) {
        (self.job, self.attempt)
    }
}

/// The variable for the environment of a command; `None` where the process table cannot be read.
pub(super) fn mark() -> Option<(&'static str, String)> {
    Process::own().map(|own| (SERVER, format!("{}:{}", own.pid, own.started)))
}

/// The processes whose server does not exist any more.
pub fn find() -> Vec<Survivor> {
    let started = pids().into_iter().filter_map(read_variables);
    let survivors = started.filter(|found| !Process::is_running(found.server.0, found.server.1));
    survivors.map(|found| found.survivor).collect()
}

/// The processes of a running attempt of this server.
pub(super) fn of_attempt(job: JobId, attempt: u16) -> Vec<Survivor> {
    let Some(own) = Process::own() else { return Vec::new() };
    let started = pids().into_iter().filter_map(read_variables);
    let of_this = started.filter(|found| found.server == (own.pid, own.started));
    of_this.map(|found| found.survivor).filter(|it| it.key() == (job, attempt)).collect()
}

/// Ends processes and everything in their groups: SIGTERM first, and SIGKILL after the grace. Returns how many are still
/// running, which cannot be ended.
pub fn end(survivors: &[Survivor], grace: Duration) -> usize {
    let lost: BTreeSet<(JobId, u16)> = survivors.iter().map(Survivor::key).collect();
    let mut all = SignalledProcesses::default();
    for (signal, limit) in [(Signal::SIGTERM, grace), (Signal::SIGKILL, KILL_TIMEOUT)] {
        let begun = Instant::now();
        loop {
            // A process may start others until it has ended.
            let newest = find().into_iter().filter(|it| lost.contains(&it.key()));
            let known = survivors.iter().filter(|survivor| survivor.process.runs());
            let found: Vec<Survivor> = newest.chain(known.cloned()).collect();
            all.signal(&found, None, signal);
            if all.running() == 0 || begun.elapsed() >= limit {
                break;
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }
    all.running()
}

/// Processes that are to end, and which signals they have had.
#[derive(Debug, Clone, Default)]
pub(super) struct SignalledProcesses {
    running: BTreeMap<i32, Process>,
    groups: BTreeSet<i32>,
    signalled: BTreeSet<(i32, i32)>,
}

impl SignalledProcesses {
    /// Adds processes and their groups, and signals all that run and have not had the signal. The group that is spared
    /// is signalled by others.
    pub fn signal(&mut self, found: &[Survivor], spared_group: Option<i32>, signal: Signal) {
        self.add_with_groups(found);
        self.running.retain(|_, process| Some(process.group) != spared_group && process.runs());
        for pid in self.running.keys() {
            if self.signalled.insert((*pid, signal as i32)) {
                // An error means that it has ended, or belongs to another user.
                let _ = kill(Pid::from_raw(*pid), signal);
            }
        }
    }

    /// How many of them ran when they were signalled last.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Adds processes and those in their groups, which may have removed the variable from their environment. The group of
    /// a command has the id of its first process; a group whose leader runs without the variable is another one.
    fn add_with_groups(&mut self, found: &[Survivor]) {
        self.running.extend(found.iter().map(|survivor| (survivor.process.pid, survivor.process)));
        for Survivor { process, .. } in found {
            if self.running.contains_key(&process.group) || Process::read(process.group).is_none() {
                self.groups.insert(process.group);
            }
        }
        let processes = pids().into_iter().filter_map(Process::read);
        let members = processes.filter(|process| self.groups.contains(&process.group));
        self.running.extend(members.map(|process| (process.pid, process)));
    }
}

fn pids() -> Vec<i32> {
    let own = i32::try_from(std::process::id()).ok();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    names.filter(|pid| Some(*pid) != own).collect()
}

/// A process that a command of some server has started.
struct Started {
    /// The process of the server: its id and the time of its start.
    server: (i32, u64),
    survivor: Survivor,
}

/// Reads the variables that a command passes on to its children.
fn read_variables(pid: i32) -> Option<Started> {
    let process = Process::read(pid)?;
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = |name: &str| {
        let mut variables = environment.split(|byte| *byte == 0);
        let value =
            variables.find_map(|it| it.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        std::str::from_utf8(value).ok()
    };
    let (server, started) = value(SERVER)?.split_once(':')?;
    let (server, started): (i32, u64) = (server.parse().ok()?, started.parse().ok()?);
    let (job, attempt) =
        (value("CORTADO_JOB_ID")?.parse().ok()?, value("CORTADO_ATTEMPT")?.parse().ok()?);
    // The ids in the variable are those of the namespace in which the process was started.
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    if namespace(&pid.to_string()) != namespace("self") {
        return None;
    }
    Some(Started { server: (server, started), survivor: Survivor { job, attempt, process } })
}

impl Process {
    /// Reads a process that has not ended.
    pub fn read(pid: i32) -> Option<Process> {
        // `12 (name) S parent group session …`; the name may contain anything.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(") ")?;
        let words: Vec<&str> = rest.split(' ').collect();
        if matches!(*words.first()?, "Z" | "X") {
            return None;
        }
        Some(Process {
            pid,
            group: words.get(2)?.parse().ok()?,
            started: words.get(19)?.parse().ok()?,
        })
    }

    /// This process; `None` where the process table cannot be read.
    pub fn own() -> Option<Process> {
        static OWN: LazyLock<Option<Process>> =
            LazyLock::new(|| Process::read(i32::try_from(std::process::id()).ok()?));
        *OWN
    }

    /// Whether the process with this id and this start runs.
    pub fn is_running(pid: i32, started: u64) -> bool {
        Process::read(pid).is_some_and(|now| now.started == started)
    }

    /// Whether the same process still runs.
    pub fn runs(&self) -> bool {
        Process::is_running(self.pid, self.started)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    /// Starts a shell with the variables of a command of this server process.
    fn start(server: &str, job: JobId) -> Child {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "sleep 1000 & env -i sh -c 'echo; exec sleep 1000' & \
             setsid sh -c 'echo; exec sleep 1000' & wait",
        ]);
        command.env(SERVER, server).env("CORTADO_JOB_ID", job.to_string());
        command.env("CORTADO_ATTEMPT", "3").stdout(std::process::Stdio::piped());
        let mut child =
            std::os::unix::process::CommandExt::process_group(&mut command, 0).spawn().unwrap();
        // Both have the environment and the session by now with which they are to be found.
        let out = std::io::BufReader::new(child.stdout.take().unwrap());
        assert_eq!(std::io::BufRead::lines(out).take(2).count(), 2);
        child
    }

    #[test]
    fn only_processes_whose_server_has_ended_are_survivors_and_their_groups_end_with_them() {
        let (_, own) = mark().unwrap();
        let (pid, started) = own.split_once(':').unwrap();
        let earlier = format!("{pid}:{}", started.parse::<u64>().unwrap() - 1);
        let (kept, lost) = (JobId::generate(), JobId::generate());
        let (mut of_this, mut of_earlier) = (start(&own, kept), start(&earlier, lost));
        let found = find();
        assert!(found.iter().all(|survivor| survivor.job != kept), "{found:?}");
        let lost: Vec<_> = found.into_iter().filter(|survivor| survivor.job == lost).collect();
        assert!(lost.len() >= 2 && lost.iter().all(|survivor| survivor.attempt == 3), "{lost:?}");
        let mut all = SignalledProcesses::default();
        all.add_with_groups(&lost);
        assert_eq!(all.running(), lost.len() + 1, "the one without the variable is in the group");
        assert_eq!(end(&lost, Duration::ZERO), 0);
        assert!(all.running.values().all(|process| !process.runs()));
        assert!(!of_earlier.wait().unwrap().success());

        let group = i32::try_from(of_this.id()).unwrap();
        assert!(Process::read(group).is_some(), "the other one still runs");
        // Everything that this test has started ends with it, also what is in a session of its own.
        for pid in pids() {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let is_kept = String::from_utf8_lossy(&environment).contains(&kept.to_string());
            if is_kept || Process::read(pid).is_some_and(|process| process.group == group) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        of_this.wait().unwrap();
    }
}
