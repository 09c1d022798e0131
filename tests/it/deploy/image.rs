//! The image without an image engine: its root file system is built from the last stage of the Dockerfile, and its entry
//! point runs in it as an engine runs it: as process 1, as its user, without capabilities, on a read-only root, with a
//! volume and a network of its own.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::dockerfile::LastStage;
use crate::orphans::children_of;
use crate::support::{Command, eventually, within};

/// The token of the server, as `docker run --env` passes it.
const TOKEN: &str = "0123456789abcdef";

/// Read from the volume. The image has no program but its own.
const CONFIG: &str = r#"
[commands.version]
program = "/usr/local/bin/cortado"
args = ["--version"]
[schedules.nightly]
cron = "0 3 * * *"
zone = "Europe/Berlin"
kind = "echo"
"#;

/// Run by process 1 before it becomes the server: mounts what an engine mounts, and gives up all rights.
const BOOT: &str = r#"
set -e
root=$1 volume=$2 inside=$3 user=$4; shift 4
mount --bind "$root" "$root"
mount --bind "$volume" "$root$inside"
mount -t proc proc "$root/proc"
for device in null random urandom; do mount --bind "/dev/$device" "$root/dev/$device"; done
mount -o remount,bind,ro "$root"
python3 -c 'import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14x", b"lo", 1))'
cd "$root"
exec setpriv --no-new-privs --inh-caps=-all chroot --userspec="$user" --groups= . "$@"
"#;

/// The root file system and the volume of a container.
struct Image {
    stage: LastStage,
    dir: TempDir,
}

