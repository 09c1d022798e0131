//! `GET /api/v1/ws`: the event stream over WebSocket (RFC 6455). This file is the endpoint: it checks limits and
//! parameters before the upgrade, so that a refusal is an ordinary HTTP response.

use axum::extract::{Extension, RawQuery, Request, State};
use axum::response::Response;

use super::protocol::SUBPROTOCOL;
use super::reader::StreamReader;
use super::start::start_after;
use crate::engine::Transport;
use crate::http::api::query;
use crate::http::server::accept::ConnectionSlot;
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
pub mod message_reader;
pub mod pacer;
pub mod ready_set;
pub mod socket;
pub mod socket_stream;
pub mod subscriber;
pub mod subscriber_slab;
pub mod subscription_groups;
pub mod window;

use accepted_socket::AcceptedSocket;
pub use hubs::Hubs;
use socket_stream::SocketStream;

/// Opens a WebSocket. The query holds `after` (a cursor; without it the stream begins now) and the filter.
pub async fn upgrade(
    State(api): State<Api>,
    reader: StreamReader,
    slot: Option<Extension<ConnectionSlot>>,
    RawQuery(text): RawQuery,
    mut request: Request,
) -> Result<Response, Problem> {
    let mut query = query::stream_query(text.as_deref())?.endless()?;
    query.after = start_after(request.headers(), query.after)?;
    let accepted = handshake::check(&request, SUBPROTOCOL)?;
    if query.stats {
        let detail = "a WebSocket subscribes to stats with a message, not in its URL";
        return Err(Problem::invalid_parameter("stats", detail));
    }
    let shutdown = api.engine.shutdown().clone();
    let peer = reader.peer;
    let permit = api.admit(peer, Transport::WebSocket)?;
    // Taken before the upgrade, so that a stop also waits for a socket that is just being opened.
    let slot_guard = (shutdown.connections.token(), permit, slot);
    let upgraded = hyper::upgrade::on(&mut request);
    shutdown.connections.spawn(async move {
        let upgraded = match upgraded.await {
            Ok(upgraded) => upgraded,
            Err(error) => return tracing::debug!(%peer, %error, "upgrading to a WebSocket failed"),
        };
        let (stream, first_bytes) = SocketStream::of(upgraded);
        let slot_guard = Box::new(slot_guard);
        api.hubs.hand_over(AcceptedSocket { stream, first_bytes, query, reader, slot_guard });
    });
    Ok(accepted)
}
