//! Who may use a server: its token, what a first start does on an address that other machines can reach, and the host
//! names and origins that requests may come with. The rules are the same for the binary and for programs that embed the
//! server.

use std::env::{self, VarError};
use std::path::Path;

use anyhow::{Context as _, bail};
use url::Url;

use super::server_error::{OfKind, ServerError, ServerErrorKind};
use crate::access::{AccessCommand, AccessLimits, PasswordHash, generate_password};
use crate::config::{Config, read_secret};
use crate::http::layers::auth::Hosts;
use crate::http::{Access, Anonymous};
use crate::job::{Role, Secret, UserName};
use crate::store::Store;

/// The variable with the password of the user `admin`, whom the first start creates.
const PASSWORD_VARIABLE: &str = "CORTADO_ADMIN_PASSWORD";
/// The variable with the file that has this password.
const PASSWORD_FILE_VARIABLE: &str = "CORTADO_ADMIN_PASSWORD_FILE";

/// Whether other machines may use a server that has neither a token nor users.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MissingToken {
    /// They may not: the first start creates an admin.
    #[default]
    Refused,
    /// Everybody who can reach the address may use the server.
    Allowed,
}

/// Where a first start looks for the password of the admin whom it creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstAdminSource {
    /// In the environment. Without one there, it is generated if somebody has to log in.
    Environment,
    /// It is generated if somebody has to log in.
    Generated,
}

/// The conditions that requests must meet.
pub fn conditions(config: &Config, missing: MissingToken) -> Access {
    let base = config.base_url.as_ref();
    let host = base.and_then(Url::host_str).map(str::to_owned);
    let is_reachable = config.listen.reachable_by_others().is_some();
    let hosts = if is_reachable {
        Hosts::Any
    } else {
        Hosts::Loopback { also: host.into_iter().collect() }
    };
    let anonymous = if is_reachable && missing == MissingToken::Refused {
        Anonymous::Refused
    } else {
        Anonymous::AllowedWithoutUsers
    };
    let origin = base.map(|url| url.origin().ascii_serialization());
    let token = config.auth.as_ref().map(|auth| auth.token.clone());
    let trusted_origins = origin.into_iter().collect();
    let external = config.external.clone();
    Access { token, anonymous, hosts, trusted_origins, external }
}

/// The user whom the first start of a server created, because nobody could have logged in otherwise.
#[derive(Debug)]
pub struct FirstAdmin {
    name: UserName,
    password: Option<Secret>,
}

impl FirstAdmin {
    /// The name of the user.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The password, if it was generated. It is stored nowhere.
    pub fn password(&self) -> Option<&str> {
        self.password.as_ref().map(|password| password.expose().as_str())
    }
}

/// Where the password of the first admin comes from.
#[derive(Debug, PartialEq)]
enum FirstPassword {
    Given(Secret),
    Generated,
}

/// Creates the user `admin` if there is no user yet, and the source has a password for it or nobody could log in
/// otherwise. This happens before anything uses the store: no job runs and no request is answered without the user.
///
/// # Errors
/// The password cannot be read, is not acceptable, or cannot be stored.
pub async fn first_admin(
    store: &dyn Store,
    limits: AccessLimits,
    access: &Access,
    source: FirstAdminSource,
) -> Result<Option<FirstAdmin>, ServerError> {
    if store.access_table().borrow().users().next().is_some() {
        return Ok(None);
    }
    let given = match source {
        FirstAdminSource::Environment => password_of_environment(),
        FirstAdminSource::Generated => Ok(None),
    };
    let given = given.of_kind(ServerErrorKind::Configuration)?;
    let Some(first) = first_password(given, access) else { return Ok(None) };
    let name = UserName::parse("admin").of_kind(ServerErrorKind::Start)?;
    let (password, shown) = match first {
        FirstPassword::Given(password) => (password, None),
        FirstPassword::Generated => {
            let password = generate_password().of_kind(ServerErrorKind::Start)?;
            (password.clone(), Some(password))
        }
    };
    // Hashing takes a core for a moment, so it must not run on a thread that serves.
    let hash = tokio::task::spawn_blocking(move || PasswordHash::of(&password, &limits)).await;
    let hash = hash.of_kind(ServerErrorKind::Start)?;
    let hash = hash.context(PASSWORD_VARIABLE).of_kind(ServerErrorKind::Configuration)?;
    let command = AccessCommand::AddUser { name: name.clone(), password: hash, role: Role::Admin };
    let added = store.access(command, None).await.context("cannot create the user admin");
    added.of_kind(ServerErrorKind::Store)?;
    Ok(Some(FirstAdmin { name, password: shown }))
}

