//! Opens the listeners of a server: on the sockets that the process got from another one, and on new ones.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use super::server_error::{OfKind, ServerError, ServerErrorKind};
use crate::config::Config;
use crate::http::server::client_address::TrustedProxy;
use crate::http::server::inherited::{InheritedSockets, PassedSocket};
use crate::http::server::listen_address::{ListenAddress, TlsChoice};
use crate::http::server::listener::{BoundAddress, Listener};
use crate::http::server::tls::TlsServer;

/// Opens a listener for each address of the configuration. Inherited sockets that it does not name are closed.
pub fn open(
    config: &Config,
    mut inherited: InheritedSockets,
) -> Result<Vec<Listener>, ServerError> {
    let server = config.tls.clone().map(TlsServer::new).transpose();
    let server = server.context("cannot set up TLS").of_kind(ServerErrorKind::Configuration)?;
    let server = server.map(Arc::new);
    let listeners = config.listen.iter().map(|wanted| {
        let tls = match (wanted, &server) {
            (ListenAddress::Network { tls: TlsChoice::Always, .. }, None) => {
                let why = anyhow::anyhow!("{wanted} needs a certificate: set tls.cert and tls.key");
                return Err(ServerError::new(ServerErrorKind::Configuration, why));
            }
            (
                ListenAddress::Network { tls: TlsChoice::Always | TlsChoice::IfConfigured, .. },
                server,
            ) => server.clone(),
            (ListenAddress::Network { tls: TlsChoice::Never, .. } | ListenAddress::Unix(_), _) => {
                None
            }
        };
        let listener = match (inherited.take_for(wanted), wanted) {
            (Some((PassedSocket::Tcp(listener, _), owner)), _) => {
                Listener::from_tcp(listener, owner, tls)
            }
            (Some((PassedSocket::Unix(listener, path), owner)), _) => {
                Listener::from_unix(listener, path, owner)
            }
            (None, ListenAddress::Network { address, .. }) => Listener::tcp(*address, tls),
            (None, ListenAddress::Unix(path)) => Listener::unix(path.clone(), config.socket_mode),
        };
        let listener = listener.with_context(|| format!("cannot listen on {wanted}"));
        listener.of_kind(ServerErrorKind::Address)
    });
    let listeners: Vec<Listener> = listeners.collect::<Result<_, ServerError>>()?;
    if config.http.trusted_proxies.contains(&TrustedProxy::UnixSocket) {
        listeners.iter().for_each(|listener| warn_if_open_to_all(&listener.address()));
    }
    Ok(listeners)
}

/// Warns about a Unix socket that is trusted like a proxy although every user of the machine can connect to it. Service
/// managers create sockets with the mode 0666 unless told otherwise.
fn warn_if_open_to_all(address: &BoundAddress) {
    match address {
        BoundAddress::Unix(path) if is_open_to_all(path) => tracing::warn!(
            path = %path.display(),
            "every user of this machine can connect to the Unix socket, and http.trusted_proxies trusts it: each of them \
             can claim to be any client or user; set SocketMode= of the service manager, or socket_mode, to 0660"
        ),
        BoundAddress::Unix(_) | BoundAddress::Network(..) => {}
    }
}

/// The URL of this server alone, without what is in front of it. A server that listens on all addresses is known by the name
/// of its machine.
pub fn own_url(config: &Config, addresses: &[BoundAddress]) -> Option<String> {
    let network = addresses.iter().find(|address| matches!(address, BoundAddress::Network(..)));
    match network.or(addresses.first())? {
        BoundAddress::Network(scheme, address) if address.ip().is_unspecified() => {
            let machine = nix::unistd::gethostname().ok()?.into_string().ok()?;
            let (scheme, port) = (scheme.as_str(), address.port());
            Some(format!("{scheme}://{machine}:{port}{}", config.base_path))
        }
        address @ BoundAddress::Network(..) => Some(format!("{address}{}", config.base_path)),
        address @ BoundAddress::Unix(_) => Some(address.to_string()),
    }
}

/// Whether the modes of a socket and of all directories above it let everybody connect.
fn is_open_to_all(socket: &Path) -> bool {
    let has = |path: &Path, bits| {
        std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & bits == bits)
    };
    has(socket, 0o002) && socket.ancestors().skip(1).all(|dir| has(dir, 0o001))
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};

    use super::*;
    use crate::config::{FileConfig, ServeArgs};
    use crate::http::server::connection_scheme::ConnectionScheme;
    use crate::logging::retry_log::testing::LoggedLines;

    #[test]
    fn the_url_of_a_server_is_one_at_which_it_can_be_reached() {
        let config = Config::build(FileConfig::default(), &ServeArgs::default()).unwrap();
        let network =
            |address: &str| BoundAddress::Network(ConnectionScheme::Http, address.parse().unwrap());
        let unix = BoundAddress::Unix("/run/cortado.sock".into());
        let url = |addresses: &[BoundAddress]| own_url(&config, addresses).unwrap();
        assert_eq!(url(&[unix.clone(), network("10.0.0.7:80")]), "http://10.0.0.7:80");
        assert_eq!(url(&[unix]), "unix:/run/cortado.sock");
        let url = url(&[network("0.0.0.0:8080")]);
        assert!(url.ends_with(":8080") && !url.contains("0.0.0.0"), "{url}");
        assert_eq!(own_url(&config, &[]), None);
    }

    #[tokio::test]
    async fn a_trusted_unix_socket_that_everybody_can_use_is_warned_about() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("http.sock");
        for (socket_mode, dir_mode, trusted, warnings) in [
            ("0666", 0o755, "unix", 1),
            ("0602", 0o711, "unix", 1),
            ("0660", 0o755, "unix", 0),
            ("0666", 0o750, "unix", 0),
            ("0666", 0o755, "127.0.0.1", 0),
        ] {
            set_permissions(dir.path(), Permissions::from_mode(dir_mode)).unwrap();
            let file = format!(
                "listen = 'unix:{}'\nsocket_mode = '{socket_mode}'\n[http]\ntrusted_proxies = ['{trusted}']",
                path.display()
            );
            let file = FileConfig::parse(&file).unwrap();
            let config = Config::build(file, &ServeArgs::default()).unwrap();
            let (lines, guard) = LoggedLines::catch();
            let listeners = open(&config, InheritedSockets::default()).unwrap();
            drop(guard);
            let warned = lines.having("every user of this machine can connect");
            assert_eq!(warned.len(), warnings, "{socket_mode} {dir_mode:o} {trusted}: {warned:?}");
            drop(listeners);
        }
    }
}
