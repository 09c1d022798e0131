//! Validates the merged settings and splits them into the parts that the layers take, or lists all that are invalid.

mod database;
mod external;
#[cfg_attr(not(feature = "oidc"), path = "check/without_oidc.rs")]
mod oidc;
mod program;
mod rewind;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use url::Url;

use super::file::{
    AccessSection, CommandSection, EngineSection, HandlersSection, KeepSection, QueueSection,
    RetentionSection, StoreSection, TlsSection,
};
use super::schedules::ParsedSchedule;
use super::{AuthSettings, Config, FileConfig, InvalidSetting, LogConfig, StopSettings};
use super::{kinds, ranges, schedules, settings};
use crate::access::AccessLimits;
use crate::clock::{Clock as _, SystemClock};
use crate::engine::{EngineConfig, Kinds, QueueConfig};
use crate::handlers::{HandlerSettings, command, http};
use crate::http::server::access_log::AccessLog;
use crate::http::server::listen_address::ListenAddresses;
use crate::http::server::tls::{CertificateFiles, TlsSettings};
use crate::http::{BasePath, HttpLimits};
use crate::job::shorten::{MAX_MESSAGE, MAX_NAME, shorten};
use crate::job::{Concurrency, JsonLimits, LogCaps, QueueName, Secret, UrlText, WorkerName};
use crate::store::{self};

/// The smallest queue of the log, in bytes; a smaller one could not hold one long line.
const MIN_LOG_QUEUE: usize = 16 * 1_024;

/// Validates the merged settings and splits them into parts.
pub(super) fn split(
    mut file: FileConfig,
    wrong: Vec<InvalidSetting>,
) -> Result<Config, Vec<InvalidSetting>> {
    let mut problems = InvalidSettings(wrong);
    let FileConfig { queues, store, retention, handlers, commands, http, .. } = &file;

    let token = file.auth.token.as_ref();
    let auth =
        token.and_then(|token| problems.take("auth.token", AuthSettings::parse(token.expose())));
    let tls = problems.tls(&file.tls, &file.listen);
    if file.data_dir.as_os_str().is_empty() {
        problems.add("data_dir", "must be a directory, but is empty");
    }
    let base_url = file.base_url.as_ref().and_then(|text| problems.base_url(text));
    let base_path = problems.take("base_path", file.base_path.parse()).unwrap_or_default();
    let external = problems.external(&file, base_url.as_ref(), &base_path);
    let filter = EnvFilter::try_new(&file.log.filter);
    problems.take(
        "log.filter",
        filter.map_err(|error| {
            format!(
                "must be a filter such as info or warn,cortado=debug, but is {:?}: {error}",
                file.log.filter
            )
        }),
    );

    problems.bytes("log.queue", file.log.queue, MIN_LOG_QUEUE);

    let mut engine = problems.engine(&file.engine, queues);
    match kinds::parse(&file.kinds, engine.json) {
        Ok(configured) => engine.kinds = Arc::new(configured),
        Err(wrong) => wrong.into_iter().for_each(|(key, why)| problems.add(key, why)),
    }
    let kinds = Kinds::of_program(Arc::default(), engine.kinds.clone());
    let mut submissions = Vec::new();
    match schedules::parse(&file.schedules, engine.json, &kinds, SystemClock.now()) {
        Ok(declared) if declared.len() > store.max_schedules => problems.add(
            "schedules",
            format!(
                "must be at most {} (store.max_schedules), but there are {}",
                store.max_schedules,
                declared.len()
            ),
        ),
        Ok(declared) => {
            for ParsedSchedule { name, submission, spec } in declared {
                engine.schedules.push((name.clone(), spec));
                submissions.push((name, submission));
            }
        }
        Err(wrong) => wrong.into_iter().for_each(|(key, why)| problems.add(key, why)),
    }
    engine.paused = file.paused;
    engine.rewind = problems.rewind(&file.rewind);
    let access = problems.access(&file.access);
    engine.access = access;
    problems.http(http, file.engine.max_payload);
    let database = problems.database(&file.store, &mut engine);
    let limits = store::StoreLimits {
        access,
        queues: limits_of(queues),
        ..problems.store(store, retention)
    };
    let mut handlers = problems.handlers(handlers, commands, file.engine.handler_grace);
    handlers.http.base_url = base_url.as_ref().and_then(|url| public_address(url, &base_path));
    if !problems.0.is_empty() {
        return Err(problems.0);
    }
    // The system page shows the limits in force, even when they are derived from other settings.
    file.engine.workers_per_token = Some(engine.worker_limits().per_token);
    file.http.connections_per_address = Some(file.http.connections_from_one_address());
    file.http.json = engine.json;
    (file.http.grace, file.http.close) = (file.stop.grace, file.stop.close);
    file.http.base_url = base_url.as_ref().map(Url::to_string);
    Ok(Config {
        settings: settings::in_force(&file),
        listen: file.listen,
        socket_mode: file.socket_mode,
        tls,
        data_dir: file.data_dir,
        database,
        base_url,
        base_path,
        log: LogConfig {
            format: file.log.format,
            filter: file.log.filter,
            queue: file.log.queue,
            flush: file.log.flush,
            access: AccessLog { level: file.log.access, format: file.log.access_format },
        },
        engine,
        schedules: Secret::new(submissions),
        limits,
        http: file.http,
        stop: StopSettings { grace: file.stop.grace, close: file.stop.close },
        handlers,
        demo: file.demo,
        auth,
        external,
    })
}

