//! `GET /api/v1/ws`: the event stream on a WebSocket (RFC 6455). This file is the door: limits and
//! parameters are checked before the upgrade, so that a refusal is an ordinary HTTP answer.

use std::net::SocketAddr;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, Extension, RawQuery, State};
use axum::response::Response;

use super::server::ConnectionSlot;
use super::{Api, Problem, query};

mod session;

/// The subprotocol, chosen when a client offers it.
pub const SUBPROTOCOL: &str = "cortado.v1+json";

/// Opens a session. Query: `after` (a cursor; now when left out) and the filter.
pub(super) async fn upgrade(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    slot: Option<Extension<ConnectionSlot>>,
    RawQuery(text): RawQuery,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|refused| {
        Problem::new(refused.status(), "not_a_websocket", refused.body_text())
    })?;
    let wanted = query::stream_query(text.as_deref())?.endless()?;
    let shutdown = api.engine.shutdown().clone();
    let place = api.admit(peer)?;
    // Taken before the upgrade: the stop must not overlook a socket that is just being opened.
    let tracked = shutdown.connections.token();
    let limits = api.limits.clone();
    // tungstenite clears its whole read buffer at each read, so it is small. Nothing is buffered for
    // writing: a frame is flushed before the next one is made.
    Ok(upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(4 * 1_024)
        .write_buffer_size(0)
        // Above the limit that the session holds, which can then close in good order; this one cannot.
        .max_message_size(limits.ws_message_bytes.saturating_mul(4))
        .max_frame_size(limits.ws_message_bytes.saturating_mul(4))
        .on_upgrade(async move |socket| {
            let _held = (tracked, place, slot); // until the session is over
            session::run(socket, api.engine, limits, wanted).await;
        }))
}
