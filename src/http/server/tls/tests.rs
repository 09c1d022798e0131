//! TLS on a server of its own: real clients, certificates that change, and clients that do not behave.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use reqwest::Certificate;
use rustls::crypto::ring;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::certificate::{CertificateFiles, CurrentCertificate, ReloadScope};
use super::{TlsServer, TlsSettings};
use crate::http::HttpLimits;
use crate::http::tests::support::{Server, Setup, within};
use crate::logging::retry_log::testing::LoggedLines;

/// A certificate that signs itself, and its key, as PEM.
struct Pair {
    cert: String,
    key: String,
}

impl Pair {
    fn of(name: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec![name.to_owned(), "127.0.0.1".to_owned()]).unwrap();
        Pair { cert: cert.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }

    fn write(&self, files: &CertificateFiles) {
        std::fs::write(&files.cert, &self.cert).unwrap();
        std::fs::write(&files.key, &self.key).unwrap();
    }

    /// A client that trusts only this certificate, and opens a new connection for each request.
    fn client(&self) -> reqwest::Client {
        // An error means that another test was first.
        let _ = ring::default_provider().install_default();
        let trusted = Certificate::from_pem(self.cert.as_bytes()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]);
        client.pool_max_idle_per_host(0).build().unwrap()
    }
}

fn files_in(dir: &Path) -> CertificateFiles {
    CertificateFiles { cert: dir.join("tls.crt"), key: dir.join("tls.key") }
}

fn settings(files: CertificateFiles) -> TlsSettings {
    TlsSettings {
        files,
        reload: Duration::from_millis(20),
        handshake_timeout: Duration::from_secs(30),
        max_handshakes: 100,
    }
}

async fn start(change: impl FnOnce(&mut TlsSettings, &mut HttpLimits)) -> (Server, Pair, TempDir) {
    let (dir, pair) = (tempfile::tempdir().unwrap(), Pair::of("localhost"));
    let files = files_in(dir.path());
    pair.write(&files);
    let (mut settings, mut limits) = (settings(files), HttpLimits::default());
    change(&mut settings, &mut limits);
    let tls = Some(Arc::new(TlsServer::new(settings).unwrap()));
    (Server::with(Setup { tls, limits, ..Setup::default() }).await, pair, dir)
}

async fn status(client: &reqwest::Client, address: SocketAddr) -> Result<u16, reqwest::Error> {
    let response = within(client.get(format!("https://{address}/healthz")).send()).await?;
    Ok(response.status().as_u16())
}

/// Everything that arrives until the server closes the connection.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end as well.
    within(stream.read_to_end(&mut bytes)).await.ok();
    bytes
}

#[tokio::test]
async fn a_new_certificate_is_used_once_its_files_have_changed() {
    let (server, first, dir) = start(|_, _| {}).await;
    assert_eq!(status(&first.client(), server.address).await.unwrap(), 200);
    let second = Pair::of("localhost");
    second.write(&files_in(dir.path()));
    let client = second.client();
    within(async { while status(&client, server.address).await.is_err() {} }).await;
    assert!(status(&first.client(), server.address).await.is_err());
    server.stop().await;
}

#[test]
fn a_broken_pair_leaves_the_previous_one_in_use_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let files = files_in(dir.path());
    let (good, other) = (Pair::of("localhost"), Pair::of("localhost"));
    good.write(&files);
    let provider = Arc::new(ring::default_provider());
    let current = CurrentCertificate::load(files.clone(), provider).unwrap();
    let in_use = || current.in_use.read().unwrap().cert[0].to_vec();
    let before = in_use();
    let secret = good.key.lines().nth(1).unwrap();
    for (cert, key, why) in [
        (Some(good.cert.as_str()), Some(other.key.as_str()), "cannot be used with"),
        (Some("nothing"), Some(&good.key), "has no certificate"),
        (Some(""), Some(&good.key), "has no certificate"),
        (Some(&good.cert), Some(&good.cert), "has no private key"),
        (Some(&good.key), Some(&good.key), "has no certificate"),
        (Some(&good.cert[..200]), Some(&good.key), "has no certificate"),
        (None, Some(&good.key), "cannot read"),
        (Some(&good.cert), None, "cannot read"),
    ] {
        for (path, text) in [(&files.cert, cert), (&files.key, key)] {
            let _ = std::fs::remove_file(path);
            if let Some(text) = text {
                std::fs::write(path, text).unwrap();
            }
        }
        let (lines, guard) = LoggedLines::catch();
        current.reload(ReloadScope::Changed);
        current.reload(ReloadScope::Changed);
        drop(guard);
        let logged = lines.having("cannot reload the TLS certificate");
        assert!(logged.len() == 1 && logged[0].contains(why), "{why}: {logged:?}");
        assert!(!logged[0].contains(secret), "{logged:?}");
        assert_eq!(in_use(), before, "{why}");
    }
    // It is also read on demand, and when it is sound again.
    let (lines, guard) = LoggedLines::catch();
    current.reload(ReloadScope::Always);
    assert_eq!(lines.having("cannot reload").len(), 1);
    other.write(&files);
    current.reload(ReloadScope::Changed);
    drop(guard);
    assert_eq!(lines.having("reloaded the TLS certificate").len(), 1);
    assert_ne!(in_use(), before);
}

#[tokio::test]
async fn http_without_tls_gets_a_response_that_says_so() {
    let (server, _, _dir) = start(|_, _| {}).await;
    for head in ["GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", "POST /api/v1/jobs HTTP/1.1\r\n"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 4_096];
        let length = within(stream.read(&mut answer)).await.unwrap();
        let answer = String::from_utf8(answer[..length].to_vec()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("tls_required"), "{answer}");
        stream.shutdown().await.unwrap();
        assert!(rest(&mut stream).await.is_empty());
    }
    server.stop().await;
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_ended() {
    let (server, pair, _dir) =
        start(|settings, _| settings.handshake_timeout = Duration::from_millis(100)).await;
    // Silence, the beginning of a record, and bytes that are no TLS.
    for sent in [&b""[..], &[22, 3, 1, 2, 0, 1, 0], &[0x80, 0x2e, 1, 3]] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(!answer.starts_with(b"HTTP"), "{sent:?}: {answer:?}");
    }
    assert_eq!(status(&pair.client(), server.address).await.unwrap(), 200);
    server.stop().await;
}

#[tokio::test]
async fn one_address_has_a_quarter_of_the_handshakes_and_gets_them_back() {
    let (server, pair, _dir) = start(|settings, _| settings.max_handshakes = 8).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(TcpStream::connect(server.address).await.unwrap());
    }
    let client = pair.client();
    // Those two are accepted first.
    within(async { while status(&client, server.address).await.is_ok() {} }).await;
    held.clear();
    within(async { while status(&client, server.address).await.is_err() {} }).await;
    server.stop().await;
}

#[tokio::test]
async fn the_stop_does_not_wait_for_a_handshake() {
    let (server, _, _dir) = start(|_, limits| limits.last_bytes = Duration::from_millis(10)).await;
    let mut half = TcpStream::connect(server.address).await.unwrap();
    half.write_all(&[22, 3, 1]).await.unwrap();
    let report = server.stop().await;
    assert_eq!((report.clean, report.open_connections), (true, 0));
    assert!(rest(&mut half).await.is_empty());
}
