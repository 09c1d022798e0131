//! Listening sockets that this process got from another one: from a service manager that listens in its place (systemd's
//! socket activation), or from itself before a restart. Both pass them as `sd_listen_fds(3)` describes.

use std::env;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd as _, IntoRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use listenfd::ListenFd;
use nix::fcntl::OFlag;
use nix::unistd::dup3;
use socket2::SockRef;

use super::listen_address::{ListenAddress, ListenAddresses, TlsChoice};
use super::listener::SocketOwner;

/// The descriptor of the first socket (`sd_listen_fds(3)`).
pub const FIRST: i32 = 3;
/// The variable with the names of the sockets, which colons separate.
pub const NAMES: &str = "LISTEN_FDNAMES";
/// The name of a socket that the server itself opened before a restart. All others belong to the service manager.
pub const OWN_SOCKET: &str = "cortado-restart";

/// How many descriptors from the first one on, 3, nothing else may use: a restart puts the sockets there. Otherwise, another
/// thread that is just closing a file of its own with the same number would close the socket.
const RESERVED: i32 = 32;

/// The sockets that this process got.
#[derive(Debug, Default)]
pub struct InheritedSockets(Vec<InheritedSocket>);

#[derive(Debug)]
struct InheritedSocket {
    socket: PassedSocket,
    owner: SocketOwner,
}

/// A listening socket, as the standard library has it.
#[derive(Debug)]
pub enum PassedSocket {
    /// A TCP socket and its address.
    Tcp(TcpListener, SocketAddr),
    /// A Unix socket and its path.
    Unix(UnixListener, PathBuf),
}

impl InheritedSockets {
    /// Takes the sockets that the environment announces, and reserves their descriptors for those of a restart. It is
    /// called once, before there are other threads, because it changes the environment.
    ///
    /// # Errors
    /// A descriptor is not a listening stream socket, or there are too many open files.
    pub fn take() -> io::Result<InheritedSockets> {
        reserve()?;
        let names = env::var(NAMES).unwrap_or_default();
        let mut names = names.split(':');
        let mut passed = ListenFd::from_env();
        let sockets = (0..passed.len()).map(|at| {
            let owner = match names.next() {
                Some(OWN_SOCKET) => SocketOwner::Server,
                Some(_) | None => SocketOwner::ServiceManager,
            };
            let socket = take_one(&mut passed, at).map_err(|error| {
                let number = FIRST as usize + at;
                io::Error::other(format!("the descriptor {number} that was passed: {error}"))
            })?;
            Ok(InheritedSocket { socket, owner })
        });
        Ok(InheritedSockets(sockets.collect::<io::Result<_>>()?))
    }

    /// The addresses to serve: those of the service manager's sockets or, if there are none, those of the configuration. A
    /// socket that the configuration names has the scheme that it says.
    ///
    /// # Errors
    /// The service manager has passed the same socket twice.
    pub fn addresses(&self, configured: ListenAddresses) -> Result<ListenAddresses, String> {
        let managed = self.0.iter().filter(|one| one.owner == SocketOwner::ServiceManager);
        let managed: Vec<_> = managed.map(|one| one.socket.address(&configured)).collect();
        if managed.is_empty() { Ok(configured) } else { ListenAddresses::new(managed) }
    }

    /// Removes the socket of an address. One that the server opened itself also fits an entry that asks for a free port.
    pub fn take_for(&mut self, wanted: &ListenAddress) -> Option<(PassedSocket, SocketOwner)> {
        let fits = |one: &InheritedSocket| match (&one.socket, wanted) {
            (PassedSocket::Tcp(_, address), ListenAddress::Network { address: wanted, .. }) => {
                let is_free_port = wanted.port() == 0 && wanted.ip() == address.ip();
                address == wanted || is_free_port && one.owner == SocketOwner::Server
            }
            (PassedSocket::Unix(_, path), ListenAddress::Unix(wanted)) => path == wanted,
            (PassedSocket::Tcp(..), ListenAddress::Unix(_))
            | (PassedSocket::Unix(..), ListenAddress::Network { .. }) => false,
        };
        let at = self.0.iter().position(fits)?;
        let InheritedSocket { socket, owner } = self.0.remove(at);
        Some((socket, owner))
    }
}

impl PassedSocket {
    fn address(&self, configured: &ListenAddresses) -> ListenAddress {
        match self {
            PassedSocket::Tcp(_, address) => {
                let choice = configured.iter().find_map(|entry| match entry {
                    ListenAddress::Network { address: known, tls } if known == address => {
                        Some(*tls)
                    }
                    ListenAddress::Network { .. } | ListenAddress::Unix(_) => None,
                });
                let tls = choice.unwrap_or(TlsChoice::IfConfigured);
                ListenAddress::Network { address: *address, tls }
            }
            PassedSocket::Unix(_, path) => ListenAddress::Unix(path.clone()),
        }
    }
}

fn take_one(passed: &mut ListenFd, at: usize) -> io::Result<PassedSocket> {
    let unusable = || io::Error::other("neither a TCP nor a Unix stream socket");
    if let Ok(Some(listener)) = passed.take_tcp_listener(at) {
        let listener = TcpListener::from(moved(listener.into())?);
        check_listens(&SockRef::from(&listener))?;
        let address = listener.local_addr()?;
        return Ok(PassedSocket::Tcp(listener, address));
    }
    let listener = passed.take_unix_listener(at).ok().flatten().ok_or_else(unusable)?;
    let listener = UnixListener::from(moved(listener.into())?);
    check_listens(&SockRef::from(&listener))?;
    let path = listener.local_addr()?.as_pathname().map(PathBuf::from);
    let path = path.ok_or_else(|| io::Error::other("a Unix socket without a path"))?;
    Ok(PassedSocket::Unix(listener, path))
}

/// Occupies the free ones of the reserved descriptors for as long as the process lives.
fn reserve() -> io::Result<()> {
    loop {
        let null = File::open("/dev/null")?;
        if null.as_raw_fd() >= FIRST + RESERVED {
            return Ok(());
        }
        let _occupied = null.into_raw_fd();
    }
}

/// Moves a socket to a descriptor that is not reserved, and occupies its old one.
fn moved(socket: OwnedFd) -> io::Result<OwnedFd> {
    let copy = socket.try_clone()?;
    let mut old = socket;
    dup3(File::open("/dev/null")?, &mut old, OFlag::O_CLOEXEC)?;
    let _occupied = old.into_raw_fd();
    Ok(copy)
}

fn check_listens(socket: &SockRef<'_>) -> io::Result<()> {
    if socket.is_listener()? {
        return Ok(());
    }
    Err(io::Error::other("a socket that does not listen; `Accept=yes` is not supported"))
}
