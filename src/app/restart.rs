//! A restart in place: the process executes its program again, with the same arguments and the same process id, and passes
//! on its listening sockets. Connections wait in their queues until the new program accepts them, so none is refused.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{self, Command};
use std::{env, io};

use command_fds::{CommandFdExt as _, FdMapping};

use crate::http::server::inherited::{NAMES, OWN_SOCKET};
use crate::http::server::listener::{HeldSocket, SocketOwner};

/// The number of the first descriptor that is passed on (`sd_listen_fds(3)`).
const FIRST: i32 = 3;
/// The name of a socket of the service manager.
const MANAGED_SOCKET: &str = "managed";

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
