//! Power cuts at the file operations of starts, `verify`, backups and restores. The test records the operations of the
//! real binary (`record.c`), replays them on a disk that loses what was not synced (`disk.rs`), and opens what a cut
//! may leave. Nothing that was acknowledged before the cut may be missing, and nothing unfinished may look finished.
//!
//! `CORTADO_POWER_CUTS=500` makes more cuts, `CORTADO_POWER_SEED` repeats the choices of a run.

mod disk;
mod full;
mod killed;
mod unreadable;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cortado::internal::clock::SystemClock;
use cortado::internal::store::data_dir::{self, read_all_pieces, verify};
use cortado::internal::store::{Piece, Store, StoreError, StoreLimits};
use fastrand::Rng;
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use self::disk::{Disk, Operation, Survival};
use crate::support::{Command, Server, within};

/// Runs `cortado` with recorded file operations, in a directory of its own.
struct Recorder {
    dir: TempDir,
    library: PathBuf,
}

impl Recorder {
    fn new() -> Recorder {
        let dir = tempfile::tempdir().unwrap();
        let library = dir.path().join("record.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/powercut/record.c");
        let compiled = std::process::Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(source)
            .args(["-ldl", "-lpthread"])
            .status()
            .expect("a C compiler, `cc`");
        assert!(compiled.success());
        std::fs::create_dir(dir.path().join("base")).unwrap();
        Recorder { dir, library }
    }

    /// The directory whose file operations are recorded.
    fn base(&self) -> PathBuf {
        self.dir.path().join("base").canonicalize().unwrap()
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("recording")
    }

    /// The current length of the recording.
    fn length(&self) -> usize {
        std::fs::metadata(self.log()).map_or(0, |log| usize::try_from(log.len()).unwrap())
    }

    /// Runs `cortado` with recorded operations and perhaps a fault of the disk: a variable of `record.c` and its value.
    fn run(&self, args: &[&str], fault: Option<(&str, String)>) -> Command {
        let quoted = |path: &Path| format!("'{}'", path.to_str().unwrap());
        let mut script = format!(
            "export CORTADO_RECORD_BELOW={} CORTADO_RECORD_LOG={} LD_PRELOAD={};",
            quoted(&self.base()),
            quoted(&self.log()),
            quoted(&self.library),
        );
        if let Some((variable, value)) = fault {
            script.push_str(&format!("export {variable}='{value}';"));
        }
        script.push_str("exec \"$0\" \"$@\"");
        let mut all = vec!["-c", &script, env!("CARGO_BIN_EXE_cortado")];
        all.extend(args);
        Command::of("sh", &all)
    }

    fn serve(&self, data: &str, fault: Option<(&str, String)>) -> Command {
        let data = self.base().join(data);
        let data = data.to_str().unwrap();
        self.run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data, "--log", "warn"], fault)
    }
}

/// A fact that was known outside the process at some offset of the recording.
enum Fact {
    /// A job was acknowledged.
    Acknowledged(String),
    /// A command reported success.
    Done(&'static str),
}

/// A recording, and the facts known at each offset of it.
struct Recording {
    recorder: Recorder,
    facts: Vec<(usize, Fact)>,
    /// The offset at which each part of the scenario begins.
    parts: Vec<(usize, &'static str)>,
}

const DATA: &str = "new/deep/data";
const BACKUP: &str = "backups/monday";
const RESTORED: &str = "restored";

impl Recording {
    fn part(&mut self, name: &'static str) {
        self.parts.push((self.recorder.length(), name));
    }

    /// The part of the scenario to which an offset belongs.
    fn part_at(&self, place: usize) -> &'static str {
        self.parts.iter().rev().find(|(begin, _)| *begin < place).map_or("", |(_, name)| name)
    }

    async fn submit(&mut self, server: &Server, count: usize) {
        for _ in 0..count {
            let job = json!({ "kind": "echo", "payload": "x".repeat(300), "delay_ms": 86_400_000 });
            let answer = server.client.post("/api/v1/jobs", Some(&job)).await;
            let id = answer["id"].as_str().unwrap().to_owned();
            self.facts.push((self.recorder.length(), Fact::Acknowledged(id)));
        }
    }

