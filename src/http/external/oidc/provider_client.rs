//! The HTTP client for requests to the provider: encrypted, with bounds on time and size, and without redirects.

use std::pin::Pin;
use std::time::Duration;

use axum::http::header::HeaderMap;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use reqwest::{Client, redirect};

use super::settings::is_confidential;
use crate::job::causes;

/// A client for requests to the provider.
#[derive(Debug, Clone)]
pub(super) struct ProviderClient {
    client: Client,
    timeout: Duration,
    max_response: usize,
}

/// Why a request to the provider has no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum ProviderRequestError {
    /// The request could not be built.
    #[error("the request is not valid: {0}")]
    Invalid(String),
    /// The provider's configuration names a URL without encryption.
    #[error("{0} is not encrypted: https is expected")]
    NotEncrypted(String),
    /// There was no complete answer in time.
    #[error("{url} did not answer completely within {timeout:?}")]
    TimedOut {
        /// Where the request went.
        url: String,
        /// How long the answer may take.
        timeout: Duration,
    },
    /// The answer is larger than the settings allow.
    #[error("the answer of {url} is larger than {max} bytes (oidc.max_response)")]
    TooLarge {
        /// Where the request went.
        url: String,
        /// The largest answer.
        max: usize,
    },
    /// The connection failed.
    #[error("{url} cannot be reached: {why}")]
    Failed {
        /// Where the request went.
        url: String,
        /// The error with its causes.
        why: String,
    },
}

impl ProviderClient {
    /// Builds the client with the certificates of the system.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(super) fn new(timeout: Duration, max_response: usize) -> Result<Self, reqwest::Error> {
        // Only the first call in a process installs the provider of cryptography; later ones find it installed.
        rustls::crypto::ring::default_provider().install_default().ok();
        let builder = || {
            Client::builder()
                .redirect(redirect::Policy::none())
                .user_agent(concat!("cortado/", env!("CARGO_PKG_VERSION")))
        };
        // Without certificates of the system, only a provider on this machine can be used.
        let client = builder().build().or_else(|_| builder().tls_certs_only([]).build())?;
        Ok(ProviderClient { client, timeout, max_response })
    }

    /// Sends a request and reads the whole answer.
    pub(super) async fn send(
        &self,
        request: HttpRequest,
    ) -> Result<HttpResponse, ProviderRequestError> {
        let request = reqwest::Request::try_from(request);
        let request = request.map_err(|error| ProviderRequestError::Invalid(describe(error)))?;
        // The URL without its query names the endpoint; a query could hold a secret.
        let mut url = request.url().clone();
        url.set_query(None);
        if !is_confidential(&url) {
            return Err(ProviderRequestError::NotEncrypted(url.into()));
        }
        let url = String::from(url);
        match tokio::time::timeout(self.timeout, self.read(request, &url)).await {
            Ok(answer) => answer,
            Err(_) => Err(ProviderRequestError::TimedOut { url, timeout: self.timeout }),
        }
    }

    async fn read(
        &self,
        request: reqwest::Request,
        url: &str,
    ) -> Result<HttpResponse, ProviderRequestError> {
        let failed =
            |error| ProviderRequestError::Failed { url: url.to_owned(), why: describe(error) };
        let mut answer = self.client.execute(request).await.map_err(failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > self.max_response {
                let max = self.max_response;
                return Err(ProviderRequestError::TooLarge { url: url.to_owned(), max });
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = HttpResponse::new(body);
        *response.status_mut() = answer.status();
        *response.headers_mut() = HeaderMap::clone(answer.headers());
        Ok(response)
    }
}

impl<'c> AsyncHttpClient<'c> for ProviderClient {
    type Error = ProviderRequestError;
    type Future =
        Pin<Box<dyn Future<Output = Result<HttpResponse, ProviderRequestError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

/// Describes an error with its causes and without the URL.
fn describe(error: reqwest::Error) -> String {
    causes(&error.without_url())
}
