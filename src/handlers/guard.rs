//! Decides where the `http` kind may connect to: public addresses, and what the operator allowed. One pure function
//! checks addresses, one checks URLs, and a resolver applies the same rules to names.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// An exception to the rule that only public addresses may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// All addresses of a network, on any port: `10.0.0.0/8`, `127.0.0.1/32`, `fd00::/8`.
    Net {
        /// The first address.
        base: IpAddr,
        /// The length of the prefix in bits.
        bits: u8,
    },
    /// A host as written in URLs, on one port, whatever its name resolves to: `build.local:8080`.
    Site {
        /// The host in lower case; an IPv6 address without brackets.
        host: String,
        /// The port.
        port: u16,
    },
}

/// Why a target may not be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedTarget {
    /// The text is not a URL for HTTP.
    #[error("{0}")]
    Url(String),
    /// The address is not public, and no rule allows it.
    #[error(
        "{host} resolves to {address}, {what}; to allow it, add \"{address}/{}\" to `handlers.http.allow`",
        if .address.is_ipv4() { 32 } else { 128 }
    )]
    Address {
        /// The host as the URL names it.
        host: String,
        /// The address of the host.
        address: IpAddr,
        /// What kind of address it is.
        what: &'static str,
    },
}

/// The rules for targets.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    rules: Arc<[Rule]>,
}

/// The result of checking a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// The host is an allowed address, or a name that the [`Resolver`] has yet to check.
    Guarded,
    /// A [`Rule::Site`] allows this host and port, so any address may be connected to.
    Allowed,
}

impl Guard {
    /// A guard with these exceptions.
    pub fn new(rules: &[Rule]) -> Self {
        Guard { rules: rules.into() }
    }