    /// Runs a command that must succeed.
    async fn command(&mut self, name: &'static str, args: &[&str]) {
        self.part(name);
        let mut command = self.recorder.run(args, None);
        let status = command.exit().await;
        assert!(status.success(), "{name}: {}", command.err.so_far().join("\n"));
        self.facts.push((self.recorder.length(), Fact::Done(name)));
    }

    async fn server(&mut self, part: &'static str, data: &str) -> Server {
        self.part(part);
        match Server::unless_ended(self.recorder.serve(data, None)).await {
            Ok(server) => server,
            Err(process) => panic!("{}", process.err.so_far().join("\n")),
        }
    }

    async fn new() -> Recording {
        let mut this =
            Recording { recorder: Recorder::new(), facts: Vec::new(), parts: Vec::new() };
        let path = |name: &str| this.recorder.base().join(name).to_str().unwrap().to_owned();
        let (data, backup, restored) = (path(DATA), path(BACKUP), path(RESTORED));

        let server = this.server("first start", DATA).await;
        this.submit(&server, 6).await;
        server.stop().await;
        let server = this.server("start", DATA).await;
        this.submit(&server, 3).await;
        server.kill().await;
        let server = this.server("start after a crash", DATA).await;
        this.submit(&server, 3).await;
        server.stop().await;
        this.command("verify", &["verify", "--data-dir", &data]).await;
        let server = this.server("start", DATA).await;
        this.submit(&server, 2).await;
        let address = format!("http://{}", server.address);
        this.command("backup", &["backup", &backup, "--server", &address]).await;
        this.submit(&server, 2).await;
        server.stop().await;
        this.command("restore", &["restore", &backup, "--data-dir", &restored]).await;
        let server = this.server("start of the restored", RESTORED).await;
        server.stop().await;
        this.part("end");
        this
    }

    fn known_at(&self, place: usize) -> Known {
        let mut known = Known::default();
        for (_, fact) in self.facts.iter().filter(|(at, _)| *at <= place) {
            match fact {
                Fact::Acknowledged(id) => drop(known.jobs.insert(id.clone())),
                Fact::Done("backup") => known.has_backup = true,
                Fact::Done("restore") => known.is_restored = true,
                Fact::Done(_) => {}
            }
        }
        let backed_up =
            self.facts.iter().take_while(|(_, fact)| !matches!(fact, Fact::Done("backup")));
        known.backed_up = backed_up
            .filter_map(|(_, fact)| match fact {
                Fact::Acknowledged(id) => Some(id.clone()),
                Fact::Done(_) => None,
            })
            .collect();
        known
    }
}

/// What must survive a cut.
#[derive(Default)]
struct Known {
    jobs: BTreeSet<String>,
    has_backup: bool,
    is_restored: bool,
    /// The jobs of the backup, once it exists.
    backed_up: BTreeSet<String>,
}

impl Known {
    /// Opens the directories that a cut has left, and checks them.
    async fn check(&self, image: &Path) {
        let data = image.join(DATA);
        if !self.jobs.is_empty() {
            let report = verify(&data);
            assert!(report.is_sound(), "before a start: {report}");
        }
        let found = start(&data).await.unwrap_or_else(|error| panic!("the start fails: {error}"));
        assert!(found.is_superset(&self.jobs), "acknowledged jobs are lost: {found:?}");
        let report = verify(&data);
        assert!(report.is_sound(), "after a start: {report}");

        self.check_copy(&image.join(BACKUP), self.has_backup).await;
        self.check_copy(&image.join(RESTORED), self.is_restored).await;
    }

