//! The client of a server in the same process: its requests pass through the routes with all of their layers, without a
//! connection.
//!
//! The engine has such a client, for its handlers, and the routes have the engine. The server breaks that circle when it
//! stops: the client loses the routes, and its calls end with an error from then on.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Uri};
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::client::{Client, ClientError, LocalAnswer, LocalServer, RawRequest};
use crate::http::access::in_process::InProcessRequest;

/// The routes as the clients in this process have them.
#[derive(Clone)]
enum RoutesState {
    /// The server starts: requests wait.
    Starting,
    Serving(Router),
    Stopped,
}

/// Gives the routes to the clients in this process, and takes them back.
pub(super) struct InProcessRoutes(watch::Sender<RoutesState>);

impl InProcessRoutes {
    /// Begins without routes, so that there can be a client before there are routes.
    pub(super) fn new() -> InProcessRoutes {
        InProcessRoutes(watch::Sender::new(RoutesState::Starting))
    }

    /// A client whose requests wait until there are routes.
    pub(super) fn client(&self) -> Client {
        Client::in_process(Arc::new(InProcessServer(self.0.subscribe())))
    }

    /// From now on requests are answered.
    pub(super) fn serve(&self, routes: Router) {
        self.0.send_replace(RoutesState::Serving(routes));
    }

    /// Ends the requests that have no answer yet, and refuses further ones.
    pub(super) fn stop(&self) {
        self.0.send_replace(RoutesState::Stopped);
    }
}

/// The server as a client in this process sees it.
struct InProcessServer(watch::Receiver<RoutesState>);

impl LocalServer for InProcessServer {
    fn answer(&self, request: RawRequest) -> LocalAnswer {
        let state = self.0.clone();
        Box::pin(answer(state, request))
    }
}

async fn answer(
    mut state: watch::Receiver<RoutesState>,
    request: RawRequest,
) -> Result<reqwest::Response, ClientError> {
    let routes = routes(&mut state).await?;
    let request = received(request)?;
    let response = tokio::select! {
        response = routes.oneshot(request) => response.unwrap_or_else(|never| match never {}),
        () = stopped(&mut state) => return Err(ClientError::ServerStopped),
    };
    // A stream that nobody ends must not outlive the server.
    let rest = async move { stopped(&mut state).await };
    let (head, body) = response.into_parts();
    let body = body.into_data_stream().take_until(Box::pin(rest));
    let body = reqwest::Body::wrap_stream(body);
    Ok(axum::http::Response::from_parts(head, body).into())
}

/// The routes, as soon as there are some.
async fn routes(state: &mut watch::Receiver<RoutesState>) -> Result<Router, ClientError> {
    let state = state.wait_for(|state| !matches!(state, RoutesState::Starting)).await;
    match state.as_deref() {
        Ok(RoutesState::Serving(routes)) => Ok(routes.clone()),
        // An error means that the start has failed and there will be no routes.
        Ok(RoutesState::Starting | RoutesState::Stopped) | Err(_) => {
            Err(ClientError::ServerStopped)
        }
    }
}

/// Resolves when the server has stopped. A server that was dropped without a stop goes on.
async fn stopped(state: &mut watch::Receiver<RoutesState>) {
    if state.wait_for(|state| matches!(state, RoutesState::Stopped)).await.is_err() {
        std::future::pending().await
    }
}

/// A request as if it had arrived: it has a path and no host.
fn received(request: RawRequest) -> Result<Request<Body>, ClientError> {
    let RawRequest { method, path, headers, body, within: _ } = request;
    let uri: Result<Uri, _> = path.parse();
    let uri = uri.map_err(|error| ClientError::InvalidAddress(format!("{error} ({path:?})")))?;
    let mut received = Request::new(body.map_or_else(Body::empty, Body::from));
    (*received.method_mut(), *received.uri_mut(), *received.headers_mut()) = (method, uri, headers);
    received.extensions_mut().insert(InProcessRequest);
    Ok(received)
}

#[cfg(test)]
mod tests;
