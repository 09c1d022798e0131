//! Where a request comes from: its client, the scheme that the client used, and the host that it asked for. Reverse
//! proxies report them in `X-Forwarded-For`, `-Proto` and `-Host`, or in `Forwarded` (RFC 7239). One rule holds for all of
//! these headers: they are believed if the connection comes from a proxy that the configuration trusts, and ignored
//! otherwise. No other module reads them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, header};

use super::client_address::{TrustedProxy, is_trusted};
use super::connection_scheme::ConnectionScheme;
use crate::http::layers::header_list::elements;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionPeer {
    /// Of a TCP connection.
    Network(SocketAddr),
    /// A process on this machine that connected through a Unix socket.
    UnixSocket,
}

impl ConnectionPeer {
    /// Whether it is a trusted proxy.
    pub fn is_trusted(self, proxies: &[TrustedProxy]) -> bool {
        match self {
            ConnectionPeer::Network(address) => is_trusted(proxies, address.ip()),
            ConnectionPeer::UnixSocket => proxies.contains(&TrustedProxy::UnixSocket),
        }
    }

    /// The address that stands for it in limits and logs. Through a Unix socket, that is this machine's, or, for a proxy,
    /// the address of unknown clients, to which no limit applies.
    pub fn address(self, proxies: &[TrustedProxy]) -> SocketAddr {
        match self {
            ConnectionPeer::Network(address) => address,
            ConnectionPeer::UnixSocket if self.is_trusted(proxies) => {
                (Ipv4Addr::UNSPECIFIED, 0).into()
            }
            ConnectionPeer::UnixSocket => (Ipv4Addr::LOCALHOST, 0).into(),
        }
    }
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestOrigin<'a> {
    /// The address of the client.
    pub client: IpAddr,
    /// How the client reaches the server.
    pub scheme: ConnectionScheme,
    /// The host that the client asked for, if a proxy reports it.
    pub host: Option<&'a str>,
}

impl<'a> RequestOrigin<'a> {
    /// The origin of a request that a trusted proxy sends. The client is the last address that the headers name and that
    /// is not a trusted proxy; if all are, the first one. Where the headers say nothing, `connection` holds.
    pub fn reported(
        connection: RequestOrigin<'static>,
        headers: &'a HeaderMap,
        proxies: &[TrustedProxy],
    ) -> RequestOrigin<'a> {
        let forwarded: Vec<ForwardedElement<'a>> =
            forwarded_elements(headers).map(ForwardedElement::read).collect();
        let hops: Vec<Option<&str>> = if headers.contains_key(X_FORWARDED_FOR) {
            elements(headers, &X_FORWARDED_FOR).map(Some).collect()
        } else {
            forwarded.iter().map(|element| element.node).collect()
        };
        let (mut client, mut at) = (connection.client, None);
        for (place, hop) in hops.iter().enumerate().rev() {
            // Hops before one that cannot be parsed are not trusted.
            let Some(address) = hop.and_then(node) else { break };
            (client, at) = (address, Some(place));
            if !is_trusted(proxies, client) {
                break;
            }
        }
        let of_client = HopPlace { at, hops: hops.len() };
        let reported =
            |name: &HeaderName, from_forwarded: fn(&ForwardedElement<'a>) -> Option<&'a str>| {
                if headers.contains_key(name) {
                    let all: Vec<&str> = elements(headers, name).collect();
                    of_client.in_list(&all).copied()
                } else {
                    of_client.in_list(&forwarded).and_then(from_forwarded)
                }
            };
        let scheme = reported(&X_FORWARDED_PROTO, |element| element.proto);
        let scheme = scheme.and_then(ConnectionScheme::parse).unwrap_or(connection.scheme);
        let host = reported(&X_FORWARDED_HOST, |element| element.host);
        RequestOrigin { client, scheme, host: host.filter(|host| !host.is_empty()) }
    }
}

/// The place of the client in the list of hops.
struct HopPlace {
    /// `None` if the last hop cannot be parsed.
    at: Option<usize>,
    hops: usize,
}

