//! The structure of the TOML file, and its defaults. Unknown keys are refused, so that a typo cannot silently leave a
//! default in force.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::args::LogFormat;
use super::external::{OidcSection, ProxySection};
use super::kinds::KindSection;
use super::schedules::ScheduleSection;
use crate::access::AccessLimits;
use crate::engine::{EngineConfig, RewindLimits};
use crate::handlers::command::{self, Dashes, Stdin};
use crate::handlers::http;
use crate::http::HttpLimits;
use crate::http::server::access_log::{AccessFormat, AccessLevel};
use crate::http::server::listen_address::ListenAddresses;
use crate::http::server::unix_socket::SocketMode;
use crate::job::{Concurrency, RateLimit, Secret, UrlText};
use crate::store::{self, database::PostgresSettings};
use crate::units::{duration, size};

/// The whole file. Every setting is optional.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileConfig {
    /// The addresses to serve on.
    pub listen: ListenAddresses,
    /// The permissions of Unix sockets.
    pub socket_mode: SocketMode,
    /// The directory that holds the jobs.
    pub data_dir: PathBuf,
    /// The server's public URL, if it is behind a proxy.
    pub base_url: Option<UrlText>,
    /// The path to serve under when a proxy shares one host among services.
    pub base_path: String,
    /// Whether the server submits fake jobs to itself.
    pub demo: bool,
    /// Whether the server begins paused, so that nothing starts before an operator resumes it.
    pub paused: bool,
    /// What the server logs, and in which format.
    pub log: LogSection,
    /// Who may use the server.
    pub auth: AuthSection,
    /// Login through an OpenID Connect provider.
    pub oidc: OidcSection,
    /// The certificate of the server.
    pub tls: TlsSection,
    /// The limits of users, tokens, sessions and share links.
    pub access: AccessSection,
    /// How long a stop may take.
    pub stop: StopSection,
    /// How jobs run.
    pub engine: EngineSection,
    /// Queues with settings of their own.
    pub queues: BTreeMap<String, QueueSection>,
    /// The limits of the store.
    pub store: StoreSection,
    /// How long finished jobs and events are kept.
    pub retention: RetentionSection,
    /// The limits of pages of earlier moments.
    pub rewind: RewindLimits,
    /// The limits of the HTTP side.
    pub http: HttpLimits,
    /// The settings of the built-in kinds.
    pub handlers: HandlersSection,
    /// The programs that the `command` kind may run.
    pub commands: BTreeMap<String, CommandSection>,
    /// The kinds that the configuration declares, and the defaults of kinds.
    pub kinds: BTreeMap<String, KindSection>,
    /// The schedules that the configuration declares.
    pub schedules: BTreeMap<String, ScheduleSection>,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // each field is described beside its default in docs/cortado.example.toml
pub struct LogSection {
    pub filter: String,
    pub format: LogFormat,
    #[serde(deserialize_with = "size")]
    pub queue: usize,
    #[serde(deserialize_with = "duration")]
    pub flush: Duration,
    pub access: AccessLevel,
    pub access_format: AccessFormat,
}

/// `[auth]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // as above
pub struct AuthSection {
    pub token: Option<Secret>,
    pub proxy: ProxySection,
}

/// `[tls]`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // as above
pub struct TlsSection {
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    #[serde(deserialize_with = "duration")]
    pub reload: Duration,
    #[serde(deserialize_with = "duration")]
    pub handshake_timeout: Duration,
    pub max_handshakes: usize,
}

/// `[access]`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // as above
pub struct AccessSection {
    pub max_users: usize,
    pub max_tokens: usize,
    pub max_sessions: usize,
    pub sessions_per_user: usize,
    pub max_links: usize,
    #[serde(deserialize_with = "duration")]
    pub max_link_lifetime: Duration,
    pub min_password: usize,
    #[serde(deserialize_with = "duration")]
    pub session_lifetime: Duration,
    #[serde(deserialize_with = "duration")]
    pub session_idle: Duration,
}

/// `[stop]`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // as above
pub struct StopSection {
    #[serde(deserialize_with = "duration")]
    pub grace: Duration,
    #[serde(deserialize_with = "duration")]
    pub close: Duration,
}

