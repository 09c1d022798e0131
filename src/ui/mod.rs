//! L4: the pages. Each page has one file, and a template with the same stem. Every page works without
//! JavaScript. A page calls the engine and nothing below it.

use std::sync::Arc;

use axum::Router;
use axum::extract::Extension;
use axum::middleware;
use axum::routing::{get, post};

use crate::config::Setting;
use crate::engine::Engine;

mod access;
mod api_reference;
mod failures;
mod find;
mod home;
mod job;
mod jobs;
mod kind_list;
mod kinds;
mod layout;
mod login;
mod oidc_login;
mod parts;
mod queue_list;
mod queues;
mod rewind;
mod schedules;
mod share;
mod submit;
mod system;
mod timeline;
mod wallboard;
mod workers;

#[cfg(test)]
mod tests;

pub use layout::browser_errors::error_page;
pub use layout::error::not_found;
use layout::page::page_above;

/// The routes of all pages and of the files that they load; an unknown URL gets an error page. The caller
/// merges them with the JSON API and wraps both in the layers of `http`, which add the security headers.
pub fn router(engine: Engine, settings: Vec<Setting>) -> Router {
    Router::new()
        .route("/", get(home::show))
        .route("/jobs", get(jobs::show).post(submit::new_job::submit))
        .route("/jobs/new", get(submit::new_job::show).post(submit::new_job::redraw))
        .route("/jobs/bulk", get(jobs::bulk::list).post(jobs::bulk::ask))
        .route("/jobs/bulk/run", post(jobs::bulk::run).get(page_above))
        .route("/jobs/bulk/{id}", get(jobs::bulk::show))
        .route("/jobs/bulk/{id}/stop", post(jobs::bulk::stop).get(page_above))
        .route("/jobs/{id}", get(job::show))
        .route("/jobs/{id}/retry", post(job::job_actions::retry).get(page_above))
        .route("/jobs/{id}/cancel", post(job::job_actions::cancel).get(page_above))
        .route("/jobs/{id}/delete", post(job::job_actions::delete).get(page_above))
        .route("/jobs/{id}/share", post(share::links::share_job).get(page_above))
        .route("/queues", get(queue_list::show))
        .route("/queues/{name}", get(queues::show))
        .route("/queues/{name}/pause", post(queues::pause).get(page_above))
        .route("/queues/{name}/resume", post(queues::resume).get(page_above))
        .route("/queues/{name}/concurrency", post(queues::set_concurrency).get(page_above))
        .route("/queues/{name}/rate_limit", post(queues::set_rate_limit).get(page_above))
        .route("/queues/{name}/share", post(share::links::share_queue).get(page_above))
        .route("/api", get(api_reference::show))
        .route("/kinds", get(kind_list::show))
        .route("/kinds/{kind}", get(kinds::show))
        .route("/links", get(share::links::list))
        .route("/links/{id}", get(share::links::show))
        .route("/links/{id}/revoke", post(share::links::revoke).get(share::links::to_list))
        .route("/shared/{link}", get(share::shared::show))
        .route("/find", get(find::show))
        .route("/failures", get(failures::list))
        .route("/failures/{id}", get(failures::show))
        .route("/failures/{id}/retry", post(failures::retry).get(page_above))
        .route("/failures/{id}/delete", post(failures::delete).get(page_above))
        .route("/schedules", get(schedules::list).post(schedules::create))
        .route("/schedules/new", get(schedules::blank).post(schedules::redraw))
        .route("/schedules/of/{name}", get(schedules::show).post(schedules::change))
        .route("/schedules/of/{name}/edit", post(schedules::redraw_stored).get(page_above))
        .route("/schedules/of/{name}/pause", post(schedules::pause).get(page_above))
        .route("/schedules/of/{name}/resume", post(schedules::resume).get(page_above))
        .route("/schedules/of/{name}/run", post(schedules::run).get(page_above))
        .route("/schedules/of/{name}/delete", post(schedules::delete).get(page_above))
        .route("/timeline", get(timeline::show))
        .route("/wallboard", get(wallboard::show))
        .route("/workers", get(workers::show))
        .route("/workers/{name}/quiet", post(workers::quiet).get(workers::to_list))
        .route("/workers/{name}/stop", post(workers::stop).get(workers::to_list))
        .route("/workers/{name}/resume", post(workers::resume).get(workers::to_list))
        .route("/users", get(access::users::list).post(access::users::add))
        .route("/users/{name}", get(access::users::show))
        .route("/users/{name}/role", post(access::users::set_role).get(page_above))
        .route("/users/{name}/password", post(access::users::set_password).get(page_above))
        .route("/users/{name}/disable", post(access::users::disable).get(page_above))
        .route("/users/{name}/enable", post(access::users::enable).get(page_above))
        .route("/users/{name}/delete", post(access::users::delete).get(page_above))
        .route("/users/{name}/log_out", post(access::users::log_out).get(page_above))
        .route("/users/{name}/revoke", post(access::users::revoke_session).get(page_above))
        .route("/tokens", get(access::tokens::list).post(access::tokens::create))
        .route("/tokens/revoke", post(access::tokens::revoke).get(page_above))
        .route("/account", get(access::account::show))
        .route("/account/password", post(access::account::change_password).get(page_above))
        .route("/account/log_out_others", post(access::account::log_out_others).get(page_above))
        .route("/account/revoke", post(access::account::revoke).get(page_above))
        .route("/audit", get(access::audit::show))
        .route("/login", get(login::show).post(login::sign_in))
        .route("/login/oidc", get(oidc_login::begin))
        .route("/login/oidc/callback", get(oidc_login::finish))
        .route("/logout", post(login::sign_out).get(page_above))
        .route("/system/resume", post(system::resume).get(page_above))
        .route("/system", get(system::show).layer(Extension(Arc::new(settings))))
        .route("/static/{hash}/{file}", get(layout::static_files::show))
        .layer(middleware::from_fn(layout::form_body::check))
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(engine.clone(), layout::finish::finish))
        .with_state(engine)
}
