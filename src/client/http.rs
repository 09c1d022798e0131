//! Requests to one server: the address, the token, and the rules for repeating what failed. `transport.rs` sends them.

use std::time::Duration;

use reqwest::header::{
    AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use reqwest::{Method, Response, StatusCode, Upgraded};
use serde::de::DeserializeOwned;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use url::Url;

use super::backoff::RandomBackoff;
use super::error::{ClientError, ServerProblem};
use super::transport::{RawRequest, RequestRoute};

const REPEAT_BASE: Duration = Duration::from_millis(100);
const REPEAT_CAP: Duration = Duration::from_secs(5);
/// A longer `Retry-After` is reported to the caller instead of being waited for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a response may take if the client does not say.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often a failed request is repeated if the client does not say.
const REPEATS: u32 = 4;

/// When a failed request is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepeatRule {
    /// Repeating it has no further effect.
    Always,
    /// Only when the server has certainly not carried it out.
    Unprocessed,
    /// The caller decides.
    Never,
}

/// A request to the API.
#[derive(Debug)]
pub struct ApiRequest {
    pub method: Method,
    pub path: String,
    /// JSON text.
    pub body: Option<String>,
    /// How long the whole response may take; the client's timeout if there is none.
    pub timeout: Option<Duration>,
    pub repeat: RepeatRule,
}

impl ApiRequest {
    /// A request that reads something.
    pub fn get(path: String) -> ApiRequest {
        let (method, repeat) = (Method::GET, RepeatRule::Always);
        ApiRequest { method, path, body: None, timeout: None, repeat }
    }

    /// A request that posts JSON.
    pub fn post(path: impl Into<String>, body: Option<String>, repeat: RepeatRule) -> ApiRequest {
        ApiRequest { method: Method::POST, path: path.into(), body, timeout: None, repeat }
    }
}

/// The API of one server. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct ServerApi {
    route: RequestRoute,
    /// `Bearer …`, if there is a token.
    authorization: Option<HeaderValue>,
    /// How long a response may take.
    timeout: Duration,
    /// How often a failed request is repeated.
    repeats: u32,
}

