//! One server as the client commands see it: its address, its token, and the requests they make.
//! A problem document becomes one readable line.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, RequestBuilder, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::Failed;
use super::output::say;
use crate::config::ClientArgs;

/// A client for the server's HTTP API.
///
/// # Errors
/// When the TLS library cannot be set up.
pub fn http_client() -> reqwest::Result<Client> {
    // The first call of the process wins; a later one finds a provider installed, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    Client::builder().no_proxy().build()
}

/// Between two attempts to read.
const AGAIN: Duration = Duration::from_secs(1);

/// A server to talk to.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
    base: Url,
    /// `Bearer …`, when the server asks for a token.
    authorization: Option<HeaderValue>,
}

impl Api {
    /// The server that the arguments name.
    ///
    /// # Errors
    /// When the token cannot be sent or the TLS library cannot be set up.
    pub fn new(args: &ClientArgs) -> Result<Api, Failed> {
        let client = http_client().map_err(|error| causes(&error))?;
        let authorization = match &args.auth_token {
            Some(token) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                    .map_err(|_| "the token has characters that cannot be sent".to_owned())?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        Ok(Api { client, base: args.server.clone(), authorization })
    }

    /// The address of a path of the API, below whatever path the server's address has.
    pub fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url.set_query(None);
        url
    }

    /// What `Authorization` must carry.
    pub fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// Reads one path as JSON. While the server is away or cannot answer it says so and tries again.
    ///
    /// # Errors
    /// When the server refuses for good.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failed> {
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
            say(&format!("cortado: {why}; trying again in {:.1} s", AGAIN.as_secs_f64()));
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Reads one path, once.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn get(&self, path: &str) -> Result<Response, Failed> {
        self.send(self.client.get(self.url(path))).await
    }

    /// Posts JSON.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn post<T: serde::Serialize>(
        &self,
        path: &str,
        body: &T,
    ) -> Result<Response, Failed> {
        self.send(self.client.post(self.url(path)).json(body)).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failed> {
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

async fn refused(response: Response) -> Failed {
    let status = response.status();
    let body = response.bytes().await.unwrap_or_default();
    refusal(&status.to_string(), &body)
}

/// A problem document as text; the status alone when the body is none.
pub fn refusal(status: &str, body: &[u8]) -> Failed {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
        code: String,
        #[serde(default)]
        errors: Vec<Field>,
    }
    #[derive(Deserialize)]
    struct Field {
        field: String,
        message: String,
    }
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => {
            let mut text = format!("the server refused ({}): {}", problem.code, problem.detail);
            for Field { field, message } in problem.errors {
                text.push_str(&format!("\n  {field}: {message}"));
            }
            text
        }
        Err(_) => format!("the server refused: {status}"),
    }
}

/// An error with its causes on one line.
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
        let body = br#"{"code":"invalid_job","detail":"some fields are not acceptable",
            "errors":[{"field":"queue","message":"too long"}]}"#;
        let text = refusal("422", body);
        assert!(text.contains("(invalid_job)") && text.ends_with("\n  queue: too long"), "{text}");
        assert_eq!(refusal("502 Bad Gateway", b"<html>"), "the server refused: 502 Bad Gateway");
    }

    #[test]
    fn a_server_may_live_below_a_path() {
        let server = "http://host:1/jobs/?x".parse().unwrap();
        let api = Api::new(&ClientArgs { server, auth_token: None }).unwrap();
        assert_eq!(api.url("/api/v1/ws").as_str(), "http://host:1/jobs/api/v1/ws");
    }
}
