//! A thousand clients behind a real nginx, which `./test` fetches: with `trusted_proxies` all are served; without it
//! they share the limits of the proxy's address.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

use crate::support::{Command, Dir, Server, eventually, many_files, within};

const CLIENTS: u16 = 1_000;

/// The path of nginx: from `NGINX`, from the system, or unpacked below `target`.
fn nginx() -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let unpacked = ["target/tools/bin/nginx", "target/proxies/usr/sbin/nginx"];
    let mut places: Vec<PathBuf> = std::env::var_os("NGINX").map(Into::into).into_iter().collect();
    places.extend(["/usr/sbin/nginx", "/usr/bin/nginx"].map(PathBuf::from));
    places.extend(unpacked.map(|place| root.join(place)));
    let found = places.iter().find(|place| place.is_file());
    let found = found.unwrap_or_else(|| panic!("nginx is missing: ./test fetches it"));
    found.to_str().unwrap().to_owned()
}

/// Starts nginx in front of a server, and returns its process and address.
async fn start_nginx(dir: &tempfile::TempDir, upstream: SocketAddr) -> (Command, SocketAddr) {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let folder = dir.path().to_str().unwrap();
    let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {folder}/{name}; "))
        .concat();
    // When started by root, the workers of nginx would run as a user that may not write here.
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let user = if is_root { "user root;" } else { "" };
    let config = format!(
        "{user} daemon off; worker_processes 1; worker_rlimit_nofile 8192; pid {folder}/pid; error_log stderr warn;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; {places}\n\
           map $http_upgrade $cortado_connection {{ default upgrade; \"\" close; }}\n\
           server {{ listen {address} backlog=2048; location / {{\n\
             proxy_pass http://{upstream}; proxy_http_version 1.1; proxy_read_timeout 1h;\n\
             proxy_set_header Host $http_host;\n\
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
             proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $cortado_connection;\n\
         }} }} }}\n"
    );
    let path = dir.path().join("nginx.conf");
    std::fs::write(&path, config).unwrap();
    let args = ["-p", folder, "-e", "stderr", "-c", path.to_str().unwrap()];
    let process = Command::of(&nginx(), &args);
    eventually("nginx", || async { TcpSocket::new_v4().unwrap().connect(address).await.ok() })
        .await;
    (process, address)
}

/// Opens a stream through nginx from an address of client `n` alone, and returns the status and the connection.
async fn open_stream(n: u16, proxy: SocketAddr) -> (u16, tokio::net::TcpStream) {
    let [high, low] = n.to_be_bytes();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::new(127, 1, high, low), 0).into()).unwrap();
    let mut stream = socket.connect(proxy).await.unwrap();
    let head =
        b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    let status = std::str::from_utf8(&first).unwrap().rsplit(' ').next().unwrap();
    (status.parse().unwrap(), stream)
}

/// Counts how many of a thousand clients with different addresses have a stream open at the same time.
async fn served(settings: &str) -> usize {
    many_files();
    let dir = Dir::new();
    let config = dir.config(settings);
    let server = Server::start(&dir, &["--config", &config]).await;
    let folder = tempfile::tempdir().unwrap();
    let (mut nginx, proxy) = start_nginx(&folder, server.address).await;
    let mut clients = JoinSet::new();
    for n in 1..=CLIENTS {
        clients.spawn(within("an answer", open_stream(n, proxy)));
    }
    let streams = clients.join_all().await;
    let good = streams.iter().filter(|(status, _)| *status == 200).count();
    let refused = streams.iter().filter(|(status, _)| matches!(status, 429 | 502)).count();
    assert_eq!(good + refused, usize::from(CLIENTS));
    // Direct clients on this machine are served in any case.
    server.client.text("/healthz").await;
    drop(streams);
    nginx.signal(nix::sys::signal::Signal::SIGTERM);
    nginx.exit().await;
    server.stop().await;
    good
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_behind_nginx_are_all_served_when_it_is_a_trusted_proxy() {
    let settings = "[http]\ntrusted_proxies = [\"127.0.0.1\"]\nconnections_per_address = 8\n\
        subscribers_per_address = 4\n";
    assert_eq!(served(settings).await, usize::from(CLIENTS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_behind_an_nginx_that_nobody_trusts_share_the_limits_of_one_address() {
    assert_eq!(served("[http]\nsubscribers_per_address = 64\n").await, 64);
}
