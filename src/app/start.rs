//! The second half of a start: opens the addresses and the store, starts the engine and serves.

use std::sync::Arc;

use super::access::{self, FirstAdminSource};
use super::builder::{Builder, Environment, Orphans, StoreLocation};
use super::declared::{UnknownKind, check_schedules, specs_of};
use super::prepare::PreparedServer;
use super::reaper::Reaper;
use super::server::{self, Served, Server};
use super::server_error::{OfKind, ServerError, ServerErrorKind};
use super::service_manager::ServiceManager;
use super::signals::{ServerSignals, Signals};
use super::{files, listening, survivors};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::engine::Engine;
use crate::http::server::inherited::InheritedSockets;
use crate::http::server::listener::Listener;
use crate::shutdown::{Shutdown, StopReport};
use crate::store::memory::MemoryStore;
use crate::store::{Store, data_dir, database};
use crate::supervise::Part;
use crate::{demo, http, ui};

impl Builder {
    /// Serves until SIGTERM, SIGINT, SIGQUIT or SIGHUP, then stops in order. A second signal shortens the stop.
    ///
    /// # Errors
    /// The server cannot start, or could not stop cleanly; see [`ServerErrorKind`].
    pub async fn serve(self) -> Result<StopReport, ServerError> {
        let signals = Signals::install().map_err(no_signals)?;
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
        let signals = ServerSignals::install().map_err(no_signals);
        let signals = signals.map_err(ServerError::into_cause)?;
        self.inherited = inherited;
        let manager = ServiceManager::of_environment();
        let server = tokio::select! {
            server = self.start() => server.map_err(ServerError::into_cause)?,
            () = manager.keep_alive() => return Err(anyhow::anyhow!("the server did not start")),
        };
        server.announce();
        server.serve(signals, manager).await.map_err(ServerError::into_cause)
    }

    /// Opens the store and starts to serve.
    ///
    /// # Errors
    /// The address or the store cannot be opened, or something that was set or declared is not acceptable; see
    /// [`ServerErrorKind`].
    pub async fn start(self) -> Result<Server, ServerError> {
        let PreparedServer {
            mut config,
            registry,
            kinds,
            store,
            inherited,
            orphans,
            missing,
            environment,
            routes: own_routes,
            in_process,
        } = self.prepare_start()?;

        // Bind first, so that a port in use is reported before anything else is opened.
        let mut listeners = listening::open(&config, inherited)?;
        let sockets = listeners.iter_mut().map(Listener::hold).collect::<Result<_, _>>();
        let sockets =
            context(sockets, ServerErrorKind::Start, "cannot copy the listening sockets")?;
        let addresses: Vec<_> = listeners.iter().map(Listener::address).collect();
        let tls = listeners.iter().find_map(Listener::tls).cloned();
        config.engine.address = listening::own_url(&config, &addresses);
        let store = open_store(store, &config).await?;
        let kinds = kinds.with_declared(store.kinds());
        config.engine.schedules =
            specs_of(&config, &kinds).of_kind(ServerErrorKind::Configuration)?;
        check_schedules(&config, &kinds, UnknownKind::Refused)
            .of_kind(ServerErrorKind::Configuration)?;
        let command = &config.handlers.command;
        survivors::end_lost(&store, command.register.as_deref(), command.kill_grace).await;
        let reaper = match orphans {
            Orphans::Reap => Some(context(
                Reaper::install(),
                ServerErrorKind::Start,
                "cannot reap orphaned processes",
            )?),
            Orphans::Leave => None,
        };
        let access = access::conditions(&config, missing);
        let source = match environment {
            Environment::Read => FirstAdminSource::Environment,
            Environment::Ignored => FirstAdminSource::Generated,
        };
        let first_admin = access::first_admin(&*store, config.engine.access, &access, source);
        let first_admin = first_admin.await?;

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
        let routes =
            http::wrap_with(routes, own_routes, engine.clone(), &limits, access, ui::error_page);
        let routes = routes.map_err(anyhow::Error::msg).of_kind(ServerErrorKind::Configuration);
        let routes = server::or_stop(routes, &engine, &config).await?;
        engine.declared_schedules_tried().await;
        let routes = http::mount(routes, &config.base_path);
        let own_health = routes.clone();
        in_process.serve(routes.clone());
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
            routes: own_health,
            in_process,
        })
    }
}

fn no_signals(error: std::io::Error) -> ServerError {
    let error = anyhow::Error::new(error).context("cannot listen for signals");
    ServerError::new(ServerErrorKind::Start, error)
}

/// Adds to an error what could not be done.
fn context<T>(
    result: std::io::Result<T>,
    kind: ServerErrorKind,
    what: &'static str,
) -> Result<T, ServerError> {
    result.map_err(|error| ServerError::new(kind, anyhow::Error::new(error).context(what)))
}

