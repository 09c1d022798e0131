//! Every error code of the API: its statuses, what it means, and where it may occur. `docs/errors.md` has the same table,
//! and a test compares them.

use serde_json::json;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Type};

use super::schema::{ApiSchema, ObjectSchema, count, list, matching, named, text};

/// The media type of problem documents.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// One error code.
#[derive(Debug, Clone, Copy)]
pub struct ErrorCode {
    /// The code.
    pub code: &'static str,
    /// The statuses of responses with it. `malformed_message` has none, because it only occurs in messages, and
    /// `invalid_request` none in particular.
    pub statuses: &'static [u16],
    /// What it means.
    pub meaning: &'static str,
    /// Whether responses with it say when the request may be repeated.
    pub retries: bool,
}

const fn known(code: &'static str, statuses: &'static [u16], meaning: &'static str) -> ErrorCode {
    ErrorCode { code, statuses, meaning, retries: false }
}

const fn retrying(
    code: &'static str,
    statuses: &'static [u16],
    meaning: &'static str,
) -> ErrorCode {
    ErrorCode { code, statuses, meaning, retries: true }
}

/// All codes, by name.
#[rustfmt::skip]
pub const CODES: &[ErrorCode] = &[
    known("already_exists", &[409], "there is already a user, a token or a session with this name"),
    retrying("backlog_full", &[429], "too many jobs are waiting; try again later"),
    known("batch_too_long", &[413], "the array has more jobs than `http.max_batch`"),
    known("body_too_large", &[413], "the body is longer than `http.max_body`; a declared length is refused before the body is read"),
    known("broken_body", &[400], "the body ended early, or its chunks are malformed"),
    known("built_in_kind", &[409], "this server has a handler for the kind, so it cannot be declared"),
    known("cross_site", &[403], "a page of another site made a browser send the request"),
    known("declared_kind", &[409], "the kind is declared in the configuration and can only be changed there"),
    known("declared_schedule", &[409], "the schedule is declared in the configuration and can only be changed there"),
    retrying("draining", &[503], "the server is stopping: it takes no more work of this kind, or its store is closed already"),
    known("forbidden", &[403], "the role or the restrictions of the credentials do not allow it; `detail` names the role that is needed and the one held"),
    known("head_too_large", &[431], "the headers are too long or too many"),
    known("idempotency_key_reused", &[422], "the key belongs to a job that was submitted with something else, or to one that the credentials may not know"),
    known("internal", &[500], "the request failed inside the server, for example because the system gives no random bytes for a token, a session or a password; its log says why"),
    known("invalid_fields", &[422], "fields of the body are missing, unknown, repeated, of the wrong type or out of range"),
    known("invalid_host", &[400], "`Host` is missing (HTTP/1.1), repeated or invalid, or differs from the host in an absolute URL"),
    known("invalid_idempotency_key", &[400], "the `Idempotency-Key` header is malformed, occurs twice, contradicts the body, or is not supported at this address"),
    known("invalid_parameter", &[400], "a parameter in the query or the path is unknown, empty, repeated or invalid, or an escape in the address is not valid"),
    known("invalid_payload", &[422], "the payload does not match the schema of its kind, has a member more than once, or no attempt with it could succeed"),
    known("invalid_request", &[], "the request is not valid, for a reason that has no code of its own"),
    known("json_too_deep", &[422], "the JSON is nested too deeply"),
    known("json_too_many_values", &[422], "the JSON has too many values"),
    known("last_admin", &[409], "nobody could manage users any more"),
    known("malformed_json", &[400], "the body is not JSON"),
    known("malformed_message", &[], "a message on a WebSocket is not JSON or has the wrong members; only in `error` messages"),
    known("malformed_request", &[400], "the request is not HTTP/1.1, or its target is neither a path nor an absolute URL without a user name"),
    known("no_such_bulk_run", &[404], "there is no bulk run with this id, it is not one of the last ones, or the server has restarted since"),
    known("no_such_job", &[404], "there is no job with this id"),
    known("no_such_path", &[404], "there is nothing at this address"),
    known("no_such_kind", &[404], "there is no kind with this name, or none that was declared"),
    known("no_such_link", &[404], "this share link does not exist, has expired or was revoked"),
    known("no_such_lease", &[404], "the address of a callback names no lease of this server"),
    known("no_such_queue", &[404], "there is no queue with this name, to which a share link could be created"),
    known("no_such_schedule", &[404], "there is no schedule with this name"),
    known("no_such_session", &[404], "there is no session with this id, or it is not one's own"),
    known("no_such_token", &[404], "there is no token with this id"),
    known("no_such_user", &[404], "there is no user with this name"),
    known("not_a_websocket", &[400, 426], "the request is not a valid WebSocket handshake"),
    known("not_allowed", &[409], "the state of the job does not allow the action"),
    known("password_changed", &[409], "somebody else has changed the password in the meantime"),
    known("payload_too_large", &[413], "the payload is longer than `engine.max_payload`"),
    known("request_timeout", &[408], "the head or the body of the request did not arrive in time"),
    retrying("sockets_full", &[503], "the server has as many subscribers as it accepts"),
    known("store_corrupt", &[500], "the stored data cannot be read"),
    retrying("store_unavailable", &[503], "the store is not accepting writes"),
    retrying("timed_out", &[503], "no response was ready within `http.request_timeout`"),
    known("tls_required", &[400], "the address accepts only TLS (`https://`)"),
    retrying("too_many_bulk_runs", &[429], "too many bulk runs are running"),
    retrying("too_many_connections", &[429], "the address of the client has too many connections"),
    known("too_many_credentials", &[422], "there are as many users, tokens, sessions or share links as `[access]` allows"),
    retrying("too_many_failed_logins", &[429], "the client sent too many wrong tokens or passwords, so that none is checked until `Retry-After` has passed"),
    known("too_many_kinds", &[422], "there are as many declared kinds as `store.max_kinds` allows"),
    known("too_many_queues", &[422], "the job or setting would create more queues than `store.max_queues`"),
    known("too_many_schedules", &[422], "there are as many schedules as `store.max_schedules` allows"),
    retrying("too_many_sockets", &[429], "the address of the client has too many subscribers"),
    retrying("too_many_workers", &[503], "the server knows as many workers as `engine.max_workers` allows"),
    retrying("too_many_workers_of_token", &[429], "the token or the user has connected as many workers as `engine.workers_per_token` allows"),
    retrying("too_much_unread", &[503], "too many large responses wait for clients that do not read them"),
    known("unauthorized", &[401], "the credentials are missing or wrong, or ended while the request waited"),
    retrying("unavailable", &[503], "the server cannot respond now, for example because too many passwords are being checked"),
    known("unknown_host", &[421], "the `Host` header names a host that the server does not serve"),
    known("unknown_kind", &[422], "there is no such kind (`docs/jobs.md`)"),
    known("unknown_subprotocol", &[400], "the client offers WebSocket subprotocols, but not `cortado.v1+json`; upper and lower case differ"),
    known("uri_too_long", &[414], "the address is too long"),
    known("worker_not_found", &[404], "no worker with this name is connected, nor was one lately"),
    known("wrong_content_encoding", &[415], "the body is compressed; `Accept-Encoding` in the response says what is accepted"),
    known("wrong_content_type", &[415], "the body is not declared as `application/json`"),
    known("wrong_http_version", &[505], "the client speaks HTTP/2, without having negotiated it"),
    known("wrong_method", &[405], "the address does not support the method; `Allow` lists those that it supports"),
    known("wrong_origin", &[403], "a page of another site tried to open a WebSocket"),
    known("wrong_transfer_encoding", &[501], "the body is sent with another transfer encoding than `chunked`"),
];

