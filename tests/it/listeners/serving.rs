//! One server with plain HTTP, TLS and a Unix socket: real clients get the same over each.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use nix::sys::signal::Signal;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;

use super::{address_of, certificate, launch, listening};
use crate::support::{Command, Dir, eventually, within};

/// A server with three listeners.
struct Running {
    server: Command,
    cert: String,
    plain: String,
    tls: String,
    unix: String,
    _dir: Dir,
}

async fn start() -> Running {
    let dir = Dir::new();
    let (tls, cert) = certificate(&dir);
    let socket = dir.data().with_file_name("http.sock");
    let config = dir.config(&format!(
        "listen = ['http://127.0.0.1:0', '127.0.0.1:0', 'unix:{}']\nsocket_mode = '0660'\n{tls}",
        socket.display()
    ));
    let server = launch(&dir, &config, Vec::new(), &[]);
    let [plain, tls, unix] = listening(&server, 1, 3).await.try_into().unwrap();
    assert!(plain.starts_with("http://") && tls.starts_with("https://"), "{plain} {tls}");
    assert_eq!(unix, format!("unix:{}", socket.display()));
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    Running { server, cert: cert.to_str().unwrap().to_owned(), plain, tls, unix, _dir: dir }
}

impl Running {
    async fn stop(mut self) {
        self.server.signal(Signal::SIGTERM);
        assert_eq!(self.server.exit().await.code(), Some(0));
        assert!(!Path::new(self.unix.strip_prefix("unix:").unwrap()).exists(), "the socket's file");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_commands_do_the_same_over_http_tls_and_a_unix_socket() {
    let running = start().await;
    let by_name = format!("https://localhost:{}", address_of(&running.tls).port());
    for url in [&running.plain, &running.tls, &by_name, &running.unix] {
        let run = |args: &[&str]| {
            Command::run(&[args, &["--server", url, "--ca-file", &running.cert]].concat())
        };
        let mut watch = run(&["watch", "--type", "job.completed", "--json"]);
        // The stream begins when the server has the subscriber.
        eventually("an event", || async {
            let mut submit = run(&["submit", "echo", "[7]", "--wait"]);
            assert!(submit.exit().await.success(), "{url}: {:?}", submit.err.so_far());
            assert_eq!(submit.out.so_far(), ["[7]"], "{url}");
            watch.out.so_far().iter().any(|line| line.contains("job.completed")).then_some(())
        })
        .await;
        let mut stats = run(&["stats", "--json"]);
        assert!(stats.exit().await.success(), "{url}: {:?}", stats.err.so_far());
        watch.signal(Signal::SIGINT);
        assert!(watch.exit().await.success());
        let mut export = run(&["export"]);
        assert!(export.exit().await.success(), "{url}: {:?}", export.err.so_far());
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_and_openssl_agree_with_the_server() {
    let running = start().await;
    let socket = running.unix.strip_prefix("unix:").unwrap();
    for args in [
        &["--cacert", &running.cert, &format!("{}/healthz", running.tls)][..],
        &["--tls-max", "1.2", "--cacert", &running.cert, &format!("{}/healthz", running.tls)],
        &["--unix-socket", socket, "http://localhost/healthz"],
        &[&format!("{}/healthz", running.plain)],
    ] {
        let mut curl =
            Command::of("curl", &[&["--silent", "--show-error", "--fail"], args].concat());
        assert!(curl.exit().await.success(), "{args:?}: {:?}", curl.err.so_far());
        assert_eq!(curl.out.so_far(), [r#"{"status":"alive"}"#], "{args:?}");
    }
    let address = address_of(&running.tls).to_string();
    for (protocols, chosen) in
        [("h2,http/1.1", "ALPN protocol: http/1.1"), ("http/1.1", "ALPN protocol: http/1.1")]
    {
        let args = ["s_client", "-connect", &address, "-alpn", protocols, "-CAfile", &running.cert];
        let mut client = Command::of("openssl", &args);
        client.exit().await;
        let said = client.out.so_far().join("\n");
        for expected in [chosen, "Verify return code: 0 (ok)"] {
            assert!(said.contains(expected), "{protocols}: {said}");
        }
    }
    // Pages know how their browser reaches them: the command to copy has the scheme.
    for (url, scheme) in [(&running.tls, "https"), (&running.plain, "http")] {
        // Nobody may claim another one.
        for claimed in ["http", "https"] {
            let header = format!("X-Forwarded-Proto: {claimed}");
            let page = format!("{url}/jobs/new?kind=echo");
            let args =
                ["--silent", "--show-error", "--cacert", &running.cert, "--header", &header, &page];
            let mut curl = Command::of("curl", &args);
            assert!(curl.exit().await.success(), "{:?}", curl.err.so_far());
            let page = curl.out.so_far().join("\n");
            let expected =
                format!("curl {scheme}://127.0.0.1:{}/api/v1/jobs", address_of(url).port());
            assert!(page.contains(&expected), "{claimed}: {page}");
        }
    }
    running.stop().await;
}

/// Opens a stream, waits for its `hello`, and returns a future of the types of all messages until the close, and the code
/// of the close.
async fn watch<S>(stream: S) -> impl Future<Output = (Vec<String>, u16)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let opening = tokio_tungstenite::client_async("ws://localhost/api/v1/ws", stream);
    let (mut socket, _) = within("an open socket", opening).await.unwrap();
    let hello = within("a hello", socket.next()).await.unwrap().unwrap();
    assert!(hello.to_text().unwrap().contains("hello"), "{hello}");
    async move {
        let mut types = Vec::new();
        loop {
            match within("a message", socket.next()).await.unwrap().unwrap() {
                Message::Text(text) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    types.push(message["type"].as_str().unwrap().to_owned());
                }
                Message::Close(frame) => {
                    socket.flush().await.ok(); // completes the closing handshake
                    return (types, frame.unwrap().code.into());
                }
                Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stop_says_goodbye_to_websockets_over_each_listener() {
    let mut running = start().await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&running.cert).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").unwrap();
    let tcp = TcpStream::connect(address_of(&running.tls)).await.unwrap();
    let over_tls = watch(connector.connect(name, tcp).await.unwrap()).await;
    let over_tcp = watch(TcpStream::connect(address_of(&running.plain)).await.unwrap()).await;
    let socket = running.unix.strip_prefix("unix:").unwrap();
    let over_unix = watch(UnixStream::connect(socket).await.unwrap()).await;
    running.server.signal(Signal::SIGTERM);
    for (what, (types, code)) in
        [("TCP", over_tcp.await), ("TLS", over_tls.await), ("a Unix socket", over_unix.await)]
    {
        assert_eq!(code, 1001, "{what}");
        assert_eq!(types.last().unwrap(), "bye", "{what}: {types:?}");
    }
    assert_eq!(running.server.exit().await.code(), Some(0));
    let log = running.server.err.so_far();
    assert!(log.iter().any(|line| line.contains("open_connections=0")), "{log:#?}");
}
