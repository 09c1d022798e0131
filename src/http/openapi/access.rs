//! Users, tokens, sessions and share links, and what a share link opens.

use super::examples::{self, JOB};
use super::operation::Endpoint;
use super::schema::{
    ApiSchema, ObjectSchema, USER_NAME, about, either, flag, job_id, list, list_of, matching,
    named, one_of, or_null, plain_name, request_with_any, text, text_of, time,
};
use crate::access::AccessLimits;
use crate::job::Role;

/// The schemas.
pub fn schemas() -> Vec<(&'static str, ApiSchema)> {
    let mut all = requests();
    all.extend(answers());
    all.push(("Role", one_of(Role::ALL.map(Role::as_str))));
    all
}

fn requests() -> Vec<(&'static str, ApiSchema)> {
    let name = matching(&format!("^{USER_NAME}$"));
    let password = || text_of(AccessLimits::LEAST_PASSWORD, AccessLimits::MAX_PASSWORD_BYTES);
    let length = "At least `access.min_password` characters, and at most 1,024 bytes.";
    let user = ObjectSchema::new("A new user.")
        .has("name", name, "")
        .has("password", password(), length)
        .has("role", named("Role"), "The first user must be an admin.")
        .request();
    let change = request_with_any(
        "What is changed of a user; at least one member.",
        &[("role", named("Role"), ""), ("password", password(), length), ("disabled", flag(), "")],
    );
    let names = || list_of(plain_name(), 1, 1_000);
    let span = || matching("^[1-9][0-9]{0,4}(s|m|h|d)$");
    let token = ObjectSchema::new("A new token.")
        .has("name", plain_name(), "")
        .has("role", named("Role"), "")
        .optional("queues", names(), "The queues that it is restricted to.")
        .optional("kinds", names(), "The kinds that it is restricted to.")
        .optional("expires_in", span(), "Such as `90d`; not with `expires_at`.")
        .optional(
            "expires_at",
            time(),
            "In the future, and not with `expires_in`. Without either, it never expires.",
        )
        .request();
    let lasting = "Such as `7d`; at most `access.max_link_lifetime`.";
    let link = || ObjectSchema::new("").has("expires_in", span(), lasting);
    let payload = "`shown` by default.";
    let to_job =
        link().has("job", job_id(), "").optional("payload", one_of(["shown", "hidden"]), payload);
    let to_queue = link().has("queue", plain_name(), "").optional(
        "payload",
        one_of(["shown", "hidden"]),
        "No effect.",
    );
    let link = about(
        either([to_job.request(), to_queue.request()]),
        "A new share link: to a job or to a queue.",
    );
    vec![("NewLink", link), ("NewToken", token), ("NewUser", user), ("UserChange", change)]
}

fn answers() -> Vec<(&'static str, ApiSchema)> {
    let names = || or_null(list(text()));
    let all = |name: &str, about: &str, of: &str| {
        ObjectSchema::new(about).has(name, list(named(of)), "").shape()
    };
    let me = ObjectSchema::new("Who sent the request.")
        .has("actor", or_null(named("Actor")), "Null on a server that needs no credentials.")
        .has("role", named("Role"), "")
        .has("queues", names(), "The queues that it is restricted to.")
        .has("kinds", names(), "The kinds that it is restricted to.")
        .has(
            "credential",
            or_null(text()),
            "Such as `session`, `token`, `password` or `environment`.",
        )
        .has("session", or_null(text()), "The id of the session, if it is one.")
        .shape();
    let user = ObjectSchema::new("A user.")
        .has("name", text(), "")
        .has("role", named("Role"), "")
        .has("disabled", flag(), "")
        .has("created_at", time(), "")
        .has("changed_at", time(), "")
        .shape();
    let token = ObjectSchema::new("A token.")
        .has("id", text(), "")
        .has("name", text(), "")
        .has("role", named("Role"), "")
        .has("queues", names(), "")
        .has("kinds", names(), "")
        .has("created_at", time(), "")
        .has("expires_at", or_null(time()), "Null if it never expires.")
        .has("last_used_at", or_null(time()), "To about a minute; null if it was never used.")
        .has("created_by", or_null(named("Actor")), "")
        .may_have("token", text(), "Its text, only in the answer to its creation.")
        .shape();
    let session = ObjectSchema::new("An open session.")
        .has("id", text(), "")
        .has("of", named("Actor"), "Who is logged in.")
        .has("created_at", time(), "")
        .has("last_used_at", time(), "To about a minute.")
        .has("expires_at", time(), "")
        .has("client", text(), "The address from which somebody logged in.")
        .has("browser", text(), "What the browser called itself.")
        .has("current", flag(), "Whether it is that of this request.")
        .shape();
    let link = ObjectSchema::new("A share link.")
        .has("id", text(), "")
        .has("job", or_null(job_id()), "")
        .has("queue", or_null(text()), "")
        .has("payload", or_null(one_of(["shown", "hidden"])), "Null for a queue.")
        .has("url", text(), "")
        .has("created_at", time(), "")
        .has("expires_at", time(), "")
        .has("created_by", or_null(named("Actor")), "")
        .shape();
    vec![
        ("Link", link),
        ("Links", all("links", "Share links, the newest first.", "Link")),
        ("Me", me),
        ("Session", session),
        ("Sessions", all("sessions", "Open sessions, the last used first.", "Session")),
        ("Token", token),
        ("Tokens", all("tokens", "The tokens, by name.", "Token")),
        ("User", user),
        ("Users", all("users", "The users, by name.", "User")),
    ]
}

