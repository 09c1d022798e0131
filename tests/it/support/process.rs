//! The binary as a child process, which is signalled by its id and killed when dropped. A failing test shows its
//! standard error.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Client, Socket, tools, within};

/// A temporary directory for data and a configuration file; removed when dropped.
pub struct Dir(TempDir);

impl Dir {
    pub fn new() -> Dir {
        Dir(tempfile::tempdir().unwrap())
    }

    pub fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// Writes a configuration file and returns its path.
    pub fn config(&self, toml: &str) -> String {
        let path = self.0.path().join("cortado.toml");
        std::fs::write(&path, toml).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// The lines read from one pipe so far.
#[derive(Clone)]
pub struct Lines(watch::Receiver<Vec<String>>);

impl Lines {
    fn of(pipe: impl AsyncRead + Unpin + Send + 'static) -> (Lines, JoinHandle<()>) {
        let (sender, lines) = watch::channel(Vec::new());
        let reader = tokio::spawn(async move {
            let mut pipe = BufReader::new(pipe).lines();
            while let Ok(Some(line)) = pipe.next_line().await {
                sender.send_modify(|lines| lines.push(line));
            }
        });
        (Lines(lines), reader)
    }

    fn of_some(pipe: Option<impl AsyncRead + Unpin + Send + 'static>) -> (Lines, JoinHandle<()>) {
        match pipe {
            Some(pipe) => Lines::of(pipe),
            None => Lines::of(tokio::io::empty()),
        }
    }

    /// All lines so far.
    pub fn so_far(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    /// The lines after the first `count`.
    pub fn from(&self, count: usize) -> Vec<String> {
        self.0.borrow()[count..].to_vec()
    }

    /// Waits for the first line that contains `text`; `None` when the pipe ends without one.
    pub async fn line_with(&self, text: &str) -> Option<String> {
        let mut lines = self.0.clone();
        let found = |lines: &Vec<String>| lines.iter().any(|line| line.contains(text));
        let lines = lines.wait_for(found).await.ok()?;
        lines.iter().find(|line| line.contains(text)).cloned()
    }

    /// Waits until there are `count` lines; `false` when the pipe ends before that.
    pub async fn at_least(&self, count: usize) -> bool {
        self.0.clone().wait_for(|lines| lines.len() >= count).await.is_ok()
    }
}

/// A child process, usually of `cortado`.
pub struct Command {
    child: Child,
    pid: Pid,
    what: String,
    pub out: Lines,
    pub err: Lines,
    readers: [JoinHandle<()>; 2],
}

impl Command {
    /// Runs `cortado` without the `CORTADO_` and proxy variables of the test's environment.
    pub fn run(args: &[&str]) -> Command {
        Command::of(env!("CARGO_BIN_EXE_cortado"), args)
    }

    /// Runs any program without the `CORTADO_` and proxy variables of the test's environment.
    pub fn of(program: &str, args: &[&str]) -> Command {
        Command::with_fault(program, args, None)
    }

    /// Like `of`, with a fault for the process, as `src/store/sled/faults.rs` describes.
    pub fn with_fault(program: &str, args: &[&str], fault: Option<&str>) -> Command {
        Command::with_output(program, args, fault, Stdio::piped(), Stdio::piped())
    }

    /// Like `with_fault`, with other targets of standard output and error. Lines are read only from `Stdio::piped()`.
    pub fn with_output(
        program: &str,
        args: &[&str],
        fault: Option<&str>,
        out: Stdio,
        err: Stdio,
    ) -> Command {
        Command::changed(program, args, |command| {
            command.envs(fault.map(|fault| ("CORTADO_FAULT", fault))).stdout(out).stderr(err);
        })
    }

    /// Like `of`, with a change of the environment or of the descriptors that the process gets.
    pub fn changed(
        program: &str,
        args: &[&str],
        change: impl FnOnce(&mut tokio::process::Command),
    ) -> Command {
        // Children inherit ignored signals, and the tests may run under a program that ignores some, such as `nohup`.
        let mut command = tokio::process::Command::new("env");
        command.args(["--default-signal", "sh", "-c", "exec \"$0\" \"$@\"", program]);
        let unwanted = |name: &str| {
            name.starts_with("CORTADO_") || name.to_ascii_lowercase().ends_with("_proxy")
        };
        for (name, _) in std::env::vars().filter(|(name, _)| unwanted(name)) {
            command.env_remove(name);
        }
        command.env("PATH", tools::path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        change(&mut command);
        let spawned = command.args(args).kill_on_drop(true).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
        let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap());
        drop(command); // closes this process's copies of the pipes
        let (out, reader) = Lines::of_some(child.stdout.take());
        let (err, err_reader) = Lines::of_some(child.stderr.take());
        let what = format!("{program} {}", args.join(" "));
        Command { child, pid, what, out, err, readers: [reader, err_reader] }
    }

    /// The process's id, which is not reused before `exit`.
    pub fn id(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Sends a signal. The child is not reaped before `exit`, so its id cannot belong to another process.
    pub fn signal(&self, signal: Signal) {
        signal::kill(self.pid, signal).unwrap();
    }

    /// Waits for the end of the process and of its output.
    pub async fn exit(&mut self) -> ExitStatus {
        let what = format!("the end of {}", self.what);
        within(&what, async {
            let status = self.child.wait().await.unwrap();
            for reader in &mut self.readers {
                if !reader.is_finished() {
                    reader.await.unwrap();
                }
            }
            status
        })
        .await
    }

    /// Whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = self.err.so_far();
            let newest = &lines[lines.len().saturating_sub(40)..];
            eprintln!("--- stderr of {}:\n{}\n---", self.what, newest.join("\n"));
        }
    }
}

/// Cargo, without the variables that it sets for a test. With those, build scripts of dependencies would run again,
/// here and in the next ordinary build.
pub fn cargo() -> tokio::process::Command {
    let mut cargo = tokio::process::Command::new(env!("CARGO"));
    const OURS: [&str; 2] = ["CARGO_HOME", "CARGO_TARGET_DIR"];
    let set = |name: &str| name.starts_with("CARGO_") && !OURS.contains(&name);
    for (name, _) in std::env::vars().filter(|(name, _)| set(name)) {
        cargo.env_remove(name);
    }
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null()).kill_on_drop(true);
    cargo
}

/// Builds or runs an example (`command` is `build` or `run`), because a filtered test run does not build the examples. It
/// has the features and the profile of these tests, with which the library is built already.
pub fn cargo_example(command: &str, name: &str) -> tokio::process::Command {
    let mut cargo = cargo();
    cargo.args([command, "--quiet", "--offline", "--example", name]);
    if cfg!(feature = "bench") {
        cargo.args(["--features", "bench"]);
    }
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    cargo
}

/// A running server that accepts connections.
pub struct Server {
    pub process: Command,
    pub address: SocketAddr,
    pub client: Client,
}

impl Server {
    /// Starts a server on a free port and waits until it listens.
    pub async fn start(dir: &Dir, args: &[&str]) -> Server {
        Server::start_on("127.0.0.1:0".parse().unwrap(), &dir.data(), args).await
    }