impl HopPlace {
    /// What a list says about the client: the element at its place if the list has one for each hop, otherwise the last
    /// one, which the nearest proxy wrote.
    fn in_list<'a, T>(&self, list: &'a [T]) -> Option<&'a T> {
        match self.at {
            Some(at) if list.len() == self.hops => list.get(at),
            Some(_) | None => list.last(),
        }
    }
}

/// One element of `Forwarded`: what one proxy reports.
#[derive(Debug, Clone, Copy, Default)]
struct ForwardedElement<'a> {
    /// The value of `for`.
    node: Option<&'a str>,
    proto: Option<&'a str>,
    host: Option<&'a str>,
}

impl<'a> ForwardedElement<'a> {
    fn read(element: &'a str) -> ForwardedElement<'a> {
        let mut read = ForwardedElement::default();
        for (name, value) in split_unquoted(element, b';').filter_map(|pair| pair.split_once('=')) {
            let value = Some(value.trim().trim_matches('"'));
            let is = |known: &str| name.trim().eq_ignore_ascii_case(known);
            if is("for") {
                read.node = read.node.or(value);
            } else if is("proto") {
                read.proto = read.proto.or(value);
            } else if is("host") {
                read.host = read.host.or(value);
            }
        }
        read
    }
}

/// The elements of `Forwarded`, over all its lines. A line that is not text counts as one.
fn forwarded_elements(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::FORWARDED).into_iter();
    lines.flat_map(|line| split_unquoted(line.to_str().unwrap_or("?"), b',')).map(str::trim)
}

/// The parts of a text between separators that are in no quoted string (RFC 9110, 5.6.4). A quotation mark that begins no
/// such string is like any other character, so that a client cannot hide what its proxy appends.
fn split_unquoted(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let (bytes, mut at, mut is_over) = (text.as_bytes(), 0, false);
    std::iter::from_fn(move || {
        let start = at;
        while let Some(&byte) = bytes.get(at) {
            if byte == separator {
                at += 1;
                return text.get(start..at - 1);
            }
            at = if byte == b'=' { after_quoted(bytes, at + 1) } else { at + 1 };
        }
        let last = text.get(start..).filter(|_| !is_over);
        is_over = true;
        last
    })
}

/// The place behind the quoted string at a place; the same place if there is none, or if something other than a separator
/// follows it.
fn after_quoted(bytes: &[u8], start: usize) -> usize {
    if bytes.get(start) != Some(&b'"') {
        return start;
    }
    let mut at = start + 1;
    loop {
        match bytes.get(at) {
            None => return start,
            Some(b'\\') => at += 2,
            Some(b'"') => break,
            Some(_) => at += 1,
        }
    }
    match bytes[at + 1..].trim_ascii_start().first() {
        None | Some(b',' | b';') => at + 1,
        Some(_) => start,
    }
}

