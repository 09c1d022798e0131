//! The composition root: opens the store, starts the engine, merges the routers, serves and stops. Only this module
//! uses every layer. [`Cortado`] is the entry point for programs with their own handlers.

mod access;
mod declared;
mod files;
mod listening;
mod reaper;
mod restart;
mod server;
mod service_manager;
mod signals;
mod survivors;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use serde::de::DeserializeOwned;

use crate::clock::SystemClock;
use crate::config::{Config, FileConfig, ServeArgs};
use crate::engine::{Engine, Handler, KindInfo, Kinds, Registry, ScheduleSubmission};
use crate::handlers::command::register;
use crate::http;
pub use crate::http::server::inherited::InheritedSockets;
use crate::http::server::listener::Listener;
use crate::job::{Kind, ScheduleName, Schema, Secret};
use crate::shutdown::{Shutdown, StopReport};
use crate::store::Store;
use crate::store::data_dir;
use crate::store::database;
use crate::store::memory::MemoryStore;
use crate::supervise::Part;
use crate::{demo, handlers, ui};

pub use access::FirstAdmin;
use access::{MissingToken, TokenChoice};
use declared::{UnknownKind, check_kinds, check_schedules, specs_of};
use reaper::Reaper;
pub use server::{Served, Server};
use service_manager::ServiceManager;
use signals::ServerSignals;
pub use signals::Signals;

/// The entry point for Rust programs that run this server with their own handlers.
///
/// ```no_run
/// # async fn example() -> anyhow::Result<()> {
/// use cortado::{Context, Cortado};
///
/// async fn resize(context: Context, width: u32) -> Result<u32, std::io::Error> {
///     context.log(format!("resizing to {width}"));
///     Ok(width)
/// }
///
/// Cortado::builder().handler("resize", resize).serve().await?;
/// # Ok(())
/// # }
/// ```
pub struct Cortado;

impl Cortado {
    /// Returns a builder with the default settings and the built-in kinds.
    pub fn builder() -> Builder {
        Builder {
            config: None,
            listen: None,
            data_dir: None,
            store: StoreLocation::Disk,
            kinds: Vec::new(),
            schemas: Vec::new(),
            schedules: Vec::new(),
            token: TokenChoice::default(),
            orphans: Orphans::Leave,
            paused: false,
            inherited: InheritedSockets::default(),
        }
    }
}

/// Builds a server.
pub struct Builder {
    config: Option<Config>,
    listen: Option<SocketAddr>,
    data_dir: Option<PathBuf>,
    store: StoreLocation,
    kinds: Vec<(String, AddKind)>,
    /// The JSON Schema of payloads, by kind.
    schemas: Vec<(String, String)>,
    schedules: Vec<(String, ScheduleSubmission)>,
    token: TokenChoice,
    orphans: Orphans,
    paused: bool,
    inherited: InheritedSockets,
}

/// Adds a handler to the registry under a parsed kind.
type AddKind = Box<dyn FnOnce(&mut Registry, KindInfo) + Send>;

enum StoreLocation {
    Disk,
    Memory,
}

/// Whether the server reaps processes that commands leave behind.
enum Orphans {
    Leave,
    Reap,
}

/// A server that can be started.
struct PreparedServer {
    config: Config,
    registry: Arc<Registry>,
    kinds: Kinds,
    store: StoreLocation,
    inherited: InheritedSockets,
    orphans: Orphans,
    missing: MissingToken,
}

impl Builder {
    /// Sets the configuration, as `cortado serve` does, instead of the defaults.
    pub fn config(mut self, config: Config) -> Self {
        self.config = Some(config);
        self
    }

    /// Listens on this address; port 0 selects a free port. If other machines can reach the address, requests need
    /// credentials, and the first start creates a user: see [`Server::first_admin`].
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// Requires credentials of every request, and accepts this token besides users and tokens of the store: at least 16
    /// visible ASCII characters. It may do everything. Without this call, the token is that of the configuration or of
    /// the variable `CORTADO_AUTH_TOKEN`, if any.
    pub fn auth_token(mut self, token: impl Into<String>) -> Self {
        self.token.token = Some(token.into());
        self
    }

    /// Requires no credentials as long as there is neither a token nor a user, even if other machines can reach the
    /// address. Everybody who can reach it may then use all of it, so something in front of it must decide who that is.
    pub fn allow_without_token(mut self) -> Self {
        self.token.missing = MissingToken::Allowed;
        self
    }

