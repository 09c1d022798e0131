//! A proxy between a log and its server that loses the answer to a statement on request.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tempfile::TempDir;

/// The name of a server's socket in its directory.
const SOCKET: &str = ".s.PGSQL.5432";

/// The proxy. Its threads end with the connections.
pub(super) struct LossyProxy {
    dir: TempDir,
    /// Whether the next answer is lost, and its connection with it.
    loses: Arc<AtomicBool>,
}

impl LossyProxy {
    /// Begins to pass connections on to the server with this socket.
    pub fn start(server_dir: &Path) -> LossyProxy {
        let dir = tempfile::Builder::new().prefix("proxy.").tempdir_in("/tmp").unwrap();
        let listener = UnixListener::bind(dir.path().join(SOCKET)).unwrap();
        let (server, loses) = (server_dir.join(SOCKET), Arc::new(AtomicBool::new(false)));
        let its = loses.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                pass_on(client, &server, &its);
            }
        });
        LossyProxy { dir, loses }
    }

    /// The directory with the socket of the proxy.
    pub fn socket_dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Loses the next answer.
    pub fn lose_next(&self) {
        self.loses.store(true, Ordering::SeqCst);
    }

    /// Whether the answer was lost.
    pub fn has_lost(&self) -> bool {
        !self.loses.load(Ordering::SeqCst)
    }
}

fn pass_on(client: UnixStream, server: &Path, loses: &Arc<AtomicBool>) {
    let Ok(server) = UnixStream::connect(server) else { return };
    let (mut requests, mut statements) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    // Either direction ends with an error when the other one has closed the connection.
    thread::spawn(move || std::io::copy(&mut requests, &mut statements));
    let (loses, mut client, mut server) = (loses.clone(), client, server);
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok(read @ 1..) = server.read(&mut buffer) {
            if loses.swap(false, Ordering::SeqCst) || client.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ended = client.shutdown(std::net::Shutdown::Both);
        let _ended = server.shutdown(std::net::Shutdown::Both);
    });
}
