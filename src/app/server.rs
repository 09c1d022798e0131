//! A running server: what it prints, how it runs until a signal arrives, and how it stops or restarts.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::task::JoinHandle;

use super::access::FirstAdmin;
use super::in_process::InProcessRoutes;
use super::restart::{Restart, RestartCheck};
use super::server_error::{ServerError, ServerErrorKind};
use super::service_manager::{ServiceManager, ServiceState};
use super::signals::{ServerSignals, SignalRequest, Signals};
use crate::client::Client;
use crate::config::Config;
use crate::engine::{Engine, StoreError};
use crate::http::server::listener::{BoundAddress, HeldSocket};
use crate::http::server::tls::TlsServer;
use crate::logging;
use crate::shutdown::{Shutdown, StopBounds, StopReport};
use crate::supervise::PartFailure;

/// A running server.
pub struct Server {
    pub(super) addresses: Vec<BoundAddress>,
    pub(super) engine: Engine,
    pub(super) config: Config,
    pub(super) first_admin: Option<FirstAdmin>,
    /// Resolves when the listeners are closed and the last request has its response.
    pub(super) serving: JoinHandle<()>,
    /// Copies of the listening sockets, so that a restart refuses no connection.
    pub(super) sockets: Vec<HeldSocket>,
    /// The TLS side of the listeners, if one of them uses TLS.
    pub(super) tls: Option<Arc<TlsServer>>,
    /// All routes with their layers, for the server's check of its own health.
    pub(super) routes: Router,
    /// The routes for clients in this process.
    pub(super) in_process: InProcessRoutes,
}

/// How a server ended.
#[derive(Debug)]
pub enum Served {
    /// It has stopped.
    Stopped(StopReport),
    /// It has stopped and is to be started again in the same process.
    Restarting(Restart),
}

