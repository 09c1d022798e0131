//! What a program declares besides handlers: schemas, schedules, which built-in kinds it wants, and its own routes.

use axum::Router;

use super::Builder;
use crate::app::built_in::BuiltInKinds;
use crate::app::schedule::DeclaredSchedule;
use crate::http::OwnRoutes;
use crate::job::Role;

impl Builder {
    /// Declares the JSON Schema of the payloads of a kind that has a handler in this program, as written by
    /// hand or generated from a type by a crate such as schemars. The dashboard builds a form from it, and payloads
    /// that do not match are refused with the names of the wrong properties. docs/jobs.md lists what is checked. The server
    /// does not start with an invalid schema, and logs a warning for each unknown keyword.
    ///
    /// ```
    /// # use cortado::{Context, Cortado};
    /// # async fn resize(_: Context, width: u32) -> Result<u32, std::io::Error> { Ok(width) }
    /// let builder = Cortado::builder().handle_kind("resize", resize).schema(
    ///     "resize",
    ///     r#"{
    ///         "type": "object",
    ///         "required": ["width"],
    ///         "properties": {"width": {"type": "integer", "minimum": 1, "maximum": 8192}}
    ///     }"#,
    /// );
    /// ```
    pub fn schema(mut self, kind: &str, schema: &str) -> Self {
        self.schemas.push((kind.to_owned(), schema.to_owned()));
        self
    }

    /// Declares a schedule in addition to those of the configuration. A job is enqueued whenever the schedule is due.
    /// The API cannot change the schedule, and it is deleted once the program no longer declares it.
    ///
    /// ```
    /// # use cortado::{Cortado, Schedule};
    /// # use serde_json::json;
    /// let nightly = Schedule::cron("30 2 * * *")
    ///     .zone("Europe/Berlin")
    ///     .kind("echo", &json!({"report": "daily"}))
    ///     .queue("reports")
    ///     .max_attempts(3);
    /// let builder = Cortado::builder().schedule("nightly", nightly);
    /// ```
    pub fn schedule(mut self, name: &str, schedule: DeclaredSchedule) -> Self {
        self.schedules.push((name.to_owned(), schedule));
        self
    }

    /// Leaves out all kinds that the server has by itself (`command`, `echo`, `fail`, `http`, `sleep`): the API, the pages
    /// and the forms do not know them. Their settings are accepted and have no effect.
    pub fn without_built_in_kinds(mut self) -> Self {
        self.built_in = BuiltInKinds::Only(Vec::new());
        self
    }

    /// Keeps only these of the built-in kinds, as [`Builder::without_built_in_kinds`] keeps none. The server does not start
    /// with a name that is not one of theirs.
    ///
    /// ```
    /// let builder = cortado::Cortado::builder().built_in_kinds(["http"]);
    /// ```
    pub fn built_in_kinds<'k>(mut self, kinds: impl IntoIterator<Item = &'k str>) -> Self {
        self.built_in = BuiltInKinds::Only(kinds.into_iter().map(str::to_owned).collect());
        self
    }

    /// Serves routes of the program itself on the addresses of the server, beside those of Cortado. `Router` is that of
    /// [`cortado::axum`](crate::axum).
    ///
    /// **They are not behind Cortado's access control.** Everybody who can reach the address can use them, also pages of
    /// other sites in the browser of a user; [`Builder::routes_with_access`] adds routes that need a login.
    ///
    /// They are behind everything else that protects the server: the limits on connections (`http.max_connections`,
    /// `http.connections_per_address`), on slow clients and on the size of bodies (`http.max_body`). A panic becomes a
    /// response with the status 500, and each request has an id (`x-request-id`) and a line in the access log. A stop waits for
    /// requests up to `http.request_timeout` or `stop.grace`, whichever is shorter, and ends event streams
    /// (`text/event-stream`) at once. A connection that became a WebSocket belongs to the program: the stop does not end it.
    ///
    /// Their paths begin at the root also when `base_path` is set, and can be reached below it as well. The server does not
    /// start when a path is one of Cortado's, or when a router has a fallback: Cortado answers all other paths with 404.
    ///
    /// ```
    /// use cortado::axum::{Router, extract::State, routing::get};
    ///
    /// let shop = Router::new()
    ///     .route("/shop/name", get(|State(name): State<String>| async move { name }))
    ///     .with_state("The corner shop".to_owned());
    /// let builder = cortado::Cortado::builder().routes(shop);
    /// ```
    pub fn routes(mut self, router: Router) -> Self {
        self.routes.push(OwnRoutes { router, role: None });
        self
    }

    /// Serves routes of the program as [`Builder::routes`] does, but for those only who have logged in with at least this
    /// role, in a browser, with a token or in any other way that docs/access.md describes. Tokens that are restricted to some
    /// queues or kinds are refused, and so are requests from pages of other sites. Where Cortado needs no login, as on
    /// an address that only this machine can reach while there are no users, these routes need none.
    ///
    /// ```
    /// use cortado::{Cortado, Role, axum::{Router, routing::get}};
    ///
    /// let reports = Router::new().route("/reports", get(|| async { "for operators" }));
    /// let builder = Cortado::builder().routes_with_access(Role::Operator, reports);
    /// ```
    pub fn routes_with_access(mut self, role: Role, router: Router) -> Self {
        self.routes.push(OwnRoutes { router, role: Some(role) });
        self
    }
}
