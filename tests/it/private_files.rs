//! Every file that the product creates belongs to its user alone, whatever the umask, and wider permissions of an
//! existing directory are reported.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::support::{Command, Dir, Server, eventually};

/// Runs `cortado` from a shell with this umask.
fn run(umask: &str, args: &[&str]) -> Command {
    let script = format!("umask {umask}; exec \"$0\" \"$@\"");
    let mut all = vec!["-c", &script, env!("CARGO_BIN_EXE_cortado")];
    all.extend(args);
    Command::of("sh", &all)
}

async fn succeeds(umask: &str, args: &[&str]) -> Vec<String> {
    let mut command = run(umask, args);
    let status = command.exit().await;
    assert!(status.success(), "{args:?}: {}", command.err.so_far().join("\n"));
    command.out.so_far()
}

/// Asserts the permissions of a path and of everything below it. Returns the number of paths.
fn all_private(path: &Path) -> usize {
    let metadata = fs::symlink_metadata(path).unwrap();
    let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
    assert_eq!(metadata.permissions().mode() & 0o777, expected, "{}", path.display());
    if !metadata.is_dir() {
        return 1;
    }
    fs::read_dir(path).unwrap().map(|entry| all_private(&entry.unwrap().path())).sum::<usize>() + 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_file_of_a_session_is_private_whatever_the_umask() {
    for umask in ["000", "022", "077"] {
        let dir = Dir::new();
        let path = |name: &str| dir.data().with_file_name(name).to_str().unwrap().to_owned();
        // The parents of the directories do not exist, either.
        let (data, backup) = (path("state/data"), path("backups/monday"));
        let (restored, imported) = (path("restored"), path("imported"));
        let serve = |data: &str| {
            run(umask, &["serve", "--listen", "127.0.0.1:0", "--data-dir", data, "--log", "warn"])
        };
        let server = Server::unless_ended(serve(&data)).await.ok().expect("a server");
        for n in 0..5 {
            server.client.submit(&json!({ "kind": "echo", "payload": n })).await;
        }
        let address = format!("http://{}", server.address);
        succeeds(umask, &["backup", &backup, "--server", &address]).await;
        assert!(all_private(Path::new(&path("state"))) > 4, "while it runs");
        server.stop().await;
        succeeds(umask, &["verify", "--data-dir", &data]).await;
        let lines = succeeds(umask, &["export", "--data-dir", &data]).await;
        let file = path("export.jsonl");
        fs::write(&file, lines.join("\n") + "\n").unwrap();
        succeeds(umask, &["restore", &backup, "--data-dir", &restored]).await;
        succeeds(umask, &["import", &file, "--data-dir", &imported]).await;
        // A second start after a crash creates snapshots and the head file anew.
        for signal in [Signal::SIGKILL, Signal::SIGTERM] {
            let mut server = Server::unless_ended(serve(&data)).await.ok().expect("a server");
            server.client.submit(&json!({ "kind": "echo" })).await;
            assert!(all_private(Path::new(&path("state"))) > 4, "while it runs");
            server.process.signal(signal);
            server.process.exit().await;
            let said = server.process.err.so_far().join("\n");
            assert!(!said.contains("has access to"), "{said}");
        }
        for created in ["state", "backups", "restored", "imported"] {
            let count = all_private(Path::new(&path(created)));
            assert!(count > 3, "{created} has {count} files");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_in_which_an_import_runs_is_private_and_in_use() {
    let dir = Dir::new();
    let path = |name: &str| dir.data().with_file_name(name).to_str().unwrap().to_owned();
    let server = Server::start(&dir, &[]).await;
    server.client.submit(&json!({ "kind": "echo" })).await;
    server.stop().await;
    let lines = succeeds("022", &["export", "--data-dir", dir.data().to_str().unwrap()]).await;
    let (pipe, new) = (path("pipe"), path("new"));
    nix::unistd::mkfifo(pipe.as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut import = run("000", &["import", &pipe, "--data-dir", &new]);
    let options = tokio::net::unix::pipe::OpenOptions::new();
    let reader = || async { options.open_sender(&pipe).ok() };
    let mut writer = eventually("a reader of the pipe", reader).await;
    let (last, first) = lines.split_last().unwrap();
    writer.write_all((first.join("\n") + "\n").as_bytes()).await.unwrap();
    let log = Path::new(&new).join("incomplete/db");
    eventually("the first file", || async { log.exists().then_some(()) }).await;
    for args in [["verify", "--data-dir", &new], ["export", "--data-dir", &new]] {
        let mut command = run("022", &args);
        assert_eq!(command.exit().await.code(), Some(2), "{args:?}");
        let said = [command.out.so_far(), command.err.so_far()].concat().join("\n");
        assert!(said.contains("in use by another process"), "{args:?}: {said}");
        assert!(!said.contains("unfinished") && !said.contains("chmod"), "{args:?}: {said}");
    }
    assert!(all_private(Path::new(&new)) > 3, "while it runs");
    writer.write_all((last.clone() + "\n").as_bytes()).await.unwrap();
    drop(writer);
    assert!(import.exit().await.success(), "{:?}", import.err.so_far());
    assert!(all_private(Path::new(&new)) > 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wider_permissions_of_an_existing_directory_are_reported_once_and_by_verify() {
    let dir = Dir::new();
    let data = dir.data();
    fs::create_dir(&data).unwrap();
    let allow = dir.config("store.group_access = 'allow'");
    for (mode, config, is_reported) in [
        (0o700, None, false),
        (0o755, None, true),
        (0o755, Some(&allow), true),
        (0o750, None, true),
        (0o750, Some(&allow), false),
    ] {
        fs::set_permissions(&data, Permissions::from_mode(mode)).unwrap();
        let mut args = vec!["--log", "warn"];
        args.extend(config.into_iter().flat_map(|path| ["--config", path]));
        let said = Server::start(&dir, &args).await.stop().await;
        let reports = said.iter().filter(|line| line.contains("has access to"));
        assert_eq!(reports.count(), usize::from(is_reported), "{mode:o} {config:?}: {said:#?}");
        let found = fs::metadata(&data).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "the directory keeps the permissions that its owner chose");
    }
    let verify = succeeds("022", &["verify", "--data-dir", data.to_str().unwrap()]).await;
    let warnings: Vec<_> =
        verify.iter().filter(|line| line.contains("its group has access")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("chmod 700"), "{verify:#?}");
    assert_eq!(verify.last().unwrap(), "sound", "it says nothing about the store");
}