    /// Stores the jobs in this directory.
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(dir.into());
        self
    }

    /// Keeps the jobs in memory, for tests and experiments. They are lost when the process ends.
    pub fn in_memory(mut self) -> Self {
        self.store = StoreLocation::Memory;
        self
    }

    /// Starts paused, as `cortado serve --paused` does: no job starts and no schedule fires until
    /// [`Engine::resume_server`].
    pub fn paused(mut self) -> Self {
        self.paused = true;
        self
    }

    /// Adopts and reaps the processes that commands leave behind, as the first process of a container must. It
    /// reaps every child that the `command` kind did not start, so use it only in programs that start no children.
    pub fn reap_orphans(mut self) -> Self {
        self.orphans = Orphans::Reap;
        self
    }

    /// Adds a handler for a kind: an async function that takes a [`Context`](crate::Context) and a typed payload and
    /// returns a result. It replaces a built-in kind of the same name.
    pub fn handler<P, H>(mut self, kind: &str, handler: H) -> Self
    where
        P: DeserializeOwned + Send + 'static,
        H: Handler<P>,
    {
        let add = |registry: &mut Registry, info: KindInfo| registry.add(info, handler);
        self.kinds.push((kind.to_owned(), Box::new(add)));
        self
    }

    /// Declares the JSON Schema of the payloads of a kind that was added with [`Builder::handler`], as written by
    /// hand or generated from a type by a crate such as schemars. The dashboard builds a form from it, and payloads
    /// that do not match are refused with the names of the wrong properties. [`Schema::parse`] documents what is
    /// checked. The server does not start with an invalid schema, and logs a warning for each unknown keyword.
    ///
    /// ```
    /// # use cortado::{Context, Cortado};
    /// # async fn resize(_: Context, width: u32) -> Result<u32, std::io::Error> { Ok(width) }
    /// Cortado::builder().handler("resize", resize).schema(
    ///     "resize",
    ///     r#"{
    ///         "type": "object",
    ///         "required": ["width"],
    ///         "properties": {"width": {"type": "integer", "minimum": 1, "maximum": 8192}}
    ///     }"#,
    /// );
    /// ```
    pub fn schema(mut self, kind: &str, schema: &str) -> Self {
        self.schemas.push((kind.to_owned(), schema.to_owned()));
        self
    }

    /// Declares a schedule in addition to those of the configuration. A job is enqueued whenever the schedule is due.
    /// The API cannot change the schedule, and it is deleted once the program no longer declares it.
    ///
    /// ```
    /// # use cortado::{Cortado, ScheduleSubmission};
    /// Cortado::builder().schedule("nightly", ScheduleSubmission {
    ///     cron: "30 2 * * *".into(),
    ///     zone: Some("Europe/Berlin".into()),
    ///     kind: "echo".into(),
    ///     ..ScheduleSubmission::default()
    /// });
    /// ```
    pub fn schedule(mut self, name: &str, schedule: ScheduleSubmission) -> Self {
        self.schedules.push((name.to_owned(), schedule));
        self
    }

    /// Serves until SIGTERM, SIGINT, SIGQUIT or SIGHUP, then stops in order. A second signal shortens the stop.
    ///
    /// # Errors
    /// The server cannot start, or could not stop cleanly.
    pub async fn serve(self) -> anyhow::Result<StopReport> {
        let signals = Signals::install().context("cannot listen for signals")?;
        let server = self.start().await?;
        server.announce();
        server.run(signals).await
    }

    /// Serves as [`Builder::serve`] does, on the sockets that the process inherited, if there are any. SIGUSR2 stops the
    /// server for a restart in place, and SIGUSR1 reloads its certificate.
    ///
    /// # Errors
    /// As [`Builder::serve`].
    #[doc(hidden)]
    pub async fn serve_until_restart(
        mut self,
        inherited: InheritedSockets,
    ) -> anyhow::Result<Served> {
        let signals = ServerSignals::install().context("cannot listen for signals")?;
        self.inherited = inherited;
        let manager = ServiceManager::of_environment();
        let server = tokio::select! {
            server = self.start() => server?,
            () = manager.keep_alive() => return Err(anyhow::anyhow!("the server did not start")),
        };
        server.announce();
        server.serve(signals, manager).await
    }

    /// Checks everything that can be checked without opening the store or an address, as `cortado serve --check` does. Returns
    /// what only a start can check.
    ///
    /// # Errors
    /// A setting, a kind or a schedule is not acceptable, or a program or a file that a setting names cannot be used.
    #[doc(hidden)]
    pub fn check(self) -> anyhow::Result<Vec<String>> {
        let PreparedServer { config, kinds, .. } = self.prepare()?;
        let schedules = config.engine.schedules.iter();
        let open = schedules.filter(|(_, schedule)| !kinds.knows(&schedule.labels.kind));
        let open = open.map(|(name, schedule)| {
            let kind = &schedule.labels.kind;
            format!("schedule {name}: kind {kind} must have been declared through the API or by a worker")
        });
        Ok(open.collect())
    }

    /// Merges the builder's settings with the configuration, and checks all of them.
    fn prepare(self) -> anyhow::Result<PreparedServer> {
        let mut config = match self.config {
            Some(config) => config,
            None => Config::build(FileConfig::default(), &ServeArgs::default())?,
        };
        config.listen = self.listen.map_or(config.listen, Into::into);
        config.listen = self.inherited.addresses(config.listen).map_err(anyhow::Error::msg)?;
        config.data_dir = self.data_dir.unwrap_or(config.data_dir);
        let missing = self.token.missing;
        config.auth = self.token.resolve(config.auth.take())?;

        config.engine.paused |= self.paused;
        config.check_environment()?;

        let commands = &config.handlers.command.programs;
        if matches!(self.store, StoreLocation::Disk) && !commands.is_empty() {
            config.handlers.command.register = Some(config.data_dir.join(register::DIR));
        }
        let mut registry = Registry::default();
        handlers::register(&mut registry, &config.handlers)?;
        if config.demo {
            demo::register(&mut registry)?;
        }
        for (kind, add) in self.kinds {
            let kind = Kind::parse(&kind)?;
            let declared = self.schemas.iter().rfind(|(name, _)| *name == kind.as_str());
            let schema = declared.map(|(_, text)| Schema::parse(text)).transpose();
            let schema = schema.with_context(|| format!("the schema of kind {kind}"))?;
            for at in schema.iter().flat_map(Schema::unknown_keywords) {
                tracing::warn!(job.kind = %kind, at, "unknown keyword in a schema, which has no effect");
            }
            add(&mut registry, KindInfo { schema, ..KindInfo::plain(kind) });
        }
        let registry = Arc::new(registry);
        check_kinds(&config.engine.kinds, &registry)?;
        let kinds = Kinds::of_program(registry.clone(), config.engine.kinds.clone());

        let mut declared = config.schedules.expose().clone();
        for (name, schedule) in self.schedules {
            declared.push((ScheduleName::parse(&name)?, schedule));
        }
        config.schedules = Secret::new(declared);
        config.engine.schedules = specs_of(&config, &kinds)?;
        check_schedules(&config, &kinds, UnknownKind::Later)?;
        let (store, inherited, orphans) = (self.store, self.inherited, self.orphans);
        Ok(PreparedServer { config, registry, kinds, store, inherited, orphans, missing })
    }

    /// Opens the store and starts to serve.
    ///
    /// # Errors
    /// The address or the store cannot be opened, the name of a kind is invalid, or a token or a password is not acceptable.
    pub async fn start(self) -> anyhow::Result<Server> {
        let PreparedServer { mut config, registry, kinds, store, inherited, orphans, missing } =
            self.prepare()?;

        // Bind first, so that a port in use is reported before anything else is opened.
        let mut listeners = listening::open(&config, inherited)?;
        let sockets = listeners.iter_mut().map(Listener::hold).collect::<Result<_, _>>();
        let sockets = sockets.context("cannot copy the listening sockets")?;
        let addresses: Vec<_> = listeners.iter().map(Listener::address).collect();
        let tls = listeners.iter().find_map(Listener::tls).cloned();
        config.engine.address = listening::own_url(&config, &addresses);
        let store = open_store(store, &config).await?;
        let kinds = kinds.with_declared(store.kinds());
        config.engine.schedules = specs_of(&config, &kinds)?;
        check_schedules(&config, &kinds, UnknownKind::Refused)?;
        let command = &config.handlers.command;
        survivors::end_lost(&store, command.register.as_deref(), command.kill_grace).await;
        let reaper = match orphans {
            Orphans::Reap => Some(Reaper::install().context("cannot reap orphaned processes")?),
            Orphans::Leave => None,
        };
        let access = access::conditions(&config, missing);
        let first_admin = access::first_admin(&*store, config.engine.access, &access).await?;

        let shutdown = Shutdown::default();
        let engine = Engine::start(store, registry, config.engine.clone(), shutdown.clone());
        let mut limits = config.http.clone();
        // An attempt may need files as well: a connection, or the pipes of its process.
        let wanted = limits.max_connections.saturating_add(config.engine.max_running);
        match files::raise(wanted as u64) {
            Ok(files) => files::fit(&mut limits, files),
            Err(error) => tracing::warn!(%error, "cannot raise the limit on open files"),
        }
        let routes = http::router(engine.clone(), limits.clone())
            .merge(ui::router(engine.clone(), config.settings.clone()));
        let routes = http::wrap(routes, engine.clone(), &limits, access, ui::error_page)
            .map_err(anyhow::Error::msg);
        let routes = server::or_stop(routes, &engine, &config).await?;
        engine.declared_schedules_tried().await;
        let routes = http::mount(routes, &config.base_path);
        let own_routes = routes.clone();
        let serving = http::serve(listeners, routes, limits, config.log.access, shutdown.clone());
        let (failures, draining) = (&shutdown.failures, &shutdown.draining);
        let serving = shutdown.tasks.spawn(failures.supervise(Part::Listener, draining, serving));
        if config.demo {
            let feeding = demo::feed(engine.clone());
            shutdown.tasks.spawn(failures.supervise(Part::Demo, draining, feeding));
        }
        if let Some(reaper) = reaper {
            shutdown.tasks.spawn(failures.supervise(Part::Reaper, draining, reaper.run()));
        }
        Ok(Server {
            addresses,
            engine,
            config,
            first_admin,
            serving,
            sockets,
            tls,
            routes: own_routes,
        })
    }
}

