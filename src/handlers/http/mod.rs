//! The kind `http` sends one request to a public address; the status decides what becomes of the job. Requests are
//! signed as Standard Webhooks when a secret is configured.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Certificate, Client, StatusCode, redirect};
use tracing::warn;
use url::Url;

use super::guard::{Checked, Guard, RefusedTarget, Resolver};
use super::{discard, retry};
use crate::clock::{Clock, SystemClock};
use crate::engine::{AttemptContext, KindHandler, OpenCallback};
use crate::job::schema::Violation;
use crate::job::{Json, Outcome};

mod authorities;
mod error_text;
mod reply;
mod request;
mod settings;
mod signer;
#[cfg(test)]
mod tests;

pub use authorities::read_authorities;
use error_text::describe;
use request::HttpPayload;
pub use settings::{HttpSettings, SystemAuthorities};
pub use signer::Signer;

pub(super) const ABOUT: &str = "Sends an HTTP request. 2xx is success; 408, 425, 429 and 5xx are retried; \
     other responses discard the job.";
pub(super) const EXAMPLE: &str =
    r#"{"method": "GET", "url": "https://example.com/", "headers": {"accept": "text/html"}}"#;

pub(super) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "required": ["url"],
  "properties": {
    "url": {"type": "string", "title": "URL", "format": "uri", "description": "Where to send the request."},
    "method": {"type": ["string", "null"], "title": "Method", "pattern": "^[A-Za-z]+$",
      "description": "By default POST if there is a body, otherwise GET."},
    "headers": {"type": "object", "title": "Headers", "description": "A JSON object with a string for each header name.",
      "additionalProperties": {"not": {"const": "(not shown)"}}},
    "body": {"title": "Body",
      "description": "Any JSON. A string is sent as is, anything else as application/json."},
    "timeout_ms": {"type": ["integer", "null"], "title": "Timeout in milliseconds", "minimum": 1,
      "maximum": 604800000, "description": "The time limit for the whole request, at most seven days."}
  }
}"#;

/// The handler of `http`.
pub struct Http {
    settings: HttpSettings,
    guard: Guard,
    /// The client for all targets that the guard checks; it connects only to allowed addresses.
    guarded: Client,
    /// The client for sites that the operator allowed by name and port; it connects to any address.
    allowed: Client,
}

impl Http {
    /// Builds the clients.
    ///
    /// # Errors
    /// TLS cannot be set up, or a file of certificate authorities cannot be used.
    pub fn new(settings: &HttpSettings) -> Result<Self, HttpSetupError> {
        // An error means that the embedding program has chosen a provider already, which is used then.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let guard = Guard::new(&settings.allow);
        let resolver = Arc::new(Resolver(guard.clone()));
        let mut authorities = Vec::new();
        for path in &settings.ca_files {
            authorities.extend(read_authorities(path).map_err(HttpSetupError::Authorities)?);
        }
        let system = settings.system_authorities;
        let guarded = build(|| plain().dns_resolver(resolver.clone()), &authorities, system)?;
        let allowed = build(plain, &authorities, system)?;
        Ok(Http { settings: settings.clone(), guard, guarded, allowed })
    }

    /// Sends the request, with the address of the callback if there is one.
    async fn send(
        &self,
        context: &AttemptContext,
        payload: HttpPayload,
        callback: Option<HeaderValue>,
    ) -> Sent {
        let (url, checked) = match self.guard.check(&payload.url) {
            Ok(target) => target,
            Err(refused) => return Sent::Ended(discard(refused.to_string())),
        };
        let client = match checked {
            Checked::Guarded => &self.guarded,
            Checked::Allowed => &self.allowed,
        };
        let now = SystemClock.now();
        let signing = self.settings.signer.as_ref().map(|signer| (signer, context.id(), now));
        let mut request = match request::build(client, url, payload, signing) {
            Ok(request) => request,
            Err(error) => return Sent::Ended(discard(error)),
        };
        let may_report = callback.is_some();
        if let Some(address) = callback {
            request.headers_mut().insert(CALLBACK, address);
        }
        let begin = Instant::now();
        match client.execute(request).await {
            Ok(response) if may_report && response.status() == StatusCode::ACCEPTED => {
                Sent::Accepted
            }
            Ok(response) => Sent::Ended(reply::outcome(response, &self.settings, begin, now).await),
            Err(error) => Sent::Ended(failed(error)),
        }
    }