    /// Asserts that a backup or a restored directory is complete, or refused, or empty.
    async fn check_copy(&self, dir: &Path, is_done: bool) {
        let is_empty = std::fs::read_dir(dir).map_or(true, |mut names| names.next().is_none());
        if is_empty {
            assert!(!is_done, "{} is gone", dir.display());
            return;
        }
        let mut ids = BTreeSet::new();
        let read = read_all_pieces::<StoreError>(dir, |piece| {
            if let Piece::Job(job) = piece {
                ids.insert(job.id.to_string());
            }
            Ok(())
        });
        match (read, start(dir).await) {
            (Ok(()), Ok(found)) => {
                assert_eq!(ids, self.backed_up, "an incomplete copy is accepted as complete");
                assert!(found.is_superset(&ids));
                assert!(verify(dir).is_sound());
            }
            (Err(_), Err(error)) => {
                assert!(!is_done, "a finished copy is refused: {error}");
                assert!(error.to_string().contains("unfinished"), "{error}");
            }
            (read, started) => {
                panic!("read: {:?}, started: {:?}", read.err(), started.err());
            }
        }
    }
}

/// Opens a data directory as a server does, and returns the ids of its jobs.
async fn start(dir: &Path) -> Result<BTreeSet<String>, StoreError> {
    let path = dir.to_owned();
    let open = move || data_dir::open(&path, StoreLimits::default(), Arc::new(SystemClock));
    let store = tokio::task::spawn_blocking(open).await.unwrap()?;
    let mut ids = BTreeSet::new();
    let mut snapshot = store.snapshot().await?;
    loop {
        let pieces = snapshot.next().await?;
        if pieces.is_empty() {
            break;
        }
        for piece in pieces {
            if let Piece::Job(job) = piece {
                ids.insert(job.id.to_string());
            }
        }
    }
    store.close().await?;
    Ok(ids)
}

/// Chooses the operations at which to cut: half of them at changes of names and syncs, the others anywhere.
fn choose(operations: &[(usize, Operation)], count: usize, random: &mut Rng) -> BTreeSet<usize> {
    let critical: Vec<usize> =
        (0..operations.len()).filter(|n| operations[*n].1.is_critical()).collect();
    let mut places = BTreeSet::new();
    while places.len() < count.min(operations.len() / 2) {
        let place = match random.bool() {
            true => critical[random.usize(0..critical.len())] + random.usize(0..2),
            false => random.usize(0..operations.len()),
        };
        places.insert(place.min(operations.len() - 1));
    }
    places
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_at_any_file_operation_loses_nothing_and_completes_nothing() {
    let cuts = usize::try_from(number("CORTADO_POWER_CUTS", 90)).unwrap();
    let seed = number("CORTADO_POWER_SEED", fastrand::u64(..));
    println!("CORTADO_POWER_SEED={seed}"); // shown when the test fails
    let mut random = Rng::with_seed(seed);
    let recording = Recording::new().await;
    let bytes = std::fs::read(recording.recorder.log()).unwrap();
    let operations = disk::parse(&bytes);
    let base = recording.recorder.base();
    let inode = std::fs::metadata(&base).unwrap().ino();
    let pairs: Vec<_> = Survival::pairs().collect();

    let mut done: BTreeMap<&str, usize> = BTreeMap::new();
    // In the second pass, another process calls `sync` from time to time.
    for syncs in [false, true] {
        let places = choose(&operations, cuts / 2, &mut random);
        let mut disk = Disk::new(&bytes, &base, inode);
        for (n, (place, operation)) in operations.iter().enumerate() {
            if places.contains(&n) {
                let before = n.checked_sub(1).map_or(0, |before| operations[before].0);
                let image = tempfile::tempdir().unwrap();
                let survival = pairs[random.usize(0..pairs.len())];
                disk.image(image.path(), &mut random, survival);
                let part = recording.part_at(*place);
                println!("cut before {operation:?} in {part:?}, survival {survival:?}");
                let checked = recording.known_at(before);
                within("the check of an image", checked.check(image.path())).await;
                *done.entry(part).or_default() += 1;
            }
            disk.replay(operation);
            if syncs && random.u8(0..60) == 0 {
                disk.sync_all();
            }
        }
    }
    println!("{} operations, cuts in {done:?}", operations.len());
    for part in ["first start", "start", "verify", "backup", "restore", "start of the restored"] {
        assert!(done.contains_key(part) || cuts < 60, "no cut in {part}");
    }
}
