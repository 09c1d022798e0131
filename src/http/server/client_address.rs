//! The reverse proxies that the configuration trusts, and how the address of a client is counted.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use axum::extract::ConnectInfo;
use axum::http::Extensions;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The address of the client of a request. Requests that come through no listener of ours have none, and count as those of
/// one client.
pub fn client_of(extensions: &Extensions) -> SocketAddr {
    let client = extensions.get::<ConnectInfo<SocketAddr>>();
    client.map_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into(), |client| client.0)
}

/// Trusted reverse proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TrustedProxy {
    /// Those with an address or in a network, such as `10.0.0.0/8`.
    Network(IpNet),
    /// Those that connect through a Unix socket: `unix`.
    UnixSocket,
}

impl TrustedProxy {
    fn contains(&self, address: IpAddr) -> bool {
        match self {
            TrustedProxy::Network(network) => network.contains(&address),
            TrustedProxy::UnixSocket => false,
        }
    }
}

impl FromStr for TrustedProxy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "unix" {
            return Ok(TrustedProxy::UnixSocket);
        }
        let refused = || {
            format!(
                "{text:?} is neither an address such as 127.0.0.1, a network such as 10.0.0.0/8, nor \"unix\""
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
                Ok(TrustedProxy::Network(net.trunc()))
            }
            _ => Ok(TrustedProxy::Network(net.trunc())),
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
        match self {
            TrustedProxy::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                network.addr().fmt(f)
            }
            TrustedProxy::Network(network) => network.fmt(f),
            TrustedProxy::UnixSocket => f.write_str("unix"),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
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
    fn a_proxy_is_an_address_or_a_network() {
        for (text, shown) in [
            ("127.0.0.1", "127.0.0.1"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("fd00::/8", "fd00::/8"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:127.0.0.1", "127.0.0.1"),
            ("unix", "unix"),
        ] {
            assert_eq!(text.parse::<TrustedProxy>().unwrap().to_string(), shown, "{text}");
        }
        for bad in
            ["", "localhost", "10.0.0.0/33", "10.0.0/8", "127.0.0.1:80", "*", "UNIX", "unix:/run/x"]
        {
            let why = bad.parse::<TrustedProxy>().unwrap_err();
            assert!(why.contains("10.0.0.0/8"), "{bad}: {why}");
        }
    }
}
