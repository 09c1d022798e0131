//! L3: the HTTP interface for programs: the JSON API, the event stream, health and metrics. This file is the table of
//! routes. An endpoint calls the engine, and every error response is a problem document (RFC 9457).

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::routing::{any, delete, get, post};

use crate::engine::Engine;

pub mod access;
pub(crate) mod api;
pub mod error;
pub mod external;
mod json;
pub mod layers;
pub mod limits;
pub mod openapi;
pub mod server;
pub mod server_fault;
mod state;
pub(crate) mod stream;
pub mod view;
pub(crate) mod workers;

pub use crate::engine::ExportCheck;
pub use error::Problem;
pub(crate) use json::json;
pub use layers::base_path::{BasePath, mount};
pub use layers::conditions::{Access, Anonymous};
pub use layers::own_routes::{OwnRoutes, check as check_own_routes};
#[cfg(test)]
pub use layers::stack::wrap;
pub use layers::stack::wrap_with;
pub use limits::HttpLimits;
pub use server::accept::serve;
pub(crate) use state::Api;

/// The router of all endpoints for programs. The caller merges it with the pages and adds the layers with [`wrap_with`].
///
/// It also works in a server of its own, such as `axum::serve`. The limits of an address then need
/// `Router::into_make_service_with_connect_info::<SocketAddr>`; without it, only the total limits apply.
pub fn router(engine: Engine, limits: HttpLimits) -> Router {
    Router::new()
        .route("/api/v1/jobs", post(api::submit::submit).get(api::jobs::list))
        .route("/api/v1/jobs/{id}", get(api::wait::get).delete(api::jobs::delete))
        .route("/api/v1/jobs/{id}/log", get(stream::job_log::log))
        .route("/api/v1/jobs/{id}/retry", post(api::jobs::retry))
        .route("/api/v1/jobs/{id}/cancel", post(api::jobs::cancel))
        .route("/api/v1/jobs/{id}/move", post(api::jobs::move_to_queue))
        .route("/api/v1/jobs/{id}/reprioritise", post(api::jobs::reprioritise))
        .route("/api/v1/bulk", post(api::bulk::begin).get(api::bulk::list))
        .route("/api/v1/bulk/preview", post(api::bulk::preview))
        .route("/api/v1/bulk/{id}", get(api::bulk::get))
        .route("/api/v1/bulk/{id}/stop", post(api::bulk::stop))
        .route("/api/v1/stats", get(api::stats::get))
        .route("/api/v1/resume", post(api::resume::resume))
        .route("/api/v1/export", get(api::export::export))
        .route("/api/v1/backup", get(api::export::backup))
        .route("/api/v1/queues", get(api::queues::list))
        .route("/api/v1/queues/{name}/pause", post(api::queues::pause))
        .route("/api/v1/queues/{name}/resume", post(api::queues::resume))
        .route("/api/v1/queues/{name}/concurrency", post(api::queues::set_concurrency))
        .route("/api/v1/queues/{name}/rate_limit", post(api::queues::set_rate_limit))
        .route("/api/v1/schedules", get(api::schedules::list))
        .route("/api/v1/cron/preview", post(api::schedules::preview))
        .route(
            "/api/v1/schedules/{name}",
            get(api::schedules::get).put(api::schedules::put).delete(api::schedules::delete),
        )
        .route("/api/v1/schedules/{name}/pause", post(api::schedules::pause))
        .route("/api/v1/schedules/{name}/resume", post(api::schedules::resume))
        .route("/api/v1/schedules/{name}/run", post(api::schedules::run))
        .route("/api/v1/failures", get(api::failures::list))
        .route("/api/v1/nodes", get(api::nodes::list))
        .route("/api/v1/workers", get(api::workers::list))
        .route("/api/v1/workers/{name}", delete(workers::commands::sign_off))
        .route("/api/v1/workers/{name}/claim", post(workers::claim::claim))
        .route("/api/v1/workers/{name}/ws", get(workers::ws::upgrade))
        .route("/api/v1/workers/{name}/quiet", post(workers::commands::quiet))
        .route("/api/v1/workers/{name}/stop", post(workers::commands::stop))
        .route("/api/v1/workers/{name}/resume", post(workers::commands::resume))
        .route("/api/v1/leases", post(workers::leases::update))
        .route("/api/v1/leases/{lease}", post(workers::callback::update))
        .route("/api/v1/metrics/history", get(api::history::get))
        .route("/api/v1/kinds", get(api::kinds::list))
        .route(
            "/api/v1/kinds/{kind}",
            get(api::kinds::get).put(api::kinds::put).delete(api::kinds::delete),
        )
        .route("/api/v1/events", get(stream::poll::events))
        .route("/api/v1/ws", get(stream::ws::upgrade))
        .route("/api/v1/me", get(api::access::me::get))
        .route("/api/v1/users", get(api::access::users::list).post(api::access::users::add))
        .route(
            "/api/v1/users/{name}",
            get(api::access::users::get)
                .put(api::access::users::put)
                .delete(api::access::users::delete),
        )
        .route("/api/v1/tokens", get(api::access::tokens::list).post(api::access::tokens::create))
        .route("/api/v1/tokens/{id}", delete(api::access::tokens::revoke))
        .route("/api/v1/sessions", get(api::access::sessions::list))
        .route("/api/v1/sessions/{id}", delete(api::access::sessions::end))
        .route("/api/v1/links", get(api::access::links::list).post(api::access::links::create))
        .route("/api/v1/links/{id}", delete(api::access::links::revoke))
        .route("/shared/{link}/ws", get(stream::ws::upgrade))
        .route("/shared/{link}/events", get(stream::poll::events))
        .route("/shared/{link}/log", get(stream::job_log::shared_log))
        .route("/metrics", get(api::metrics::metrics))
        .route("/healthz", get(api::health::alive))
        .route("/readyz", get(api::health::ready))
        .route("/api/openapi.json", get(openapi::get))
        .route("/api/asyncapi.json", get(openapi::get_messages))
        .method_not_allowed_fallback(wrong_method)
        .route("/api/", any(no_such_path))
        .route("/api/{*rest}", any(no_such_path))
        .with_state(Api::new(engine, limits))
}

async fn wrong_method() -> Problem {
    Problem::wrong_method()
}

async fn no_such_path(uri: Uri) -> Problem {
    let detail = format!("no such path: {}", uri.path());
    Problem::new(StatusCode::NOT_FOUND, "no_such_path", detail)
}

#[cfg(test)]
pub(crate) mod tests;