/// The URL at which others reach the server, with the path below which it serves everything.
fn public_address(url: &Url, base_path: &BasePath) -> Option<Url> {
    Url::parse(&format!("{}{base_path}", url.as_str().trim_end_matches('/'))).ok()
}

/// The problems found so far.
struct InvalidSettings(Vec<InvalidSetting>);

impl InvalidSettings {
    fn add(&mut self, key: impl Into<String>, message: impl Display) {
        let message = shorten(&message.to_string(), MAX_MESSAGE);
        self.0.push(InvalidSetting { key: shorten(&key.into(), MAX_NAME), message });
    }

    /// Returns the value, or `None` after recording a problem.
    fn take<T>(&mut self, key: impl Into<String>, got: Result<T, impl Display>) -> Option<T> {
        got.map_err(|message| self.add(key, message)).ok()
    }

    /// Checks a number by the range of its setting.
    fn integer(&mut self, key: &str, value: impl TryInto<i64>) {
        let value = value.try_into().unwrap_or(i64::MAX);
        debug_assert!(ranges::of(key).is_some(), "{key} is missing in the list of ranges");
        if let Some(range) = ranges::of(key) {
            self.take(key, range.check(value));
        }
    }

    fn bytes(&mut self, key: &str, value: usize, least: usize) {
        if value < least {
            self.add(key, format!("must be at least {least} bytes, but is {value}"));
        }
    }

    fn lasts(&mut self, key: &str, value: Duration) {
        if value.is_zero() {
            self.add(key, "must be longer than 0s");
        }
    }

    fn concurrency(&mut self, key: &str, number: i64) -> Option<Concurrency> {
        self.take(key, Concurrency::new(number))
    }

