//! Permissions and limits of files: a read-only backup can be verified, exported and restored, and a server whose files
//! may not grow any further refuses jobs instead of crashing.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::Signal;
use nix::unistd::Uid;
use reqwest::Method;
use serde_json::json;

use crate::support::{Command, Dir, Server, within};

/// Runs the binary as an unprivileged user.
async fn run_as_user(binary: &Path, args: &[&str]) -> (Option<i32>, String) {
    let binary = binary.to_str().unwrap();
    let mut command = if Uid::effective().is_root() {
        let mut all = vec!["--reuid=65534", "--regid=65534", "--clear-groups", binary];
        all.extend(args);
        Command::of("setpriv", &all)
    } else {
        Command::of(binary, args)
    };
    let code = command.exit().await.code();
    (code, command.out.so_far().join("\n") + &command.err.so_far().join("\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_can_only_be_read_is_verified_exported_and_restored() {
    let dir = Dir::new();
    let server = Server::start(&dir, &[]).await;
    for _ in 0..5 {
        server.client.post("/api/v1/jobs", Some(&json!({ "kind": "echo" }))).await;
    }
    server.stop().await;
    let place = tempfile::tempdir().unwrap();
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    mode(place.path(), 0o777);
    let binary = place.path().join("cortado");
    fs::copy(env!("CARGO_BIN_EXE_cortado"), &binary).unwrap();
    mode(&binary, 0o755);
    let backup = place.path().join("backup");
    fs::create_dir(&backup).unwrap();
    for entry in fs::read_dir(dir.data()).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            let copy = backup.join(entry.file_name());
            fs::copy(entry.path(), &copy).unwrap();
            mode(&copy, 0o444);
        }
    }
    mode(&backup, 0o555);
    let before = fs::read_dir(&backup).unwrap().count();
    let (from, to) = (backup.to_str().unwrap(), place.path().join("restored"));

    // Neither a directory that cannot be read nor one with a log that cannot be read is empty.
    let locked = place.path().join("locked");
    fs::create_dir(&locked).unwrap();
    let (hidden, other) = (locked.to_str().unwrap(), place.path().join("other"));
    for (of_dir, has_log) in [(0o000, false), (0o000, true), (0o755, true)] {
        mode(&locked, 0o755);
        if has_log {
            fs::write(locked.join("db"), "x").unwrap();
            mode(&locked.join("db"), 0o000);
        }
        mode(&locked, of_dir);
        for args in [
            &["verify", "--data-dir", hidden][..],
            &["export", "--data-dir", hidden],
            &["restore", hidden, "--data-dir", other.to_str().unwrap()],
        ] {
            let (code, said) = run_as_user(&binary, args).await;
            assert_eq!(code, Some(2), "{args:?}: {said}");
            let says = format!("cannot read {hidden}: Permission denied");
            assert!(said.contains(&says), "{args:?} of a directory {of_dir:o}: {said}");
        }
    }

    let (code, said) = run_as_user(&binary, &["verify", "--data-dir", from]).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run_as_user(&binary, &["export", "--data-dir", from]).await;
    assert!(code == Some(0) && said.contains("\"end\""), "{said}");
    let args = ["restore", from, "--data-dir", to.to_str().unwrap()];
    let (code, said) = run_as_user(&binary, &args).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(fs::read_dir(&backup).unwrap().count(), before, "nothing is left in the backup");
    mode(&backup, 0o755);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_may_not_grow_any_further_costs_refusals_and_not_the_process() {
    let dir = Dir::new();
    // The limit is in blocks of 512 bytes: no file may be larger than 5 MiB.
    let process = Server::launch_by_shell("ulimit -f 10240", &dir, &["--grace", "1s"]);
    let Ok(server) = Server::unless_ended(process).await else { panic!("it did not start") };
    let job = json!({ "kind": "echo", "delay_ms": 86_400_000, "payload": incompressible() });
    let refused = async {
        loop {
            let answer = server.client.try_send(Method::POST, "/api/v1/jobs", Some(&job)).await;
            match answer.expect("an answer, not the end of the process").0 {
                202 => {}
                status => break status,
            }
        }
    };
    assert_eq!(within("a refusal", refused).await, 503);
    let mut process = server.process;
    process.signal(Signal::SIGTERM);
    let status = process.exit().await;
    assert!(status.code().is_some(), "ended by a signal: {status}");
}

fn incompressible() -> String {
    let mut random = fastrand::Rng::with_seed(7);
    (0..200_000).map(|_| random.alphanumeric()).collect()
}
