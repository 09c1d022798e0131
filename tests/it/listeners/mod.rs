//! The listeners of a server: TLS, Unix sockets, sockets of a service manager, and restarts that refuse no connection.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use command_fds::{CommandFdExt, FdMapping};
use rcgen::{CertificateParams, KeyPair};

use crate::support::{Command, Dir, within};

mod activation;
mod health;
mod notify;
mod restart;
mod serving;

/// Writes a certificate that signs itself, and returns the lines of the configuration that name it, and its path.
fn certificate(dir: &Dir) -> (String, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let cert = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let [cert_path, key_path] = ["tls.crt", "tls.key"].map(|name| dir.data().with_file_name(name));
    std::fs::write(&cert_path, cert.pem()).unwrap();
    std::fs::write(&key_path, key.serialize_pem()).unwrap();
    let (shown_cert, shown_key) = (cert_path.display(), key_path.display());
    (format!("[tls]\ncert = '{shown_cert}'\nkey = '{shown_key}'\n"), cert_path)
}

/// Starts `cortado serve` with listening sockets and variables, as a service manager does.
fn launch(dir: &Dir, config: &str, sockets: Vec<OwnedFd>, variables: &[(&str, &str)]) -> Command {
    let count = sockets.len().to_string();
    let data = dir.data();
    // The shell's id becomes that of the server.
    let script = "export LISTEN_PID=$$ WATCHDOG_PID=$$; exec \"$0\" \"$@\"";
    let program = env!("CARGO_BIN_EXE_cortado");
    let data = data.to_str().unwrap();
    let args = ["-c", script, program, "serve", "--config", config, "--data-dir", data];
    Command::changed("sh", &args, |command| {
        if !sockets.is_empty() {
            command.env("LISTEN_FDS", count);
        }
        command.envs(variables.iter().copied());
        let mappings =
            (3..).zip(sockets).map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
        command.as_std_mut().fd_mappings(mappings.collect()).unwrap();
    })
}

/// Waits until a server has printed that it listens for the `nth` time, and returns the addresses of its listeners.
async fn listening(server: &Command, nth: usize, listeners: usize) -> Vec<String> {
    let lines = |lines: &[String]| {
        let all = lines.iter().filter_map(|line| line.strip_prefix("listening on "));
        all.map(str::to_owned).collect::<Vec<_>>()
    };
    let printed = within("a server that listens", async {
        let mut count = 0;
        while server.out.at_least(count + 1).await {
            count = server.out.so_far().len();
            if lines(&server.out.so_far()).len() >= nth * listeners {
                return lines(&server.out.so_far());
            }
        }
        panic!("the server ended: {}", server.err.so_far().join("\n"))
    })
    .await;
    printed[(nth - 1) * listeners..nth * listeners].to_vec()
}

/// The address in a URL such as `https://127.0.0.1:8443/`.
fn address_of(url: &str) -> SocketAddr {
    url.split_once("://").unwrap().1.trim_end_matches('/').parse().unwrap()
}
