//! The messages to a service manager (`Type=notify`), on a socket that the test owns.

use nix::sys::signal::Signal;
use tokio::net::UnixDatagram;

use super::{launch, listening};
use crate::support::{Dir, within};

/// The next message that has this line, without pings of the watchdog before it.
async fn message_with(socket: &UnixDatagram, line: &str) -> String {
    within(line, async {
        loop {
            let mut bytes = [0; 4_096];
            let length = socket.recv(&mut bytes).await.unwrap();
            let message = String::from_utf8(bytes[..length].to_vec()).unwrap();
            if message.lines().any(|one| one == line) {
                return message;
            }
            assert_eq!(message.trim(), "WATCHDOG=1", "before {line}");
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_manager_is_told_what_the_server_does() {
    let dir = Dir::new();
    let path = dir.data().with_file_name("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    let variables = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "300000")];
    let config = dir.config("listen = '127.0.0.1:0'");
    let mut server = launch(&dir, &config, Vec::new(), &variables);
    let ready = message_with(&socket, "READY=1").await;
    let url = listening(&server, 1, 1).await.remove(0);
    assert!(ready.contains(&format!("STATUS=serving {url}")), "{ready}");
    for _ in 0..3 {
        message_with(&socket, "WATCHDOG=1").await;
    }
    // A restart is a reload to the service manager, and keeps the process and its address.
    server.signal(Signal::SIGUSR2);
    let reloading = message_with(&socket, "RELOADING=1").await;
    assert!(reloading.lines().any(|line| line.starts_with("MONOTONIC_USEC=")), "{reloading}");
    let ready = message_with(&socket, "READY=1").await;
    assert!(ready.contains(&format!("STATUS=serving {url}")), "{ready}");
    assert_eq!(listening(&server, 2, 1).await, [url]);
    message_with(&socket, "WATCHDOG=1").await;
    server.signal(Signal::SIGTERM);
    message_with(&socket, "STOPPING=1").await;
    assert_eq!(server.exit().await.code(), Some(0));
}
