//! `cortado health`: asks a server whether it accepts work, and answers with one line and the exit code, for the health
//! checks of containers. It finds the address in the server's own configuration, and needs no token.

use std::fmt;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::CliError;
use super::api::{client_trusting, failed, socket_path};
use super::output::say;
use crate::config::{FileConfig, HealthArgs, read_authorities};
use crate::http::server::listen_address::{ListenAddress, TlsChoice};
use crate::job::causes;
use crate::job::hidden::printable;

/// The exit code when the server accepts no work, or could not be asked.
const NOT_READY: u8 = 1;
/// The longest response that is read. That of a server is much shorter.
const MAX_RESPONSE: usize = 16 * 1024;

/// Asks the server, prints one line, and returns the exit code.
pub async fn run(args: HealthArgs, out: &mut (impl Write + Send)) -> u8 {
    match check(&args).await {
        Ok(line) => {
            // The exit code is the answer, whether or not anybody reads the line.
            let _unread = writeln!(out, "{line}");
            0
        }
        Err(why) => {
            say(&format!("cortado: {}", printable(&why)));
            NOT_READY
        }
    }
}

async fn check(args: &HealthArgs) -> Result<String, CliError> {
    let target = HealthTarget::of(args)?;
    let client = target.client(args.ca_file.as_deref())?;
    match tokio::time::timeout(args.timeout, target.ask(&client)).await {
        Ok(Ok(line)) => Ok(line),
        Ok(Err(why)) => Err(format!("{target} is not ready: {why}")),
        Err(_) => Err(format!("{target} did not answer within {:?}", args.timeout)),
    }
}

/// The server to ask.
#[derive(Debug, PartialEq, Eq)]
enum HealthTarget {
    /// The address that somebody has named. Its certificate must be trusted.
    Named(Url),
    /// An address of this machine that the configuration has. Its certificate is not checked: it is rarely valid for a
    /// loopback address, and the check sends no secret.
    OwnAddress(Url),
    /// A Unix socket.
    OwnSocket(PathBuf),
}

impl fmt::Display for HealthTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HealthTarget::Named(url) | HealthTarget::OwnAddress(url) => {
                let mut shown = url.clone();
                // Fails only for URLs without a host.
                let _ = shown.set_username("").and_then(|()| shown.set_password(None));
                f.write_str(shown.as_str().trim_end_matches('/'))
            }
            HealthTarget::OwnSocket(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl HealthTarget {
    /// The address that is named, or else the first one in the configuration that can be asked. All listeners of a
    /// server serve the same.
    fn of(args: &HealthArgs) -> Result<HealthTarget, CliError> {
        if let Some(server) = &args.server {
            return Ok(match socket_path(server) {
                Some(path) => HealthTarget::OwnSocket(path),
                None => HealthTarget::Named(server.clone()),
            });
        }
        // Settings that are not accepted are no reason to fail: they may have been edited since the server started.
        let file = match &args.config {
            Some(path) => FileConfig::read(path).map_err(|error| causes(&error))?.0,
            None => FileConfig::default(),
        };
        let has_certificate = file.tls.cert.is_some();
        let target = if args.listen.is_empty() {
            file.listen.iter().find_map(|address| own_target(address, has_certificate))
        } else {
            args.listen.iter().find_map(|address| own_target(address, has_certificate))
        };
        target.ok_or_else(|| {
            "the server chooses its port when it starts, so name its address with --server"
                .to_owned()
        })
    }

    fn client(&self, ca_file: Option<&Path>) -> Result<Client, CliError> {
        let client = match self {
            HealthTarget::Named(_) => {
                let trusted = ca_file.map(read_authorities).transpose()?.unwrap_or_default();
                client_trusting(&trusted, |builder| builder)
            }
            HealthTarget::OwnAddress(_) => {
                client_trusting(&[], |builder| builder.tls_danger_accept_invalid_certs(true))
            }
            HealthTarget::OwnSocket(path) => {
                client_trusting(&[], |builder| builder.unix_socket(path.clone()))
            }
        };
        client.map_err(|error| causes(&error))
    }

    /// Asks the server; returns what to print when it is ready, and else why it is not.
    async fn ask(&self, client: &Client) -> Result<String, CliError> {
        let url = match self {
            HealthTarget::Named(base) | HealthTarget::OwnAddress(base) => {
                let mut url = base.clone();
                url.set_path(&format!("{}/readyz", base.path().trim_end_matches('/')));
                url.set_query(None);
                url
            }
            HealthTarget::OwnSocket(_) => {
                Url::parse("http://localhost/readyz").map_err(|error| causes(&error))?
            }
        };
        let response = client.get(url).send().await.map_err(|error| failed(&error))?;
        let status = response.status();
        let body = beginning(response).await?;
        self.read(status, &body)
    }

    fn read(&self, status: StatusCode, body: &[u8]) -> Result<String, CliError> {
        let answer: ReceivedHealth = serde_json::from_slice(body).unwrap_or_default();
        match (answer.detail, answer.code) {
            _ if status.is_success() && answer.status == "ready" => {
                let paused = ", but paused: no job starts until `cortado resume`";
                Ok(format!("{self} is ready{}", if answer.paused { paused } else { "" }))
            }
            (Some(detail), Some(code)) => Err(format!("{detail} ({code})")),
            _ if status.is_success() => {
                Err("the answer is not that of a Cortado server".to_owned())
            }
            _ => Err(format!("the answer is {status}")),
        }
    }
}

/// How to reach a listener from this machine; `None` if the system chooses its port.
fn own_target(address: &ListenAddress, has_certificate: bool) -> Option<HealthTarget> {
    let (address, tls) = match address {
        ListenAddress::Unix(path) => return Some(HealthTarget::OwnSocket(path.clone())),
        ListenAddress::Network { address, tls } => (*address, *tls),
    };
    let scheme = match tls {
        TlsChoice::Always => "https",
        TlsChoice::Never => "http",
        TlsChoice::IfConfigured => {
            if has_certificate {
                "https"
            } else {
                "http"
            }
        }
    };
    let reachable = SocketAddr::new(reachable(address.ip()), address.port());
    let url = Url::parse(&format!("{scheme}://{reachable}")).ok()?;
    (address.port() != 0).then_some(HealthTarget::OwnAddress(url))
}

/// The loopback address for a listener on all addresses.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// The beginning of a response's body. A longer one is not read, because only a server's own short response counts.
async fn beginning(mut response: Response) -> Result<Vec<u8>, CliError> {
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| causes(&error))? {
        body.extend_from_slice(&part);
        if body.len() > MAX_RESPONSE {
            break;
        }
    }
    Ok(body)
}

