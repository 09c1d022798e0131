//! Users, tokens and sessions as clients see them.

mod api;
mod ended;
mod events;
mod link_streams;
mod links;
mod logins;
mod messages;
mod restricted;
mod revocation;
mod slow_requests;
