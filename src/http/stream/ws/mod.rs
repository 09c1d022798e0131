//! `GET /api/v1/ws`: the event stream on a WebSocket (RFC 6455). This file is the door: limits and
//! parameters are checked before the upgrade, so that a refusal is an ordinary HTTP answer.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Extension, RawQuery, Request, State};
use axum::response::Response;
use hyper_util::rt::TokioIo;

use crate::engine::Transport;
use crate::http::api::query;
use crate::http::server::accept::ConnectionSlot;
use crate::http::server::head_errors::HeadErrors;
use crate::http::server::write_timeout::WriteTimeout;
use crate::http::{Api, Problem};
use accepted_socket::AcceptedSocket;

pub mod accepted_socket;
pub mod close_reason;
pub mod frame_cache;
pub mod frames;
pub mod handshake;
pub mod hub;
pub mod hub_load;
pub mod hubs;
pub mod inbound;
pub mod log_page_cache;
pub mod pacer;
pub mod ready_set;
pub mod socket;
pub mod subscriber;
pub mod subscriber_slab;
pub mod subscription_groups;
pub mod window;

pub use hubs::Hubs;

/// Opens a session. Query: `after` (a cursor; now when left out) and the filter.
pub async fn upgrade(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    slot: Option<Extension<ConnectionSlot>>,
    RawQuery(text): RawQuery,
    mut request: Request,
) -> Result<Response, Problem> {
    let accepted = handshake::check(&request)?;
    let query = query::stream_query(text.as_deref())?.endless()?;
    let shutdown = api.engine.shutdown().clone();
    let permit = api.admit(peer, Transport::WebSocket)?;
    // Taken before the upgrade: the stop must not overlook a socket that is just being opened.
    let slot_guard = (shutdown.connections.token(), permit, slot);
    let upgraded = hyper::upgrade::on(&mut request);
    shutdown.connections.spawn(async move {
        let upgraded = match upgraded.await {
            Ok(upgraded) => upgraded,
            Err(error) => return tracing::debug!(%peer, %error, "a socket was not opened"),
        };
        // Our accept loop makes every connection, and makes this of it.
        let Ok(parts) = upgraded.downcast::<TokioIo<HeadErrors<WriteTimeout>>>() else {
            return tracing::error!(%peer, "a socket on a connection of another server");
        };
        let stream = parts.io.into_inner().into_inner().into_inner();
        let (first_bytes, slot_guard) = (parts.read_buf, Box::new(slot_guard));
        api.hubs.hand_over(AcceptedSocket { stream, first_bytes, query, slot_guard });
    });
    Ok(accepted)
}
