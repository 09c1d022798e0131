//! `POST /api/v1/leases/{lease}`: the callback of a service that runs a job but cannot connect itself. The lease in the path
//! is its only credential, and gives access to nothing but its attempt. About the lease of a worker, which has credentials of
//! its own, only workers report.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;

use super::leases::report_limits;
use super::read::{self, DEFAULT_LEASE};
use super::write;
use crate::engine::LeaseHolderKind;
use crate::http::access::caller::{ActsFor, with_role};
use crate::http::api::access::fields::PathName;
use crate::http::api::extract::{NoQuery, UncheckedJson, read_fields};
use crate::http::json::json_of;
use crate::http::{Api, Problem};
use crate::job::Role;

/// Applies a report about one attempt: `{"extend","lease_ms","note","settle"}` → one answer for each part.
pub async fn update(
    State(api): State<Api>,
    parts: Parts,
    _: NoQuery,
    PathName(lease): PathName,
    UncheckedJson(body): UncheckedJson,
) -> Result<Response, Problem> {
    match api.engine.lease_holder(&lease).await? {
        None => return Err(no_such_lease()),
        Some(LeaseHolderKind::Callback) => {}
        Some(LeaseHolderKind::Worker) => {
            let principal = with_role(&parts, Role::Worker).await?;
            let api = api.acting_for(principal.as_ref());
            api.engine.check_leases(std::iter::once(lease.as_str()))?;
        }
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
