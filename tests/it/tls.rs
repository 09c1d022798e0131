//! The client commands against a server behind TLS, with a certificate of a private authority.

use std::net::SocketAddr;
use std::sync::Arc;

use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::{Command, Dir, Server, within};

/// A proxy that ends TLS in front of a server, and the certificate of the authority that issued its own, as PEM.
async fn tls_proxy(server: SocketAddr, names: &[&str]) -> (SocketAddr, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let own = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], secret)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust the certificate ends the handshake.
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let Ok(mut server) = TcpStream::connect(server).await else { return };
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, authority)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_command_works_over_tls() {
    let dir = Dir::new();
    let server = Server::start(&dir, &[]).await;
    let (proxy, authority) = tls_proxy(server.address, &["localhost", "127.0.0.1"]).await;
    let path = |name: &str| dir.data().with_file_name(name).to_str().unwrap().to_owned();
    let (ca, backup) = (path("ca.pem"), path("backup"));
    std::fs::write(&ca, authority).unwrap();
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{}", proxy.port());
        let trusting =
            |args: &[&str]| Command::run(&[args, &["--server", &url, "--ca-file", &ca]].concat());
        let mut watch = trusting(&["watch", "--type", "job.*", "--queue", "a,b", "--json"]);
        // The stream begins when the server has the subscriber.
        let subscribed = || async {
            let metrics = server.client.text("/metrics").await;
            metrics.contains("cortado_subscribers{transport=\"websocket\"} 1").then_some(())
        };
        crate::support::eventually("the subscriber", subscribed).await;
        let mut submit = trusting(&["submit", "echo", "[1]", "--queue", "b", "--wait"]);
        assert!(submit.exit().await.success(), "{}", submit.err.so_far().join("\n"));
        assert_eq!(submit.out.so_far(), ["[1]"]);
        assert!(within("an event", watch.out.line_with("job.completed")).await.is_some());
        watch.signal(Signal::SIGINT);
        assert!(watch.exit().await.success());
        for args in [&["stats"][..], &["export"], &["resume"]] {
            let mut command = trusting(args);
            assert!(command.exit().await.success(), "{args:?}: {:?}", command.err.so_far());
            assert!(!command.out.so_far().is_empty());
        }
        if host == "localhost" {
            let mut command = trusting(&["backup", &backup]);
            assert!(command.exit().await.success(), "{:?}", command.err.so_far());
        }
    }
    server.client.submit(&json!({ "kind": "echo" })).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_trusted_ends_every_client_command_with_what_to_do() {
    let dir = Dir::new();
    let server = Server::start(&dir, &[]).await;
    let (proxy, authority) = tls_proxy(server.address, &["localhost"]).await;
    let (elsewhere, _) = tls_proxy(server.address, &["jobs.example.com"]).await;
    let path = |name: &str| dir.data().with_file_name(name).to_str().unwrap().to_owned();
    let (ca, empty) = (path("ca.pem"), path("empty.pem"));
    std::fs::write(&ca, authority).unwrap();
    std::fs::write(&empty, "nothing").unwrap();
    let url = format!("https://localhost:{}", proxy.port());
    let other = format!("https://localhost:{}", elsewhere.port());
    let backup = path("backup");
    for command in [
        &["watch"][..],
        &["submit", "echo"],
        &["submit", "echo", "--wait"],
        &["stats"],
        &["export"],
        &["resume"],
        &["backup", &backup],
    ] {
        for (args, says) in [
            (&["--server", &url][..], "--ca-file"),
            (&["--server", &other, "--ca-file", &ca], "certificate"),
            (&["--server", &url, "--ca-file", "/no/such.pem"], "/no/such.pem"),
            (&["--server", &url, "--ca-file", &empty], "no certificate in"),
        ] {
            let mut process = Command::run(&[command, args].concat());
            let code = process.exit().await.code();
            let said = process.err.so_far().join("\n");
            assert!(
                code == Some(2) && said.contains(says),
                "{command:?} {args:?}: {code:?} {said}"
            );
        }
    }
    server.stop().await;
}
