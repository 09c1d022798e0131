//! Users, tokens and sessions as clients see them.

mod api;
mod events;
mod logins;
mod messages;
mod restricted;
mod revocation;