async fn open_store(
    location: StoreLocation,
    config: &Config,
) -> Result<Arc<dyn Store>, ServerError> {
    let (limits, clock) = (config.limits.clone(), Arc::new(SystemClock));
    let dir = config.data_dir.clone();
    // Opening reads the whole journal, so it must not run on a thread that serves.
    let opened = match (location, &config.database) {
        (StoreLocation::Memory, _) => return Ok(MemoryStore::new(limits, clock)),
        (StoreLocation::Configured, None) => {
            tokio::task::spawn_blocking(move || data_dir::open(&dir, limits, clock)).await
        }
        (StoreLocation::Configured, Some(shared)) => {
            let settings = shared.connections().of_kind(ServerErrorKind::Configuration)?;
            tokio::task::spawn_blocking(move || database::open(settings, limits, clock)).await
        }
    };
    Ok(opened.of_kind(ServerErrorKind::Store)?? as Arc<dyn Store>)
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use crate::{Cortado, Schedule};

    fn local() -> crate::Builder {
        Cortado::builder().listen(([127, 0, 0, 1], 0)).in_memory()
    }

    #[tokio::test]
    async fn a_program_cannot_declare_what_is_too_complex() {
        let nested = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
        let payload = RawValue::from_string(nested.clone()).unwrap();
        let schedule = Schedule::cron("@daily").kind("echo", &()).raw_payload(payload);
        let error = local().schedule("deep", schedule).start().await.err().unwrap();
        let error = format!("{error:#}");
        assert!(error.contains("schedule deep") && error.contains("128 levels"), "{error}");
        let kind = |_: crate::Context, (): ()| async { Ok::<_, String>(()) };
        let declared = local().handle_kind("deep", kind).schema("deep", &nested);
        let error = format!("{:#}", declared.start().await.err().unwrap());
        assert!(error.contains("kind deep") && error.contains("128 levels"), "{error}");
    }

    #[tokio::test]
    async fn an_invalid_schema_is_refused_and_an_unknown_keyword_is_logged() {
        let kind = |_: crate::Context, (): ()| async { Ok::<_, String>(()) };
        let start = async |schema: &str| {
            local().handle_kind("photo", kind).schema("photo", schema).start().await
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

    #[tokio::test]
    async fn kinds_that_are_left_out_are_unknown_and_their_settings_are_no_error() {
        let names = async |builder: crate::Builder| {
            let server = builder.start().await.unwrap();
            let url = format!("http://{}/api/v1/kinds", server.address());
            let http = crate::cli::http_client().unwrap();
            let kinds: serde_json::Value =
                http.get(url).send().await.unwrap().json().await.unwrap();
            let job = http.post(format!("http://{}/api/v1/jobs", server.address()));
            let job = job.json(&serde_json::json!({"kind": "echo"})).send().await.unwrap();
            server.stop().await;
            let names = kinds["kinds"].as_array().unwrap().iter();
            let names: Vec<String> =
                names.map(|kind| kind["kind"].as_str().unwrap().to_owned()).collect();
            (names.join(" "), job.status().as_u16())
        };
        let all = "command echo fail http sleep".to_owned();
        assert_eq!(names(local()).await, (all, 202));
        let settings = "[commands.none]\nprogram = '/nowhere/at/all'\n\
                        [handlers.http]\nca_files = ['/nowhere']";
        let none = local().config_text(settings).without_built_in_kinds();
        assert_eq!(names(none).await, (String::new(), 422));
        let own = |_: crate::Context, (): ()| async { Ok::<_, String>(()) };
        let some = local().built_in_kinds(["sleep"]).handle_kind("own", own);
        assert_eq!(names(some).await, ("own sleep".to_owned(), 422));

        assert!(local().config_text(settings).start().await.is_err(), "they are checked otherwise");
        let error = local().built_in_kinds(["slep"]).start().await.err().unwrap().to_string();
        assert!(error.contains("no built-in kind \"slep\"") && error.contains("sleep"), "{error}");
    }

    #[tokio::test]
    async fn what_is_called_later_wins_and_a_finished_configuration_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        let builder = Cortado::builder().set("listen", "127.0.0.1:1").in_memory();
        let builder = builder.listen(([127, 0, 0, 1], 0)).data_dir(dir.path());
        let builder = builder.concurrency(3).concurrency(4).max_waiting(9);
        let images = crate::QueueOptions::new().concurrency(2).weight(5).rate_limit("100/1m");
        let server = builder.queue("images", images).start().await.unwrap();
        let config = server.engine().config();
        assert_eq!(config.default_queue.concurrency.get(), 4);
        let (_, images) = &config.queues[0];
        assert_eq!((images.concurrency.get(), images.weight), (2, 5));
        assert!(images.rate_limit.is_some());
        server.stop().await;
    }
}
