//! The beginning of a connection: the handshake if it uses TLS, or the refusal if its address has too many.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::StatusCode;

use super::access_log::AccessLog;
use super::client_stream::ClientStream;
use super::connection_context::ConnectionContext;
use super::connections::{Connections, send_refusal};
use super::listener::AcceptedStream;
use super::tls::HandshakeError;
use crate::http::Problem;
use crate::shutdown::Shutdown;

/// Performs the handshake if the connection uses TLS. Returns `None` if the connection cannot be used. When the server
/// stops, the handshake may take only a moment longer, like the head of a request.
pub async fn open(
    stream: AcceptedStream,
    context: &ConnectionContext,
    last_bytes: Duration,
    shutdown: &Shutdown,
) -> Option<ClientStream> {
    let (stream, tls) = match stream {
        AcceptedStream::Tcp(stream, None) => return Some(ClientStream::Tcp(stream)),
        AcceptedStream::Unix(stream) => return Some(ClientStream::Unix(stream)),
        AcceptedStream::Tcp(stream, Some(tls)) => (stream, tls),
    };
    let ConnectionContext { address, limits, access_log, connections, .. } = context;
    let client = address.ip().to_canonical();
    let stopped = async {
        shutdown.draining.cancelled().await;
        tokio::time::sleep(last_bytes).await;
    };
    // Boxed, so that connections without TLS do not reserve memory for it.
    let handshake = Box::pin(tls.accept(stream, client, limits));
    let handshake = tokio::select! {
        handshake = handshake => handshake,
        () = stopped => return None,
    };
    match handshake {
        Ok(stream) => return Some(ClientStream::Tls(Box::new(stream))),
        Err(HandshakeError::PlainHttp(stream)) => {
            let detail = "this address accepts only TLS; use https://";
            let problem = Problem::new(StatusCode::BAD_REQUEST, "tls_required", detail);
            match connections.refusal_permit() {
                Some(permit) => send_refusal(stream, problem, client, *access_log, permit).await,
                None => access_log.refused(client, None),
            }
        }
        Err(HandshakeError::TooMany) => {
            access_log.refused(client, None);
            connections.count_handshake_refused(client);
        }
        Err(HandshakeError::TimedOut) => {
            tracing::debug!(%address, "the TLS handshake took longer than tls.handshake_timeout");
        }
        Err(HandshakeError::Failed(error)) => {
            tracing::debug!(%address, %error, "the TLS handshake failed");
        }
    }
    None
}

/// Refuses a connection. Returns the task that tells the client why, if it can be told.
pub fn refuse(
    stream: AcceptedStream,
    problem: Problem,
    client: IpAddr,
    access_log: AccessLog,
    connections: &Connections,
) -> Option<impl Future<Output = ()> + Send + 'static> {
    let stream = match stream {
        AcceptedStream::Tcp(stream, None) => Some(ClientStream::Tcp(stream)),
        AcceptedStream::Unix(stream) => Some(ClientStream::Unix(stream)),
        // A handshake would cost more than a refusal may.
        AcceptedStream::Tcp(_, Some(_)) => None,
    };
    let permitted = stream.and_then(|stream| Some((stream, connections.refusal_permit()?)));
    if permitted.is_none() {
        access_log.refused(client, None);
    }
    permitted.map(|(stream, permit)| send_refusal(stream, problem, client, access_log, permit))
}