    /// Parses a URL and checks everything except what its name resolves to.
    ///
    /// # Errors
    /// [`RefusedTarget`] says what is wrong.
    pub fn check(&self, text: &str) -> Result<(Url, Checked), RefusedTarget> {
        let url = parse_url(text)?;
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(refused_url("it has no host"));
        };
        let name = match host {
            Host::Domain(name) => name.trim_end_matches('.').to_ascii_lowercase(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let site = Rule::Site { host: name.clone(), port };
        if self.rules.contains(&site) {
            return Ok((url, Checked::Allowed));
        }
        match host {
            Host::Domain(_) => {}
            Host::Ipv4(address) => self.address(&name, address.into())?,
            Host::Ipv6(address) => self.address(&name, address.into())?,
        }
        Ok((url, Checked::Guarded))
    }

    /// Checks an address of `host`.
    ///
    /// # Errors
    /// [`RefusedTarget::Address`].
    pub fn address(&self, host: &str, address: IpAddr) -> Result<(), RefusedTarget> {
        let address = address.to_canonical();
        match not_public(address) {
            Some(what) if !self.rules.iter().any(|rule| rule.covers(address)) => {
                Err(RefusedTarget::Address { host: host.to_owned(), address, what })
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Parses a URL and checks everything that does not depend on what may be reached.
///
/// # Errors
/// [`RefusedTarget::Url`] says what is wrong.
pub fn parse_url(text: &str) -> Result<Url, RefusedTarget> {
    let url = Url::parse(text).map_err(|error| refused_url(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused_url("only http and https are allowed"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused_url("put credentials into a header, not into the URL"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(refused_url("it has no host"));
    }
    if url.query_pairs().any(|(_, value)| value == "***") {
        return Err(refused_url(
            "*** stands in it for a value that is not shown; write that value",
        ));
    }
    if url.port() == Some(0) {
        return Err(refused_url("port 0 cannot be connected to"));
    }
    Ok(url)
}

/// The message goes to logs, so it must not contain the URL, which may hold a password.
fn refused_url(why: &str) -> RefusedTarget {
    RefusedTarget::Url(format!("the URL is not accepted: {why}"))
}

/// Why an address is not on the public internet; `None` when it is.
///
/// It follows the special-purpose registries of RFC 6890 and the IANA. In IPv6 only the global unicast space
/// is public; addresses that contain an IPv4 address are judged by it, or refused.
pub fn not_public(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => not_public_v4(address),
        IpAddr::V6(address) => not_public_v6(address),
    }
}

fn not_public_v4(address: Ipv4Addr) -> Option<&'static str> {
    // The purpose of each network; a narrower network precedes a wider one that contains it.
    const NETS: [([u8; 4], u8, &str); 17] = [
        ([0, 0, 0, 0], 8, "an address of \"this network\""),
        ([10, 0, 0, 0], 8, "a private address"),
        ([100, 64, 0, 0], 10, "an address shared by a carrier"),
        ([127, 0, 0, 0], 8, "a loopback address"),
        ([168, 63, 129, 16], 32, "a cloud provider's own address"),
        ([169, 254, 0, 0], 16, "a link-local address"),
        ([172, 16, 0, 0], 12, "a private address"),
        ([192, 0, 0, 0], 24, "an address for protocol assignments"),
        ([192, 0, 2, 0], 24, "an address for documentation"),
        ([192, 88, 99, 0], 24, "a 6to4 relay address"),
        ([192, 168, 0, 0], 16, "a private address"),
        ([198, 18, 0, 0], 15, "an address for benchmarks"),
        ([198, 51, 100, 0], 24, "an address for documentation"),
        ([203, 0, 113, 0], 24, "an address for documentation"),
        ([224, 0, 0, 0], 4, "a multicast address"),
        ([255, 255, 255, 255], 32, "the broadcast address"),
        ([240, 0, 0, 0], 4, "a reserved address"),
    ];
    NETS.iter().find_map(|(base, bits, what)| {
        within(IpAddr::V4((*base).into()), *bits, address.into()).then_some(*what)
    })
}

fn not_public_v6(address: Ipv6Addr) -> Option<&'static str> {
    let s = address.segments();
    let last = Ipv4Addr::from(((u32::from(s[6])) << 16) | u32::from(s[7]));
    match s {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("the unspecified address"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("a loopback address"),
        [0, 0, 0, 0, 0, 0, _, _] => Some("an IPv4-compatible address"),
        // NAT64 (RFC 6052): networks without IPv4 reach all IPv4 sites through it.
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => not_public_v4(last),
        [0x64, 0xff9b, 1, ..] => Some("a local NAT64 address"),
        [0x2001, second, ..] if second < 0x200 => Some("an address for protocol assignments"),
        [0x2001, 0xdb8, ..] => Some("an address for documentation"),
        [0x2002, ..] => Some("a 6to4 address"),
        [0x3fff, second, ..] if second < 0x1000 => Some("an address for documentation"),
        [first, ..] if first & 0xe000 == 0x2000 => None,
        [first, ..] if first & 0xfe00 == 0xfc00 => Some("a private (unique local) address"),
        [first, ..] if first & 0xffc0 == 0xfe80 => Some("a link-local address"),
        [first, ..] if first & 0xff00 == 0xff00 => Some("a multicast address"),
        _ => Some("not a global unicast address"),
    }
}

fn within(base: IpAddr, bits: u8, address: IpAddr) -> bool {
    let (base, address, width) = match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            (u128::from(base.to_bits()), u128::from(address.to_bits()), 32)
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => (base.to_bits(), address.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    let ignored = width - u32::from(bits).min(width);
    base.checked_shr(ignored).unwrap_or(0) == address.checked_shr(ignored).unwrap_or(0)
}

impl Rule {
    fn covers(&self, address: IpAddr) -> bool {
        match self {
            Rule::Net { base, bits } => within(*base, *bits, address),
            Rule::Site { .. } => false,
        }
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || {
            format!(
                "{text:?} is neither a network such as 10.0.0.0/8 nor a host:port such as build.local:8080"
            )
        };
        if let Some((base, bits)) = text.split_once('/') {
            let base: IpAddr = base.parse().map_err(|_| refused())?;
            let bits: u8 = bits.parse().map_err(|_| refused())?;
            let width = if base.is_ipv4() { 32 } else { 128 };
            return if bits <= width { Ok(Rule::Net { base, bits }) } else { Err(refused()) };
        }
        let (_, port) = text.rsplit_once(':').ok_or_else(refused)?;
        let port: u16 = port.parse().map_err(|_| refused())?;
        // Parsed as a URL, so that both write the host in the same way.
        let url = Url::parse(&format!("http://{text}/")).map_err(|_| refused())?;
        let plain = url.path() == "/" && url.username().is_empty() && url.password().is_none();
        let host = match url.host() {
            Some(Host::Domain(name)) => name.trim_end_matches('.').to_ascii_lowercase(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => return Err(refused()),
        };
        if plain { Ok(Rule::Site { host, port }) } else { Err(refused()) }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Net { base, bits } => write!(f, "{base}/{bits}"),
            Rule::Site { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Rule::Site { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// Resolves names through the system and returns only allowed addresses, so that a connection goes to an address
/// that was checked.
#[derive(Debug, Clone)]
pub struct Resolver(pub Guard);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            let host = name.as_str();
            let found = tokio::net::lookup_host((host, 0)).await?;
            let mut first_refusal = None;
            let mut allowed: Vec<SocketAddr> = Vec::new();
            for address in found {
                match guard.address(host, address.ip()) {
                    Ok(()) => allowed.push(address),
                    Err(refused) => {
                        first_refusal.get_or_insert(refused);
                    }
                }
            }
            match first_refusal {
                Some(refused) if allowed.is_empty() => Err(refused.into()),
                Some(_) | None => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        let refused = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "192.168.255.255",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.254",
            "255.255.255.255",
            "::",
            "::1",
            "::2",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:10.1.1.1",
            "::ffff:169.254.169.254",
            "::ffff:0:8.8.8.8",
            "64:ff9b::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::1",
            "64:ff9b:1:2::808:808",
            "64:ff9b:0:1::1",
            "100::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:808:808::1",
            "3fff::1",
            "3fff:fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
        ];
        for text in refused {
            assert!(not_public(text.parse().unwrap()).is_some(), "{text} should be refused");
        }
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "126.0.0.1",
            "128.0.0.1",
            "169.253.0.1",
            "169.255.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.0.1",
            "192.169.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700:4700::1111",
            "2a00:1450::1",
            "2003::1",
            "3ffe::1",
            "3fff:1000::1",
        ];
        for text in public {
            assert_eq!(not_public(text.parse().unwrap()), None, "{text} should be public");
        }
    }

    #[test]
    fn every_way_to_write_a_host_leads_to_the_same_answer() {
        let guard = Guard::default();
        for (url, says) in [
            ("http://127.0.0.1/", "loopback"),
            ("http://127.0.0.1./", "loopback"),
            ("http://127.1/", "loopback"),
            ("http://2130706433/", "127.0.0.1"),
            ("http://0x7f.1/", "127.0.0.1"),
            ("http://0x7f000001/", "127.0.0.1"),
            ("http://0177.0.0.1/", "127.0.0.1"),
            ("http://①②⑦.0.0.1/", "127.0.0.1"),
            ("http://0/", "0.0.0.0"),
            ("https://169.254.169.254/latest/meta-data", "link-local"),
            ("http://[::1]:80/", "loopback"),
            ("http://[::ffff:127.0.0.1]/", "127.0.0.1"),
            ("http://[::ffff:7f00:1]/", "127.0.0.1"),
            ("http://[0:0:0:0:0:ffff:a9fe:a9fe]/", "169.254.169.254"),
            ("http://[64:ff9b::7f00:1]/", "loopback"),
            ("http://[fe80::1%25eth0]/", "not accepted"),
            ("http://[fe80::1%eth0]/", "not accepted"),
            ("http://user:secret@example.com/", "header"),
            ("http://user@example.com/", "header"),
            ("http://127.0.0.1:80@example.com/", "header"),
            ("ftp://example.com/", "only http and https"),
            ("file:///etc/passwd", "only http and https"),
            ("gopher://127.0.0.1:6379/_x", "only http and https"),
            ("//example.com/", "not accepted"),
            ("example.com", "not accepted"),
            ("http://", "not accepted"),
            ("http://256.1.1.1/", "not accepted"),
        ] {
            let refused = guard.check(url).expect_err(url).to_string();
            assert!(refused.contains(says) && !refused.contains("secret"), "{url}: {refused}");
        }
        for url in ["https://example.com/hook?x=1", "http://8.8.8.8:8080/", "http://localhost/"] {
            assert_eq!(guard.check(url).unwrap().1, Checked::Guarded, "{url}");
        }
    }

    #[test]
    fn a_refusal_names_the_address_and_the_setting() {
        let text = Guard::default().check("http://0x7f.1/").unwrap_err().to_string();
        assert!(text.contains("127.0.0.1/32") && text.contains("handlers.http.allow"), "{text}");
    }

    #[test]
    fn networks_and_sites_are_exceptions() {
        let rules: Vec<Rule> =
            ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8", "Build.Local:8080", "[::1]:99"]
                .into_iter()
                .map(|text| text.parse().unwrap())
                .collect();
        let guard = Guard::new(&rules);
        let allowed = |url| guard.check(url).map(|(_, checked)| checked).ok();
        assert_eq!(allowed("http://127.0.0.1:4000/"), Some(Checked::Guarded));
        assert_eq!(allowed("http://127.0.0.2/"), None);
        assert_eq!(allowed("http://[::ffff:10.200.3.4]/"), Some(Checked::Guarded));
        assert_eq!(allowed("http://[fd12::1]/"), Some(Checked::Guarded));
        assert_eq!(allowed("http://build.local:8080/"), Some(Checked::Allowed));
        assert_eq!(allowed("http://BUILD.local.:8080/"), Some(Checked::Allowed));
        assert_eq!(allowed("http://build.local/"), Some(Checked::Guarded));
        assert_eq!(allowed("http://[::1]:99/"), Some(Checked::Allowed));
        assert_eq!(allowed("http://[::1]:98/"), None);
        let everything = Guard::new(&["0.0.0.0/0".parse().unwrap()]);
        assert!(everything.check("http://192.168.1.1/").is_ok());
        assert!(everything.check("http://[::1]/").is_err());
    }

    #[test]
    fn rules_survive_text_and_nonsense_is_refused() {
        for text in ["10.0.0.0/8", "::/0", "build.local:8080", "[::1]:99", "10.0.0.1:80"] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        for bad in
            ["", "10.0.0.0", "10.0.0.0/33", "::/129", "x/8", "host", "host:port", "a@b:1", "a/b:1"]
        {
            assert!(bad.parse::<Rule>().is_err(), "{bad:?} should be refused");
        }
    }
}
