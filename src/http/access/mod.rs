//! Who may do what over HTTP: the table of routes and WebSocket messages with the role that each needs, the credentials
//! of a request, and how long they hold. docs/access.md describes it for those who run a server.

pub mod access_watch;
pub mod authenticator;
pub mod caller;
pub mod credential_uses;
pub mod credentials;
pub mod in_process;
pub mod job_scope;
pub mod messages;
pub mod need;
pub mod password_cache;
pub mod principal;
pub mod problems;
pub mod proxy_users;
pub mod routes;
pub mod session_cookie;
pub mod sessions;
pub mod share_links;

pub use authenticator::Authenticator;
pub use caller::{Acting, Caller};
pub use principal::Principal;
