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

use crate::engine::{Door, Engine, Listening};
use crate::job::Cursor;

mod address_counts;
pub mod auth;
pub mod base_path;
mod bulk;
pub mod client_address;
mod compression;
pub mod connections;
mod cross_site;
mod date;
pub mod error;
mod events;
mod export;
mod extract;
mod feed;
mod follow;
mod head_errors;
mod header_list;
mod health;
mod insight;
mod jobs;
pub mod layers;
pub mod limits;
mod metrics;
mod patience;
mod places;
mod protocol;
pub mod query;
mod relay;
mod request_body;
mod schedules;
pub mod server;
mod sse;
mod stats;
mod submit;
mod under_way;
mod unread;
pub mod view;
mod wait;
mod write_rate;
mod write_timeout;
pub mod ws;

pub use crate::engine::ExportCheck;
pub use base_path::{BasePath, mount};
pub use error::Problem;
use feed::Feed;
pub use layers::{Access, wrap};
pub use limits::Limits;
use places::{Place, Places};
pub use server::{bind, serve};

/// Held by who listens for long.
pub(crate) type Seat = (Place, Listening);

/// What every endpoint is given. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    engine: Engine,
    limits: Arc<Limits>,
    /// Who listens for long.
    places: Arc<Places>,
    /// Where all other readers of the stream hear what is new.
    relay: Arc<relay::Relay>,
    /// Where WebSockets are served.
    hubs: Arc<ws::Hubs>,
}

impl Api {
    /// A place for a subscriber; none once the server stops.
    fn admit(&self, peer: SocketAddr, door: Door) -> Result<Seat, Problem> {
        if self.engine.shutdown().draining.is_cancelled() {
            let detail = "the server is stopping";
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "draining", detail);
            return Err(problem.retry_after(2));
        }
        let place = self.places.admit(peer.ip(), &self.limits)?;
        Ok((place, self.engine.listeners().enter(door)))
    }

    /// What follows a place, for one reader.
    fn feed(&self, after: Option<Cursor>) -> Feed {
        Feed::new(self.engine.clone(), self.relay.listen(&self.engine), after)
    }
}

/// The endpoints under `/api/v1`, `/healthz` and `/readyz`; to be merged with the pages and then
/// wrapped by [`wrap`].
pub fn router(engine: Engine, limits: Limits) -> Router {
    let body_bytes = limits.body_bytes;
    let limits = Arc::new(limits);
    let hubs = Arc::new(ws::Hubs::new(engine.clone(), limits.clone()));
    let api = Api { engine, limits, places: Arc::default(), relay: Arc::default(), hubs };
    Router::new()
        .route("/api/v1/jobs", post(submit::submit).get(jobs::list))
        .route("/api/v1/jobs/{id}", get(wait::get).delete(jobs::remove))
        .route("/api/v1/jobs/{id}/log", get(follow::log))
        .route("/api/v1/jobs/{id}/retry", post(jobs::retry))
        .route("/api/v1/jobs/{id}/cancel", post(jobs::cancel))
        .route("/api/v1/jobs/{id}/move", post(jobs::shift))
        .route("/api/v1/jobs/{id}/reprioritise", post(jobs::reprioritise))
        .route("/api/v1/bulk", post(bulk::begin).get(bulk::list))
        .route("/api/v1/bulk/preview", post(bulk::preview))
        .route("/api/v1/bulk/{id}", get(bulk::get))
        .route("/api/v1/bulk/{id}/stop", post(bulk::stop))
        .route("/api/v1/stats", get(stats::stats))
        .route("/api/v1/export", get(export::export))
        .route("/api/v1/queues", get(stats::queues))
        .route("/api/v1/queues/{name}/pause", post(stats::pause))
        .route("/api/v1/queues/{name}/resume", post(stats::resume))
        .route("/api/v1/queues/{name}/concurrency", post(insight::set_concurrency))
        .route("/api/v1/queues/{name}/rate_limit", post(insight::set_rate_limit))
        .route("/api/v1/schedules", get(schedules::list))
        .route("/api/v1/cron/preview", post(schedules::preview))
        .route(
            "/api/v1/schedules/{name}",
            get(schedules::get).put(schedules::put).delete(schedules::remove),
        )
        .route("/api/v1/schedules/{name}/pause", post(schedules::pause))
        .route("/api/v1/schedules/{name}/resume", post(schedules::resume))
        .route("/api/v1/schedules/{name}/run", post(schedules::run))
        .route("/api/v1/failures", get(insight::failures))
        .route("/api/v1/workers", get(insight::workers))
        .route("/api/v1/metrics/history", get(insight::history))
        .route("/api/v1/kinds", get(stats::kinds))
        .route("/api/v1/events", get(events::events))
        .route("/api/v1/ws", get(ws::upgrade))
        .route("/metrics", get(metrics::metrics))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
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
