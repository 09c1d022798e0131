//! L4: the pages. One file per page, its template has the same stem; every page works without
//! JavaScript. A page calls verbs of the engine and nothing below it.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::routing::{get, post};
use tower::ServiceBuilder;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::engine::Engine;

mod actions;
mod assets;
mod error;
mod filters;
mod home;
mod job;
mod jobs;
mod json_text;
mod new_job;
mod row;
mod shell;
mod story;
mod submit_form;
mod when;

#[cfg(test)]
mod tests;

pub use error::{UiError, not_found};

/// What the pages may load and where their forms may go: nothing but this server, nothing inline.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

/// Every page and every file they load. An unknown address is answered with a page too.
pub fn router(engine: Engine) -> Router {
    Router::new()
        .route("/", get(home::show))
        .route("/jobs", get(jobs::show).post(new_job::submit))
        .route("/jobs/new", get(new_job::show))
        .route("/jobs/{id}", get(job::show))
        .route("/jobs/{id}/retry", post(actions::retry))
        .route("/jobs/{id}/cancel", post(actions::cancel))
        .route("/jobs/{id}/delete", post(actions::delete))
        .route("/queues/{name}/pause", post(actions::pause))
        .route("/queues/{name}/resume", post(actions::resume))
        .route("/static/{hash}/{file}", get(assets::show))
        .fallback(not_found)
        .layer(
            ServiceBuilder::new()
                .layer(constant(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
                .layer(constant(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
                .layer(constant(header::REFERRER_POLICY, "same-origin"))
                // `no-cache` asks again each time and still lets the browser's back button be instant.
                .layer(constant(header::CACHE_CONTROL, "no-cache")),
        )
        .with_state(engine)
}

/// Sets a header unless the page has set its own.
fn constant(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}
