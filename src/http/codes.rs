//! The codes of all errors, in the order of the table in `docs/errors.md`. A code is a promise to clients: add new ones, and
//! do not change old ones.

/// Every code of a problem document, or of an `error` message on a WebSocket.
pub const CODES: [&str; 49] = [
    "backlog_full",
    "batch_too_long",
    "body_too_large",
    "broken_body",
    "cross_site",
    "declared_schedule",
    "draining",
    "head_too_large",
    "internal",
    "invalid_control",
    "invalid_host",
    "invalid_job",
    "invalid_parameter",
    "invalid_payload",
    "invalid_request",
    "invalid_schedule",
    "json_too_deep",
    "json_too_many_values",
    "malformed_json",
    "malformed_message",
    "malformed_request",
    "no_such_bulk_run",
    "no_such_job",
    "no_such_path",
    "no_such_schedule",
    "not_a_websocket",
    "not_allowed",
    "payload_too_large",
    "request_timeout",
    "sockets_full",
    "store_corrupt",
    "store_unavailable",
    "timed_out",
    "too_many_bulk_runs",
    "too_many_connections",
    "too_many_queues",
    "too_many_schedules",
    "too_many_sockets",
    "too_much_unread",
    "unauthorized",
    "unavailable",
    "unknown_host",
    "unknown_kind",
    "unknown_subprotocol",
    "uri_too_long",
    "wrong_content_encoding",
    "wrong_content_type",
    "wrong_method",
    "wrong_origin",
];

/// Checks in debug builds that a code is in the list, so that every test finds a code that is not.
pub fn check(code: &str) {
    debug_assert!(
        CODES.contains(&code),
        "the code {code} is neither in codes.rs nor in docs/errors.md"
    );
}
