//! `GET /api/v1/ws`: the event stream on a WebSocket (RFC 6455). This file is the door: limits and
//! parameters are checked before the upgrade, so that a refusal is an ordinary HTTP answer.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, Extension, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::server::ConnectionSlot;
use super::{Api, Limits, Problem, query};

mod feed;
mod protocol;
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
    let wanted = query::stream_query(text.as_deref())?;
    let shutdown = api.engine.shutdown().clone();
    if shutdown.draining.is_cancelled() {
        let detail = "the server is stopping";
        return Err(
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "draining", detail).retry_after(2)
        );
    }
    let place = api.sockets.admit(peer.ip(), &api.limits)?;
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

/// Who holds how many sockets.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

impl Sockets {
    fn admit(self: &Arc<Self>, address: IpAddr, limits: &Limits) -> Result<Place, Problem> {
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = by_address.values().sum();
        if total >= limits.ws_total {
            let detail = format!("all {} sockets are taken", limits.ws_total);
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "sockets_full", detail)
                .retry_after(10));
        }
        let own = by_address.entry(address).or_default();
        if *own >= limits.ws_per_address {
            let detail = format!("your address holds {own} sockets already");
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_sockets", detail)
                .retry_after(10));
        }
        *own += 1;
        Ok(Place { sockets: self.clone(), address })
    }
}

/// One socket's place in the count; gives it back when dropped.
struct Place {
    sockets: Arc<Sockets>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let by_address = &self.sockets.by_address;
        let mut by_address = by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = by_address.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}
