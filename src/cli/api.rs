//! The API of a server, as the client commands use it: its address, its token and the requests.
//! A problem document becomes a readable message.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{
    AUTHORIZATION, CONNECTION, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use reqwest::{Certificate, Client, ClientBuilder, RequestBuilder, Response, StatusCode, Upgraded};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use url::Url;

use super::CliError;
use super::output::say;
use crate::config::{ClientArgs, read_authorities};
use crate::job::causes;
use crate::job::hidden::printable;

/// Creates an HTTP client that trusts the certificate authorities of the system.
///
/// # Errors
/// When the TLS library cannot be set up.
pub fn http_client() -> reqwest::Result<Client> {
    client_trusting(&[], |builder| builder)
}

/// Creates an HTTP client that also trusts these certificate authorities. Where the system has none, it trusts only
/// these; plain HTTP works in any case.
pub(super) fn client_trusting(
    authorities: &[Certificate],
    connecting: impl Fn(ClientBuilder) -> ClientBuilder,
) -> reqwest::Result<Client> {
    // Only the first call in a process installs the provider; later ones find it installed.
    rustls::crypto::ring::default_provider().install_default().ok();
    let builder = || connecting(Client::builder().no_proxy());
    let own = || authorities.iter().cloned();
    builder().tls_certs_merge(own()).build().or_else(|_| builder().tls_certs_only(own()).build())
}

/// The path of the Unix socket that an address such as `unix:/run/cortado.sock` names.
pub(super) fn socket_path(server: &Url) -> Option<PathBuf> {
    if server.scheme() != "unix" {
        return None;
    }
    // Only URLs of files can be read as paths.
    Url::parse(&format!("file://{}", server.path())).ok()?.to_file_path().ok()
}

/// The delay between two attempts to read.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The API of one server.
#[derive(Debug, Clone)]
pub struct ApiClient {
    client: Client,
    base: Url,
    /// `Bearer …`, if a token is configured.
    authorization: Option<HeaderValue>,
}

impl ApiClient {
    /// Creates the API of the server that the arguments name.
    ///
    /// # Errors
    /// When the token contains characters that cannot be sent, the file of certificate authorities cannot be read, or
    /// the TLS library cannot be set up.
    pub fn new(args: &ClientArgs) -> Result<ApiClient, CliError> {
        let trusted = args.ca_file.as_deref().map(read_authorities).transpose()?;
        let socket = socket_path(&args.server);
        let client = client_trusting(&trusted.unwrap_or_default(), |builder| match &socket {
            Some(path) => builder.unix_socket(path.clone()),
            None => builder,
        });
        let client = client.map_err(|error| causes(&error))?;
        let authorization = match &args.auth_token {
            Some(token) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
                    .map_err(|_| {
                        "the token contains characters that cannot be sent in a header".to_owned()
                    })?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        let mut base = args.server.clone();
        if socket.is_some() {
            base = Url::parse("http://localhost/").map_err(|error| causes(&error))?;
        }
        Ok(ApiClient { client, base, authorization })
    }

    /// The address of an API path, below the path of the server's address.
    pub fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url.set_query(None);
        url
    }

    /// Reads one path as JSON. While the server is unreachable or answers with 429 or 5xx, it prints the reason and retries,
    /// not before the server wants it to.
    ///
    /// # Errors
    /// When the server refuses the request.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        loop {
            let mut delay = RETRY_DELAY;
            let why = match self.authorized(self.client.get(self.url(path))).send().await {
                Ok(response) if response.status().is_success() => match response.bytes().await {
                    Ok(body) => return serde_json::from_slice(&body).map_err(|e| causes(&e)),
                    Err(error) => causes(&error),
                },
                Ok(response)
                    if response.status().is_server_error()
                        || response.status() == StatusCode::TOO_MANY_REQUESTS =>
                {
                    delay = delay.max(retry_after(&response));
                    refused(response).await
                }
                Ok(response) => return Err(refused(response).await),
                Err(error) if is_untrusted(&error) => return Err(failed(&error)),
                Err(error) => failed(&error),
            };
            say(&format!("cortado: {why}; retrying in {:.1} s", delay.as_secs_f64()));
            tokio::time::sleep(delay).await;
        }
    }

    /// Reads one path, without retries.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn get(&self, path: &str) -> Result<Response, CliError> {
        self.send(self.client.get(self.url(path))).await
    }

    /// Posts a JSON document.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn post<T: serde::Serialize>(
        &self,
        path: &str,
        body: &T,
    ) -> Result<Response, CliError> {
        self.send(self.client.post(self.url(path)).json(body)).await
    }

    /// Puts a JSON document.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn put<T: serde::Serialize>(
        &self,
        path: &str,
        body: &T,
    ) -> Result<Response, CliError> {
        self.send(self.client.put(self.url(path)).json(body)).await
    }

    /// Deletes what is at one path.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn delete(&self, path: &str) -> Result<Response, CliError> {
        self.send(self.client.delete(self.url(path))).await
    }

    /// Opens a WebSocket with the same client as all other requests, so that it has the same TLS settings.
    ///
    /// # Errors
    /// [`OpenError`] says whether it makes sense to try again.
    pub async fn open_socket(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<WebSocketStream<Upgraded>, OpenError> {
        let key = generate_key();
        let request = self.client.get(self.url(path)).query(query);
        let request = request
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        let response = match self.authorized(request).send().await {
            Ok(response) => response,
            Err(error) if is_untrusted(&error) => return Err(OpenError::Refused(failed(&error))),
            Err(error) => return Err(OpenError::failed(failed(&error))),
        };
        let status = response.status();
        if status != StatusCode::SWITCHING_PROTOCOLS {
            let is_permanent = status.is_client_error() && !matches!(status.as_u16(), 408 | 429);
            let after = retry_after(&response);
            let why = refused(response).await;
            return Err(if is_permanent {
                OpenError::Refused(why)
            } else {
                OpenError::Failed { why, after }
            });
        }
        let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT);
        if accepted.is_none_or(|accepted| accepted != derive_accept_key(key.as_bytes()).as_str()) {
            let why = "the server answered the WebSocket handshake with a wrong key";
            return Err(OpenError::failed(why.to_owned()));
        }
        let upgraded =
            response.upgrade().await.map_err(|error| OpenError::failed(failed(&error)))?;
        Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, CliError> {
        let response = self.authorized(request).send().await.map_err(|error| failed(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(refused(response).await) }
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        }
    }
}