/// The operations.
pub fn endpoints() -> Vec<Endpoint> {
    let mut all =
        vec![
            Endpoint::new("GET", "/api/v1/me", "getMe", "Read who one is, and what one may do")
                .answer(200, "Who sent the request.", named("Me")),
        ];
    all.extend(users());
    all.extend(credentials());
    all
}

fn users() -> Vec<Endpoint> {
    let one = |method, id, summary| {
        Endpoint::new(method, "/api/v1/users/{name}", id, summary)
            .segment("name", text_of(1, 64), "anna", "The name of the user.")
            .may_fail(&["no_such_user"])
    };
    vec![
        Endpoint::new("GET", "/api/v1/users", "listUsers", "List the users").answer(
            200,
            "The users.",
            named("Users"),
        ),
        Endpoint::new("POST", "/api/v1/users", "addUser", "Add a user")
            .body(named("NewUser"), examples::USER)
            .answer(201, "The user.", named("User"))
            .locating(201)
            .linked(201, "/name", "name", &["getUser", "changeUser", "deleteUser"])
            .may_fail(&[
                "already_exists",
                "invalid_idempotency_key",
                "too_many_credentials",
                "unavailable",
            ]),
        one("GET", "getUser", "Read a user").answer(200, "The user.", named("User")),
        one("PUT", "changeUser", "Change a user")
            .about("A new password, or `\"disabled\": true`, ends the sessions of the user.")
            .body(named("UserChange"), examples::USER_CHANGE)
            .answer(200, "The user.", named("User"))
            .may_fail(&["last_admin", "unavailable"]),
        one("DELETE", "deleteUser", "Delete a user, whose sessions end")
            .without_fields()
            .answer_empty(204, "The user is deleted.")
            .may_fail(&["last_admin"]),
    ]
}

fn credentials() -> Vec<Endpoint> {
    let end = |path, id, summary, code| {
        Endpoint::new("DELETE", path, id, summary)
            .segment("id", text_of(1, 64), "2f9c0d1e5a7b3c48", "The id.")
            .without_fields()
            .answer_empty(204, "It has ended.")
            .may_fail(&[code])
    };
    vec![
        Endpoint::new("GET", "/api/v1/tokens", "listTokens", "List the tokens").answer(
            200,
            "The tokens.",
            named("Tokens"),
        ),
        Endpoint::new("POST", "/api/v1/tokens", "createToken", "Create a token")
            .about("Its text is in this answer and nowhere else.")
            .body(named("NewToken"), examples::TOKEN)
            .answer(201, "The token with its text.", named("Token"))
            .linked(201, "/id", "id", &["revokeToken"])
            .may_fail(&["already_exists", "invalid_idempotency_key", "too_many_credentials"]),
        end("/api/v1/tokens/{id}", "revokeToken", "Revoke a token", "no_such_token"),
        Endpoint::new("GET", "/api/v1/sessions", "listSessions", "List open sessions")
            .about("One's own, or those of everybody for an admin.")
            .answer(200, "The sessions.", named("Sessions"))
            .linked(200, "/sessions/0/id", "id", &["endSession"]),
        end("/api/v1/sessions/{id}", "endSession", "End a session", "no_such_session"),
        Endpoint::new("GET", "/api/v1/links", "listLinks", "List the share links").answer(
            200,
            "The links.",
            named("Links"),
        ),
        Endpoint::new("POST", "/api/v1/links", "createLink", "Create a share link")
            .body(named("NewLink"), examples::LINK)
            .answer(201, "The link.", named("Link"))
            .linked(201, "/id", "id", &["revokeLink"])
            .may_fail(&[
                "invalid_idempotency_key",
                "no_such_job",
                "no_such_queue",
                "too_many_credentials",
            ]),
        end("/api/v1/links/{id}", "revokeLink", "Revoke a share link", "no_such_link"),
    ]
}

/// The operations that a share link opens.
pub fn shared() -> Vec<Endpoint> {
    let of_link = |path, id, summary| {
        let example = format!("2f9c0d1e5a7b3c48.{}", JOB.replace('-', ""));
        Endpoint::new("GET", path, id, summary).segment(
            "link",
            text_of(1, 300),
            &example,
            "The id of the link and its signature.",
        )
    };
    vec![
        super::stream::poll(of_link(
            "/shared/{link}/events",
            "readSharedEvents",
            "Read or follow the events of what a share link shows",
        ))
        .may_fail(&["forbidden"]),
        super::stream::socket(super::stream::begun(of_link(
            "/shared/{link}/ws",
            "connectSharedEvents",
            "Follow the events of what a share link shows over WebSocket",
        ))),
        super::jobs::log(of_link(
            "/shared/{link}/log",
            "getSharedLog",
            "Read or follow the log of a shared job",
        )),
    ]
}
