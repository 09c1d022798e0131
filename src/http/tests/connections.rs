//! The limit of connections per address: its exemptions, and that other addresses are still served.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::support::{Server, Setup, within};
use crate::http::layers::auth::Hosts;
use crate::http::limits::Loopback;
use crate::http::{Access, Anonymous, HttpLimits};

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Opens a connection from an address of this machine.
async fn connect(from: &str, to: SocketAddr) -> TcpStream {
    let from: IpAddr = from.parse().unwrap();
    let socket = match from.is_ipv4() {
        true => TcpSocket::new_v4().unwrap(),
        false => TcpSocket::new_v6().unwrap(),
    };
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.bind((from, 0).into()).unwrap();
    within(socket.connect(to)).await.unwrap()
}

/// Sends a request, and returns the status and the body as long as `content-length` says.
async fn ask(stream: &mut TcpStream, head: &str) -> Option<(u16, String)> {
    within(async {
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut text = String::new();
        loop {
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.split("content-length: ").nth(1)?.lines().next()?.parse().ok()?;
                if body.len() >= length {
                    return Some((text.get(9..12)?.parse().ok()?, body.to_owned()));
                }
            }
            let mut part = [0; 4_096];
            match stream.read(&mut part).await {
                Ok(0) | Err(_) => return None,
                Ok(length) => text.push_str(std::str::from_utf8(&part[..length]).unwrap()),
            }
        }
    })
    .await
}

async fn status(from: &str, to: SocketAddr) -> Option<u16> {
    ask(&mut connect(from, to).await, HEALTH).await.map(|(status, _)| status)
}

async fn limited(limits: HttpLimits, address: &str) -> Server {
    let setup = Setup {
        limits,
        address: (address.parse::<IpAddr>().unwrap(), 0).into(),
        ..Setup::default()
    };
    Server::with(setup).await
}

fn few(connections_per_address: usize) -> HttpLimits {
    HttpLimits { connections_per_address: Some(connections_per_address), ..HttpLimits::default() }
}

/// Opens as many connections as an address may have, and keeps them open.
async fn fill(from: &str, to: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..count {
        let mut stream = connect(from, to).await;
        assert_eq!(ask(&mut stream, HEALTH).await.unwrap().0, 200);
        held.push(stream);
    }
    held
}

#[tokio::test]
async fn an_address_at_its_limit_gets_a_refusal_and_others_can_connect() {
    let server = limited(few(3), "127.0.0.1").await;
    let mut held = fill("127.0.0.1", server.address, 3).await;
    let mut one_more = connect("127.0.0.1", server.address).await;
    let (refused, body) = ask(&mut one_more, HEALTH).await.unwrap();
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((refused, &problem["code"]), (429, &"too_many_connections".into()), "{body}");
    assert_eq!(problem["status"], 429);
    assert_eq!(status("127.0.0.2", server.address).await, Some(200), "another address");
    let metrics = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let (_, text) = ask(&mut connect("127.0.0.2", server.address).await, metrics).await.unwrap();
    assert!(text.contains("\ncortado_http_connections_refused_total 1\n"), "{text}");
    held.pop();
    // Its slot is free as soon as the server has noticed the end.
    within(async { while status("127.0.0.1", server.address).await != Some(200) {} }).await;
}

#[tokio::test]
async fn an_ipv4_address_is_the_same_behind_an_ipv6_listener() {
    let hosts = Hosts::Any;
    let anonymous = Anonymous::AllowedWithoutUsers;
    let access = Access {
        token: None,
        anonymous,
        hosts,
        trusted_origins: vec![],
        external: Default::default(),
    };
    let address = SocketAddr::new("::".parse().unwrap(), 0);
    let server = Server::with(Setup { limits: few(2), access, address, ..Setup::default() }).await;
    let port = server.address.port();
    let v4 = SocketAddr::new([127, 0, 0, 1].into(), port);
    let _held = fill("127.0.0.1", v4, 2).await;
    assert_eq!(status("127.0.0.1", v4).await, Some(429));
    assert_eq!(status("127.0.0.2", v4).await, Some(200));
    let v6 = SocketAddr::new("::1".parse().unwrap(), port);
    let _held = fill("::1", v6, 2).await;
    assert_eq!(status("::1", v6).await, Some(429));
}