/// `[engine]`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // as above
pub struct EngineSection {
    pub worker: String,
    pub max_running: usize,
    #[serde(deserialize_with = "concurrency")]
    pub concurrency: i64,
    pub weight: u32,
    #[serde(deserialize_with = "duration")]
    pub lease: Duration,
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    #[serde(deserialize_with = "size")]
    pub max_payload: usize,
    pub max_json_depth: usize,
    pub max_json_values: usize,
    pub stream_capacity: usize,
    #[serde(deserialize_with = "duration")]
    pub poll_interval: Duration,
    pub queue_histories: usize,
    pub max_workers: usize,
    pub workers_per_token: Option<usize>,
    #[serde(deserialize_with = "duration")]
    pub handler_grace: Duration,
}

/// `[queues.NAME]`
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // as above
pub struct QueueSection {
    #[serde(deserialize_with = "own_concurrency")]
    pub concurrency: Option<i64>,
    pub weight: Option<u32>,
    pub rate_limit: Option<RateLimit>,
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // as above
pub struct StoreSection {
    pub url: Option<Secret>,
    pub node: Option<String>,
    #[serde(deserialize_with = "duration")]
    pub node_silence: Duration,
    pub projection: bool,
    #[serde(deserialize_with = "duration")]
    pub statement_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub connect_timeout: Duration,
    pub read_connections: usize,
    pub max_waiting: u64,
    pub max_queues: usize,
    pub max_schedules: usize,
    pub max_kinds: usize,
    pub log_lines: usize,
    #[serde(deserialize_with = "size")]
    pub log_bytes: usize,
    pub tick_step: usize,
    pub archive_from: usize,
    #[serde(deserialize_with = "size")]
    pub carry_above: usize,
    pub pipeline_from: usize,
    pub readers: usize,
    pub search_step: usize,
    #[serde(deserialize_with = "duration")]
    pub max_export: Duration,
    #[serde(deserialize_with = "duration")]
    pub search_time: Duration,
    pub search_readers: usize,
    #[serde(deserialize_with = "size")]
    pub read_bytes: usize,
    pub log_readers: usize,
    pub group_access: store::GroupAccess,
}

/// `[retention]`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // as above
pub struct RetentionSection {
    pub completed: KeepSection,
    pub cancelled: KeepSection,
    pub discarded: KeepSection,
    pub events: KeepSection,
}

/// A limit by age and one by count. Both are required, so that neither is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // as above
pub struct KeepSection {
    #[serde(deserialize_with = "duration")]
    pub age: Duration,
    pub count: u64,
}

/// `[handlers]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // as above
pub struct HandlersSection {
    pub http: HttpKindSection,
    pub command: CommandKindSection,
}

/// `[handlers.http]`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // as above
pub struct HttpKindSection {
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    #[serde(deserialize_with = "size")]
    pub max_body: usize,
    #[serde(deserialize_with = "duration")]
    pub max_retry_after: Duration,
    pub signing_secret: Option<Secret>,
    pub allow: Vec<String>,
    pub ca_files: Vec<PathBuf>,
    pub system_authorities: http::SystemAuthorities,
}

/// `[handlers.command]`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // as above
pub struct CommandKindSection {
    #[serde(deserialize_with = "duration")]
    pub kill_grace: Duration,
    #[serde(deserialize_with = "size")]
    pub max_line: usize,
}

/// `[commands.NAME]`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // as above
pub struct CommandSection {
    pub program: String,
    #[serde(default)]
    pub args: Secret<Vec<String>>,
    #[serde(default)]
    pub env: Secret<BTreeMap<String, String>>,
    pub cwd: Option<PathBuf>,
    #[serde(default)]
    pub stdin: Stdin,
    #[serde(default)]
    pub discard_codes: Vec<i32>,
    #[serde(default = "max_output_lines")]
    pub max_output_lines: usize,
    #[serde(default)]
    pub dashes: Dashes,
}

/// An integer whose range is checked together with all other settings.
fn concurrency<'de, D: Deserializer<'de>>(input: D) -> Result<i64, D::Error> {
    Concurrency::RANGE.deserialize_integer(input)
}

fn own_concurrency<'de, D: Deserializer<'de>>(input: D) -> Result<Option<i64>, D::Error> {
    concurrency(input).map(Some)
}

fn max_output_lines() -> usize {
    10_000
}

impl Default for FileConfig {
    fn default() -> Self {
        FileConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)).into(),
            socket_mode: SocketMode::default(),
            data_dir: "data".into(),
            base_url: None,
            base_path: "/".into(),
            demo: false,
            paused: false,
            log: LogSection::default(),
            auth: AuthSection::default(),
            oidc: OidcSection::default(),
            tls: TlsSection::default(),
            access: AccessSection::default(),
            stop: StopSection::default(),
            engine: EngineSection::default(),
            queues: BTreeMap::new(),
            store: StoreSection::default(),
            retention: RetentionSection::default(),
            rewind: RewindLimits::default(),
            http: HttpLimits::default(),
            handlers: HandlersSection::default(),
            commands: BTreeMap::new(),
            kinds: BTreeMap::new(),
            schedules: BTreeMap::new(),
        }
    }
}