impl Image {
    fn build() -> Image {
        let image = Image { stage: LastStage::read(), dir: tempfile::tempdir().unwrap() };
        for dir in ["", "proc", "dev"] {
            std::fs::create_dir_all(image.root().join(dir)).unwrap();
        }
        for device in ["null", "random", "urandom"] {
            std::fs::write(image.root().join("dev").join(device), "").unwrap();
        }
        for copy in image.stage.copies() {
            let to = image.inside(&copy.to);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            if copy.from.ends_with("/cortado") {
                image.add_program(&to);
            } else if copy.from.starts_with("/out/") {
                std::fs::create_dir(&to).unwrap();
            } else {
                assert!(Path::new(&copy.from).exists(), "this machine has no {}", copy.from);
                run("cp", &["-rL", &copy.from, to.to_str().unwrap()]);
            }
            if let Some((user, group)) = copy.owner.as_deref().and_then(|it| it.split_once(':')) {
                chown(&to, user.parse().ok(), group.parse().ok()).unwrap();
                // A new volume begins as a copy of the directory.
                std::fs::create_dir(image.volume()).unwrap();
                chown(image.volume(), user.parse().ok(), group.parse().ok()).unwrap();
            }
        }
        image
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn volume(&self) -> PathBuf {
        self.dir.path().join("volume")
    }

    /// The place of an absolute path in the image.
    fn inside(&self, path: &str) -> PathBuf {
        self.root().join(path.strip_prefix('/').unwrap())
    }

    /// Copies the program, and its libraries unless it is static. That of the image is: `CORTADO_BIN` names such a
    /// build.
    fn add_program(&self, to: &Path) {
        let named = std::env::var("CORTADO_BIN");
        let program = named.unwrap_or_else(|_| env!("CARGO_BIN_EXE_cortado").to_owned());
        std::fs::copy(&program, to).unwrap();
        std::fs::set_permissions(to, Permissions::from_mode(0o755)).unwrap();
        let output = std::process::Command::new("ldd").arg(&program).output().unwrap();
        let listed = String::from_utf8(output.stdout).unwrap();
        let libraries: Vec<&str> =
            listed.split_whitespace().filter(|word| word.starts_with('/')).collect();
        for library in &libraries {
            let to = self.inside(library);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(library, to).unwrap();
        }
        println!("the program is {program}, with {} libraries beside it", libraries.len());
    }

    /// Starts the entry point; `more` are the words after `docker run IMAGE`, instead of `CMD`.
    async fn start(&self, more: Option<&[&str]>) -> Container {
        let (root, volume) = (self.root(), self.volume());
        let command = match more {
            Some(words) => words.iter().map(|word| (*word).to_owned()).collect(),
            None => self.stage.list("CMD"),
        };
        let line = [self.stage.list("ENTRYPOINT"), command].concat();
        let own = ["--pid", "--fork", "--mount", "--propagation", "private", "--net"];
        let mut args = [&own[..], &["--kill-child", "sh", "-c", BOOT, "sh"]].concat();
        args.extend([root.to_str().unwrap(), volume.to_str().unwrap()]);
        args.extend([self.stage.only("VOLUME"), self.stage.only("USER")]);
        args.extend(line.iter().map(String::as_str));
        let config = format!("{}/cortado.toml", self.stage.only("VOLUME"));
        let process = Command::changed("unshare", &args, |command| {
            command.envs(self.stage.pairs("ENV"));
            command.env("CORTADO_AUTH_TOKEN", TOKEN).env("CORTADO_CONFIG", config);
        });
        let listening = process.out.line_with("listening on");
        let line = within("a server that listens", listening).await;
        let said = process.err.so_far().join("\n");
        let line = line.unwrap_or_else(|| panic!("the server ended: {said}"));
        assert!(line.contains(&self.stage.variable("CORTADO_LISTEN")), "{line}");
        let [(pid, ..)] = children_of(process.id())[..] else { panic!("one child") };
        Container { process, pid }
    }

    /// Runs a command in a running container, as `docker exec` does.
    async fn exec(&self, container: &Container, line: &[String]) -> (Option<i32>, String) {
        let (pid, (uid, gid)) =
            (container.pid.to_string(), self.stage.only("USER").split_once(':').unwrap());
        let mut args = vec!["--target", &pid, "--mount", "--net", "--pid", "--root", "--wd"];
        args.extend(["--setuid", uid, "--setgid", gid]);
        args.extend(line.iter().map(String::as_str));
        let mut process = Command::changed("nsenter", &args, |command| {
            command.envs(self.stage.pairs("ENV")).env("CORTADO_AUTH_TOKEN", TOKEN);
        });
        let code = process.exit().await.code();
        let (out, err) = (process.out.so_far(), process.err.so_far());
        (code, if out.is_empty() { err } else { out }.join("\n"))
    }

    /// Runs the program of the image in a running container, and returns what it prints.
    async fn cortado(&self, container: &Container, words: &[&str]) -> String {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let line = [self.stage.list("ENTRYPOINT"), words].concat();
        let (code, said) = self.exec(container, &line).await;
        assert_eq!(code, Some(0), "{line:?}: {said}");
        said
    }
}

/// A running container.
struct Container {
    process: Command,
    /// The id of its first process outside.
    pid: i32,
}

impl Container {
    fn assert_confined(&self, user: &str) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
            line.unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        let (uid, gid) = user.split_once(':').unwrap();
        assert!(field("Uid").iter().all(|it| it == uid) && field("Gid").iter().all(|it| it == gid));
        assert_eq!(field("NSpid").last().unwrap(), "1", "it is process 1");
        assert_eq!(field("NoNewPrivs"), ["1"]);
        for set in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
            assert_eq!(field(set), ["0000000000000000"], "{set}");
        }
    }

    /// Leaves a process without a parent in the container, and ends it.
    async fn assert_orphans_are_reaped(&self) {
        let pid = self.pid.to_string();
        let script = "sleep 600 >/dev/null 2>&1 &";
        let enter = ["--target", &pid, "--pid", "sh", "-c", script];
        assert!(Command::of("nsenter", &enter).exit().await.success());
        let adopted = || async { children_of(self.pid).first().map(|(pid, ..)| *pid) };
        let orphan = eventually("the orphan", adopted).await;
        kill(Pid::from_raw(orphan), Signal::SIGKILL).unwrap();
        let reaped = || async { children_of(self.pid).is_empty().then_some(()) };
        eventually("the orphan to be reaped", reaped).await;
    }

    async fn stop(mut self, signal: Signal) {
        kill(Pid::from_raw(self.pid), signal).unwrap();
        let status = self.process.exit().await;
        let said = self.process.err.so_far();
        assert_eq!(status.code(), Some(0), "{said:#?}");
        let panicked = said.iter().any(|line| line.contains("panicked") || line.contains("ERROR"));
        assert!(!panicked, "{said:#?}");
    }
}

