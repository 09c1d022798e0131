//! How the server is reached: a URL as libpq reads it, with `sslmode` and `sslrootcert`, which the driver does not know.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::failure::{StatementFailure, describe};
use super::hosts::each_host;
use super::settings_error::SettingsError;
use super::tls::{self, TlsCheck};

/// How long a node may be silent, unless something else is set.
const SILENCE: Duration = Duration::from_secs(15);
/// After which time without traffic the kernel checks that the server is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);

/// How a log on PostgreSQL is reached.
#[derive(Clone)]
pub struct PostgresSettings {
    config: Config,
    tls: MakeRustlsConnect,
    location: String,
    /// The name of this process among those that work on the log. Every one needs a name of its own.
    pub node: String,
    /// How many connections read at the same time.
    pub readers: usize,
    /// How long a statement may take. Then its connection is given up.
    pub timeout: Duration,
    /// How long a connection may take to be opened, for each host of the URL, unless the URL says so itself.
    pub connect_timeout: Duration,
    /// How long a node may be silent before the others assume that it has ended.
    pub node_silence: Duration,
}

/// The connection that [`PostgresSettings::connect`] opens: the client, and what has to be driven for it.
pub type OpenedConnection = (
    Client,
    Connection<Socket, <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<Socket>>::Stream>,
);

impl PostgresSettings {
    /// How many connections read at the same time, unless something else is set.
    pub const READERS: usize = 4;
    /// How long a statement may take, unless something else is set.
    pub const TIMEOUT: Duration = Duration::from_secs(10);
    /// How long a connection may take to be opened, unless something else is set.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

    /// The address, without the password.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Opens a connection to the first host that accepts it. Each has as much time.
    ///
    /// # Errors
    /// When no server can be reached, accepts the user and answers in time. The error is that of the last host.
    pub async fn connect(&self) -> Result<OpenedConnection, StatementFailure> {
        let mut failure = StatementFailure::connect_timeout(self.connect_timeout);
        for mut config in each_host(&self.config) {
            let limit = config.get_connect_timeout().copied().unwrap_or(self.connect_timeout);
            config.connect_timeout(limit);
            // The driver limits only the connection itself, and not what the server is asked for on it.
            failure = match tokio::time::timeout(limit, config.connect(self.tls.clone())).await {
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err(error)) => StatementFailure::Unanswered(describe(&error)),
                Err(_) => StatementFailure::connect_timeout(limit),
            };
        }
        Err(failure)
    }
}

impl FromStr for PostgresSettings {
    type Err = SettingsError;

    fn from_str(url: &str) -> Result<PostgresSettings, SettingsError> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(SettingsError::NotPostgres);
        }
        let SplitUrl { rest, ssl_mode, root_certificate } = SplitUrl::of(url);
        let (mode, check) = tls_of(ssl_mode.as_deref(), root_certificate)?;
        let mut config =
            Config::from_str(&rest).map_err(|error| SettingsError::Invalid(describe(&error)))?;
        config.ssl_mode(mode);
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(SettingsError::Invalid("it names no host".to_owned()));
        }
        if config.get_application_name().is_none() {
            config.application_name("cortado");
        }
        if config.get_password().is_none()
            && let Ok(password) = std::env::var("PGPASSWORD")
        {
            config.password(password); // as in libpq, so that no command line needs to show it
        }
        config.keepalives_idle(KEEPALIVE_IDLE.min(config.get_keepalives_idle()));
        // Of several hosts, only the primary can be written to.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        let location = location(&config);
        let tls = tls::connector(&check)?;
        let node = "local".to_owned();
        Ok(PostgresSettings {
            config,
            tls,
            location,
            node,
            readers: PostgresSettings::READERS,
            timeout: PostgresSettings::TIMEOUT,
            connect_timeout: PostgresSettings::CONNECT_TIMEOUT,
            node_silence: SILENCE,
        })
    }
}

/// A URL without the parameters that the driver does not know, and with each host in a parameter of its own: the driver
/// takes a list of hosts for one path.
struct SplitUrl {
    rest: String,
    ssl_mode: Option<String>,
    root_certificate: Option<PathBuf>,
}

impl SplitUrl {
    fn of(url: &str) -> SplitUrl {
        let mut split = SplitUrl { rest: url.to_owned(), ssl_mode: None, root_certificate: None };
        // A question mark before the `@` belongs to the password.
        let host = url.find('@').unwrap_or(0);
        let Some(query) = url[host..].find('?').map(|at| host + at + 1) else { return split };
        let mut kept: Vec<Cow<'_, str>> = Vec::new();
        for parameter in url[query..].split('&') {
            match parameter.split_once('=') {
                Some(("sslmode", value)) => split.ssl_mode = Some(decoded(value).into_owned()),
                Some(("sslrootcert", value)) => {
                    split.root_certificate = Some(PathBuf::from(&*decoded(value)));
                }
                Some(("host", hosts)) => {
                    kept.extend(hosts.split(',').map(|host| format!("host={host}").into()));
                }
                Some(_) | None => kept.push(parameter.into()),
            }
        }
        split.rest = url[..query].to_owned() + &kept.join("&");
        split
    }
}

/// The text that a parameter of a URL stands for. A plus sign is itself.
fn decoded(value: &str) -> Cow<'_, str> {
    let value = value.replace('+', "%2B");
    let mut pairs = url::form_urlencoded::parse(value.as_bytes());
    Cow::Owned(pairs.next().map(|(text, _)| text.into_owned()).unwrap_or_default())
}