/// What may happen to every request.
pub const EVERYWHERE: &[&str] = &[
    "broken_body",
    "cross_site",
    "draining",
    "head_too_large",
    "internal",
    "invalid_host",
    "invalid_parameter",
    "malformed_request",
    "request_timeout",
    "store_corrupt",
    "store_unavailable",
    "timed_out",
    "tls_required",
    "too_many_connections",
    "too_much_unread",
    "unknown_host",
    "uri_too_long",
    "wrong_http_version",
    "wrong_transfer_encoding",
];

/// What may happen to every request that needs credentials.
pub const WITH_CREDENTIALS: &[&str] =
    &["forbidden", "too_many_failed_logins", "unauthorized", "unavailable"];

/// What may happen to every request with fields in its body.
pub const WITH_BODY: &[&str] = &[
    "body_too_large",
    "invalid_fields",
    "json_too_deep",
    "json_too_many_values",
    "malformed_json",
    "wrong_content_encoding",
    "wrong_content_type",
];

/// What may happen to a request that changes something and has no fields, if it has a body all the same.
pub const WITHOUT_FIELDS: &[&str] = &[
    "body_too_large",
    "invalid_fields",
    "json_too_deep",
    "json_too_many_values",
    "malformed_json",
    "wrong_content_encoding",
];

/// What belongs to no operation of the document: paths and methods that it does not have, forms of pages, and messages.
#[cfg(test)]
pub const ELSEWHERE: &[&str] =
    &["invalid_request", "malformed_message", "no_such_path", "password_changed", "wrong_method"];

/// The entry of a code. One that is missing in the table is documented as such, which a test finds.
pub fn code(name: &'static str) -> ErrorCode {
    let found = CODES.iter().find(|known| known.code == name);
    found.copied().unwrap_or(known(name, &[500], "not in the table"))
}

/// The schemas of problem documents.
pub fn schemas() -> Vec<(&'static str, ApiSchema)> {
    let field = ObjectSchema::new("An invalid field.")
        .has(
            "field",
            text(),
            "Its path, such as `backoff.base_ms` or `[3].kind`. Empty for a body as a whole.",
        )
        .has("message", text(), "What is wrong with it.")
        .shape();
    let problem = ObjectSchema::new(
        "A problem document (RFC 9457). An error means that nothing was changed, except for `timed_out` and `internal`.",
    )
    .has("type", matching("^urn:cortado:problem:[a-z_]+$"), "The code as a URN.")
    .has("title", text(), "The name of the status.")
    .has("status", count(), "The HTTP status.")
    .has("detail", text(), "What is wrong with this request, for people.")
    .has("code", named("ErrorCode"), "")
    .may_have(
        "errors",
        list(named("FieldError")),
        "Every invalid field. The first 20 are listed, and the others are counted.",
    )
    .shape();
    let codes = super::schema::one_of(CODES.iter().map(|known| known.code));
    let meanings = CODES.iter().map(|known| format!("- `{}`: {}", known.code, known.meaning));
    let codes = super::schema::about(codes, &meanings.collect::<Vec<_>>().join("\n"));
    vec![("ErrorCode", codes), ("FieldError", field), ("Problem", problem)]
}

/// The schema of a problem with this status and one of these codes.
pub fn shape(status: u16, codes: &[&str]) -> ApiSchema {
    let code = super::schema::one_of(codes.iter().copied());
    let status = ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([json!(status)]));
    let narrow = ObjectBuilder::new().property("code", code).property("status", status);
    AllOfBuilder::new().item(named("Problem")).item(narrow).into()
}
