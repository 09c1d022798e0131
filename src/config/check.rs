//! Validates the merged settings and splits them into the parts that the layers take, or returns a list of all invalid
//! settings.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use url::Url;

use super::external::{self, HasTrustedProxies, PublicAddress};
use super::file::{
    AccessSection, CommandSection, EngineSection, HandlersSection, KeepSection, QueueSection,
    RetentionSection, StoreSection, TlsSection,
};
use super::{
    AuthSettings, Config, ConfigError, FileConfig, InvalidSetting, LogConfig, StopSettings,
};
use super::{schedules, settings};
use crate::access::AccessLimits;
use crate::clock::{Clock as _, SystemClock};
use crate::engine::{EngineConfig, QueueConfig};
use crate::handlers::{HandlerSettings, command, http};
use crate::http::HttpLimits;
use crate::http::server::access_log::AccessLog;
use crate::http::server::listen_address::ListenAddresses;
use crate::http::server::tls::{CertificateFiles, TlsSettings};
use crate::job::shorten::{MAX_MESSAGE, MAX_NAME, shorten};
use crate::job::{Concurrency, JsonLimits, Kind, LogCaps, QueueName, Secret, UrlText, WorkerName};
use crate::store::{self};

/// The smallest queue of the log, in bytes; a smaller one could not hold one long line.
const MIN_LOG_QUEUE: u64 = 16 * 1_024;

/// Validates the merged settings and splits them into parts.
pub(super) fn split(mut file: FileConfig) -> Result<Config, ConfigError> {
    let mut problems = InvalidSettings::default();
    let FileConfig { queues, store, retention, handlers, commands, http, .. } = &file;

    let token = file.auth.token.as_ref();
    let auth =
        token.and_then(|token| problems.take("auth.token", AuthSettings::parse(token.expose())));
    let tls = problems.tls(&file.tls, &file.listen);
    if file.data_dir.as_os_str().is_empty() {
        problems.add("data_dir", "a directory is expected");
    }
    let base_url = file.base_url.as_ref().and_then(|text| problems.base_url(text));
    let base_path = problems.take("base_path", file.base_path.parse()).unwrap_or_default();
    let public = PublicAddress { url: base_url.as_ref(), path: &base_path };
    let oidc = problems.take_all(external::oidc(&file.oidc, &public)).flatten();
    let has_trusted_proxies = HasTrustedProxies::of(&http.trusted_proxies);
    let proxy_users = external::proxy(&file.auth.proxy, has_trusted_proxies);
    let proxy_users = problems.take_all(proxy_users).flatten();
    let filter = EnvFilter::try_new(&file.log.filter);
    problems.take(
        "log.filter",
        filter.map_err(|error| {
            format!(
                "{:?} is not a filter such as info or warn,cortado=debug: {error}",
                file.log.filter
            )
        }),
    );

    problems.at_least("log.queue", file.log.queue, MIN_LOG_QUEUE);

    let mut engine = problems.engine(&file.engine, queues);
    match schedules::parse(&file.schedules, engine.json, SystemClock.now()) {
        Ok(declared) if declared.len() > store.max_schedules => problems.add(
            "schedules",
            format!("{} schedules are more than store.max_schedules allows", declared.len()),
        ),
        Ok(declared) => engine.schedules = declared,
        Err(wrong) => wrong.into_iter().for_each(|(key, why)| problems.add(key, why)),
    }
    engine.paused = file.paused;
    let access = problems.access(&file.access);
    engine.access = access;
    problems.http(http, file.engine.max_payload);
    let limits = store::StoreLimits { access, ..problems.store(store, retention) };
    let handlers = problems.handlers(handlers, commands, file.engine.handler_grace);
    if !problems.0.is_empty() {
        return Err(ConfigError::Invalid(problems.0));
    }
    // The system page shows the limit in force, even when it is derived from another setting.
    file.http.connections_per_address = Some(file.http.connections_from_one_address());
    file.http.json = engine.json;
    (file.http.grace, file.http.close) = (file.stop.grace, file.stop.close);
    Ok(Config {
        settings: settings::in_force(&file),
        listen: file.listen,
        socket_mode: file.socket_mode,
        tls,
        data_dir: file.data_dir,
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
        limits,
        http: file.http,
        stop: StopSettings { grace: file.stop.grace, close: file.stop.close },
        handlers,
        demo: file.demo,
        auth,
        oidc,
        proxy_users,
    })
}

