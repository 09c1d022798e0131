//! The API of a server, as the client commands use it: its address, its token and the requests.
//! A problem document becomes a readable message.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, RequestBuilder, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::CliError;
use super::output::say;
use crate::config::ClientArgs;

/// Creates an HTTP client.
///
/// # Errors
/// When the TLS library cannot be set up.
pub fn http_client() -> reqwest::Result<Client> {
    // Only the first call in a process installs the provider; later ones find it installed.
    rustls::crypto::ring::default_provider().install_default().ok();
    Client::builder().no_proxy().build()
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
    /// When the token contains characters that cannot be sent, or the TLS library cannot be set up.
    pub fn new(args: &ClientArgs) -> Result<ApiClient, CliError> {
        let client = http_client().map_err(|error| causes(&error))?;
        let authorization = match &args.auth_token {
            Some(token) => {
                let mut value =
                    HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
                        "the token contains characters that cannot be sent in a header".to_owned()
                    })?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        Ok(ApiClient { client, base: args.server.clone(), authorization })
    }

    /// The address of an API path, below the path of the server's address.
    pub fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url.set_query(None);
        url
    }

    /// The value of the `Authorization` header.
    pub fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// Reads one path as JSON. While the server is unreachable or answers with 5xx, it prints the reason and retries.
    ///
    /// # Errors
    /// When the server refuses the request.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        loop {
            let why = match self.authorized(self.client.get(self.url(path))).send().await {
                Ok(response) if response.status().is_success() => match response.bytes().await {
                    Ok(body) => return serde_json::from_slice(&body).map_err(|e| causes(&e)),
                    Err(error) => causes(&error),
                },
                Ok(response) if response.status().is_server_error() => refused(response).await,
                Ok(response) => return Err(refused(response).await),
                Err(error) => causes(&error),
            };
            say(&format!("cortado: {why}; retrying in {:.1} s", RETRY_DELAY.as_secs_f64()));
            tokio::time::sleep(RETRY_DELAY).await;
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

    async fn send(&self, request: RequestBuilder) -> Result<Response, CliError> {
        let response = self.authorized(request).send().await.map_err(|error| causes(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(refused(response).await) }
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        }
    }
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
            let mut text =
                format!("the server refused the request ({}): {}", problem.code, problem.detail);
            for InvalidField { field, message } in problem.errors {
                text.push_str(&format!("\n  {field}: {message}"));
            }
            text
        }
        Err(_) => format!("the server refused the request: {status}"),
    }
}

/// Formats an error with its causes on one line.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
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
        let api = ApiClient::new(&ClientArgs { server, auth_token: None }).unwrap();
        assert_eq!(api.url("/api/v1/ws").as_str(), "http://host:1/jobs/api/v1/ws");
    }
}