    /// Starts a server at an address and waits until it listens.
    pub async fn start_on(address: SocketAddr, data: &Path, args: &[&str]) -> Server {
        Server::listening(Server::launch(address, data, args)).await
    }

    /// Waits until a process listens, and panics if it ends instead.
    async fn listening(process: Command) -> Server {
        match Server::unless_ended(process).await {
            Ok(server) => server,
            Err(process) => panic!("the server ended: {}", process.err.so_far().join("\n")),
        }
    }

    /// Waits until a process listens; returns the process if it ends instead.
    pub async fn unless_ended(process: Command) -> Result<Server, Command> {
        let listening = process.out.line_with("listening on http://");
        let Some(line) = within("a server that listens", listening).await else {
            return Err(process);
        };
        let address = line.rsplit('/').next().unwrap().parse().unwrap();
        Ok(Server { process, address, client: Client::new(address) })
    }

    /// Starts a server without waiting until it listens.
    pub fn launch(address: SocketAddr, data: &Path, args: &[&str]) -> Command {
        Command::run(&borrowed(&Server::args(address, data, args)))
    }

    /// Starts a server on a free port with a fault, without waiting until it listens.
    pub fn launch_with_fault(dir: &Dir, args: &[&str], fault: &str) -> Command {
        let all = Server::args("127.0.0.1:0".parse().unwrap(), &dir.data(), args);
        Command::with_fault(env!("CARGO_BIN_EXE_cortado"), &borrowed(&all), Some(fault))
    }

    /// Starts a server on a free port with this target of its log, and waits until it listens.
    pub async fn start_logging_to(err: impl Into<Stdio>, dir: &Dir, args: &[&str]) -> Server {
        let all = Server::args("127.0.0.1:0".parse().unwrap(), &dir.data(), args);
        let program = env!("CARGO_BIN_EXE_cortado");
        let (out, err) = (Stdio::piped(), err.into());
        Server::listening(Command::with_output(program, &borrowed(&all), None, out, err)).await
    }

    /// Starts a server on a free port from a shell script, after these commands, without waiting until it listens.
    pub fn launch_by_shell(script: &str, dir: &Dir, args: &[&str]) -> Command {
        let all = Server::args("127.0.0.1:0".parse().unwrap(), &dir.data(), args);
        let script = format!("{script}; exec \"$0\" \"$@\"");
        let mut shell = vec!["-c", &script, env!("CARGO_BIN_EXE_cortado")];
        shell.extend(borrowed(&all));
        Command::of("sh", &shell)
    }

    /// The arguments of `cortado serve` at an address.
    pub fn args(address: SocketAddr, data: &Path, args: &[&str]) -> Vec<String> {
        let (address, data) = (address.to_string(), data.to_str().unwrap());
        let mut all = vec!["serve", "--listen", &address, "--data-dir", data];
        all.extend(args);
        all.into_iter().map(str::to_owned).collect()
    }

    /// Opens a stream and waits for its `hello`; the query begins with `?` or is empty.
    pub async fn socket(&self, query: &str) -> Socket {
        Socket::open(self.address, query).await
    }

    /// Sends SIGKILL and waits for the end of the process.
    pub async fn kill(mut self) {
        self.process.signal(Signal::SIGKILL);
        self.process.exit().await;
    }

    /// Sends SIGTERM, asserts a clean stop, and returns the log.
    pub async fn stop(mut self) -> Vec<String> {
        self.process.signal(Signal::SIGTERM);
        let status = self.process.exit().await;
        assert_eq!(status.code(), Some(0), "a clean stop");
        self.process.err.so_far()
    }
}

/// An address on which a server can be restarted. Its port is below the range for outgoing connections, so no other
/// process takes it in the meantime.
pub fn lasting_address() -> SocketAddr {
    loop {
        let address = SocketAddr::from(([127, 0, 0, 1], fastrand::u16(20_000..32_000)));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

pub fn borrowed(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}
