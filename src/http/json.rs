//! The JSON response of an endpoint.
//! A value that cannot be written as JSON becomes an internal error.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::server_fault::ServerFault;

/// A response of 200 with a JSON body.
pub(crate) fn json<T: Serialize>(value: &T) -> Response {
    const JSON: &str = "application/json";
    match serde_json::to_vec(value) {
        Ok(body) => ([(header::CONTENT_TYPE, JSON)], body).into_response(),
        Err(error) => ServerFault::Internal.problem(error.to_string()).into_response(),
    }
}

/// A response of 200 with a JSON body that is written already.
pub(crate) fn json_of(text: String) -> Response {
    const JSON: &str = "application/json";
    ([(header::CONTENT_TYPE, JSON)], text).into_response()
}
