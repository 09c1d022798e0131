//! The addresses on which the server listens, as the configuration and the command line have them.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::units::parse_listen;

/// One address on which the server listens.
#[derive(Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address and a port.
    Network {
        /// The address.
        address: SocketAddr,
        /// Whether its connections use TLS.
        tls: TlsChoice,
    },
    /// The absolute path of a Unix socket.
    Unix(PathBuf),
}

/// Whether the connections of an address use TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsChoice {
    /// They do if a certificate is configured: `127.0.0.1:8080`.
    IfConfigured,
    /// They never do: `http://127.0.0.1:8080`.
    Never,
    /// They always do, so that a certificate is required: `https://127.0.0.1:8443`.
    Always,
}

impl ListenAddress {
    /// Whether other machines can reach the address. A Unix socket can be reached only on this machine.
    pub fn is_reachable_by_others(&self) -> bool {
        match self {
            ListenAddress::Network { address, .. } => !address.ip().to_canonical().is_loopback(),
            ListenAddress::Unix(_) => false,
        }
    }

    /// Whether its connections use TLS in any case.
    pub fn needs_certificate(&self) -> bool {
        match self {
            ListenAddress::Network { tls: TlsChoice::Always, .. } => true,
            ListenAddress::Network { tls: TlsChoice::Never | TlsChoice::IfConfigured, .. }
            | ListenAddress::Unix(_) => false,
        }
    }

    /// Whether two entries would listen on the same address.
    fn is_same(&self, other: &ListenAddress) -> bool {
        match (self, other) {
            (
                ListenAddress::Network { address, .. },
                ListenAddress::Network { address: other, .. },
            ) => address == other && address.port() != 0,
            (ListenAddress::Unix(path), ListenAddress::Unix(other)) => path == other,
            (ListenAddress::Network { .. }, ListenAddress::Unix(_))
            | (ListenAddress::Unix(_), ListenAddress::Network { .. }) => false,
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        ListenAddress::Network { address, tls: TlsChoice::IfConfigured }
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match Path::new(path).is_absolute() && !path.ends_with('/') {
                true => Ok(ListenAddress::Unix(path.into())),
                false => Err(format!(
                    "{text:?} is not a Unix socket with an absolute path such as unix:/run/cortado.sock"
                )),
            };
        }
        let (tls, rest) = if let Some(rest) = text.strip_prefix("http://") {
            (TlsChoice::Never, rest)
        } else if let Some(rest) = text.strip_prefix("https://") {
            (TlsChoice::Always, rest)
        } else {
            (TlsChoice::IfConfigured, text)
        };
        Ok(ListenAddress::Network { address: parse_listen(rest)?, tls })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Network { address, tls } => {
                f.write_str(match tls {
                    TlsChoice::IfConfigured => "",
                    TlsChoice::Never => "http://",
                    TlsChoice::Always => "https://",
                })?;
                address.fmt(f)
            }
            ListenAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Debug for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// All addresses on which the server listens: at least one, and none twice. In a file, one of them can be written
/// without a list.
#[derive(Clone, PartialEq, Eq)]
pub struct ListenAddresses(Vec<ListenAddress>);

impl ListenAddresses {
    /// Checks a list.
    ///
    /// # Errors
    /// The list is empty, or has an address twice.
    pub fn new(addresses: Vec<ListenAddress>) -> Result<ListenAddresses, String> {
        if addresses.is_empty() {
            return Err("at least one address is expected, such as 127.0.0.1:8080".to_owned());
        }
        for (at, address) in addresses.iter().enumerate() {
            if addresses[..at].iter().any(|earlier| earlier.is_same(address)) {
                return Err(format!("{address} is listed twice"));
            }
        }
        Ok(ListenAddresses(addresses))
    }

    /// The addresses in their order.
    pub fn iter(&self) -> impl Iterator<Item = &ListenAddress> {
        self.0.iter()
    }

    /// The first address that other machines can reach.
    pub fn reachable_by_others(&self) -> Option<&ListenAddress> {
        self.iter().find(|address| address.is_reachable_by_others())
    }
}

impl From<SocketAddr> for ListenAddresses {
    fn from(address: SocketAddr) -> Self {
        ListenAddresses(vec![address.into()])
    }
}

impl fmt::Display for ListenAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, address) in self.iter().enumerate() {
            write!(f, "{}{address}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl fmt::Debug for ListenAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ListenAddresses {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ListenAddresses {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct OneOrMore;

        impl<'de> Visitor<'de> for OneOrMore {
            type Value = ListenAddresses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as \"127.0.0.1:8080\" or \"unix:/run/cortado.sock\", or a list of them")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ListenAddresses, E> {
                let address = text.parse().map_err(E::custom)?;
                Ok(ListenAddresses(vec![address]))
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut list: A,
            ) -> Result<ListenAddresses, A::Error> {
                let mut addresses = Vec::new();
                while let Some(text) = list.next_element::<String>()? {
                    addresses.push(text.parse().map_err(A::Error::custom)?);
                }
                ListenAddresses::new(addresses).map_err(A::Error::custom)
            }
        }

        input.deserialize_any(OneOrMore)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_written_in_every_form() {
        for (text, shown, is_reachable) in [
            ("127.0.0.1:8080", "127.0.0.1:8080", false),
            ("localhost:0", "127.0.0.1:0", false),
            ("[::1]:80", "[::1]:80", false),
            ("[::ffff:127.0.0.1]:80", "[::ffff:127.0.0.1]:80", false),
            ("0.0.0.0:443", "0.0.0.0:443", true),
            ("http://[::]:80", "http://[::]:80", true),
            ("https://192.0.2.1:8443", "https://192.0.2.1:8443", true),
            ("https://localhost:8443", "https://127.0.0.1:8443", false),
            ("unix:/run/cortado/http.sock", "unix:/run/cortado/http.sock", false),
        ] {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(address.is_reachable_by_others(), is_reachable, "{text}");
        }
        for bad in
            ["", "8080", "host:80", "ftp://127.0.0.1:1", "https://127.0.0.1", "127.0.0.1:80/x"]
        {
            let why = bad.parse::<ListenAddress>().unwrap_err();
            assert!(why.contains("127.0.0.1:8080"), "{bad}: {why}");
        }
        for bad in ["unix:", "unix:cortado.sock", "unix:/run/", "unix:./x"] {
            let why = bad.parse::<ListenAddress>().unwrap_err();
            assert!(why.contains("unix:/run/cortado.sock"), "{bad}: {why}");
        }
    }

    #[test]
    fn a_list_has_every_address_once() {
        let list = |texts: &[&str]| {
            ListenAddresses::new(texts.iter().map(|text| text.parse().unwrap()).collect())
        };
        let several = list(&["127.0.0.1:1", "unix:/a", "https://0.0.0.0:2"]).unwrap();
        assert_eq!(several.to_string(), "127.0.0.1:1, unix:/a, https://0.0.0.0:2");
        assert_eq!(several.reachable_by_others().unwrap().to_string(), "https://0.0.0.0:2");
        assert!(list(&["127.0.0.1:0", "127.0.0.1:0"]).is_ok(), "two free ports");
        for twice in [["127.0.0.1:1", "http://127.0.0.1:1"], ["unix:/a", "unix:/a"]] {
            let why = list(&twice).unwrap_err();
            assert!(why.contains("twice"), "{why}");
        }
        assert!(list(&[]).is_err());
    }
}