fn run(program: &str, args: &[&str]) {
    let status = std::process::Command::new(program).args(args).status().unwrap();
    assert!(status.success(), "{program} {args:?}");
}

/// Why no container can be run here, if so.
fn missing() -> Option<String> {
    if !nix::unistd::Uid::effective().is_root() {
        return Some("only root can".to_owned());
    }
    let script =
        "mount --bind /tmp /tmp && mount -o remount,bind,ro /tmp && mount -t proc proc /proc";
    let args = ["--pid", "--fork", "--mount", "--propagation", "private", "--net", "sh", "-c"];
    let tried = std::process::Command::new("unshare").args(args).arg(script).output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Some(error.to_string()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_root_file_system_of_the_image_runs_as_a_container_does() {
    if let Some(why) = missing() {
        return println!("skipped: cannot create namespaces and mounts here: {why}");
    }
    let image = Image::build();
    let config = image.volume().join("cortado.toml");
    std::fs::write(&config, CONFIG).unwrap();
    let user = image.stage.only("USER");
    let (_, health) = image.stage.health_check();

    let container = image.start(Some(&["--demo", "--grace", "1s"])).await;
    container.assert_confined(user);
    let (code, line) = image.exec(&container, &health).await;
    assert!(code == Some(0) && line.contains("is ready"), "{line}");
    let submit = ["submit", "echo", "[1]", "--wait", "--key", "once"];
    assert_eq!(image.cortado(&container, &submit).await, "[1]");
    let version = r#"{"name": "version"}"#;
    let printed = image.cortado(&container, &["submit", "command", version, "--wait"]).await;
    assert!(printed.contains("\"exit_code\":0"), "{printed}");
    let stats = || async {
        let stats = image.cortado(&container, &["stats", "--json"]).await;
        let stats: Value = serde_json::from_str(&stats).unwrap();
        (stats["states"]["completed"].as_u64() >= Some(20)).then_some(())
    };
    eventually("jobs of the demo", stats).await;
    container.assert_orphans_are_reaped().await;
    let (code, said) = image.exec(&container, &["/bin/sh".to_owned()]).await;
    assert_ne!(code, Some(0), "there is no shell: {said}");
    let nothing_else = std::fs::read_dir(image.volume()).unwrap().count();
    assert_eq!(nothing_else, 2, "the data directory and the configuration");
    container.stop(Signal::SIGTERM).await;

    let data = image.volume().join("data");
    let mut verify = Command::of(
        env!("CARGO_BIN_EXE_cortado"),
        &["verify", "--data-dir", data.to_str().unwrap()],
    );
    assert!(verify.exit().await.success(), "{:?}", verify.err.so_far());

    // The next container finds everything, and the same key makes no second job.
    let container = image.start(None).await;
    let exported = image.cortado(&container, &["export"]).await;
    assert!(exported.contains("\"once\""), "the job is there");
    assert_eq!(image.cortado(&container, &submit).await, "[1]");
    container.stop(Signal::SIGINT).await;

    // A failing health check: nobody listens there.
    let container = image.start(None).await;
    let elsewhere = [&health[..], &["--listen".to_owned(), "127.0.0.1:9".to_owned()]].concat();
    let (code, line) = image.exec(&container, &elsewhere).await;
    assert_eq!(code, Some(1), "{line}");
    let ended =
        tokio::time::timeout(Duration::from_secs(60), container.stop(Signal::SIGTERM)).await;
    assert!(ended.is_ok());
}
