//! `GET /api/v1/ws`: the event stream over WebSocket (RFC 6455). This file is the endpoint: it checks limits and
//! parameters before the upgrade, so that a refusal is an ordinary HTTP response.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Extension, RawQuery, Request, State};
use axum::response::Response;
use hyper_util::rt::TokioIo;

use crate::engine::Transport;
use crate::http::api::query;
use crate::http::server::accept::ConnectionSlot;
use crate::http::server::problem_responses::ProblemResponses;
use crate::http::server::write_timeout::WriteTimeout;
use crate::http::{Api, Problem};

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

use accepted_socket::AcceptedSocket;
pub use hubs::Hubs;

/// Opens a WebSocket. The query holds `after` (a cursor; without it the stream begins now) and the filter.
pub async fn upgrade(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    slot: Option<Extension<ConnectionSlot>>,
    RawQuery(text): RawQuery,
    mut request: Request,
) -> Result<Response, Problem> {
    let query = query::stream_query(text.as_deref())?.endless()?;
    let accepted = handshake::check(&request)?;
    if query.stats {
        let detail = "a WebSocket subscribes to stats with a message, not in its URL";
        return Err(Problem::invalid_parameter(detail));
    }
    let shutdown = api.engine.shutdown().clone();
    let permit = api.admit(peer, Transport::WebSocket)?;
    // Taken before the upgrade, so that a stop also waits for a socket that is just being opened.
    let slot_guard = (shutdown.connections.token(), permit, slot);
    let upgraded = hyper::upgrade::on(&mut request);
    shutdown.connections.spawn(async move {
        let upgraded = match upgraded.await {
            Ok(upgraded) => upgraded,
            Err(error) => return tracing::debug!(%peer, %error, "upgrading to a WebSocket failed"),
        };
        // Every connection comes from our accept loop and has this type.
        let Ok(parts) = upgraded.downcast::<TokioIo<ProblemResponses<WriteTimeout>>>() else {
            return tracing::error!(%peer, "upgrading to a WebSocket failed: the connection has an unexpected type");
        };
        let stream = parts.io.into_inner().into_inner().into_inner();
        let (first_bytes, slot_guard) = (parts.read_buf, Box::new(slot_guard));
        api.hubs.hand_over(AcceptedSocket { stream, first_bytes, query, slot_guard });
    });
    Ok(accepted)
}
