//! Socket activation: the server serves on sockets that another process opened, and leaves them as they are.

use std::net::TcpListener;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use nix::sys::signal::Signal;
use serde_json::json;

use super::{launch, listening};
use crate::support::{Client, Command, Dir};

async fn unix_health(socket: &str) -> String {
    let args = ["--silent", "--show-error", "--unix-socket", socket, "http://localhost/healthz"];
    let mut curl = Command::of("curl", &args);
    assert!(curl.exit().await.success(), "{:?}", curl.err.so_far());
    curl.out.so_far().join("")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_of_a_service_manager_are_served_and_outlive_the_server() {
    let dir = Dir::new();
    let config = dir.config("");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let path = dir.data().with_file_name("activated.sock");
    let unix = UnixListener::bind(&path).unwrap();
    let socket = path.to_str().unwrap();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let sockets = vec![tcp.try_clone().unwrap().into(), unix.try_clone().unwrap().into()];
        let mut server = launch(&dir, &config, sockets, &[]);
        // They replace the setting `listen`.
        let expected = [format!("http://{address}"), format!("unix:{socket}")];
        assert_eq!(listening(&server, 1, 2).await, expected);
        ids.push(Client::new(address).submit(&json!({ "kind": "echo" })).await);
        assert_eq!(unix_health(socket).await, r#"{"status":"alive"}"#);
        assert_eq!(Client::new(address).rows().await.len(), ids.len());
        server.signal(Signal::SIGTERM);
        assert_eq!(server.exit().await.code(), Some(0));
        // Connections wait for the next server.
        std::net::TcpStream::connect(address).unwrap();
        UnixStream::connect(&path).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passed_descriptor_that_is_no_listening_socket_ends_the_start() {
    let dir = Dir::new();
    let config = dir.config("");
    let connected = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = std::net::TcpStream::connect(connected.local_addr().unwrap()).unwrap();
    let datagram = UnixDatagram::unbound().unwrap();
    for (descriptor, why) in [
        (connected.into(), "does not listen"),
        (datagram.into(), "neither a TCP nor a Unix stream socket"),
        (
            std::fs::File::open("/dev/null").unwrap().into(),
            "neither a TCP nor a Unix stream socket",
        ),
    ] {
        let mut server = launch(&dir, &config, vec![descriptor], &[]);
        assert_eq!(server.exit().await.code(), Some(2));
        let said = server.err.so_far().join("\n");
        assert!(said.contains("descriptor 3") && said.contains(why), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activated_socket_that_others_can_reach_needs_a_token() {
    let dir = Dir::new();
    let config = dir.config("");
    let reachable = || TcpListener::bind("0.0.0.0:0").unwrap();
    let mut server = launch(&dir, &config, vec![reachable().into()], &[]);
    assert_eq!(server.exit().await.code(), Some(2));
    let said = server.err.so_far().join("\n");
    assert!(said.contains("other machines can reach 0.0.0.0:"), "{said}");
    let token = [("CORTADO_AUTH_TOKEN", "0123456789abcdef")];
    let mut server = launch(&dir, &config, vec![reachable().into()], &token);
    listening(&server, 1, 1).await;
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit().await.code(), Some(0));
}