/// An address, with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn node(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = match bare.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => text.parse::<SocketAddr>().ok()?.ip(),
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    type Lines<'a> = &'a [(&'static str, &'a str)];

    fn proxies() -> Vec<TrustedProxy> {
        ["10.0.0.0/8", "127.0.0.1", "fd00::/8"].map(|text| text.parse().unwrap()).into()
    }

    fn map(lines: Lines<'_>) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    /// The client, the scheme and the host of a request that a trusted proxy sends without TLS.
    fn behind(peer: &str, lines: Lines<'_>) -> (String, ConnectionScheme, String) {
        let (headers, client) = (map(lines), peer.parse::<IpAddr>().unwrap().to_canonical());
        assert!(is_trusted(&proxies(), client), "{peer}");
        let connection = RequestOrigin { client, scheme: ConnectionScheme::Http, host: None };
        let origin = RequestOrigin::reported(connection, &headers, &proxies());
        (origin.client.to_string(), origin.scheme, origin.host.unwrap_or("-").to_owned())
    }

    fn client(peer: &str, lines: Lines<'_>) -> String {
        behind(peer, lines).0
    }

    #[test]
    fn only_listed_peers_are_trusted() {
        let network =
            |text: &str| ConnectionPeer::Network((text.parse::<IpAddr>().unwrap(), 1).into());
        let unix = ["unix".parse().unwrap()];
        for (peer, by_networks, by_unix) in [
            (network("10.1.2.3"), true, false),
            (network("::ffff:10.1.2.3"), true, false),
            (network("fd00::1"), true, false),
            (network("127.0.0.1"), true, false),
            (network("127.0.0.2"), false, false),
            (network("192.0.2.1"), false, false),
            (network("::1"), false, false),
            (ConnectionPeer::UnixSocket, false, true),
        ] {
            assert_eq!(peer.is_trusted(&proxies()), by_networks, "{peer:?}");
            assert_eq!(peer.is_trusted(&unix), by_unix, "{peer:?}");
            assert!(!peer.is_trusted(&[]), "{peer:?}");
        }
        assert_eq!(ConnectionPeer::UnixSocket.address(&[]).to_string(), "127.0.0.1:0");
        assert_eq!(ConnectionPeer::UnixSocket.address(&unix).to_string(), "0.0.0.0:0");
    }

    #[test]
    fn the_last_hop_that_is_no_proxy_is_the_client() {
        let by = |value: &str| client("10.1.2.3", &[("x-forwarded-for", value)]);
        assert_eq!(by("198.51.100.7"), "198.51.100.7");
        assert_eq!(
            by("192.0.2.66, 198.51.100.7"),
            "198.51.100.7",
            "the client forged the first hop"
        );
        assert_eq!(by("192.0.2.66,198.51.100.7 , 10.9.9.9"), "198.51.100.7");
        assert_eq!(by("198.51.100.7:4711"), "198.51.100.7");
        assert_eq!(by("[2001:db8::5]:4711"), "2001:db8::5");
        assert_eq!(by("2001:db8::5"), "2001:db8::5");
        assert_eq!(by("::ffff:198.51.100.7"), "198.51.100.7");
        assert_eq!(by("10.5.5.5, 10.9.9.9"), "10.5.5.5", "all are proxies");
        assert_eq!(by("198.51.100.7, unknown"), "10.1.2.3", "earlier hops are not trusted");
        assert_eq!(by(""), "10.1.2.3");
        assert_eq!(client("::ffff:10.1.2.3", &[("x-forwarded-for", "192.0.2.9")]), "192.0.2.9");
        assert_eq!(client("fd00::1", &[("x-forwarded-for", "192.0.2.9")]), "192.0.2.9");
        let lines = [("x-forwarded-for", "192.0.2.66"), ("x-forwarded-for", "198.51.100.7")];
        assert_eq!(client("127.0.0.1", &lines), "198.51.100.7", "several lines form one list");
        assert_eq!(client("127.0.0.1", &[]), "127.0.0.1");
        let by = |value: &str| client("127.0.0.1", &[("forwarded", value)]);
        assert_eq!(by("for=198.51.100.7;proto=https;by=10.0.0.1"), "198.51.100.7");
        assert_eq!(by("for=192.0.2.66, FOR=\"[2001:db8::5]:4711\""), "2001:db8::5");
        assert_eq!(by("for=198.51.100.7, for=_hidden"), "127.0.0.1");
        assert_eq!(by("for=\"x, for=198.51.100.7"), "198.51.100.7", "an open quotation mark");
        assert_eq!(by("proto=https"), "127.0.0.1");
        assert_eq!(by("for=192.0.2.66;by=\"a,for=192.0.2.1\";proto=http"), "192.0.2.66", "quoted");
        assert_eq!(by("for=192.0.2.66;by=\"\\\",for=192.0.2.1\""), "192.0.2.66", "escaped");
        assert_eq!(by("by=\"a;for=192.0.2.1\";for=192.0.2.66"), "192.0.2.66", "quoted");
        for open in ["for=\"x", "for=\"x\\", "for=\"x\"y", "by=\"", "\"", "for=\"x;for=\""] {
            let real = "for=\"[2001:db8::5]:4711\"";
            assert_eq!(by(&format!("{open}, {real}")), "2001:db8::5", "{open} hides nothing");
        }
        let both = [("forwarded", "for=192.0.2.66"), ("x-forwarded-for", "198.51.100.7")];
        assert_eq!(client("127.0.0.1", &both), "198.51.100.7");
    }

    #[test]
    fn the_scheme_and_the_host_are_those_that_the_clients_proxy_reports() {
        use ConnectionScheme::{Http, Https};
        let one_hop = ("x-forwarded-for", "198.51.100.7");
        let two_hops = ("x-forwarded-for", "198.51.100.7, 10.9.9.9");
        for (lines, scheme, host) in [
            (&[one_hop][..], Http, "-"),
            (&[("x-forwarded-proto", "https")], Https, "-"),
            (&[("x-forwarded-proto", "HTTPS")], Https, "-"),
            (&[("x-forwarded-proto", "wss")], Https, "-"),
            (&[("x-forwarded-proto", "http")], Http, "-"),
            (&[("x-forwarded-proto", "gopher")], Http, "-"),
            (&[("x-forwarded-proto", "")], Http, "-"),
            (
                &[one_hop, ("x-forwarded-proto", "https"), ("x-forwarded-host", "a.test")],
                Https,
                "a.test",
            ),
            // The proxy at the edge speaks TLS, and the inner one does not.
            (&[two_hops, ("x-forwarded-proto", "https, http")], Https, "-"),
            (
                &[two_hops, ("x-forwarded-proto", "https"), ("x-forwarded-host", "a.test")],
                Https,
                "a.test",
            ),
            (&[two_hops, ("x-forwarded-host", "a.test, inner.test")], Http, "a.test"),
            // The client claims something, and its proxy appends the truth.
            (
                &[
                    ("x-forwarded-for", "192.0.2.66, 198.51.100.7"),
                    ("x-forwarded-proto", "https, http"),
                ],
                Http,
                "-",
            ),
            (
                &[
                    one_hop,
                    ("x-forwarded-proto", "https, http"),
                    ("x-forwarded-host", "evil.test, a.test"),
                ],
                Http,
                "a.test",
            ),
            (
                &[("forwarded", "for=198.51.100.7;proto=https;host=\"a.test:8443\"")],
                Https,
                "a.test:8443",
            ),
            (&[("forwarded", "for=198.51.100.7;PROTO=HTTPS;Host=a.test")], Https, "a.test"),
            (
                &[(
                    "forwarded",
                    "for=198.51.100.7;proto=https;host=a.test, for=10.9.9.9;proto=http;host=b",
                )],
                Https,
                "a.test",
            ),
            (
                &[(
                    "forwarded",
                    "for=192.0.2.66;proto=https;host=evil.test, for=198.51.100.7;proto=http",
                )],
                Http,
                "-",
            ),
            (&[("forwarded", "for=_hidden;proto=https;host=a.test")], Https, "a.test"),
            (&[("forwarded", "proto=https;proto=http")], Https, "-"),
            (&[one_hop, ("forwarded", "for=x;proto=https;host=a.test")], Https, "a.test"),
            (
                &[("x-forwarded-proto", "http"), ("forwarded", "proto=https;host=a.test")],
                Http,
                "a.test",
            ),
        ] {
            let (_, found_scheme, found_host) = behind("10.1.2.3", lines);
            assert_eq!((found_scheme, found_host.as_str()), (scheme, host), "{lines:?}");
        }
        let connection = RequestOrigin { client: [10, 1, 2, 3].into(), scheme: Https, host: None };
        for (lines, scheme) in
            [(&[][..], Https), (&[("x-forwarded-proto", "http")], Http), (&[one_hop], Https)]
        {
            let headers = map(lines);
            let origin = RequestOrigin::reported(connection, &headers, &proxies());
            assert_eq!(origin.scheme, scheme, "TLS between the proxy and the server: {lines:?}");
        }
    }
}