impl ServerApi {
    /// Creates the API of the server at an address.
    ///
    /// # Errors
    /// The address is not valid, or the TLS library cannot be set up.
    pub fn new(address: &str) -> Result<ServerApi, ClientError> {
        let invalid = |why: &str| ClientError::InvalidAddress(format!("{why} ({address:?})"));
        let base = Url::parse(address).map_err(|error| invalid(&error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(invalid("it must begin with http:// or https://"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(ClientError::InvalidAddress(
                "pass credentials as a token, not in the address".to_owned(),
            ));
        }
        let http = http_client().map_err(ClientError::Setup)?;
        Ok(ServerApi::by(RequestRoute::Network { http, base }))
    }

    /// Creates the API of the server to which a route leads.
    pub fn by(route: RequestRoute) -> ServerApi {
        ServerApi { route, authorization: None, timeout: TIMEOUT, repeats: REPEATS }
    }

    /// Whether the server is on the other side of a network.
    pub fn is_network(&self) -> bool {
        self.route.is_network()
    }

    /// Sends a token with every request.
    ///
    /// # Errors
    /// The token has characters that cannot be sent in a header.
    pub fn set_token(&mut self, token: &str) -> Result<(), ClientError> {
        let value = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut value = value.map_err(|_| ClientError::InvalidToken)?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(())
    }

    /// Sets how long a response may take.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Sets how often a failed request is repeated.
    pub fn set_repeats(&mut self, repeats: u32) {
        self.repeats = repeats;
    }

    fn request(&self, method: Method, path: &str) -> RawRequest {
        let authorization = self.authorization.iter().map(|value| (AUTHORIZATION, value.clone()));
        let headers = HeaderMap::from_iter(authorization);
        RawRequest { method, path: path.to_owned(), headers, body: None, within: None }
    }

    /// Sends a request, repeats it as its rule allows, and reads the JSON of the response.
    ///
    /// # Errors
    /// The server cannot be reached, refuses, or answers with something else.
    pub async fn json<T: DeserializeOwned>(&self, request: ApiRequest) -> Result<T, ClientError> {
        let text = self.text(request).await?;
        serde_json::from_str(&text).map_err(|error| ClientError::InvalidAnswer(error.to_string()))
    }

    /// Sends a request, repeats it as its rule allows, and returns the text of the response.
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn text(&self, mut request: ApiRequest) -> Result<String, ClientError> {
        let mut backoff = RandomBackoff::new(REPEAT_BASE, REPEAT_CAP);
        let mut left = if request.repeat == RepeatRule::Never { 0 } else { self.repeats };
        loop {
            let body = if left == 0 { request.body.take() } else { request.body.clone() };
            let error = match self.send_once(&request, body).await {
                Ok(text) => return Ok(text),
                Err(error) => error,
            };
            if left == 0 || !may_repeat(&error, request.repeat) {
                return Err(error);
            }
            left -= 1;
            tokio::time::sleep(backoff.next_delay().max(error.retry_after())).await;
        }
    }

    async fn send_once(
        &self,
        request: &ApiRequest,
        body: Option<String>,
    ) -> Result<String, ClientError> {
        let within = request.timeout.unwrap_or(self.timeout);
        let mut raw = self.request(request.method.clone(), &request.path);
        if body.is_some() {
            raw.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        (raw.body, raw.within) = (body, Some(within));
        let exchange = async {
            let response = self.route.send(raw).await?;
            if !response.status().is_success() {
                return Err(refusal(response).await);
            }
            response.text().await.map_err(ClientError::unreachable)
        };
        if self.is_network() {
            return exchange.await; // within the time, which the HTTP client watches
        }
        match tokio::time::timeout(within, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::broken(format!("there was no response within {within:?}"))),
        }
    }

    /// Opens a response that is read while it arrives.
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn open_stream(
        &self,
        path: &str,
        headers: Vec<(HeaderName, String)>,
    ) -> Result<Response, ClientError> {
        let mut request = self.request(Method::GET, path);
        for (name, value) in headers {
            request.headers.insert(name, header_value(&value)?);
        }
        let response = self.route.send(request).await?;
        if response.status() == StatusCode::OK {
            Ok(response)
        } else {
            Err(refusal(response).await)
        }
    }

    /// Opens a WebSocket with the same HTTP client as all other requests, so that it has the same TLS settings.
    ///
    /// # Errors
    /// The server cannot be reached or refuses, or it is in this process, where there is no connection that could become a
    /// WebSocket.
    pub async fn open_socket(
        &self,
        path: &str,
        protocol: &'static str,
    ) -> Result<WebSocketStream<Upgraded>, ClientError> {
        let opening = self.handshake(path, protocol);
        match tokio::time::timeout(CONNECT_TIMEOUT, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(ClientError::broken("connecting to the server timed out")),
        }
    }

    async fn handshake(
        &self,
        path: &str,
        protocol: &'static str,
    ) -> Result<WebSocketStream<Upgraded>, ClientError> {
        if !self.is_network() {
            let why = "a server in the same process has no WebSockets: use WorkerProtocol::Http";
            return Err(ClientError::InvalidWorker(why.to_owned()));
        }
        let key = generate_key();
        let mut request = self.request(Method::GET, path);
        for (name, value) in [
            (CONNECTION, "Upgrade"),
            (UPGRADE, "websocket"),
            (SEC_WEBSOCKET_VERSION, "13"),
            (SEC_WEBSOCKET_PROTOCOL, protocol),
            (SEC_WEBSOCKET_KEY, &key),
        ] {
            request.headers.insert(name, header_value(value)?);
        }
        let response = self.route.send(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refusal(response).await);
        }
        let has = |name: HeaderName, value: &str| {
            response.headers().get(name).is_some_and(|it| it.as_bytes() == value.as_bytes())
        };
        if !has(SEC_WEBSOCKET_ACCEPT, &derive_accept_key(key.as_bytes())) {
            let why = "the server answered the WebSocket handshake with a wrong key";
            return Err(ClientError::InvalidAnswer(why.to_owned()));
        }
        if !has(SEC_WEBSOCKET_PROTOCOL, protocol) {
            let why = format!("the server does not speak {protocol}");
            return Err(ClientError::InvalidAnswer(why));
        }
        let upgraded = response.upgrade().await.map_err(ClientError::unreachable)?;
        // One message can hold as many jobs as there is credit.
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await)
    }
}

/// The value of a header.
///
/// # Errors
/// It has characters that cannot be sent.
fn header_value(text: &str) -> Result<HeaderValue, ClientError> {
    HeaderValue::from_str(text).map_err(ClientError::unreachable)
}

/// An HTTP client that trusts the certificate authorities of the system. Where the system has none, it trusts none;
/// plain HTTP works in any case.
fn http_client() -> reqwest::Result<reqwest::Client> {
    // Only the first call in a process installs the provider; later ones find it installed.
    rustls::crypto::ring::default_provider().install_default().ok();
    let builder =
        || reqwest::Client::builder().no_proxy().connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true);
    builder().build().or_else(|_| builder().tls_certs_only([]).build())
}

