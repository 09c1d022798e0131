//! Socket activation: the server serves on sockets that another process opened, and leaves them as they are.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use nix::sys::signal::Signal;
use serde_json::json;

use super::{launch, listening};
use crate::support::{Client, Command, Dir, within};

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

/// The status of a request for the statistics, with a name and a password.
async fn status(address: SocketAddr, name: &str, password: &str) -> u16 {
    let url = format!("http://127.0.0.1:{}/api/v1/stats", address.port());
    let request = cortado::internal::cli::http_client().unwrap().get(url);
    let request = if name.is_empty() { request } else { request.basic_auth(name, Some(password)) };
    within("an answer", request.send()).await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_start_on_a_socket_that_others_can_reach_prints_the_password_of_an_admin_once() {
    let dir = Dir::new();
    let config = dir.config("");
    let socket = TcpListener::bind("0.0.0.0:0").unwrap();
    let address = socket.local_addr().unwrap();
    let start = async |dir: &Dir, variables: &[(&str, &str)]| {
        let server = launch(dir, &config, vec![socket.try_clone().unwrap().into()], variables);
        listening(&server, 1, 1).await;
        // The lines are printed together, and this one comes before those about users.
        assert_eq!(status(address, "", "").await, 401);
        server
    };
    let stop = async |mut server: Command| {
        server.signal(Signal::SIGTERM);
        assert_eq!(server.exit().await.code(), Some(0));
        (server.out.so_far().join("\n"), server.err.so_far().join("\n"))
    };
    let created = "created the user admin with the password ";
    let server = start(&dir, &[]).await;
    let printed = server.out.so_far().join("\n");
    let password = printed.split_once(created).unwrap().1.lines().next().unwrap().to_owned();
    assert_eq!(status(address, "admin", &password).await, 200);
    assert_eq!(status(address, "admin", "not the password").await, 401);
    let (_, log) = stop(server).await;
    assert!(!log.contains(&password), "{log}");

    // The next start knows the user, whatever the environment says.
    let server = start(&dir, &[("CORTADO_ADMIN_PASSWORD", "another password")]).await;
    assert_eq!(status(address, "admin", &password).await, 200);
    assert_eq!(status(address, "admin", "another password").await, 401);
    let (printed, _) = stop(server).await;
    assert!(!printed.contains("created the user"), "{printed}");

    // The password may come from a file, and a token is enough to log in.
    let other = Dir::new();
    let file = other.data().with_file_name("password");
    std::fs::write(&file, "a password in a file\n").unwrap();
    let variable = [("CORTADO_ADMIN_PASSWORD_FILE", file.to_str().unwrap())];
    let server = start(&other, &variable).await;
    assert_eq!(status(address, "admin", "a password in a file").await, 200);
    let (printed, _) = stop(server).await;
    assert!(printed.contains("created the user admin with the given password"), "{printed}");
    let third = Dir::new();
    let server = start(&third, &[("CORTADO_AUTH_TOKEN", "0123456789abcdef")]).await;
    assert_eq!(status(address, "anybody", "0123456789abcdef").await, 200);
    let (printed, _) = stop(server).await;
    assert!(!printed.contains("created the user"), "{printed}");

    // A password that is not acceptable stops the start, and is shown nowhere.
    let fourth = Dir::new();
    let sockets = vec![socket.try_clone().unwrap().into()];
    let mut server = launch(&fourth, &config, sockets, &[("CORTADO_ADMIN_PASSWORD", "s3cret")]);
    assert_eq!(server.exit().await.code(), Some(2));
    let said = server.err.so_far().join("\n");
    assert!(said.contains("CORTADO_ADMIN_PASSWORD") && said.contains("12 characters"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}