async fn open_store(location: StoreLocation, config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    let (limits, clock) = (config.limits.clone(), Arc::new(SystemClock));
    let dir = config.data_dir.clone();
    // Opening reads the whole journal, so it must not run on a thread that serves.
    Ok(match (location, &config.database) {
        (StoreLocation::Memory, _) => MemoryStore::new(limits, clock),
        (StoreLocation::Disk, None) => {
            tokio::task::spawn_blocking(move || data_dir::open(&dir, limits, clock)).await??
        }
        (StoreLocation::Disk, Some(shared)) => {
            let settings = shared.connections()?;
            tokio::task::spawn_blocking(move || database::open(settings, limits, clock)).await??
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_cannot_declare_what_is_too_complex() {
        let nested = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
        let schedule = ScheduleSubmission {
            cron: "@daily".into(),
            kind: "echo".into(),
            payload: serde_json::value::RawValue::from_string(nested.clone()).ok(),
            ..ScheduleSubmission::default()
        };
        let server = || Cortado::builder().listen(([127, 0, 0, 1], 0).into()).in_memory();
        let error = server().schedule("deep", schedule).start().await.err().unwrap();
        let error = format!("{error:#}");
        assert!(error.contains("schedule deep") && error.contains("128 levels"), "{error}");
        let kind = |_: crate::Context, (): ()| async { Ok::<_, String>(()) };
        let declared = server().handler("deep", kind).schema("deep", &nested);
        let error = format!("{:#}", declared.start().await.err().unwrap());
        assert!(error.contains("kind deep") && error.contains("128 levels"), "{error}");
    }

    #[tokio::test]
    async fn an_invalid_schema_is_refused_and_an_unknown_keyword_is_logged() {
        let kind = |_: crate::Context, (): ()| async { Ok::<_, String>(()) };
        let start = async |schema: &str| {
            let server = Cortado::builder().listen(([127, 0, 0, 1], 0).into()).in_memory();
            server.handler("photo", kind).schema("photo", schema).start().await
        };
        for (schema, why) in [
            (r#"{"type": "objekt"}"#, "type: "),
            (r#"{"$ref": "https://example.com/photo.json"}"#, "only references within the schema"),
        ] {
            let error = format!("{:#}", start(schema).await.err().unwrap());
            assert!(error.contains("the schema of kind photo: ") && error.contains(why), "{error}");
        }
        let (lines, guard) = crate::logging::retry_log::testing::LoggedLines::catch();
        let server = start(r#"{"type": "object", "requird": ["a"], "x-group": 1}"#).await.unwrap();
        drop(guard);
        let warned = lines.having("unknown keyword");
        assert!(warned.len() == 1 && warned[0].contains("job.kind=photo"), "{warned:?}");
        assert!(warned[0].contains("WARN") && warned[0].contains("at=\"/requird\""), "{warned:?}");
        server.stop().await;
    }
}