    /// Begins to accept reports about the attempt. `None` if the server does not know its own address.
    fn open_callback(&self, context: &AttemptContext) -> Option<(OpenCallback, HeaderValue)> {
        let base_url = self.settings.base_url.as_ref()?;
        let callback = context.open_callback()?;
        let address = callback_address(base_url, &callback.lease())?;
        Some((callback, address))
    }
}

/// What has become of a request.
enum Sent {
    /// The attempt has ended.
    Ended(Outcome),
    /// The target has accepted the work, and reports its end through the callback.
    Accepted,
}

/// The header with the address to which the target can report.
const CALLBACK: HeaderName = HeaderName::from_static("cortado-callback");

/// The address of the callback with a lease.
fn callback_address(base_url: &Url, lease: &str) -> Option<HeaderValue> {
    let address = format!("{}/api/v1/leases/{lease}", base_url.as_str().trim_end_matches('/'));
    HeaderValue::try_from(address).ok()
}

/// Waits for the outcome that a callback reports; for ever without a callback.
async fn reported(callback: Option<&OpenCallback>) -> Outcome {
    match callback {
        Some(callback) => callback.outcome().await,
        None => std::future::pending().await,
    }
}

impl KindHandler<HttpPayload> for Http {
    async fn run(&self, context: AttemptContext, payload: HttpPayload) -> Outcome {
        let timeout = payload.timeout_ms.map_or(self.settings.timeout, Duration::from_millis);
        let (callback, address) = self.open_callback(&context).unzip();
        let sent = tokio::select! {
            biased;
            // A report ends the attempt at once, whatever the response would be.
            outcome = reported(callback.as_ref()) => return outcome,
            sent = self.send(&context, payload, address) => sent,
            () = tokio::time::sleep(timeout) => {
                Sent::Ended(retry(format!("no complete response within {} ms", timeout.as_millis())))
            }
            () = context.cancelled() => Sent::Ended(Outcome::Cancel),
        };
        let outcome = match (sent, &callback) {
            (Sent::Ended(outcome), _) => outcome,
            // The timeout of the job bounds this wait.
            (Sent::Accepted, Some(callback)) => tokio::select! {
                biased;
                outcome = callback.outcome_or_stop() => return outcome,
                () = context.cancelled() => Outcome::Cancel,
            },
            // Without a callback, no request is accepted.
            (Sent::Accepted, None) => Outcome::Cancel,
        };
        // A report that came before counts.
        callback.and_then(|callback| callback.close()).unwrap_or(outcome)
    }

    fn check(&self, payload: &Json) -> Vec<Violation> {
        request::check(payload)
    }
}

/// Without proxies from the environment and without redirects, because the guard does not check those.
fn plain() -> reqwest::ClientBuilder {
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10))
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(8)
        .user_agent(concat!("cortado/", env!("CARGO_PKG_VERSION")))
}

/// Why the clients cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum HttpSetupError {
    /// The HTTP library cannot be set up.
    #[error(transparent)]
    Client(#[from] reqwest::Error),
    /// A file of certificate authorities cannot be used.
    #[error("{0}")]
    Authorities(String),
}

/// Builds a client that trusts these certificate authorities and, unless they are to be ignored, those of the system. If
/// there is none at all, plain HTTP still works and HTTPS is refused.
fn build(
    builder: impl Fn() -> reqwest::ClientBuilder,
    authorities: &[Certificate],
    system: SystemAuthorities,
) -> Result<Client, reqwest::Error> {
    let own = || authorities.iter().cloned();
    match system {
        SystemAuthorities::Ignored => builder().tls_certs_only(own()).build(),
        SystemAuthorities::Trusted => builder().tls_certs_merge(own()).build().or_else(|error| {
            warn!(
                error = describe(error),
                "no system certificates found, the http kind will refuse HTTPS"
            );
            builder().tls_certs_only(own()).build()
        }),
    }
}

/// The outcome of a request without an answer: a retry, unless the guard refused the target.
fn failed(error: reqwest::Error) -> Outcome {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if let Some(refused) = inner.downcast_ref::<RefusedTarget>() {
            return discard(refused.to_string());
        }
        cause = inner.source();
    }
    retry(describe(error))
}
