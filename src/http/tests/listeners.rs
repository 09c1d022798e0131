//! The limits for clients, over TCP, TLS and a Unix socket alike: what does not read, does not send or comes too often is
//! treated in the same way. And who may say where a request comes from.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderMap;
use axum::routing::get;
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, UnixStream};
use tokio_rustls::TlsConnector;

use super::support::{Server, Setup, within};
use crate::http::HttpLimits;
use crate::http::server::connection_scheme::ConnectionScheme;
use crate::http::server::listener::{BoundAddress, Listener};
use crate::http::server::tls::{CertificateFiles, TlsServer, TlsSettings};
use crate::http::server::unix_socket::SocketMode;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Via {
    Tcp,
    Tls,
    Unix,
}

const ALL: [Via; 3] = [Via::Tcp, Via::Tls, Via::Unix];

/// A server with a listener of each kind.
struct Site {
    server: Server,
    tls: SocketAddr,
    unix: PathBuf,
    connector: TlsConnector,
    _dir: TempDir,
}

impl Site {
    async fn start(limits: HttpLimits, more: Router) -> Site {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let cert = cert.self_signed(&key).unwrap();
        let [cert_path, key_path, unix] =
            ["tls.crt", "tls.key", "http.sock"].map(|name| dir.path().join(name));
        std::fs::write(&cert_path, cert.pem()).unwrap();
        std::fs::write(&key_path, key.serialize_pem()).unwrap();
        let tls = TlsServer::new(TlsSettings {
            files: CertificateFiles { cert: cert_path.clone(), key: key_path },
            reload: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(20),
            max_handshakes: 100,
        });
        let secure = Listener::tcp(([127, 0, 0, 1], 0).into(), Some(Arc::new(tls.unwrap())));
        let secure = secure.unwrap();
        let BoundAddress::Network(ConnectionScheme::Https, tls) = secure.address() else {
            panic!("no address with TLS")
        };
        let listeners = vec![secure, Listener::unix(unix.clone(), SocketMode::default()).unwrap()];
        let server = Server::with(Setup { limits, listeners, more, ..Setup::default() }).await;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&cert_path).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        Site { server, tls, unix, connector, _dir: dir }
    }

    async fn connect(&self, via: Via) -> Box<dyn Stream> {
        // Small receive buffers, so that a client that does not read is noticed soon.
        let tcp = async |to| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(4_096).unwrap();
            within(socket.connect(to)).await.unwrap()
        };
        match via {
            Via::Tcp => Box::new(tcp(self.server.address).await),
            Via::Tls => {
                let name = ServerName::try_from("localhost").unwrap();
                Box::new(within(self.connector.connect(name, tcp(self.tls).await)).await.unwrap())
            }
            Via::Unix => Box::new(within(UnixStream::connect(&self.unix)).await.unwrap()),
        }
    }

    /// Sends a head, and returns everything that arrives until the server closes the connection.
    async fn send(&self, via: Via, head: &str) -> String {
        let mut stream = self.connect(via).await;
        // A server that refuses a client may close the connection first.
        let _ = within(stream.write_all(head.as_bytes())).await;
        rest(&mut stream).await
    }
}

