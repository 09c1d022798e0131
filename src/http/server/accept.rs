//! The accept loop, directly on hyper: header timeouts, limits on connections, a timeout for clients that do not read,
//! and a stop that lets active requests finish and does not wait for idle connections.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::Response;
use futures_util::FutureExt as _;
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower::{ServiceBuilder, ServiceExt};
use tower_http::request_id::{PropagateRequestIdLayer, SetRequestIdLayer};

use super::access_log::{AccessEntry, AccessLog};
use super::address_counts::AddressShare;
use super::client_stream::ClientStream;
use super::connection_context::ConnectionContext;
use super::connections::Connections;
use super::host_header;
use super::in_flight::{InFlightRequests, RequestGuard};
use super::lingering_close::LingeringClose;
use super::listener::{AcceptedConnection, AcceptedStream, Listener, set_connection_options};
use super::opening::{open, refuse};
use super::problem_responses::{ProblemResponses, RawResponse};
use super::request_id::{NewRequestId, remove_unusable};
use super::request_target;
use super::tls::TlsServer;
use super::unread_request::UnreadRequest;
use super::write_timeout::{MinRate, RequiredRate, WriteTimeout};
use crate::http::stream::streaming_body::StreamingBody;
use crate::http::{HttpLimits, Problem};
use crate::shutdown::Shutdown;
use crate::supervise::{Part, pass};

pub use super::connection_context::RefusedRequest;

/// Counts a connection towards [`HttpLimits::max_connections`] and its address's share of them. It is in the extensions of
/// every request, so that a WebSocket keeps its connection's slot after the upgrade.
#[derive(Debug, Clone)]
pub struct ConnectionSlot {
    #[allow(dead_code)] // it counts by being alive
    connection: Arc<(OwnedSemaphorePermit, AddressShare)>,
    /// The share of the client behind a trusted proxy.
    #[allow(dead_code)] // it counts by being alive
    proxied: Option<Arc<AddressShare>>,
}

/// A connection as hyper uses it.
pub type HttpConnection = LingeringClose<ProblemResponses<WriteTimeout>>;

/// Serves until the stop begins, closes the listeners, and returns when the last active request has its response
/// (limited by [`HttpLimits::request_timeout`]). WebSockets and endless responses continue under `shutdown.connections`. An
/// error of `accept` never ends the loop.
pub async fn serve(
    listeners: Vec<Listener>,
    router: Router,
    limits: HttpLimits,
    access_log: AccessLog,
    shutdown: Shutdown,
) {
    // The connections that still speak HTTP. One that became a WebSocket is no longer among them.
    let speaking = TaskTracker::new();
    let slots = Arc::new(Semaphore::new(limits.max_connections));
    let limits = Arc::new(limits);
    let connections = Arc::new(Connections::default());
    let accept_all = async {
        let mut last = 0;
        loop {
            pass(Part::Listener);
            // Waiting for a slot before `accept` leaves further connections in the kernel's listen queue.
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            let AcceptedConnection { stream, peer } = accept(&listeners, &mut last).await;
            let address = peer.address(&limits.trusted_proxies);
            let share = match connections.admit(address.ip(), &limits) {
                Ok(share) => share,
                Err(problem) => {
                    let client = address.ip().to_canonical();
                    let refusal = refuse(stream, problem, client, access_log, &connections);
                    refusal.map(|refusal| shutdown.connections.spawn(refusal));
                    continue;
                }
            };
            let slot = ConnectionSlot { connection: Arc::new((slot, share)), proxied: None };
            let speaks = speaking.token();
            let is_trusted = peer.is_trusted(&limits.trusted_proxies);
            let (limits, connections) = (limits.clone(), connections.clone());
            let scheme = stream.scheme();
            let context =
                ConnectionContext { address, is_trusted, scheme, limits, access_log, connections };
            let accepted = CountedConnection { stream, context, slot, speaks };
            shutdown.connections.spawn(connection(accepted, router.clone(), shutdown.clone()));
        }
    };
    let tls: Vec<_> = listeners.iter().filter_map(Listener::tls).cloned().collect();
    tokio::select! {
        () = shutdown.draining.cancelled() => {}
        () = accept_all => {}
        () = reload_certificates(tls) => {}
    }
    let addresses = listeners.iter().map(|listener| listener.address().to_string());
    let addresses = addresses.collect::<Vec<_>>().join(", ");
    drop(listeners);
    speaking.close();
    tracing::info!(%addresses, connections = speaking.len(), "stopped listening");
    speaking.wait().await;
}

