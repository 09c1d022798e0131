//! How requests reach the server: over the network, or straight into a server of this process. Everything above is the same
//! for both.

use std::fmt;
#[cfg(feature = "server")]
use std::future::Future;
#[cfg(feature = "server")]
use std::pin::Pin;
#[cfg(feature = "server")]
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, Request, Response};
use url::Url;

use super::error::ClientError;

/// A request on its way to the server.
#[derive(Debug)]
pub struct RawRequest {
    pub method: Method,
    /// The path below the address of the server, with the query.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Option<String>,
    /// How long the whole response may take.
    pub within: Option<Duration>,
}

/// The way to a server. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub enum RequestRoute {
    /// Over the network.
    Network {
        http: reqwest::Client,
        /// The address of the server.
        base: Url,
    },
    /// Into a server of this process.
    #[cfg(feature = "server")]
    InProcess(Arc<dyn LocalServer>),
    /// There is no server.
    Nowhere,
}

/// A server in this process, which `app` implements.
#[cfg(feature = "server")]
pub trait LocalServer: Send + Sync {
    /// Answers a request, and returns the response when its head is there. When the server stops, the future is ready with an
    /// error.
    fn answer(&self, request: RawRequest) -> LocalAnswer;
}

/// The response of a [`LocalServer`].
#[cfg(feature = "server")]
pub type LocalAnswer = Pin<Box<dyn Future<Output = Result<Response, ClientError>> + Send>>;

impl RequestRoute {
    /// Sends a request, and returns the response when its head has arrived.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn send(&self, request: RawRequest) -> Result<Response, ClientError> {
        match self {
            RequestRoute::Network { http, base } => {
                let RawRequest { method, path, headers, body, within } = request;
                let mut request = Request::new(method, url(base, &path));
                *request.headers_mut() = headers;
                *request.body_mut() = body.map(Into::into);
                *request.timeout_mut() = within;
                http.execute(request).await.map_err(ClientError::unreachable)
            }
            #[cfg(feature = "server")]
            RequestRoute::InProcess(server) => server.answer(request).await,
            RequestRoute::Nowhere => Err(ClientError::NoServer),
        }
    }

    /// Whether the server is on the other side of a network.
    pub fn is_network(&self) -> bool {
        match self {
            RequestRoute::Network { .. } => true,
            #[cfg(feature = "server")]
            RequestRoute::InProcess(_) => false,
            RequestRoute::Nowhere => false,
        }
    }
}

impl fmt::Debug for RequestRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestRoute::Network { base, .. } => write!(f, "Network({base})"),
            #[cfg(feature = "server")]
            RequestRoute::InProcess(_) => f.write_str("InProcess"),
            RequestRoute::Nowhere => f.write_str("Nowhere"),
        }
    }
}

/// The address of an API path, below the path of the server's address.
fn url(base: &Url, path: &str) -> Url {
    let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url.set_query(query);
    url.set_fragment(None);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_live_below_a_path() {
        let base = Url::parse("http://host:1/jobs/?x#y").unwrap();
        assert_eq!(url(&base, "/api/v1/jobs").as_str(), "http://host:1/jobs/api/v1/jobs");
        let url = url(&base, "/api/v1/jobs/7?wait=30000ms");
        assert_eq!(url.as_str(), "http://host:1/jobs/api/v1/jobs/7?wait=30000ms");
    }
}
