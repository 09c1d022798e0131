//! `POST /api/v1/leases/{lease}`: the callback of a service that runs a job but cannot connect itself. The lease in the path
//! is its only credential, and gives access to nothing but its attempt.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::leases::report_limits;
use super::read::{self, DEFAULT_LEASE};
use super::write;
use crate::http::api::access::fields::PathName;
use crate::http::api::extract::{NoQuery, UncheckedJson, read_fields};
use crate::http::json::json_of;
use crate::http::{Api, Problem};

/// Applies a report about one attempt: `{"extend","lease_ms","note","settle"}` → one answer for each part.
pub async fn update(
    State(api): State<Api>,
    _: NoQuery,
    PathName(lease): PathName,
    UncheckedJson(body): UncheckedJson,
) -> Result<Response, Problem> {
    if !api.engine.is_lease(&lease) {
        return Err(no_such_lease());
    }
    let limits = report_limits(&api, DEFAULT_LEASE);
    let update =
        read_fields(&body, |fields, errors| read::callback(fields, errors, &lease, &limits))?;
    let answer = api.engine.update_leases(update).await?;
    Ok(json_of(write::callback_answer(&answer)))
}

fn no_such_lease() -> Problem {
    let detail = "this is not the address of a lease of this server";
    Problem::new(StatusCode::NOT_FOUND, "no_such_lease", detail)
}