impl Default for LogSection {
    fn default() -> Self {
        LogSection {
            filter: "info".to_owned(),
            format: LogFormat::Text,
            queue: 8 << 20,
            flush: Duration::from_secs(1),
            access: AccessLevel::default(),
            access_format: AccessFormat::default(),
        }
    }
}

impl Default for TlsSection {
    fn default() -> Self {
        TlsSection {
            cert: None,
            key: None,
            reload: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            max_handshakes: 1_000,
        }
    }
}

impl Default for AccessSection {
    fn default() -> Self {
        let limits = AccessLimits::default();
        AccessSection {
            max_users: limits.max_users,
            max_tokens: limits.max_tokens,
            max_sessions: limits.max_sessions,
            sessions_per_user: limits.sessions_per_user,
            max_links: limits.max_links,
            max_link_lifetime: limits.max_link_lifetime,
            min_password: limits.min_password,
            session_lifetime: limits.session_lifetime,
            session_idle: limits.session_idle,
        }
    }
}

impl Default for StopSection {
    fn default() -> Self {
        StopSection { grace: Duration::from_secs(25), close: Duration::from_secs(2) }
    }
}

impl Default for EngineSection {
    fn default() -> Self {
        let engine = EngineConfig::default();
        EngineSection {
            worker: engine.worker.as_str().to_owned(),
            max_running: engine.max_running,
            concurrency: engine.default_queue.concurrency.get() as i64,
            weight: engine.default_queue.weight,
            lease: engine.lease_ttl,
            timeout: engine.default_timeout,
            max_payload: engine.max_payload,
            max_json_depth: engine.json.depth,
            max_json_values: engine.json.values,
            stream_capacity: engine.stream_capacity,
            poll_interval: engine.poll_interval,
            queue_histories: engine.queue_histories,
            max_workers: engine.max_workers,
            workers_per_token: engine.workers_per_token,
            handler_grace: engine.handler_grace,
        }
    }
}

impl Default for StoreSection {
    fn default() -> Self {
        let limits = store::StoreLimits::default();
        StoreSection {
            url: None,
            node: None,
            node_silence: limits.node_silence,
            projection: false,
            statement_timeout: PostgresSettings::TIMEOUT,
            connect_timeout: PostgresSettings::CONNECT_TIMEOUT,
            read_connections: PostgresSettings::READERS,
            max_waiting: limits.max_waiting,
            max_queues: limits.max_queues,
            max_schedules: limits.max_schedules,
            max_kinds: limits.max_kinds,
            log_lines: limits.log.lines,
            log_bytes: limits.log.bytes,
            tick_step: limits.tick_step,
            archive_from: limits.archive_from,
            carry_above: usize::try_from(limits.carry_above).unwrap_or(usize::MAX),
            pipeline_from: limits.pipeline_from,
            readers: limits.readers,
            search_step: limits.search_step,
            max_export: limits.max_export,
            search_time: limits.search_time,
            search_readers: limits.search_readers,
            read_bytes: limits.read_bytes,
            log_readers: limits.log_readers,
            group_access: limits.group_access,
        }
    }
}

impl Default for RetentionSection {
    fn default() -> Self {
        let retention = store::Retention::default();
        let keep = |keep: store::Keep| KeepSection { age: keep.age, count: keep.count };
        RetentionSection {
            completed: keep(retention.completed),
            cancelled: keep(retention.cancelled),
            discarded: keep(retention.discarded),
            events: keep(retention.events),
        }
    }
}

impl Default for HttpKindSection {
    fn default() -> Self {
        let http = http::HttpSettings::default();
        HttpKindSection {
            timeout: http.timeout,
            max_body: http.max_body,
            max_retry_after: http.max_retry_after,
            signing_secret: None,
            allow: Vec::new(),
            ca_files: Vec::new(),
            system_authorities: http.system_authorities,
        }
    }
}

impl Default for CommandKindSection {
    fn default() -> Self {
        let command = command::CommandSettings::default();
        CommandKindSection { kill_grace: command.kill_grace, max_line: command.max_line }
    }
}