/// What the driver and the check of the certificate are told about TLS.
fn tls_of(mode: Option<&str>, root: Option<PathBuf>) -> Result<(SslMode, TlsCheck), SettingsError> {
    match (mode.unwrap_or("prefer"), root) {
        ("disable", None) => Ok((SslMode::Disable, TlsCheck::Nothing)),
        ("prefer", None) => Ok((SslMode::Prefer, TlsCheck::Nothing)),
        ("require", None) => Ok((SslMode::Require, TlsCheck::Nothing)),
        // As in libpq: whoever gives a certificate wants it to be used.
        ("require" | "verify-ca", Some(root)) => Ok((SslMode::Require, TlsCheck::Signer(root))),
        ("verify-full", Some(root)) => Ok((SslMode::Require, TlsCheck::SignerAndName(root))),
        ("verify-ca", None) => Err(SettingsError::NoRootCertificate("verify-ca")),
        ("verify-full", None) => Err(SettingsError::NoRootCertificate("verify-full")),
        ("disable", Some(_)) => Err(SettingsError::UnusedRootCertificate("disable")),
        ("prefer", Some(_)) => Err(SettingsError::UnusedRootCertificate("prefer")),
        (unknown, _) => Err(SettingsError::UnknownSslMode(unknown.to_owned())),
    }
}

/// The address for messages.
fn location(config: &Config) -> String {
    let mut text = "postgresql://".to_owned();
    if let Some(user) = config.get_user() {
        text += user;
        text += "@";
    }
    let names = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => Cow::Borrowed(name.as_str()),
        Host::Unix(dir) => Path::to_string_lossy(dir),
    });
    let addresses = config.get_hostaddrs().iter().map(|address| Cow::Owned(address.to_string()));
    let hosts: Vec<_> =
        if config.get_hosts().is_empty() { addresses.collect() } else { names.collect() };
    for (at, host) in hosts.iter().enumerate() {
        let ports = config.get_ports();
        let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
        // Writing to a string cannot fail.
        let _ = write!(text, "{}{host}:{port}", if at == 0 { "" } else { "," });
    }
    if let Some(database) = config.get_dbname() {
        text += "/";
        text += database;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> PostgresSettings {
        url.parse().unwrap_or_else(|error: SettingsError| panic!("{url}: {error}"))
    }

    fn refused(url: &str) -> String {
        url.parse::<PostgresSettings>().err().expect(url).to_string()
    }

    #[test]
    fn the_location_has_everything_but_the_password() {
        for (url, location) in [
            ("postgres://anna:s3?cr/et@db.example/jobs", "postgresql://anna@db.example:5432/jobs"),
            ("postgresql://anna@db:6432/jobs?password=s3cret", "postgresql://anna@db:6432/jobs"),
            ("postgresql://a@one,two:6432/jobs", "postgresql://a@one:5432,two:6432/jobs"),
            ("postgresql://a@/jobs?host=/run/pg&port=6432", "postgresql://a@/run/pg:6432/jobs"),
            ("postgresql://a@/jobs?host=/one,/two", "postgresql://a@/one:5432,/two:5432/jobs"),
        ] {
            assert_eq!(settings(url).location(), location);
        }
    }

    #[test]
    fn a_url_that_is_refused_says_why_without_the_password() {
        for (url, why) in [
            ("mysql://anna:s3cret@db/jobs", "begins with postgresql://"),
            ("postgresql://anna:s3cret@db:no/jobs", "port"),
            ("postgresql://anna:s3cret@db/jobs?cup=s3cret", "cup"),
            ("postgresql://anna:s3cret@/jobs", "names no host"),
            ("postgresql://anna:s3cret@db/jobs?sslmode=on", "sslmode=on does not exist"),
            ("postgresql://anna:s3cret@db/jobs?sslmode=verify-full", "needs sslrootcert"),
            ("postgresql://anna:s3cret@db/jobs?sslmode=verify-ca", "needs sslrootcert"),
            ("postgresql://anna:s3cret@db/jobs?sslrootcert=/ca.pem", "sslmode=verify-full"),
            (
                "postgresql://anna:s3cret@db/jobs?sslmode=verify-full&sslrootcert=/no%20such.pem",
                "cannot use the certificate /no such.pem",
            ),
        ] {
            let error = refused(url);
            assert!(error.contains(why), "{url}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn every_mode_of_tls_is_what_libpq_makes_of_it() {
        let mode =
            |query: &str| settings(&format!("postgresql://a@db/jobs{query}")).config.get_ssl_mode();
        assert_eq!(mode(""), SslMode::Prefer);
        assert_eq!(mode("?sslmode=disable"), SslMode::Disable);
        assert_eq!(mode("?connect_timeout=3&sslmode=prefer"), SslMode::Prefer);
        assert_eq!(mode("?sslmode=require&connect_timeout=3"), SslMode::Require);
        let certified = rcgen::generate_simple_self_signed(["db".to_owned()]).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), certified.cert.pem()).unwrap();
        for name in ["require", "verify-ca", "verify-full"] {
            let query = format!("?sslmode={name}&sslrootcert={}", file.path().display());
            assert_eq!(mode(&query), SslMode::Require);
        }
    }
}
