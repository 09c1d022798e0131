//! The provider's configuration and keys. They are fetched when the first person logs in, not at the start, so that an
//! outage of the provider does not affect the server, and fetched again when they are old or lack a key.

use std::sync::Arc;
use std::time::Duration;

use openidconnect::IssuerUrl;
use openidconnect::core::CoreProviderMetadata;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error::OidcError;
use super::provider_client::ProviderClient;
use crate::job::causes;

/// The provider's configuration and keys.
#[derive(Debug)]
pub(super) struct Provider {
    issuer: IssuerUrl,
    client: ProviderClient,
    refresh: Duration,
    /// The lock is held while a request is under way, so that many logins at once make one request.
    state: Mutex<ProviderState>,
}

#[derive(Debug, Default)]
struct ProviderState {
    known: Option<(Arc<CoreProviderMetadata>, Instant)>,
    failed: Option<(OidcError, Instant)>,
}

/// How long an unavailable provider is not asked again. Without this pause, logins that wait for the lock would each
/// take as long as the timeout of the one before.
const PAUSE: Duration = Duration::from_secs(3);

impl Provider {
    pub(super) fn new(issuer: IssuerUrl, client: ProviderClient, refresh: Duration) -> Provider {
        Provider { issuer, client, refresh, state: Mutex::default() }
    }

    /// The configuration and the keys, at most as old as the settings allow. If the provider is not available, older
    /// ones are used.
    pub(super) async fn metadata(&self) -> Result<Arc<CoreProviderMetadata>, OidcError> {
        let mut state = self.state.lock().await;
        let known = state.known.clone();
        match known {
            Some((metadata, since)) if since.elapsed() < self.refresh => Ok(metadata),
            Some((older, _)) => Ok(self.fetch(&mut state).await.unwrap_or(older)),
            None => self.fetch(&mut state).await,
        }
    }

    /// The configuration and the keys that the provider has now, because `older` lack a key.
    pub(super) async fn newer_than(
        &self,
        older: &Arc<CoreProviderMetadata>,
    ) -> Result<Arc<CoreProviderMetadata>, OidcError> {
        let mut state = self.state.lock().await;
        match &state.known {
            Some((metadata, _)) if !Arc::ptr_eq(metadata, older) => Ok(metadata.clone()),
            Some(_) | None => self.fetch(&mut state).await,
        }
    }

    async fn fetch(
        &self,
        state: &mut ProviderState,
    ) -> Result<Arc<CoreProviderMetadata>, OidcError> {
        if let Some((error, since)) = &state.failed
            && since.elapsed() < PAUSE
        {
            return Err(error.clone());
        }
        let fetched = CoreProviderMetadata::discover_async(self.issuer.clone(), &self.client).await;
        match fetched {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                *state =
                    ProviderState { known: Some((metadata.clone(), Instant::now())), failed: None };
                Ok(metadata)
            }
            Err(error) => {
                let error = OidcError::Unavailable(causes(&error));
                state.failed = Some((error.clone(), Instant::now()));
                Err(error)
            }
        }
    }
}
