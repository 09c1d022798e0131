//! `POST /api/v1/leases`: what a worker reports about its attempts, many at a time.

use std::time::Duration;

use axum::response::Response;

use super::read::{self, DEFAULT_LEASE, ReportLimits};
use super::write;
use crate::http::access::Acting;
use crate::http::api::extract::{NoQuery, UncheckedJson, read_fields};
use crate::http::json::json_of;
use crate::http::{Api, Problem};

/// Applies a report: `{"extend","lease_ms","note","settle"}` → one answer for each item. The outcomes are durable when
/// it is answered.
pub async fn update(
    Acting(api): Acting<Api>,
    _: NoQuery,
    UncheckedJson(body): UncheckedJson,
) -> Result<Response, Problem> {
    let limits = report_limits(&api, DEFAULT_LEASE);
    let update = read_fields(&body, |fields, errors| read::update(fields, errors, &limits))?;
    api.engine.check_leases(update.leases())?;
    let answer = api.engine.update_leases(update).await?;
    Ok(json_of(write::update_answer(&answer)))
}

/// The limits that reports are checked against.
pub fn report_limits(api: &Api, lease: Duration) -> ReportLimits {
    ReportLimits {
        json: api.limits.json,
        max_result: api.engine.config().max_payload,
        lease,
        now: api.engine.now(),
    }
}