/// The problems found so far.
#[derive(Default)]
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

    /// Returns the value, or `None` after recording what is wrong with each key.
    fn take_all<T>(&mut self, got: Result<T, Vec<schedules::Wrong>>) -> Option<T> {
        let record = |wrong: Vec<schedules::Wrong>| {
            wrong.into_iter().for_each(|(key, why)| self.add(key, why));
        };
        got.map_err(record).ok()
    }

    fn at_least(&mut self, key: &str, value: impl TryInto<u64>, least: u64) {
        if value.try_into().is_ok_and(|value: u64| value < least) {
            self.add(key, format!("at least {least} is expected"));
        }
    }

    fn lasts(&mut self, key: &str, value: Duration) {
        if value.is_zero() {
            self.add(key, "a duration above zero is expected");
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
        let expected = "scheme, host and port are expected, such as https://jobs.example.com";
        let url = url.and_then(|mut url| {
            let is_removed = url.set_username("").is_ok() && url.set_password(None).is_ok();
            is_removed.then_some(url)
        });
        self.take("base_url", url.ok_or_else(|| format!("{text:?} is not accepted: {expected}")))
    }

    fn tls(&mut self, section: &TlsSection, listen: &ListenAddresses) -> Option<TlsSettings> {
        self.lasts("tls.reload", section.reload);
        self.lasts("tls.handshake_timeout", section.handshake_timeout);
        self.at_least("tls.max_handshakes", section.max_handshakes, 1);
        let files = match (&section.cert, &section.key) {
            (Some(cert), Some(key)) => CertificateFiles { cert: cert.clone(), key: key.clone() },
            (Some(_), None) => {
                self.add("tls.key", "the file of the certificate's private key is expected");
                return None;
            }
            (None, Some(_)) => {
                self.add("tls.cert", "the file of the key's certificate is expected");
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
        self.at_least("engine.max_running", section.max_running, 1);
        self.at_least("engine.weight", section.weight, 1);
        self.at_least("engine.max_payload", section.max_payload, 2);
        if !(1..=JsonLimits::MAX_DEPTH).contains(&section.max_json_depth) {
            let most = JsonLimits::MAX_DEPTH;
            self.add("engine.max_json_depth", format!("1 to {most} are expected"));
        }
        self.at_least("engine.max_json_values", section.max_json_values, 1);
        self.at_least("engine.stream_capacity", section.stream_capacity, 2);
        self.at_least("engine.queue_histories", section.queue_histories, 1);
        self.lasts("engine.timeout", section.timeout);
        self.lasts("engine.poll_interval", section.poll_interval);
        if section.lease < Duration::from_secs(1) {
            self.add("engine.lease", "at least 1s is expected");
        }
        let default = EngineConfig::default();
        let concurrency = self.concurrency("engine.concurrency", section.concurrency);
        let concurrency = concurrency.unwrap_or(default.default_queue.concurrency);
        let usual = QueueConfig { concurrency, weight: section.weight, rate_limit: None };
        let mut own = Vec::new();
        for (name, queue) in queues {
            let key = format!("queues.{name}");
            let own_concurrency = queue
                .concurrency
                .and_then(|number| self.concurrency(&format!("{key}.concurrency"), number));
            let weight = queue.weight;
            self.at_least(&format!("{key}.weight"), weight.unwrap_or(1), 1);
            if let Some(name) = self.take(key, QueueName::parse(name)) {
                let concurrency = own_concurrency.unwrap_or(usual.concurrency);
                let weight = weight.unwrap_or(usual.weight);
                own.push((name, QueueConfig { concurrency, weight, rate_limit: queue.rate_limit }));
            }
        }
        let worker = self.take("engine.worker", WorkerName::parse(&section.worker));
        EngineConfig {
            worker: worker.unwrap_or(default.worker),
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
            paused: default.paused,
            access: default.access,
            schedules: Vec::new(),
        }
    }

    fn access(&mut self, section: &AccessSection) -> AccessLimits {
        self.at_least("access.max_users", section.max_users, 1);
        self.at_least("access.max_tokens", section.max_tokens, 1);
        self.at_least("access.max_sessions", section.max_sessions, 1);
        self.at_least("access.sessions_per_user", section.sessions_per_user, 1);
        self.at_least("access.max_links", section.max_links, 1);
        self.at_least("access.min_password", section.min_password, 8);
        if section.min_password > AccessLimits::MAX_PASSWORD_BYTES {
            let most = AccessLimits::MAX_PASSWORD_BYTES;
            self.add("access.min_password", format!("at most {most} is expected"));
        }
        self.lasts("access.session_lifetime", section.session_lifetime);
        self.lasts("access.session_idle", section.session_idle);
        AccessLimits {
            max_users: section.max_users,
            max_tokens: section.max_tokens,
            max_sessions: section.max_sessions,
            sessions_per_user: section.sessions_per_user,
            max_links: section.max_links,
            min_password: section.min_password,
            session_lifetime: section.session_lifetime,
            session_idle: section.session_idle,
        }
    }

    fn http(&mut self, section: &HttpLimits, max_payload: usize) {
        if section.max_body <= max_payload {
            self.add(
                "http.max_body",
                format!("more than engine.max_payload ({max_payload} bytes) is expected"),
            );
        }
        self.at_least("http.max_batch", section.max_batch, 1);
        self.at_least("http.max_connections", section.max_connections, 2);
        self.at_least("http.login_failures", section.login_failures, 1);
        self.at_least("http.login_failures_per_user", section.login_failures_per_user, 1);
        self.at_least("http.login_failures_total", section.login_failures_total, 1);
        self.lasts("http.login_window", section.login_window);
        self.at_least("http.socket_message", section.socket_message, 1_024);
        self.at_least("http.socket_rate", section.socket_rate, 1);
        self.at_least("http.socket_subscriptions", section.socket_subscriptions, 1);
        self.at_least("http.subscribers_per_address", section.subscribers_per_address, 1);
        if let Some(connections) = section.connections_per_address
            && (connections == 0 || connections >= section.max_connections)
        {
            self.add(
                "http.connections_per_address",
                "at least 1 and less than http.max_connections is expected",
            );
        }
        if section.max_subscribers == 0 || section.max_subscribers >= section.max_connections {
            self.add(
                "http.max_subscribers",
                "at least 1 and less than http.max_connections is expected",
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
        self.at_least("store.max_waiting", section.max_waiting, 1);
        self.at_least("store.max_queues", section.max_queues, 1);
        self.at_least("store.tick_step", section.tick_step, 1);
        self.at_least("store.archive_from", section.archive_from, 1);
        self.at_least("store.pipeline_from", section.pipeline_from, 1);
        self.at_least("store.readers", section.readers, 1);
        self.at_least("store.search_step", section.search_step, 1);
        self.lasts("store.max_export", section.max_export);
        self.lasts("store.search_time", section.search_time);
        self.at_least("store.search_readers", section.search_readers, 1);
        self.at_least("store.read_bytes", section.read_bytes, 1);
        self.at_least("store.log_readers", section.log_readers, 1);
        self.at_least("retention.events.count", retention.events.count, 1);
        let keep = |keep: KeepSection| store::Keep { age: keep.age, count: keep.count };
        store::StoreLimits {
            max_waiting: section.max_waiting,
            max_queues: section.max_queues,
            max_schedules: section.max_schedules,
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
            access: AccessLimits::default(),
            group_access: section.group_access,
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
            self.add("handlers.command.max_line", "80 to 8192 bytes are expected");
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

    fn program(
        &mut self,
        key: &str,
        name: &str,
        section: &CommandSection,
    ) -> Option<command::Program> {
        let before = self.0.len();
        // A command has a name like that of a kind.
        self.take(key, Kind::parse(name));
        // A relative path would depend on the server's working directory or on `cwd`.
        let program = &section.program;
        if program.is_empty() || (program.contains('/') && !Path::new(program).is_absolute()) {
            self.add(
                format!("{key}.program"),
                format!("{program:?} is neither an absolute path nor a name to look up in PATH"),
            );
        }
        let bad = |text: &str| text.contains('\0');
        for (name, value) in section.env.expose() {
            if name.is_empty() || name.contains('=') || bad(name) || bad(value) {
                self.add(
                    format!("{key}.env"),
                    format!("{name:?} is not a valid variable name, or its value has a NUL"),
                );
            }
        }
        let args: Vec<_> = section
            .args
            .expose()
            .iter()
            .enumerate()
            .filter_map(|(n, text)| {
                let parsed: Result<command::Template, _> = text.parse();
                let parsed = parsed.map_err(|why| format!("argument {}: {why}", n + 1));
                self.take(format!("{key}.args"), parsed)
            })
            .collect();
        (self.0.len() == before).then(|| command::Program {
            program: program.clone(),
            args,
            env: section.env.expose().iter().map(secret_variable).collect(),
            cwd: section.cwd.clone(),
            stdin: section.stdin,
            discard_codes: section.discard_codes.clone(),
            max_output_lines: section.max_output_lines,
            dashes: section.dashes,
        })
    }
}

fn secret_variable((name, value): (&String, &String)) -> (String, Secret) {
    (name.clone(), Secret::new(value.clone()))
}
