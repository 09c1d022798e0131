//! What the server tells systemd (`Type=notify`): that it is ready, stops or restarts, and, for the watchdog, that it is
//! healthy. Without systemd, nothing is sent.

use std::env;
use std::future::pending;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use sd_notify::NotifyState;
use tower::ServiceExt as _;

use crate::engine::Engine;

/// How many times within the watchdog's limit the server says that it is healthy.
const PINGS: u32 = 3;

/// The service manager, if there is one.
#[derive(Debug, Clone, Copy)]
pub struct ServiceManager {
    /// Whether it wants to be told anything.
    listens: bool,
    /// It ends a process that has not said for this long that it is healthy.
    watchdog: Option<Duration>,
}

/// A change of the server's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceState {
    /// It serves.
    Ready,
    /// It stops.
    Stopping,
    /// It stops, and the same process begins again.
    Restarting,
}

impl ServiceManager {
    /// Reads the environment.
    pub fn of_environment() -> ServiceManager {
        ServiceManager {
            listens: env::var_os("NOTIFY_SOCKET").is_some(),
            watchdog: sd_notify::watchdog_enabled(),
        }
    }

    /// Reports a change of the state. `status` is shown by `systemctl status`.
    pub async fn report(self, state: ServiceState, status: String) {
        self.send(move || {
            let status = NotifyState::Status(&status);
            match state {
                ServiceState::Ready => sd_notify::notify(&[NotifyState::Ready, status]),
                ServiceState::Stopping => sd_notify::notify(&[NotifyState::Stopping, status]),
                ServiceState::Restarting => {
                    let now = NotifyState::monotonic_usec_now()?;
                    sd_notify::notify(&[NotifyState::Reloading, now, status])
                }
            }
        })
        .await;
    }

    /// Tells the watchdog again and again that the process is alive, while it cannot be asked: while the store opens, and
    /// during the stop, whose steps have time limits. Never ends.
    pub async fn keep_alive(self) {
        let Some(limit) = self.watchdog else { return pending().await };
        loop {
            self.ping().await;
            tokio::time::sleep(limit / PINGS).await;
        }
    }

    /// Tells the watchdog again and again that the server is healthy, as long as it is. Never ends.
    pub async fn watch(self, engine: &Engine, routes: &Router) {
        let Some(limit) = self.watchdog else { return pending().await };
        loop {
            // Without an answer there is no ping, and the watchdog ends the process.
            if is_healthy(engine, routes).await {
                self.ping().await;
            } else {
                tracing::error!(
                    "the server does not answer its own health check, not telling the watchdog that it is healthy"
                );
            }
            tokio::time::sleep(limit / PINGS).await;
        }
    }

    async fn ping(self) {
        self.send(|| sd_notify::notify(&[NotifyState::Watchdog])).await;
    }

    /// Sends a message. It may wait for the service manager, so it does not run on the runtime's threads.
    async fn send(self, message: impl FnOnce() -> std::io::Result<()> + Send + 'static) {
        if !self.listens {
            return;
        }
        match tokio::task::spawn_blocking(message).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot notify the service manager"),
            Err(error) => tracing::warn!(%error, "cannot notify the service manager"),
        }
    }
}

/// Whether the server answers: a request passes through all of its layers on the runtime's threads, and the thread that
/// changes the store takes part. A store that refuses work because of its disk answers, too: the server reports that on
/// `/readyz`, recovers by itself, and would not gain from a restart.
async fn is_healthy(engine: &Engine, routes: &Router) -> bool {
    let (of_store, routes) = (engine.clone(), routes.clone());
    let check = async move {
        let request = Request::get("/healthz").body(Body::empty());
        let Ok(request) = request else { return false };
        let Ok(response) = routes.oneshot(request).await;
        let _whatever_it_says = of_store.live_stats_now().await;
        response.status() == StatusCode::OK
    };
    engine.shutdown().tasks.spawn(check).await.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use axum::routing::get;

    use super::*;
    use crate::Cortado;

    #[tokio::test]
    async fn a_server_is_healthy_only_while_a_request_is_answered() {
        let server = Cortado::builder().listen(([127, 0, 0, 1], 0)).in_memory();
        let server = server.start().await.unwrap();
        let engine = server.engine();
        assert!(is_healthy(engine, &server.routes).await);
        let failing =
            Router::new().route("/healthz", get(|| async { StatusCode::SERVICE_UNAVAILABLE }));
        assert!(!is_healthy(engine, &failing).await);
        async fn panicking() -> StatusCode {
            panic!("as in a bug")
        }
        let panicking = Router::new().route("/healthz", get(panicking));
        assert!(!is_healthy(engine, &panicking).await);
        let hanging = Router::new().route("/healthz", get(pending::<StatusCode>));
        let watchdog = Some(Duration::from_millis(1));
        let manager = ServiceManager { listens: false, watchdog };
        let watch =
            tokio::time::timeout(Duration::from_millis(50), manager.watch(engine, &hanging));
        assert!(watch.await.is_err(), "there is no answer, and no ping");
        server.stop().await;
    }
}