/// Reads the certificate of the listeners again when it changes. All of them share one. Never ends.
async fn reload_certificates(tls: Vec<Arc<TlsServer>>) {
    match tls.first() {
        Some(tls) => tls.reload_when_changed().await,
        None => std::future::pending().await,
    }
}

/// Accepts the next connection of any listener, beginning with the one after `last`, so that none has to wait for another.
/// Errors of a single connection are ignored. If the process is out of file descriptors or memory, it waits, so that the
/// loop does not spin.
async fn accept(listeners: &[Listener], last: &mut usize) -> AcceptedConnection {
    loop {
        let accepted = poll_fn(|context| {
            for _ in listeners {
                *last = (*last + 1) % listeners.len();
                if let Poll::Ready(accepted) = listeners[*last].poll_accept(context) {
                    return Poll::Ready(accepted);
                }
            }
            Poll::Pending
        });
        match accepted.await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections, retrying in a second");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// A connection that was just accepted and counted.
struct CountedConnection {
    stream: AcceptedStream,
    context: ConnectionContext,
    slot: ConnectionSlot,
    /// Counts the connection among those that `serve` waits for at the stop.
    speaks: TaskTrackerToken,
}

fn connection(
    accepted: CountedConnection,
    router: Router,
    shutdown: Shutdown,
) -> impl Future<Output = ()> + Send + 'static {
    let CountedConnection { stream, context, slot, speaks } = accepted;
    let ConnectionContext { address, limits, access_log, connections, .. } = context.clone();
    let context_for_opening = context.clone();
    // Cancelled when an endless response begins. From then on, the connection is treated like a WebSocket.
    let streaming = CancellationToken::new();
    let stream_began = streaming.clone();
    let in_flight = InFlightRequests::default();
    let counter = in_flight.clone();
    let min_rate = MinRate::new(limits.min_rate);
    let rates = min_rate.clone();
    // Set when the stop begins: the next request of the connection is its last one.
    let is_last = Arc::new(AtomicBool::new(false));
    let is_last_request = is_last.clone();
    let unread = UnreadRequest::default();
    let tracked = unread.clone();
    let answer = move |mut request: Request<Incoming>| {
        let guard = counter.begin();
        let (stream_began, rates, unread) = (stream_began.clone(), rates.clone(), tracked.clone());
        let is_last = is_last_request.clone();
        let checked = request_target::check(&request).and_then(|()| host_header::check(&request));
        if let Err(problem) = checked {
            request.extensions_mut().insert(RefusedRequest(problem));
        }
        let client = context.identify(&mut request);
        let entry = context.access_log.begin(&request, client);
        let proxied = context.admit(&mut request, client);
        let slot = ConnectionSlot { proxied: proxied.clone(), ..slot.clone() };
        request.extensions_mut().insert(slot);
        request.extensions_mut().insert(context.connections.clone());
        let (head, body) = request.into_parts();
        let (body, rest) = unread.begin(&head.headers, body);
        let answer = router.clone().oneshot(Request::from_parts(head, body));
        let (usual, linger) = (context.limits.min_rate, context.limits.linger);
        async move {
            let mut entry = entry;
            let mut response: Response = answer.await?;
            let can_be_kept = rest.discard(linger).await;
            let is_last = is_last.load(Ordering::Relaxed)
                && response.status() != StatusCode::SWITCHING_PROTOCOLS;
            if is_last || !can_be_kept {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            if let Some(entry) = &mut entry {
                entry.responds(&response);
            }
            let least = response.extensions().get::<RequiredRate>().map_or(usual, |least| least.0);
            rates.set(least);
            let is_streaming = response.extensions().get::<StreamingBody>().is_some();
            let guard = Some(guard).filter(|_| !is_streaming);
            if is_streaming {
                stream_began.cancel();
            }
            Ok::<_, Infallible>(response.map(|body| Guarded { body, guard, proxied, entry }))
        }
    };
    let service = ServiceBuilder::new()
        .map_request(remove_unusable)
        .layer(SetRequestIdLayer::x_request_id(NewRequestId))
        .layer(PropagateRequestIdLayer::x_request_id())
        .service_fn(answer);
    let service = TowerToHyperService::new(service);
    let mut http = http1::Builder::new();
    // hyper's own header panics outside the years 1970 to 9999; `date` adds one instead.
    http.auto_date_header(false);
    http.timer(TokioTimer::new()).header_read_timeout(limits.header_timeout);
    // No pipeline_flush: it would drop the response that opens a WebSocket if more bytes follow the request.
    http.max_buf_size(64 * 1_024);
    let (bound, last_bytes, linger) = (limits.request_timeout, limits.last_bytes, limits.linger);
    let bounds = limits.write_bounds();
    async move {
        if let Err(error) = set_connection_options(&stream) {
            tracing::debug!(%address, %error, "cannot set the options of a connection");
        }
        let opening = open(stream, &context_for_opening, last_bytes, &shutdown);
        let Some(stream) = opening.await else { return };
        let stream = WriteTimeout::new(stream, bounds, min_rate, connections);
        let client = address.ip().to_canonical();
        let stream = ProblemResponses::new(stream, access_log, client, unread.clone());
        let stream: HttpConnection = LingeringClose::new(stream, unread, linger);
        let mut serving = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let ended = tokio::select! {
            ended = &mut serving => Some(ended),
            () = shutdown.draining.cancelled() => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                // A request that is on its way already is answered, and its response says that the connection ends: clients
                // can use it for a moment, because a request that finds it closed would fail. (hyper's graceful shutdown
                // closes connections at once that wait for their first or next request, so it is for those that have been idle
                // for longer than this moment: their clients have to expect that at any time.)
                is_last.store(true, Ordering::Relaxed);
                if in_flight.has_been_idle_for(last_bytes, Instant::now()) {
                    Pin::new(&mut serving).graceful_shutdown();
                }
                tokio::select! {
                    biased;
                    () = streaming.cancelled() => {
                        // The response ends by itself after the last event, within the stop's limit for WebSockets.
                        drop(speaks);
                        Pin::new(&mut serving).graceful_shutdown();
                        (&mut serving).await
                    }
                    ended = &mut serving => ended,
                    () = idle(&in_flight, last_bytes, bound, &shutdown) => {
                        Pin::new(&mut serving).graceful_shutdown();
                        // Closes a connection between two requests; one with half a head is dropped.
                        (&mut serving).now_or_never().unwrap_or(Ok(()))
                    }
                }
            }
        };
        let Err(error) = ended else { return };
        tracing::debug!(%address, %error, "connection failed");
        // hyper closes a connection whose head does not arrive, and one that begins with HTTP/2, without a response. A
        // client that has sent nothing needs none.
        let parts = serving.into_parts().filter(|parts| !parts.read_buf.is_empty());
        let Some(parts) = parts else { return };
        let problem = if error.is_timeout() {
            let detail = "the head of the request did not arrive in time";
            Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail)
        } else if error.is_parse() && parts.read_buf.starts_with(HTTP2_PREFACE) {
            let detail =
                "the server speaks HTTP/1.1 and HTTP/1.0, and not HTTP/2 without a negotiation";
            Problem::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "wrong_http_version", detail)
        } else {
            return;
        };
        let stream = parts.io.into_inner().into_inner().into_inner().into_inner();
        send_last(stream, problem, access_log, client, linger).await;
    }
}

