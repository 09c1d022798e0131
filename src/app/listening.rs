//! Opens the listeners of a server: on the sockets that the process got from another one, and on new ones.

use std::sync::Arc;

use anyhow::{Context as _, bail};

use crate::config::Config;
use crate::http::server::inherited::{InheritedSockets, PassedSocket};
use crate::http::server::listen_address::{ListenAddress, TlsChoice};
use crate::http::server::listener::Listener;
use crate::http::server::tls::TlsServer;

/// Opens a listener for each address of the configuration. Inherited sockets that it does not name are closed.
pub fn open(config: &Config, mut inherited: InheritedSockets) -> anyhow::Result<Vec<Listener>> {
    let server = config.tls.clone().map(TlsServer::new).transpose();
    let server = server.context("cannot set up TLS")?.map(Arc::new);
    let listeners = config.listen.iter().map(|wanted| {
        let tls = match (wanted, &server) {
            (ListenAddress::Network { tls: TlsChoice::Always, .. }, None) => {
                bail!("{wanted} needs a certificate: set tls.cert and tls.key")
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
        listener.with_context(|| format!("cannot listen on {wanted}"))
    });
    listeners.collect()
}
