//! The address of a request's client. Behind a reverse proxy that the configuration trusts, it is the address that the
//! proxy reports. From all other peers, such headers are ignored.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::http::layers::header_list::elements;

/// The address or network of trusted reverse proxies, such as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustedProxy(IpNet);

impl TrustedProxy {
    fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl FromStr for TrustedProxy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || {
            format!(
                "{text:?} is neither an address such as 127.0.0.1 nor a network such as 10.0.0.0/8"
            )
        };
        let net: IpNet = match text.parse::<IpAddr>() {
            Ok(address) => address.into(),
            Err(_) => text.parse().map_err(|_| refused())?,
        };
        // Mapped IPv4 addresses are compared as IPv4, so their networks must be IPv4 as well.
        match (net.addr().to_canonical(), net.prefix_len()) {
            (IpAddr::V4(address), bits @ 96..) if net.addr().is_ipv6() => {
                let net = IpNet::new(address.into(), bits - 96).map_err(|_| refused())?;
                Ok(TrustedProxy(net.trunc()))
            }
            _ => Ok(TrustedProxy(net.trunc())),
        }
    }
}

impl TryFrom<String> for TrustedProxy {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<TrustedProxy> for String {
    fn from(proxy: TrustedProxy) -> String {
        proxy.to_string()
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            return self.0.addr().fmt(f);
        }
        self.0.fmt(f)
    }
}

/// Whether an address is a trusted proxy.
pub fn is_trusted(proxies: &[TrustedProxy], address: IpAddr) -> bool {
    let address = address.to_canonical();
    proxies.iter().any(|proxy| proxy.contains(address))
}

/// Marks a request that came over the connection of a trusted proxy, in its extensions. Only such requests may carry what a
/// proxy says about its client.
#[derive(Debug, Clone, Copy)]
pub struct ThroughTrustedProxy;

/// The address under which a client is counted: an IPv4 address, or the /64 network of an IPv6 address, because every
/// internet connection has at least one such network.
pub fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
    }
}

/// The address of the client behind `peer`. If `peer` is a trusted proxy, it is the last hop in `X-Forwarded-For` (or,
/// if that is missing, `Forwarded`, RFC 7239) that is not a trusted proxy; if all are, the first hop.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, proxies: &[TrustedProxy]) -> IpAddr {
    const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    let mut client = peer.to_canonical();
    if !is_trusted(proxies, client) {
        return client;
    }
    let hops = match headers.contains_key(X_FORWARDED_FOR) {
        true => hops(headers, &X_FORWARDED_FOR, Some),
        false => hops(headers, &header::FORWARDED, forwarded_for),
    };
    for hop in hops.iter().rev() {
        // Hops before one that cannot be parsed are not trusted.
        let Some(address) = hop.and_then(node) else { break };
        client = address;
        if !is_trusted(proxies, client) {
            break;
        }
    }
    client
}

/// The hops in a list header, over all its lines; `read` extracts the hop from an element.
fn hops<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    read: impl Fn(&'a str) -> Option<&'a str>,
) -> Vec<Option<&'a str>> {
    elements(headers, name).map(read).collect()
}

/// The value of `for` in one element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
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

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn client(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let proxies: Vec<TrustedProxy> =
            ["10.0.0.0/8", "127.0.0.1", "fd00::/8"].map(|text| text.parse().unwrap()).into();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        client_address(ip(peer), &map, &proxies).to_string()
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_network_of_64_bits() {
        for (address, counted) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2::1", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::"),
            ("2001:db8:1:3::1", "2001:db8:1:3::"),
            ("::1", "::"),
            ("127.0.0.2", "127.0.0.2"),
        ] {
            assert_eq!(counted_as(ip(address)), ip(counted), "{address}");
        }
    }

    #[test]
    fn forwarded_addresses_of_untrusted_peers_are_ignored() {
        for name in ["x-forwarded-for", "forwarded"] {
            assert_eq!(client("192.0.2.1", &[(name, "198.51.100.7")]), "192.0.2.1");
        }
        assert_eq!(client("127.0.0.2", &[("x-forwarded-for", "198.51.100.7")]), "127.0.0.2");
    }

    #[test]
    fn behind_trusted_proxies_the_last_hop_that_is_none_is_the_client() {
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
    }

    #[test]
    fn the_standard_header_is_understood_where_the_usual_one_is_missing() {
        let by = |value: &str| client("127.0.0.1", &[("forwarded", value)]);
        assert_eq!(by("for=198.51.100.7;proto=https;by=10.0.0.1"), "198.51.100.7");
        assert_eq!(by("for=192.0.2.66, FOR=\"[2001:db8::5]:4711\""), "2001:db8::5");
        assert_eq!(by("for=198.51.100.7, for=_hidden"), "127.0.0.1");
        assert_eq!(by("proto=https"), "127.0.0.1");
        let both = [("forwarded", "for=192.0.2.66"), ("x-forwarded-for", "198.51.100.7")];
        assert_eq!(client("127.0.0.1", &both), "198.51.100.7");
    }

    #[test]
    fn a_proxy_is_an_address_or_a_network() {
        for (text, shown) in [
            ("127.0.0.1", "127.0.0.1"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("fd00::/8", "fd00::/8"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:127.0.0.1", "127.0.0.1"),
        ] {
            assert_eq!(text.parse::<TrustedProxy>().unwrap().to_string(), shown, "{text}");
        }
        for bad in ["", "localhost", "10.0.0.0/33", "10.0.0/8", "127.0.0.1:80", "*"] {
            let why = bad.parse::<TrustedProxy>().unwrap_err();
            assert!(why.contains("10.0.0.0/8"), "{bad}: {why}");
        }
    }
}