impl Server {
    /// The first network address on which the server listens; `0.0.0.0:0` if it listens only on Unix sockets.
    pub fn address(&self) -> SocketAddr {
        let network = self.addresses.iter().find_map(|address| match address {
            BoundAddress::Network(_, address) => Some(*address),
            BoundAddress::Unix(_) => None,
        });
        network.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into())
    }

    /// A client of this server, which needs no connection and no token: it may do everything, and what it changes is
    /// attributed to `token:in-process`. It is the same type as for a server elsewhere, and gets the same answers; only the limits
    /// of an address do not apply. When the server has stopped, its calls end with [`ClientError::ServerStopped`].
    ///
    /// [`ClientError::ServerStopped`]: crate::client::ClientError::ServerStopped
    pub fn client(&self) -> Client {
        self.in_process.client()
    }

    /// The engine, for the programs and the tests of this package.
    #[doc(hidden)]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The user whom this start created, because other machines can reach the address and nobody could have logged in.
    /// The generated password is nowhere else.
    pub fn first_admin(&self) -> Option<&FirstAdmin> {
        self.first_admin.as_ref()
    }

    /// Prints the addresses and the data directory to standard output, and the generated password of the first admin.
    pub fn announce(&self) {
        let dir = &self.config.data_dir;
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
        let mut text: String = self
            .addresses
            .iter()
            .map(|address| format!("listening on {}\n", self.url(address)))
            .collect();
        text += &format!("keeping jobs in {}\n", dir.display());
        if let Some(admin) = &self.first_admin {
            text += &match admin.password() {
                Some(password) => format!(
                    "created the user {} with the password {password}\n\
                     this password is not shown again; log in and set another one\n",
                    admin.name()
                ),
                None => format!("created the user {} with the given password\n", admin.name()),
            };
        }
        if self.engine.is_paused() {
            text += "paused: no job starts and no schedule fires until `cortado resume`\n";
        }
        if self.config.demo {
            text += "submitting demo jobs; stop with Ctrl-C\n";
        }
        logging::write_to_stdout(text);
    }

    fn url(&self, address: &BoundAddress) -> String {
        match address {
            BoundAddress::Network(..) => format!("{address}{}", self.config.base_path),
            BoundAddress::Unix(_) => address.to_string(),
        }
    }

    /// Serves until a signal arrives or a part fails, then stops in order.
    ///
    /// # Errors
    /// A part of the server failed, or the stop was not clean.
    pub async fn run(self, signals: Signals) -> Result<StopReport, ServerError> {
        match self.serve(signals.into(), ServiceManager::of_environment()).await? {
            Served::Stopped(report) => Ok(report),
            // Without the signal for a restart, only the store asks for one, which has been logged.
            Served::Restarting(_) => {
                Err(stop_error(ServerErrorKind::Part, "the server has to be started again"))
            }
        }
    }

    /// Serves until a signal arrives or a part fails, then stops in order.
    pub(super) async fn serve(
        self,
        mut signals: ServerSignals,
        manager: ServiceManager,
    ) -> Result<Served, ServerError> {
        let Shutdown { abort, failures, .. } = self.engine.shutdown().clone();
        let first = self.addresses.first().map(|address| self.url(address)).unwrap_or_default();
        manager.report(ServiceState::Ready, format!("serving {first}")).await;
        let mut check = RestartCheck::default();
        let ending = loop {
            tokio::select! {
                request = signals.next() => match request {
                    SignalRequest::Stop => break ServeEnd::Stop,
                    SignalRequest::Restart => check.begin(),
                    SignalRequest::Reload => self.reload(),
                },
                accepted = check.ended() => match accepted {
                    Ok(()) => break ServeEnd::Restart,
                    Err(why) => tracing::error!("not restarting, because the new start would fail: {why}"),
                },
                failure = self.engine.failed() => break ServeEnd::Failure(failure),
                failure = logging::failed() => {
                    failures.record(failure.clone());
                    break ServeEnd::Failure(failure);
                }
                replaced = self.engine.store_replaced() => break ServeEnd::Replaced(replaced),
                () = manager.watch(&self.engine, &self.routes) => {}
            }
        };
        let state = match &ending {
            ServeEnd::Restart | ServeEnd::Replaced(_) => ServiceState::Restarting,
            ServeEnd::Stop | ServeEnd::Failure(_) => ServiceState::Stopping,
        };
        manager.report(state, "finishing running jobs".to_owned()).await;
        let (failure, mut is_restart, is_replaced) = match ending {
            ServeEnd::Stop => (None, false, false),
            ServeEnd::Restart => (None, true, false),
            ServeEnd::Failure(failure) => (Some(failure), false, false),
            ServeEnd::Replaced(why) => {
                tracing::error!(%why, "the server starts again with a new epoch");
                (None, true, true)
            }
        };
        if is_replaced || failure.as_ref().is_some_and(|failure| failure.part.stores_outcomes()) {
            tracing::info!("cannot store the results of running jobs, interrupting them now");
            abort.cancel();
        }
        let Server { engine, config, serving, mut sockets, in_process, .. } = self;
        if is_restart {
            tracing::info!("restarting: new connections wait until the server is back");
        } else {
            sockets.clear();
        }
        let stopping = stop(&engine, &config, serving, in_process);
        let mut stopping = std::pin::pin!(stopping);
        let report = loop {
            tokio::select! {
                report = &mut stopping => break report,
                request = signals.next() => match request {
                    SignalRequest::Stop if is_restart => {
                        tracing::info!("received a signal to stop, not restarting");
                        is_restart = false;
                        sockets.clear();
                    }
                    SignalRequest::Stop => {
                        tracing::info!("received a second signal, interrupting running jobs now");
                        abort.cancel();
                    }
                    SignalRequest::Restart | SignalRequest::Reload => {}
                },
                () = manager.keep_alive() => {}
            }
        };
        // A failure during the stop counts as well.
        let failure = failure.or_else(|| failures.get().cloned()).or_else(logging::failure);
        match failure {
            Some(failure) => Err(failure.into()),
            None if is_restart && is_replaced => Ok(Served::Restarting(Restart::new(sockets))),
            None if !report.clean => {
                Err(stop_error(ServerErrorKind::Stop, "the server did not stop cleanly"))
            }
            None if is_restart => Ok(Served::Restarting(Restart::new(sockets))),
            None => Ok(Served::Stopped(report)),
        }
    }

    /// Reads the files of the certificate again.
    fn reload(&self) {
        match &self.tls {
            Some(tls) => tls.request_reload(),
            None => tracing::info!(
                "received SIGUSR1, but no listener uses TLS: there is nothing to reload"
            ),
        }
    }

    /// Stops in order: no more jobs are claimed, running jobs get the grace period, WebSockets are closed, and the
    /// store is flushed.
    pub async fn stop(self) -> StopReport {
        let Server { engine, config, serving, sockets, in_process, .. } = self;
        drop(sockets);
        stop(&engine, &config, serving, in_process).await
    }
}

