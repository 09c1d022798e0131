//! A restart in place: the process executes its program again, with the same arguments and the same process id, and passes
//! on its listening sockets. Connections wait in their queues until the new program accepts them, so none is refused. Before
//! that, the program has to accept its configuration.

use std::ffi::OsString;
use std::future::pending;
use std::os::unix::process::CommandExt as _;
use std::process::{self, Command, Stdio};
use std::time::Duration;
use std::{env, io};

use command_fds::{CommandFdExt as _, FdMapping};
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use crate::handlers::command::children::StartingProcess;
use crate::http::server::inherited::{FIRST, NAMES, OWN_SOCKET};
use crate::http::server::listener::{HeldSocket, SocketOwner};
use crate::job::shorten::{MAX_MESSAGE, shorten};

/// The name of a socket of the service manager.
const MANAGED_SOCKET: &str = "managed";

/// How long the program may take to check its configuration.
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);

/// The check before a restart: the program at the path with which this process was started, which may be a newer version,
/// has to accept its arguments and its configuration. Otherwise this server continues.
#[derive(Default)]
pub struct RestartCheck {
    running: Option<BoxFuture<'static, Result<(), String>>>,
}

impl RestartCheck {
    /// Begins the check, unless it is already under way.
    pub fn begin(&mut self) {
        self.running.get_or_insert_with(|| Box::pin(check()));
    }

    /// Resolves when the check has ended. Never resolves while there is none.
    ///
    /// # Errors
    /// Says why a restart would fail.
    pub async fn ended(&mut self) -> Result<(), String> {
        let Some(running) = &mut self.running else { return pending().await };
        let accepted = running.await;
        self.running = None;
        accepted
    }
}

/// Runs the program with `--check`. A version that does not know this flag refuses it, so it is not started either.
async fn check() -> Result<(), String> {
    let mut arguments: Vec<OsString> = env::args_os().collect();
    let after_command = if arguments.get(1).is_some_and(|word| word == "serve") { 2 } else { 1 };
    arguments.insert(after_command.min(arguments.len()), "--check".into());
    let mut command = tokio::process::Command::new(arguments.remove(0));
    command.args(arguments).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // Otherwise, the reaper of orphans could take the exit code.
    let start = StartingProcess::begin();
    let child = command.spawn().map_err(|error| format!("cannot start the program: {error}"))?;
    let mut owned = start.done(child.id());
    let output = timeout(CHECK_TIMEOUT, child.wait_with_output()).await;
    let output = output.map_err(|_| "the program did not check its configuration in time")?;
    owned.reaped();
    let output = output.map_err(|error| format!("cannot run the program: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(shorten(said.trim().trim_start_matches("cortado: "), MAX_MESSAGE))
}

/// A server that has stopped and is to be started again.
#[derive(Debug)]
pub struct Restart {
    sockets: Vec<HeldSocket>,
}

impl Restart {
    /// A restart that passes on these sockets.
    pub fn new(sockets: Vec<HeldSocket>) -> Restart {
        Restart { sockets }
    }

    /// Replaces this process by the program at the path with which it was started, which may be a newer version. Returns
    /// only if that fails.
    pub fn exec(self) -> io::Error {
        let mut arguments: Vec<OsString> = env::args_os().collect();
        if arguments.is_empty() {
            return io::Error::other("the process was started without a name");
        }
        let mut command = Command::new(arguments.remove(0));
        command.args(arguments);
        let (mut mappings, mut names) = (Vec::new(), Vec::new());
        for (child_fd, socket) in (FIRST..).zip(self.sockets) {
            let (parent_fd, owner) = socket.pass_on();
            mappings.push(FdMapping { parent_fd, child_fd });
            names.push(match owner {
                SocketOwner::Server => OWN_SOCKET,
                SocketOwner::ServiceManager => MANAGED_SOCKET,
            });
        }
        command.env("LISTEN_PID", process::id().to_string());
        command.env("LISTEN_FDS", mappings.len().to_string());
        command.env(NAMES, names.join(":"));
        if let Err(collision) = command.fd_mappings(mappings) {
            return io::Error::other(collision);
        }
        command.exec()
    }
}