#[tokio::test]
async fn unread_responses_to_requests_without_a_token_do_not_keep_others_out() {
    let limits = HttpLimits {
        max_connections: 20,
        write_timeout: Duration::from_millis(300),
        header_timeout: Duration::from_secs(3_600),
        ..HttpLimits::default()
    };
    let access = Access {
        token: Some("0123456789abcdef".into()),
        anonymous: Anonymous::AllowedWithoutUsers,
        hosts: Hosts::Loopback { also: vec![] },
        trusted_origins: vec![],
        external: Default::default(),
    };
    let server = Server::with(Setup { limits, access, ..Setup::default() }).await;
    let address = server.address;
    // Twenty clients from one address: the server has no more slots than that.
    let pipelines: Vec<_> = (0..20)
        .map(|_| {
            tokio::spawn(async move {
                let mut stream = connect("127.0.0.1", address).await;
                let many = HEALTH.repeat(100);
                while stream.write_all(many.as_bytes()).await.is_ok() {}
            })
        })
        .collect();
    // Meanwhile another address is served.
    assert_eq!(status("127.0.0.2", address).await, Some(200));
    for pipeline in pipelines {
        within(pipeline).await.unwrap();
    }
    within(async { while status("127.0.0.1", address).await != Some(200) {} }).await;
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_are_counted_separately_and_the_proxy_has_no_limit() {
    let trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    let limits = HttpLimits { trusted_proxies, subscribers_per_address: 1, ..few(2) };
    let server = limited(limits, "127.0.0.1").await;
    let waits = |client: &str| {
        format!(
            "GET /api/v1/events?wait=60s HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: 192.0.2.66, {client}\r\n\r\n"
        )
    };
    let asks = |client: &str| waits(client).replace("?wait=60s", "");
    let mut held = Vec::new();
    let subscribers = || server.engine.subscriber_counts().of(crate::engine::Transport::Poll);
    for (n, client) in (0..).zip(["198.51.100.1", "198.51.100.2", "2001:db8::1"]) {
        let mut stream = connect("127.0.0.1", server.address).await;
        stream.write_all(waits(client).as_bytes()).await.unwrap();
        within(async {
            while subscribers() < n + 1 {
                tokio::task::yield_now().await
            }
        })
        .await;
        held.push(stream);
    }
    // One subscriber for each client, and two requests.
    for (client, wanted, code) in [
        (waits("198.51.100.1"), 429, "too_many_sockets"),
        (waits("2001:db8::2"), 429, "too_many_sockets"),
        (asks("198.51.100.1"), 200, ""),
        (asks("2001:db8:0:1::1"), 200, ""),
    ] {
        let mut stream = connect("127.0.0.1", server.address).await;
        let (status, body) = ask(&mut stream, &client).await.unwrap();
        assert_eq!(status, wanted, "{client}: {body}");
        assert!(body.contains(code), "{client}: {body}");
    }
    // The proxy itself has no limit when it sends requests of its own.
    let _own = fill("127.0.0.1", server.address, 10).await;
    // The header of a client that is not a trusted proxy is ignored.
    let _direct = fill("127.0.0.2", server.address, 2).await;
    let mut liar = connect("127.0.0.2", server.address).await;
    assert_eq!(ask(&mut liar, &asks("198.51.100.9")).await.unwrap().0, 429);
}

#[tokio::test]
async fn a_client_behind_a_trusted_proxy_has_its_share_of_requests_in_flight() {
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let server = limited(HttpLimits { trusted_proxies, ..few(2) }, "127.0.0.1").await;
    let from = |client: &str, path: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nforwarded: for={client}\r\n\r\n")
    };
    let mut held = Vec::new();
    for n in 1..=2 {
        let mut stream = connect("127.0.0.1", server.address).await;
        let head = from("192.0.2.1", "/api/v1/events?wait=60s");
        stream.write_all(head.as_bytes()).await.unwrap();
        let subscribers = || server.engine.subscriber_counts().of(crate::engine::Transport::Poll);
        within(async {
            while subscribers() < n {
                tokio::task::yield_now().await
            }
        })
        .await;
        held.push(stream);
    }
    let mut stream = connect("127.0.0.3", server.address).await;
    let (status, body) = ask(&mut stream, &from("192.0.2.1", "/healthz")).await.unwrap();
    assert_eq!(status, 429);
    assert!(body.contains("too_many_connections"), "{body}");
    assert_eq!(ask(&mut stream, &from("192.0.2.2", "/healthz")).await.unwrap().0, 200);
    drop(held);
    within(async {
        while ask(&mut stream, &from("192.0.2.1", "/healthz")).await.unwrap().0 != 200 {}
    })
    .await;
}

#[tokio::test]
async fn this_machine_has_no_limit_where_the_settings_say_so() {
    let limits = HttpLimits { subscribers_from_loopback: Loopback::Unlimited, ..few(2) };
    let server = limited(limits, "127.0.0.1").await;
    let _held = fill("127.0.0.1", server.address, 10).await;
}

#[tokio::test]
async fn an_idle_connection_and_a_body_that_is_not_read_are_closed() {
    let limits = HttpLimits { header_timeout: Duration::from_millis(100), ..HttpLimits::default() };
    let server = limited(limits, "127.0.0.1").await;
    let mut idle = connect("127.0.0.1", server.address).await;
    assert_eq!(ask(&mut idle, HEALTH).await.unwrap().0, 200);
    // The second sends a part of a megabyte that no endpoint reads.
    let mut unread = connect("127.0.0.1", server.address).await;
    let head = "POST /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\nhalf";
    assert_eq!(ask(&mut unread, head).await.unwrap().0, 405);
    for mut stream in [idle, unread] {
        // A reset is an acceptable end here.
        within(stream.read_to_end(&mut Vec::new())).await.ok();
    }
}

#[test]
fn one_address_never_has_all_connections() {
    for (max_connections, per_address, most) in [
        (1, 1_024, 1),
        (2, 1_024, 1),
        (20, 1_024, 19),
        (12_000, 1_024, 1_024),
        (12_000, 99_999, 11_500),
    ] {
        let limits = HttpLimits { max_connections, ..few(per_address) };
        assert_eq!(limits.connections_from_one_address(), most, "{max_connections}");
    }
}