    /// The URL without credentials, which have no use in the address of a server.
    fn base_url(&mut self, text: &UrlText) -> Option<Url> {
        let url = Url::parse(text.expose()).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.path() == "/"
                && url.query().is_none()
                && url.fragment().is_none()
        });
        let expected = "must be a scheme, a host and a port, such as https://jobs.example.com";
        let url = url.and_then(|mut url| {
            let is_removed = url.set_username("").is_ok() && url.set_password(None).is_ok();
            is_removed.then_some(url)
        });
        self.take("base_url", url.ok_or_else(|| format!("{expected}, but is {text:?}")))
    }

    fn tls(&mut self, section: &TlsSection, listen: &ListenAddresses) -> Option<TlsSettings> {
        self.lasts("tls.reload", section.reload);
        self.lasts("tls.handshake_timeout", section.handshake_timeout);
        self.integer("tls.max_handshakes", section.max_handshakes);
        let files = match (&section.cert, &section.key) {
            (Some(cert), Some(key)) => CertificateFiles { cert: cert.clone(), key: key.clone() },
            (Some(_), None) => {
                self.add(
                    "tls.key",
                    "must be set to the file with the private key of the certificate",
                );
                return None;
            }
            (None, Some(_)) => {
                self.add("tls.cert", "must be set to the file with the certificate of the key");
                return None;
            }
            (None, None) => {
                let needed = listen.iter().find(|address| address.needs_certificate());
                if let Some(address) = needed {
                    self.add(
                        "listen",
                        format!("{address} needs a certificate: set tls.cert and tls.key"),
                    );
                }
                return None;
            }
        };
        Some(TlsSettings {
            files,
            reload: section.reload,
            handshake_timeout: section.handshake_timeout,
            max_handshakes: section.max_handshakes,
        })
    }

    fn engine(
        &mut self,
        section: &EngineSection,
        queues: &BTreeMap<String, QueueSection>,
    ) -> EngineConfig {
        self.integer("engine.max_running", section.max_running);
        self.integer("engine.weight", section.weight);
        self.bytes("engine.max_payload", section.max_payload, 2);
        self.integer("engine.max_json_depth", section.max_json_depth);
        self.integer("engine.max_json_values", section.max_json_values);
        self.integer("engine.stream_capacity", section.stream_capacity);
        self.integer("engine.queue_histories", section.queue_histories);
        self.integer("engine.max_workers", section.max_workers);
        self.integer("engine.workers_per_token", section.workers_per_token.unwrap_or(1));
        self.lasts("engine.timeout", section.timeout);
        self.lasts("engine.poll_interval", section.poll_interval);
        if section.lease < Duration::from_secs(1) {
            self.add("engine.lease", format!("must be at least 1s, but is {:?}", section.lease));
        }
        let default = EngineConfig::default();
        let concurrency = self.concurrency("engine.concurrency", section.concurrency);
        let concurrency = concurrency.unwrap_or(default.default_queue.concurrency);
        let usual =
            QueueConfig { concurrency, limit: None, weight: section.weight, rate_limit: None };
        let mut own = Vec::new();
        for (name, queue) in queues {
            let key = format!("queues.{name}");
            let own_concurrency = queue
                .concurrency
                .and_then(|number| self.concurrency(&format!("{key}.concurrency"), number));
            let weight = queue.weight;
            self.integer(&format!("{key}.weight"), weight.unwrap_or(1));
            if let Some(name) = self.take(key, QueueName::parse(name)) {
                let concurrency = own_concurrency.unwrap_or(usual.concurrency);
                let weight = weight.unwrap_or(usual.weight);
                let (limit, rate_limit) = (own_concurrency, queue.rate_limit);
                own.push((name, QueueConfig { concurrency, limit, weight, rate_limit }));
            }
        }
        let worker = self.take("engine.worker", WorkerName::parse(&section.worker));
        EngineConfig {
            worker: worker.unwrap_or_else(|| default.worker.clone()),
            max_running: section.max_running,
            queues: own,
            default_queue: usual,
            lease_ttl: section.lease,
            default_timeout: section.timeout,
            max_payload: section.max_payload,
            json: JsonLimits { depth: section.max_json_depth, values: section.max_json_values },
            stream_capacity: section.stream_capacity,
            poll_interval: section.poll_interval,
            queue_histories: section.queue_histories,
            handler_grace: section.handler_grace,
            max_workers: section.max_workers,
            workers_per_token: section.workers_per_token,
            ..default // the caller adds the others
        }
    }

    fn access(&mut self, section: &AccessSection) -> AccessLimits {
        self.integer("access.max_users", section.max_users);
        self.integer("access.max_tokens", section.max_tokens);
        self.integer("access.max_sessions", section.max_sessions);
        self.integer("access.sessions_per_user", section.sessions_per_user);
        self.integer("access.max_links", section.max_links);
        self.integer("access.min_password", section.min_password);
        self.lasts("access.max_link_lifetime", section.max_link_lifetime);
        self.lasts("access.session_lifetime", section.session_lifetime);
        self.lasts("access.session_idle", section.session_idle);
        AccessLimits {
            max_users: section.max_users,
            max_tokens: section.max_tokens,
            max_sessions: section.max_sessions,
            sessions_per_user: section.sessions_per_user,
            max_links: section.max_links,
            max_link_lifetime: section.max_link_lifetime,
            min_password: section.min_password,
            session_lifetime: section.session_lifetime,
            session_idle: section.session_idle,
        }
    }

    fn http(&mut self, section: &HttpLimits, max_payload: usize) {
        if section.max_body <= max_payload {
            self.add(
                "http.max_body",
                format!(
                    "must be more than engine.max_payload ({max_payload} bytes), but is {}",
                    section.max_body
                ),
            );
        }
        self.integer("http.max_batch", section.max_batch);
        self.integer("http.max_connections", section.max_connections);
        self.integer("http.login_failures", section.login_failures);
        self.integer("http.login_failures_per_user", section.login_failures_per_user);
        self.integer("http.login_failures_total", section.login_failures_total);
        self.lasts("http.login_window", section.login_window);
        self.bytes("http.socket_message", section.socket_message, 1_024);
        self.integer("http.socket_rate", section.socket_rate);
        self.integer("http.socket_subscriptions", section.socket_subscriptions);
        self.integer("http.subscribers_per_address", section.subscribers_per_address);
        if let Some(connections) = section.connections_per_address
            && (connections == 0 || connections >= section.max_connections)
        {
            self.add(
                "http.connections_per_address",
                format!(
                    "must be at least 1 and less than http.max_connections, but is {connections}"
                ),
            );
        }
        if section.max_subscribers == 0 || section.max_subscribers >= section.max_connections {
            self.add(
                "http.max_subscribers",
                format!(
                    "must be at least 1 and less than http.max_connections, but is {}",
                    section.max_subscribers
                ),
            );
        }
        for (key, value) in [
            ("http.body_timeout", section.body_timeout),
            ("http.request_timeout", section.request_timeout),
            ("http.max_wait", section.max_wait),
            ("http.header_timeout", section.header_timeout),
            ("http.socket_ping", section.socket_ping),
            ("http.socket_pong", section.socket_pong),
            ("http.subscriber_mark", section.subscriber_mark),
            ("http.write_timeout", section.write_timeout),
            ("http.linger", section.linger),
            ("http.min_rate_window", section.min_rate_window),
        ] {
            self.lasts(key, value);
        }
    }

    fn store(
        &mut self,
        section: &StoreSection,
        retention: &RetentionSection,
    ) -> store::StoreLimits {
        self.integer("store.max_waiting", section.max_waiting);
        self.integer("store.max_queues", section.max_queues);
        self.integer("store.max_kinds", section.max_kinds);
        self.integer("store.tick_step", section.tick_step);
        self.integer("store.archive_from", section.archive_from);
        self.integer("store.pipeline_from", section.pipeline_from);
        self.integer("store.readers", section.readers);
        self.integer("store.search_step", section.search_step);
        self.lasts("store.max_export", section.max_export);
        self.lasts("store.search_time", section.search_time);
        self.integer("store.search_readers", section.search_readers);
        self.bytes("store.read_bytes", section.read_bytes, 1);
        self.integer("store.log_readers", section.log_readers);
        self.integer("retention.events.count", retention.events.count);
        let keep = |keep: KeepSection| store::Keep { age: keep.age, count: keep.count };
        store::StoreLimits {
            max_waiting: section.max_waiting,
            max_queues: section.max_queues,
            max_schedules: section.max_schedules,
            max_kinds: section.max_kinds,
            log: LogCaps { lines: section.log_lines, bytes: section.log_bytes },
            retention: store::Retention {
                completed: keep(retention.completed),
                cancelled: keep(retention.cancelled),
                discarded: keep(retention.discarded),
                events: keep(retention.events),
            },
            tick_step: section.tick_step,
            archive_from: section.archive_from,
            carry_above: section.carry_above as u64,
            pipeline_from: section.pipeline_from,
            readers: section.readers,
            search_step: section.search_step,
            max_export: section.max_export,
            search_time: section.search_time,
            search_readers: section.search_readers,
            read_bytes: section.read_bytes,
            log_readers: section.log_readers,
            group_access: section.group_access,
            node_silence: section.node_silence,
            ..store::StoreLimits::default() // the caller adds the others
        }
    }

    fn handlers(
        &mut self,
        section: &HandlersSection,
        commands: &BTreeMap<String, CommandSection>,
        handler_grace: Duration,
    ) -> HandlerSettings {
        let HandlersSection { http, command } = section;
        self.lasts("handlers.http.timeout", http.timeout);
        if !(80..=8 * 1_024).contains(&command.max_line) {
            let found = command.max_line;
            self.add(
                "handlers.command.max_line",
                format!("must be from 80 to 8192 bytes, but is {found}"),
            );
        }
        // After its grace the engine drops the handler, which kills its processes at once.
        let needed = command.kill_grace + command::LINGER;
        if needed >= handler_grace {
            self.add(
                "handlers.command.kill_grace",
                format!(
                    "this setting plus {} ms must be less than engine.handler_grace ({} ms)",
                    command::LINGER.as_millis(),
                    handler_grace.as_millis()
                ),
            );
        }
        let secret = http.signing_secret.as_ref();
        let signer = secret
            .and_then(|text| self.take("handlers.http.signing_secret", text.expose().parse()));
        let rules = http.allow.iter();
        let allow =
            rules.filter_map(|text| self.take("handlers.http.allow", text.parse())).collect();
        let mut programs = BTreeMap::new();
        for (name, section) in commands {
            if let Some(program) = self.program(&format!("commands.{name}"), name, section) {
                programs.insert(name.clone(), program);
            }
        }
        HandlerSettings {
            http: http::HttpSettings {
                timeout: http.timeout,
                max_body: http.max_body,
                max_retry_after: http.max_retry_after,
                base_url: None,
                signer,
                allow,
                ca_files: http.ca_files.clone(),
                system_authorities: http.system_authorities,
            },
            command: command::CommandSettings {
                kill_grace: command.kill_grace,
                max_line: command.max_line,
                programs,
                register: None,
            },
        }
    }
}

/// The limits that queues have of their own. Those that are not valid were reported with the engine's settings.
fn limits_of(
    queues: &BTreeMap<String, QueueSection>,
) -> BTreeMap<QueueName, store::ConfiguredLimits> {
    let of_queue = |(name, queue): (&String, &QueueSection)| {
        let limits = store::ConfiguredLimits {
            concurrency: queue.concurrency.and_then(|number| Concurrency::new(number).ok()),
            rate_limit: queue.rate_limit,
        };
        let has_any = limits != store::ConfiguredLimits::default();
        QueueName::parse(name).ok().filter(|_| has_any).map(|name| (name, limits))
    };
    queues.iter().filter_map(of_queue).collect()
}
