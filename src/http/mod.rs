//! L3: the machine interface: JSON, the event stream, health. Calls the engine's verbs only.
//! Every answer that is not a success is a problem document (RFC 9457).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use serde::Serialize;

use crate::engine::{CountedSubscriber, Engine, Transport};
use crate::job::Cursor;

pub(crate) mod api;
pub mod error;
pub mod layers;
pub mod limits;
pub mod server;
pub(crate) mod stream;
pub mod view;

pub use crate::engine::ExportCheck;
pub use error::Problem;
pub use layers::base_path::{BasePath, mount};
pub use layers::stack::{Access, wrap};
pub use limits::Limits;
pub use server::accept::{bind, serve};
use stream::admission::{Place, Places};
use stream::feed::Feed;

/// Held by who listens for long.
pub(crate) type Seat = (Place, CountedSubscriber);

/// What every endpoint is given. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    engine: Engine,
    limits: Arc<Limits>,
    /// Who listens for long.
    places: Arc<Places>,
    /// Where all other readers of the stream hear what is new.
    relay: Arc<stream::relay::Relay>,
    /// Where WebSockets are served.
    hubs: Arc<stream::ws::Hubs>,
}

impl Api {
    /// A place for a subscriber; none once the server stops.
    fn admit(&self, peer: SocketAddr, transport: Transport) -> Result<Seat, Problem> {
        if self.engine.shutdown().draining.is_cancelled() {
            let detail = "the server is stopping";
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "draining", detail);
            return Err(problem.retry_after(2));
        }
        let place = self.places.admit(peer.ip(), &self.limits)?;
        Ok((place, self.engine.subscriber_counts().register(transport)))
    }

    /// What follows a place, for one reader.
    fn feed(&self, after: Option<Cursor>) -> Feed {
        Feed::new(self.engine.clone(), self.relay.listen(&self.engine), after)
    }
}

/// The endpoints under `/api/v1`, `/healthz` and `/readyz`; to be merged with the pages and then
/// wrapped by [`wrap`].
pub fn router(engine: Engine, limits: Limits) -> Router {
    let body_bytes = limits.max_body;
    let limits = Arc::new(limits);
    let hubs = Arc::new(stream::ws::Hubs::new(engine.clone(), limits.clone()));
    let api = Api { engine, limits, places: Arc::default(), relay: Arc::default(), hubs };
    Router::new()
        .route("/api/v1/jobs", post(api::submit::submit).get(api::jobs::list))
        .route("/api/v1/jobs/{id}", get(api::wait::get).delete(api::jobs::remove))
        .route("/api/v1/jobs/{id}/log", get(stream::job_log::log))
        .route("/api/v1/jobs/{id}/retry", post(api::jobs::retry))
        .route("/api/v1/jobs/{id}/cancel", post(api::jobs::cancel))
        .route("/api/v1/jobs/{id}/move", post(api::jobs::shift))
        .route("/api/v1/jobs/{id}/reprioritise", post(api::jobs::reprioritise))
        .route("/api/v1/bulk", post(api::bulk::begin).get(api::bulk::list))
        .route("/api/v1/bulk/preview", post(api::bulk::preview))
        .route("/api/v1/bulk/{id}", get(api::bulk::get))
        .route("/api/v1/bulk/{id}/stop", post(api::bulk::stop))
        .route("/api/v1/stats", get(api::stats::stats))
        .route("/api/v1/export", get(api::export::export))
        .route("/api/v1/queues", get(api::stats::queues))
        .route("/api/v1/queues/{name}/pause", post(api::stats::pause))
        .route("/api/v1/queues/{name}/resume", post(api::stats::resume))
        .route("/api/v1/queues/{name}/concurrency", post(api::insight::set_concurrency))
        .route("/api/v1/queues/{name}/rate_limit", post(api::insight::set_rate_limit))
        .route("/api/v1/schedules", get(api::schedules::list))
        .route("/api/v1/cron/preview", post(api::schedules::preview))
        .route(
            "/api/v1/schedules/{name}",
            get(api::schedules::get).put(api::schedules::put).delete(api::schedules::remove),
        )
        .route("/api/v1/schedules/{name}/pause", post(api::schedules::pause))
        .route("/api/v1/schedules/{name}/resume", post(api::schedules::resume))
        .route("/api/v1/schedules/{name}/run", post(api::schedules::run))
        .route("/api/v1/failures", get(api::insight::failures))
        .route("/api/v1/workers", get(api::insight::workers))
        .route("/api/v1/metrics/history", get(api::insight::history))
        .route("/api/v1/kinds", get(api::stats::kinds))
        .route("/api/v1/events", get(stream::poll::events))
        .route("/api/v1/ws", get(stream::ws::upgrade))
        .route("/metrics", get(api::metrics::metrics))
        .route("/healthz", get(api::health::alive))
        .route("/readyz", get(api::health::ready))
        .method_not_allowed_fallback(wrong_method)
        .route("/api/{*rest}", any(no_such_path))
        .layer(DefaultBodyLimit::max(body_bytes))
        .with_state(api)
}

async fn wrong_method() -> Problem {
    let detail = "the path does not know this method; `allow` names those it knows";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", detail)
}

async fn no_such_path(uri: Uri) -> Problem {
    let detail = format!("there is nothing at {}", uri.path());
    Problem::new(StatusCode::NOT_FOUND, "no_such_path", detail)
}

/// An answer of 200 with a JSON body.
fn json<T: Serialize>(value: &T) -> Response {
    const JSON: &str = "application/json";
    match serde_json::to_vec(value) {
        Ok(body) => ([(header::CONTENT_TYPE, JSON)], body).into_response(),
        Err(error) => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string())
                .into_response()
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