/// The response of a health check, or the problem document instead of it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ReceivedHealth {
    /// A word, but a number in a problem document.
    status: Value,
    paused: bool,
    detail: Option<String>,
    code: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str, has_certificate: bool) -> Option<String> {
        let address = text.parse().unwrap();
        own_target(&address, has_certificate).map(|target| target.to_string())
    }

    #[test]
    fn a_listener_is_asked_where_this_machine_reaches_it() {
        for (listen, has_certificate, asked) in [
            ("127.0.0.1:8080", false, Some("http://127.0.0.1:8080")),
            ("127.0.0.1:8080", true, Some("https://127.0.0.1:8080")),
            ("http://127.0.0.1:8080", true, Some("http://127.0.0.1:8080")),
            ("0.0.0.0:80", false, Some("http://127.0.0.1")),
            ("https://[::]:8443", true, Some("https://[::1]:8443")),
            ("192.0.2.7:9000", false, Some("http://192.0.2.7:9000")),
            ("unix:/run/cortado/http.sock", true, Some("unix:/run/cortado/http.sock")),
            ("127.0.0.1:0", false, None),
        ] {
            assert_eq!(target(listen, has_certificate).as_deref(), asked, "{listen}");
        }
    }

    #[test]
    fn every_answer_becomes_one_line() {
        let server = HealthTarget::Named("http://me:do-not-tell@host:1/jobs/".parse().unwrap());
        let read = |status: u16, body: &str| {
            server.read(StatusCode::from_u16(status).unwrap(), body.as_bytes())
        };
        let draining = r#"{"status":503,"code":"draining","detail":"the server is stopping"}"#;
        assert_eq!(read(200, r#"{"status":"ready"}"#).unwrap(), "http://host:1/jobs is ready");
        let paused = read(200, r#"{"status":"ready","paused":true}"#).unwrap();
        assert!(paused.contains("paused"), "{paused}");
        assert_eq!(read(503, draining).unwrap_err(), "the server is stopping (draining)");
        assert!(read(502, "<html>").unwrap_err().contains("502 Bad Gateway"));
        for other in ["<html>", "{}", r#"{"status":"alive"}"#, r#"{"status":200}"#, "[]"] {
            assert!(read(200, other).unwrap_err().contains("not that of a Cortado"), "{other}");
        }
        assert!(read(500, r#"{"status":"ready"}"#).is_err());
    }
}