/// Why a server ends.
enum ServeEnd {
    Stop,
    Restart,
    Failure(PartFailure),
    /// The store was replaced by another one.
    Replaced(StoreError),
}

/// What was set up when the engine ran already. If that has failed, the engine is stopped: nobody else could do so.
pub(super) async fn or_stop<T, E>(
    set_up: Result<T, E>,
    engine: &Engine,
    config: &Config,
) -> Result<T, E> {
    if set_up.is_err() {
        engine.stop(&stop_bounds(config), async {}).await;
    }
    set_up
}

fn stop_error(kind: ServerErrorKind, what: &'static str) -> ServerError {
    ServerError::new(kind, anyhow::Error::msg(what))
}

/// Stops in order. The clients in this process, with which running handlers enqueue jobs, work until the store is closed.
async fn stop(
    engine: &Engine,
    config: &Config,
    serving: JoinHandle<()>,
    in_process: InProcessRoutes,
) -> StopReport {
    engine.shutdown().draining.cancel();
    let answered = async {
        // If it failed, its supervisor has already reported that.
        let _told = serving.await;
    };
    let report = engine.stop(&stop_bounds(config), answered).await;
    in_process.stop();
    report
}

fn stop_bounds(config: &Config) -> StopBounds {
    StopBounds {
        requests: config.http.request_timeout.min(config.stop.grace),
        grace: config.stop.grace,
        // Slightly longer, so that a peer that uses its full time is not cut off.
        connections: config.stop.close + Duration::from_millis(250),
        ..StopBounds::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::config::{FileConfig, ServeArgs};
    use crate::engine::Registry;
    use crate::store::memory::MemoryStore;
    use crate::store::{Store as _, StoreLimits};
    use std::sync::Arc;

    #[test]
    fn peers_that_are_gone_without_a_word_hold_the_stop_for_two_and_a_half_seconds_at_most() {
        let config = Config::build(FileConfig::default(), &ServeArgs::default()).unwrap();
        let (bounds, limits) = (stop_bounds(&config), &config.http);
        assert!(limits.close < bounds.connections, "{bounds:?}");
        assert!(bounds.connections <= Duration::from_millis(2_500), "{bounds:?}");
        assert_eq!(bounds.connections, StopBounds::default().connections);
    }

    #[tokio::test]
    async fn a_start_that_fails_stops_the_engine() {
        let config = Config::build(FileConfig::default(), &ServeArgs::default()).unwrap();
        let store = MemoryStore::new(StoreLimits::default(), Arc::new(SystemClock));
        let shutdown = Shutdown::default();
        let engine = Engine::start(
            store.clone(),
            Registry::default(),
            config.engine.clone(),
            shutdown.clone(),
        );
        assert_eq!(or_stop(Ok::<_, String>(7), &engine, &config).await.unwrap(), 7);
        assert!(!shutdown.draining.is_cancelled() && store.health().is_ok());
        let failed: anyhow::Result<()> = Err(anyhow::anyhow!("no certificates"));
        let error = or_stop(failed, &engine, &config).await.unwrap_err();
        assert_eq!(error.to_string(), "no certificates");
        assert!(shutdown.draining.is_cancelled() && store.health().is_err(), "it is closed");
    }
}