async fn refusal(response: Response) -> ClientError {
    let status = response.status().as_u16();
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds = seconds.and_then(|seconds| seconds.trim().parse().ok());
    let body = response.bytes().await.unwrap_or_default();
    let problem = ServerProblem::read(status, seconds.map(Duration::from_secs), &body);
    ClientError::Refused(Box::new(problem))
}

fn may_repeat(error: &ClientError, rule: RepeatRule) -> bool {
    if error.retry_after() > MAX_RETRY_AFTER {
        return false;
    }
    let is_idempotent = match rule {
        RepeatRule::Always => true,
        RepeatRule::Unprocessed => false,
        RepeatRule::Never => return false,
    };
    match error {
        ClientError::Unreachable { source, .. } => {
            let source = source.as_ref().and_then(|it| it.downcast_ref::<reqwest::Error>());
            is_idempotent || source.is_some_and(reqwest::Error::is_connect)
        }
        ClientError::Refused(problem) => match problem.status {
            429 => true,
            // After `timed_out` the request may still be carried out.
            503 => is_idempotent || problem.code != "timed_out",
            // These come from proxies.
            502 | 504 => is_idempotent,
            _ => false,
        },
        ClientError::InvalidAddress(_)
        | ClientError::InvalidToken
        | ClientError::Setup(_)
        | ClientError::InvalidAnswer(_)
        | ClientError::InvalidPayload(_)
        | ClientError::StillRunning(_)
        | ClientError::NotCompleted(_)
        | ClientError::WrongType { .. }
        | ClientError::InvalidWorker(_)
        | ClientError::Replaced(_)
        | ClientError::ServerStopped
        | ClientError::NoServer => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_refused() {
        for address in ["", "localhost:8080", "ftp://host/", "http://user:secret@host/"] {
            let error = ServerApi::new(address).unwrap_err();
            assert_eq!(error.code(), "invalid_address", "{address}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_request_is_repeated_only_when_that_is_safe() {
        use RepeatRule::{Always, Never, Unprocessed};
        let refused = |status, code: &str| {
            let mut problem = ServerProblem::of_message(code, None, String::new());
            problem.status = status;
            ClientError::Refused(Box::new(problem))
        };
        for (error, always, unprocessed) in [
            (refused(429, "backlog_full"), true, true),
            (refused(503, "store_unavailable"), true, true),
            (refused(503, "timed_out"), true, false),
            (refused(502, "http_502"), true, false),
            (refused(422, "invalid_fields"), false, false),
            (refused(500, "internal"), false, false),
            (ClientError::ServerStopped, false, false),
            (ClientError::broken("reset"), true, false),
        ] {
            assert_eq!(may_repeat(&error, Always), always, "{error}");
            assert_eq!(may_repeat(&error, Unprocessed), unprocessed, "{error}");
            assert!(!may_repeat(&error, Never), "{error}");
        }
    }
}