async fn rest(stream: &mut Box<dyn Stream>) -> String {
    let mut bytes = Vec::new();
    // A reset is an end as well.
    let _ = within(stream.read_to_end(&mut bytes)).await;
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_does_not_arrive_is_answered_with_408_over_each_listener() {
    let limits = HttpLimits { header_timeout: Duration::from_millis(100), ..HttpLimits::default() };
    let site = Site::start(limits, Router::new()).await;
    for via in ALL {
        let answer = site.send(via, "GET /healthz HTTP/1.1\r\nho").await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{via:?}: {answer}");
        assert_eq!(site.send(via, "").await, "", "{via:?}: a client that sends nothing");
        let answer = site.send(via, "nonsense\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{via:?}: {answer}");
        assert!(answer.contains("malformed_request"), "{via:?}: {answer}");
    }
    site.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_disconnected_over_each_listener() {
    let endless = get(|| async {
        let piece = || Some((Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 32 * 1_024])), ()));
        Body::from_stream(futures_util::stream::unfold((), move |()| async move { piece() }))
    });
    let limits = HttpLimits {
        // Long enough for a reader that the machine lets wait.
        write_timeout: Duration::from_secs(1),
        header_timeout: Duration::from_secs(60),
        ..HttpLimits::default()
    };
    let site = Site::start(limits, Router::new().route("/test/endless", endless)).await;
    let too_slow = async || {
        let metrics = site.server.get("/metrics").await.body;
        let line = metrics
            .lines()
            .find(|line| line.starts_with("cortado_http_connections_too_slow_total"));
        line.unwrap().rsplit(' ').next().unwrap().parse::<usize>().unwrap()
    };
    for (closed, via) in ALL.into_iter().enumerate() {
        let mut stream = site.connect(via).await;
        let head = "GET /test/endless HTTP/1.1\r\nhost: localhost\r\n\r\n";
        within(stream.write_all(head.as_bytes())).await.unwrap();
        within(async { while too_slow().await == closed {} }).await;
        assert_eq!(too_slow().await, closed + 1, "{via:?}");
        // One that reads is served.
        let mut reader = site.connect(via).await;
        within(reader.write_all(head.as_bytes())).await.unwrap();
        let mut bytes = vec![0; 2 << 20];
        within(reader.read_exact(&mut bytes)).await.unwrap();
        assert!(bytes.ends_with(b"xxxx"), "{via:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connections_of_an_address_are_limited_over_all_listeners_together() {
    let limits = HttpLimits { connections_per_address: Some(3), ..HttpLimits::default() };
    let site = Site::start(limits, Router::new()).await;
    let head = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut held = Vec::new();
    for via in ALL {
        let mut stream = site.connect(via).await;
        within(stream.write_all(head.as_bytes())).await.unwrap();
        let mut first = [0; 12];
        within(stream.read_exact(&mut first)).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200", "{via:?}");
        held.push(stream);
    }
    for via in [Via::Tcp, Via::Unix] {
        let answer = site.send(via, head).await;
        assert!(answer.starts_with("HTTP/1.1 429 "), "{via:?}: {answer}");
    }
    // Without a handshake, a client with TLS cannot be told why.
    let refused = TcpSocket::new_v4().unwrap().connect(site.tls).await.unwrap();
    assert_eq!(rest(&mut (Box::new(refused) as Box<dyn Stream>)).await, "");
    drop(held);
    // Their slots are free as soon as the server has noticed the end.
    let close = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    within(async { while !site.send(Via::Unix, close).await.starts_with("HTTP/1.1 200") {} }).await;
    site.server.stop().await;
}

/// Says where a request comes from.
async fn origin(
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    request: Request,
) -> String {
    let scheme = ConnectionScheme::of(request.extensions()).as_str();
    let host = headers.get("host").map_or("", |host| host.to_str().unwrap());
    format!("{} {scheme} {host}", client.ip())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_headers_of_proxies_are_believed_from_listed_proxies_only() {
    const CLAIMS: [&str; 4] = [
        "x-forwarded-for: 192.0.2.66, 198.51.100.7\r\nx-forwarded-proto: https\r\nx-forwarded-host: localhost:9\r\n",
        "forwarded: for=192.0.2.66;proto=http, for=198.51.100.7;proto=https;host=\"localhost:9\"\r\n",
        "X-FORWARDED-FOR: 198.51.100.7:4711\r\nX-Forwarded-Proto: HTTPS\r\nForwarded: host=localhost:9;proto=http\r\n",
        "x-forwarded-for: 198.51.100.7\r\nforwarded: for=192.0.2.66;proto=https;host=localhost:9\r\n",
    ];
    for (proxies, trusted) in [
        (&[][..], &[][..]),
        (&["192.0.2.0/24"], &[]),
        (&["unix"], &[Via::Unix]),
        (&["127.0.0.1"], &[Via::Tcp, Via::Tls]),
        (&["127.0.0.0/8", "unix"], &ALL),
    ] {
        let trusted_proxies = proxies.iter().map(|proxy| proxy.parse().unwrap()).collect();
        let limits = HttpLimits { trusted_proxies, ..HttpLimits::default() };
        let site = Site::start(limits, Router::new().route("/test/origin", get(origin))).await;
        for via in ALL {
            let own = match via {
                Via::Tcp => "127.0.0.1 http localhost",
                Via::Tls => "127.0.0.1 https localhost",
                // Proxies on a Unix socket have no address, and are not counted.
                Via::Unix if trusted.contains(&via) => "0.0.0.0 http localhost",
                Via::Unix => "127.0.0.1 http localhost",
            };
            let ask = |claim: &str| {
                let head = format!(
                    "GET /test/origin HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{claim}\r\n"
                );
                let site = &site;
                async move { site.send(via, &head).await.rsplit("\r\n\r\n").next().unwrap().to_owned() }
            };
            assert_eq!(ask("").await, own, "{proxies:?} {via:?}");
            for claim in CLAIMS {
                let expected =
                    if trusted.contains(&via) { "198.51.100.7 https localhost:9" } else { own };
                assert_eq!(ask(claim).await, expected, "{proxies:?} {via:?} {claim}");
            }
        }
        // A client behind a proxy cannot get around the check of the host (DNS rebinding): both names must be accepted.
        for (host, reported, is_accepted) in [
            ("localhost", "localhost:9", true),
            ("evil.test", "localhost", false),
            ("localhost", "evil.test", false),
            ("localhost", "two hosts", false),
        ] {
            let via = *trusted.first().unwrap_or(&Via::Tcp);
            let head = format!(
                "GET /test/origin HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\nx-forwarded-host: {reported}\r\n\r\n"
            );
            let is_accepted = if trusted.is_empty() { host == "localhost" } else { is_accepted };
            let answer = site.send(via, &head).await;
            assert_eq!(
                answer.starts_with("HTTP/1.1 200"),
                is_accepted,
                "{host} {reported}: {answer}"
            );
        }
        site.server.stop().await;
    }
}

#[tokio::test]
async fn sockets_that_were_opened_elsewhere_are_served_alike() {
    use crate::http::server::listener::SocketOwner;
    let dir = tempfile::tempdir().unwrap();
    let path: &Path = &dir.path().join("other.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap().into_std().unwrap();
    let address = tcp.local_addr().unwrap();
    let unix = std::os::unix::net::UnixListener::bind(path).unwrap();
    let owner = SocketOwner::ServiceManager;
    let listeners = vec![
        Listener::from_tcp(tcp, owner, None).unwrap(),
        Listener::from_unix(unix, path.to_owned(), owner).unwrap(),
    ];
    let server = Server::with(Setup { listeners, ..Setup::default() }).await;
    let head = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let streams: [Box<dyn Stream>; 2] = [
        Box::new(tokio::net::TcpStream::connect(address).await.unwrap()),
        Box::new(UnixStream::connect(path).await.unwrap()),
    ];
    for mut stream in streams {
        within(stream.write_all(head)).await.unwrap();
        assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200"));
    }
    server.stop().await;
    assert!(path.exists(), "the file belongs to the service manager");
}