fn first_password(given: Option<Secret>, access: &Access) -> Option<FirstPassword> {
    match given {
        Some(password) => Some(FirstPassword::Given(password)),
        None => match access.anonymous {
            Anonymous::Refused if access.token.is_none() && !access.external.are_set() => {
                Some(FirstPassword::Generated)
            }
            Anonymous::Refused | Anonymous::AllowedWithoutUsers => None,
        },
    }
}

fn password_of_environment() -> anyhow::Result<Option<Secret>> {
    given_password(variable(PASSWORD_VARIABLE)?, variable(PASSWORD_FILE_VARIABLE)?)
}

/// The password that the environment has.
fn given_password(text: Option<String>, file: Option<String>) -> anyhow::Result<Option<Secret>> {
    match (text, file) {
        (Some(_), Some(_)) => {
            bail!("set either {PASSWORD_VARIABLE} or {PASSWORD_FILE_VARIABLE}, and not both")
        }
        (Some(text), None) => Ok(Some(Secret::new(text))),
        (None, Some(file)) => {
            let password = read_secret(Path::new(&file));
            password.map(Some).map_err(|why| anyhow::anyhow!("{PASSWORD_FILE_VARIABLE}: {why}"))
        }
        (None, None) => Ok(None),
    }
}

fn variable(name: &'static str) -> anyhow::Result<Option<String>> {
    match env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        // The error of the type would show the value.
        Err(VarError::NotUnicode(_)) => bail!("{name} is not valid UTF-8"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{AuthSettings, FileConfig, ListenAddresses, ServeArgs};
    use crate::store::Events;

    const TOKEN: &str = "0123456789abcdef";
    const OTHER: &str = "fedcba9876543210";

    fn parsed(addresses: &str) -> ListenAddresses {
        let addresses = addresses.split(',').map(|address| address.parse().unwrap());
        ListenAddresses::new(addresses.collect()).unwrap()
    }

    #[test]
    fn the_first_start_creates_an_admin_where_others_can_reach_it_or_when_told_to() {
        for (listen, is_local) in [
            ("127.0.0.1:0", true),
            ("127.9.9.9:0", true),
            ("[::1]:0", true),
            ("[::ffff:127.0.0.1]:0", true),
            ("0.0.0.0:0", false),
            ("[::]:0", false),
            ("[::ffff:0.0.0.0]:0", false),
            ("[::ffff:10.0.0.1]:0", false),
            ("[::127.0.0.1]:0", false),
            ("[fe80::1%1]:0", false),
            ("192.0.2.1:0", false),
            ("https://192.0.2.1:0", false),
            ("unix:/run/cortado.sock", true),
            ("unix:/run/cortado.sock,http://127.0.0.1:0", true),
            ("127.0.0.1:0,0.0.0.0:0", false),
        ] {
            let listen = parsed(listen);
            let first = |token: Option<&str>, given: Option<&str>, missing: MissingToken| {
                let mut config =
                    Config::build(FileConfig::default(), &ServeArgs::default()).unwrap();
                config.listen = listen.clone();
                config.auth = token.map(|token| AuthSettings::parse(token).unwrap());
                first_password(given.map(Into::into), &conditions(&config, missing))
            };
            let expected = if is_local { None } else { Some(FirstPassword::Generated) };
            assert_eq!(first(None, None, MissingToken::Refused), expected, "{listen}");
            assert_eq!(first(Some(TOKEN), None, MissingToken::Refused), None, "{listen}");
            assert_eq!(first(None, None, MissingToken::Allowed), None, "{listen}");
            let given = Some(FirstPassword::Given(OTHER.into()));
            assert_eq!(first(None, Some(OTHER), MissingToken::Refused), given, "{listen}");
        }
    }

    #[test]
    fn the_first_password_comes_from_one_variable_or_from_one_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "correct horse battery\r\n").unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let given = |text: Option<&str>, file: Option<&str>| {
            given_password(text.map(Into::into), file.map(Into::into))
                .map_err(|error| format!("{error:#}"))
        };
        assert_eq!(given(None, None), Ok(None));
        assert_eq!(given(Some("a b "), None), Ok(Some("a b ".into())));
        assert_eq!(given(None, Some(&path)), Ok(Some("correct horse battery".into())));
        assert!(given(Some("a"), Some(&path)).unwrap_err().contains("not both"));
        assert!(given(None, Some("/nowhere/at/all")).unwrap_err().contains("/nowhere/at/all"));
    }

    #[test]
    fn an_address_of_this_machine_accepts_only_its_own_names_however_it_is_written() {
        for (listen, is_local) in [
            ("127.0.0.1:0", true),
            ("127.9.9.9:0", true),
            ("[::1]:0", true),
            ("[::ffff:127.0.0.1]:0", true),
            ("[::]:0", false),
            ("[::ffff:192.0.2.1]:0", false),
            ("unix:/run/cortado.sock", true),
            ("127.0.0.1:0,192.0.2.1:0", false),
        ] {
            let mut config = Config::build(FileConfig::default(), &ServeArgs::default()).unwrap();
            config.listen = parsed(listen);
            let is_guarded =
                matches!(conditions(&config, MissingToken::Refused).hosts, Hosts::Loopback { .. });
            assert_eq!(is_guarded, is_local, "{listen}");
        }
    }

    #[tokio::test]
    async fn a_server_of_a_program_knows_the_admin_whom_its_first_start_created() {
        let builder = || crate::Cortado::builder().listen(([0, 0, 0, 0], 0)).in_memory();
        let client = crate::cli::http_client().unwrap();
        let status = async |server: &crate::Server, name: &str, password: &str| {
            let url = format!("http://127.0.0.1:{}/api/v1/stats", server.address().port());
            let request = client.get(&url).basic_auth(name, Some(password));
            request.send().await.unwrap().status().as_u16()
        };
        let server = builder().start().await.unwrap();
        let admin = server.first_admin().unwrap();
        let password = admin.password().unwrap();
        assert!(password.len() >= 16, "{password}");
        assert_eq!(status(&server, admin.name(), password).await, 200);
        assert_eq!(status(&server, admin.name(), "not the password").await, 401);
        assert_eq!(status(&server, "", "").await, 401);
        server.stop().await;
        let server = builder().auth_token(TOKEN).start().await.unwrap();
        assert!(server.first_admin().is_none(), "somebody can log in with the token");
        assert_eq!(status(&server, "", "").await, 401);
        assert_eq!(status(&server, "anybody", TOKEN).await, 200);
        server.stop().await;
        let server = builder().allow_without_token().start().await.unwrap();
        assert!(server.first_admin().is_none());
        assert_eq!(status(&server, "", "").await, 200);
        server.stop().await;
    }

    #[tokio::test]
    async fn the_first_admin_exists_before_a_waiting_job_runs() {
        let dir = tempfile::tempdir().unwrap();
        let builder = || crate::Cortado::builder().data_dir(dir.path());
        let before = builder().listen(([127, 0, 0, 1], 0)).paused().start().await.unwrap();
        let job = crate::engine::Submission::parse(r#"{"kind": "echo"}"#, before.engine().kinds())
            .unwrap();
        let (id, head) = (job.id, before.engine().head());
        before.engine().enqueue(vec![job]).await.unwrap();
        assert!(before.stop().await.clean);
        let server = builder().listen(([0, 0, 0, 0], 0)).start().await.unwrap();
        assert!(server.first_admin().is_some());
        let engine = server.engine();
        engine.wait_final(id, Duration::from_secs(60)).await.unwrap().unwrap();
        let Events::Some(events) = engine.events(head, 100).await.unwrap() else { panic!("a gap") };
        let types: Vec<&str> = events.iter().map(|event| event.event_type().as_str()).collect();
        assert_eq!(types[..3], ["job.enqueued", "user.added", "job.started"], "{types:?}");
        assert!(server.stop().await.clean);
    }
}