/// Why a WebSocket could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Trying again is pointless: wrong token, invalid filter, no such path, a certificate that is not trusted.
    Refused(CliError),
    /// Trying again may help.
    Failed {
        /// What happened.
        why: CliError,
        /// The shortest delay before the next attempt that the server asks for; zero if it asks for none.
        after: Duration,
    },
}

impl OpenError {
    /// A failure after which the server asks for no delay.
    fn failed(why: CliError) -> OpenError {
        OpenError::Failed { why, after: Duration::ZERO }
    }
}

/// The longest `Retry-After` that is obeyed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// The delay in seconds that a response asks for (RFC 9110 §10.2.3); zero without one.
fn retry_after(response: &Response) -> Duration {
    let value = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds = value.and_then(|value| value.trim().parse().ok()).unwrap_or_default();
    Duration::from_secs(seconds).min(MAX_RETRY_AFTER)
}

/// Whether the server's certificate was refused. The TLS library's error is inside an error of the operating system,
/// which hides it from the chain of causes, so the text decides.
fn is_untrusted(error: &reqwest::Error) -> bool {
    causes(error).contains("invalid peer certificate")
}

/// Formats the error of a request, with what to do about a certificate that is not trusted.
pub(super) fn failed(error: &reqwest::Error) -> CliError {
    let text = causes(error);
    if text.contains("UnknownIssuer") {
        return format!(
            "{text}; name the certificate authority that issued the server's certificate with --ca-file"
        );
    }
    text
}

async fn refused(response: Response) -> CliError {
    let status = response.status();
    let body = response.bytes().await.unwrap_or_default();
    refusal(&status.to_string(), &body)
}

/// Formats a problem document; only the status if the body is none.
pub fn refusal(status: &str, body: &[u8]) -> CliError {
    #[derive(Deserialize)]
    struct ReceivedProblem {
        detail: String,
        code: String,
        #[serde(default)]
        errors: Vec<InvalidField>,
    }
    #[derive(Deserialize)]
    struct InvalidField {
        field: String,
        message: String,
    }
    match serde_json::from_slice::<ReceivedProblem>(body) {
        Ok(problem) => {
            // What the server says stays on its line.
            let mut text = format!(
                "the server refused the request ({}): {}",
                printable(&problem.code),
                printable(&problem.detail)
            );
            for InvalidField { field, message } in problem.errors {
                text.push_str(&format!("\n  {}: {}", printable(&field), printable(&message)));
            }
            text
        }
        Err(_) => format!("the server refused the request: {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_document_becomes_readable() {
        let body = br#"{"code":"invalid_fields","detail":"some fields are invalid",
            "errors":[{"field":"queue","message":"too long"}]}"#;
        let text = refusal("422", body);
        assert!(
            text.contains("(invalid_fields)") && text.ends_with("\n  queue: too long"),
            "{text}"
        );
        assert_eq!(
            refusal("502 Bad Gateway", b"<html>"),
            "the server refused the request: 502 Bad Gateway"
        );
    }

    #[test]
    fn a_server_may_live_below_a_path() {
        let server = "http://host:1/jobs/?x".parse().unwrap();
        let api = ApiClient::new(&ClientArgs::of(server)).unwrap();
        assert_eq!(api.url("/api/v1/ws").as_str(), "http://host:1/jobs/api/v1/ws");
    }
}
