//! A Unix socket in the file system: its permissions, the removal of a file that a killed server left behind, and the
//! removal of its own file at the stop.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::{fmt, str};

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize, Serializer};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixSocket};

/// The permissions of a socket's file, which decide who may connect: an octal number such as `0660`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketMode(u32);

impl Default for SocketMode {
    /// Only the server's user.
    fn default() -> Self {
        SocketMode(0o600)
    }
}

impl str::FromStr for SocketMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits =
            (3..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o777);
        mode.map(SocketMode)
            .ok_or_else(|| format!("{text:?} is not an octal mode such as \"0600\" or \"0660\""))
    }
}

impl fmt::Display for SocketMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl Serialize for SocketMode {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SocketMode {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        String::deserialize(input)?.parse().map_err(D::Error::custom)
    }
}

/// The file of a socket. Dropping this removes the file, unless another server has replaced it.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// The device, the inode, and the time of the creation, because inodes are used again. (Nothing is written into a
    /// socket, so this is the time of its last modification. Another mode or owner does not make it another socket.)
    identity: (u64, u64, i64, i64),
}

impl SocketFile {
    /// Takes over the file of a socket that exists already.
    pub fn of(path: &Path) -> io::Result<SocketFile> {
        let file = fs::symlink_metadata(path)?;
        let identity = (file.dev(), file.ino(), file.mtime(), file.mtime_nsec());
        Ok(SocketFile { path: path.to_owned(), identity })
    }

    /// Leaves the file to the next process.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = SocketFile::of(&self.path).map(|file| {
            let is_ours = file.identity == self.identity;
            file.keep();
            is_ours
        });
        if is_ours.unwrap_or_default()
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the Unix socket");
        }
    }
}

/// Listens on a new socket. Nobody can connect before it has its permissions.
///
/// # Errors
/// The socket cannot be created, another process listens on it, or the path is that of another file.
pub fn bind(path: &Path, mode: SocketMode, backlog: u32) -> io::Result<(UnixListener, SocketFile)> {
    let socket = UnixSocket::new_stream()?;
    match socket.bind(path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            remove_stale(path)?;
            socket.bind(path)?;
        }
        Err(error) => return Err(error),
    }
    // Before `listen`, the system refuses connections.
    fs::set_permissions(path, Permissions::from_mode(mode.0))?;
    let file = SocketFile::of(path)?;
    Ok((socket.listen(backlog)?, file))
}

/// Removes the socket of a process that was killed.
fn remove_stale(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        let text = "the file exists and is not a socket";
        return Err(io::Error::new(ErrorKind::AlreadyExists, text));
    }
    // It must not wait for a process that listens and does not accept.
    let probe = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            tracing::info!(path = %path.display(), "removing a Unix socket on which nobody listens");
            fs::remove_file(path)
        }
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        Ok(()) | Err(_) => {
            Err(io::Error::new(ErrorKind::AddrInUse, "another process listens on it"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_mode_is_octal() {
        for (text, shown) in [("0600", "0600"), ("660", "0660"), ("0777", "0777"), ("000", "0000")]
        {
            assert_eq!(text.parse::<SocketMode>().unwrap().to_string(), shown);
        }
        for bad in ["", "0", "0o600", "0800", "1777", "+600", "rw-------", "00600"] {
            assert!(bad.parse::<SocketMode>().unwrap_err().contains("0600"), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_socket_has_its_permissions_and_its_file_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("http.sock");
        for mode in ["0600", "0666", "0620"] {
            let (listener, file) = bind(&path, mode.parse().unwrap(), 16).unwrap();
            assert_eq!(format!("{:04o}", mode_of(&path)), mode);
            let why = bind(&path, SocketMode::default(), 16).unwrap_err();
            assert!(why.to_string().contains("another process listens"), "{why}");
            drop(listener);
            drop(file);
            assert!(!path.exists());
        }
    }

    #[tokio::test]
    async fn a_socket_with_another_mode_is_still_removed_at_the_stop() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("http.sock");
        let (_listener, file) = bind(&path, SocketMode::default(), 16).unwrap();
        // The time of the change of the file's attributes must be another one.
        let changed =
            || fs::symlink_metadata(&path).map(|it| (it.ctime(), it.ctime_nsec())).unwrap();
        let created = changed();
        while changed() == created {
            fs::set_permissions(&path, Permissions::from_mode(0o660)).unwrap();
        }
        drop(file);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn only_a_socket_without_a_listener_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("http.sock");
        let bound = || bind(&path, SocketMode::default(), 16);
        let (listener, file) = bound().unwrap();
        file.keep(); // like a killed server
        drop(listener);
        assert!(path.exists());
        let (listener, replaced) = bound().unwrap();
        drop(listener);
        // Otherwise, the next file could be the same inode within the same tick of the clock.
        fs::hard_link(&path, dir.path().join("kept")).unwrap();
        let (_listener, newer) = bound().unwrap();
        drop(replaced);
        assert!(path.exists(), "a newer server owns the file");
        drop(newer);
        fs::write(&path, "a note").unwrap();
        let why = bound().unwrap_err();
        assert!(why.to_string().contains("not a socket"), "{why}");
        assert_eq!(fs::read(&path).unwrap(), b"a note");
    }
}
