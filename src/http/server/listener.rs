//! The sockets on which the server accepts connections: opened here, or taken over from another process.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};

use super::connection_scheme::ConnectionScheme;
use super::forwarded::ConnectionPeer;
use super::tls::TlsServer;
use super::unix_socket::{self, SocketFile, SocketMode};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 4_096;
/// The send buffer of connections. It is small, so that a subscriber that does not read holds only a fraction of the
/// kernel memory that it would hold by default.
const SEND_BUFFER: u32 = 64 * 1_024;

/// A listening socket.
pub struct Listener {
    socket: ListeningSocket,
    /// Whose socket it is, which decides what a restart does with it.
    owner: SocketOwner,
}

enum ListeningSocket {
    Tcp { listener: TcpListener, address: SocketAddr, tls: Option<Arc<TlsServer>> },
    Unix { listener: UnixListener, path: PathBuf, file: Option<SocketFile> },
}

/// Who opened a listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketOwner {
    /// This server, because the setting `listen` names its address.
    Server,
    /// The service manager, which listens on it even if the server does not run.
    ServiceManager,
}

/// A connection that was just accepted.
pub struct AcceptedConnection {
    /// Its stream.
    pub stream: AcceptedStream,
    /// Its other end.
    pub peer: ConnectionPeer,
}

/// The stream of a connection that was just accepted.
pub enum AcceptedStream {
    /// A TCP connection, and TLS if its listener uses it.
    Tcp(TcpStream, Option<Arc<TlsServer>>),
    /// A connection through a Unix socket.
    Unix(UnixStream),
}

impl AcceptedStream {
    /// The scheme of its URLs.
    pub fn scheme(&self) -> ConnectionScheme {
        match self {
            AcceptedStream::Tcp(_, Some(_)) => ConnectionScheme::Https,
            AcceptedStream::Tcp(_, None) | AcceptedStream::Unix(_) => ConnectionScheme::Http,
        }
    }
}

impl Listener {
    /// Listens on an address. `tls` is used if the address wants it.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn tcp(address: SocketAddr, tls: Option<Arc<TlsServer>>) -> io::Result<Listener> {
        let listener = bind(address)?;
        let address = listener.local_addr()?;
        let socket = ListeningSocket::Tcp { listener, address, tls };
        Ok(Listener { socket, owner: SocketOwner::Server })
    }

    /// Listens on a Unix socket.
    ///
    /// # Errors
    /// The socket cannot be created, or another process listens on it.
    pub fn unix(path: PathBuf, mode: SocketMode) -> io::Result<Listener> {
        let (listener, file) = unix_socket::bind(&path, mode, BACKLOG)?;
        let socket = ListeningSocket::Unix { listener, path, file: Some(file) };
        Ok(Listener { socket, owner: SocketOwner::Server })
    }

    /// Takes over a TCP socket that listens already.
    ///
    /// # Errors
    /// Its options cannot be set.
    pub fn from_tcp(
        listener: std::net::TcpListener,
        owner: SocketOwner,
        tls: Option<Arc<TlsServer>>,
    ) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        let socket = SockRef::from(&listener);
        socket.set_send_buffer_size(SEND_BUFFER as usize)?;
        socket.set_keepalive(true)?;
        let address = listener.local_addr()?;
        let listener = TcpListener::from_std(listener)?;
        Ok(Listener { socket: ListeningSocket::Tcp { listener, address, tls }, owner })
    }

    /// Takes over a Unix socket that listens already. If the server opened it before a restart, its file is removed at
    /// the stop.
    ///
    /// # Errors
    /// Its options cannot be set, or its file is gone.
    pub fn from_unix(
        listener: StdUnixListener,
        path: PathBuf,
        owner: SocketOwner,
    ) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        let file = match owner {
            SocketOwner::Server => Some(SocketFile::of(&path)?),
            SocketOwner::ServiceManager => None,
        };
        let listener = UnixListener::from_std(listener)?;
        Ok(Listener { socket: ListeningSocket::Unix { listener, path, file }, owner })
    }

    /// Where clients reach it.
    pub fn address(&self) -> BoundAddress {
        match &self.socket {
            ListeningSocket::Tcp { address, tls, .. } => {
                let scheme = match tls {
                    Some(_) => ConnectionScheme::Https,
                    None => ConnectionScheme::Http,
                };
                BoundAddress::Network(scheme, *address)
            }
            ListeningSocket::Unix { path, .. } => BoundAddress::Unix(path.clone()),
        }
    }

    /// Splits off what outlives the listener: a copy of the socket, and the file of a Unix socket. Connections are not
    /// refused before both the listener and this are dropped.
    ///
    /// # Errors
    /// The process has too many open files.
    pub fn hold(&mut self) -> io::Result<HeldSocket> {
        let (socket, file) = match &mut self.socket {
            ListeningSocket::Tcp { listener, .. } => (listener.as_fd().try_clone_to_owned()?, None),
            ListeningSocket::Unix { listener, file, .. } => {
                (listener.as_fd().try_clone_to_owned()?, file.take())
            }
        };
        Ok(HeldSocket { socket, owner: self.owner, file })
    }

    /// Accepts the next connection.
    pub fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<AcceptedConnection>> {
        match &self.socket {
            ListeningSocket::Tcp { listener, tls, .. } => {
                listener.poll_accept(context).map_ok(|(stream, address)| AcceptedConnection {
                    stream: AcceptedStream::Tcp(stream, tls.clone()),
                    peer: ConnectionPeer::Network(address),
                })
            }
            ListeningSocket::Unix { listener, .. } => {
                listener.poll_accept(context).map_ok(|(stream, _)| AcceptedConnection {
                    stream: AcceptedStream::Unix(stream),
                    peer: ConnectionPeer::UnixSocket,
                })
            }
        }
    }

    /// The TLS side, if its connections use TLS.
    pub fn tls(&self) -> Option<&Arc<TlsServer>> {
        match &self.socket {
            ListeningSocket::Tcp { tls, .. } => tls.as_ref(),
            ListeningSocket::Unix { .. } => None,
        }
    }
}

/// A copy of a listening socket. Dropping it removes the file of a Unix socket that this server opened.
#[derive(Debug)]
pub struct HeldSocket {
    socket: OwnedFd,
    owner: SocketOwner,
    file: Option<SocketFile>,
}

impl HeldSocket {
    /// Returns the socket and its owner for the next process, and leaves it the file.
    pub fn pass_on(self) -> (OwnedFd, SocketOwner) {
        if let Some(file) = self.file {
            file.keep();
        }
        (self.socket, self.owner)
    }
}

/// Where clients reach a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoundAddress {
    /// An address with its port, and the scheme of its URLs.
    Network(ConnectionScheme, SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for BoundAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BoundAddress::Network(scheme, address) => {
                write!(f, "{}://{address}", scheme.as_str())
            }
            BoundAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Opens a TCP socket.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?; // a restart must not wait for the last process's connections
    // Accepted connections inherit both options. Keepalive detects a peer that disappeared silently, after hours, even
    // if an idle stream (a followed log) writes nothing to it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Sets the options that connections do not inherit from a Unix socket, or that a TCP socket does not have.
pub fn set_connection_options(stream: &AcceptedStream) -> io::Result<()> {
    match stream {
        AcceptedStream::Tcp(stream, _) => stream.set_nodelay(true),
        AcceptedStream::Unix(stream) => {
            SockRef::from(stream).set_send_buffer_size(SEND_BUFFER as usize)
        }
    }
}
