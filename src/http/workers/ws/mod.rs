//! `GET /api/v1/workers/{name}/ws`: a worker on a WebSocket. This file is the endpoint. The limits and the credentials are
//! checked before the upgrade, so that a refusal is an ordinary HTTP response.

use axum::extract::{Extension, Request};
use axum::response::Response;

use super::worker_path::PathWorker;
use crate::http::access::Acting;
use crate::http::access::access_watch::AccessWatch;
use crate::http::access::job_scope::JobScope;
use crate::http::api::extract::NoQuery;
use crate::http::server::accept::ConnectionSlot;
use crate::http::stream::ws::handshake;
use crate::http::stream::ws::socket_stream::SocketStream;
use crate::http::{Api, Problem};

mod connection;
mod connection_end;
mod engine_answer;
pub mod protocol;
mod socket;

pub use protocol::SUBPROTOCOL;

use connection::{WorkerConnection, WorkerCredentials};
use socket::WorkerSocket;

/// Opens a WebSocket for a worker.
pub async fn upgrade(
    Acting(api): Acting<Api>,
    scope: JobScope,
    watch: AccessWatch,
    _: NoQuery,
    PathWorker(worker): PathWorker,
    slot: Option<Extension<ConnectionSlot>>,
    mut request: Request,
) -> Result<Response, Problem> {
    api.engine.check_worker_name(&worker)?;
    let accepted = handshake::check(&request, SUBPROTOCOL)?;
    let connections = api.engine.shutdown().connections.clone();
    // Taken before the upgrade, so that a stop also waits for a socket that is just being opened.
    let guard = (connections.token(), slot);
    let upgraded = hyper::upgrade::on(&mut request);
    connections.spawn(async move {
        let upgraded = match upgraded.await {
            Ok(upgraded) => upgraded,
            Err(error) => {
                return tracing::debug!(%worker, %error, "upgrading to a WebSocket failed");
            }
        };
        let (stream, first_bytes) = SocketStream::of(upgraded);
        let socket = WorkerSocket::new(stream, &first_bytes, &api.limits);
        // They would keep the buffer of the HTTP connection, which is larger than everything else of an idle worker.
        drop(first_bytes);
        let credentials = WorkerCredentials { scope, watch };
        let mut connection = WorkerConnection::new(api, worker, credentials, socket);
        connection.run().await;
        drop(connection); // jobs that were not sent are given back, which a stop waits for, too
        drop(guard);
    });
    Ok(accepted)
}