/// The bytes with which a client begins that takes HTTP/2 for granted (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Tells a client what is wrong on a connection that hyper has given up.
async fn send_last(
    mut stream: ClientStream,
    problem: Problem,
    access_log: AccessLog,
    client: IpAddr,
    within: Duration,
) {
    let status = problem.status();
    let RawResponse { bytes, body_length } = RawResponse::new(problem);
    access_log.unreadable(client, status, body_length);
    let response = async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await
    };
    // The connection is closed whether or not the response has arrived.
    let _ = tokio::time::timeout(within, response).await;
}

/// Resolves when no request has been active for `last_bytes`, or when a time limit of the stop is reached.
async fn idle(
    in_flight: &InFlightRequests,
    last_bytes: Duration,
    bound: Duration,
    shutdown: &Shutdown,
) {
    let impatient = async {
        shutdown.abort.cancelled().await;
        tokio::time::sleep(last_bytes).await;
    };
    tokio::select! {
        () = in_flight.idle(last_bytes) => {}
        () = impatient => {}
        () = tokio::time::sleep(bound) => {}
    }
}

/// The body of a response. Its request counts as active until the body is written.
struct Guarded {
    body: Body,
    #[allow(dead_code)] // it counts by being alive; `None` for an endless response
    guard: Option<RequestGuard>,
    #[allow(dead_code)] // as above, for the client behind a proxy
    proxied: Option<Arc<AddressShare>>,
    /// The response's line in the access log.
    entry: Option<AccessEntry>,
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        let Guarded { body, entry, .. } = &mut *self;
        if let Some(entry) = entry {
            entry.sends(frame.as_ref(), body);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
