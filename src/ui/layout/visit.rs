//! The request for a page: its address, who sends it, and what every page says at its top.

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request;

use super::flash::Flash;
use super::viewer::Viewer;
use crate::engine::Engine;
use crate::http::access::{Authenticator, Principal};
use crate::http::layers::base_path::Address;
use crate::job::SessionId;

/// A request for a page.
#[derive(Debug, Clone)]
pub struct Visit {
    address: Address,
    flash: Option<Flash>,
    is_paused: bool,
    viewer: Viewer,
    principal: Option<Principal>,
    authenticator: Option<Arc<Authenticator>>,
}

impl Visit {
    /// The message about the last action, if the page is the one that shows it.
    pub fn flash(&self) -> Option<&Flash> {
        self.flash.as_ref()
    }

    /// Who looks at the page.
    pub fn viewer(&self) -> &Viewer {
        &self.viewer
    }

    /// Who sends the request; `None` on a server that does not ask.
    pub fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }

    /// The session of the request, if it came in one.
    pub fn session(&self) -> Option<&SessionId> {
        self.principal.as_ref().and_then(Principal::session)
    }

    /// What opens and ends sessions; `None` for pages without the layers of `http`.
    pub fn authenticator(&self) -> Option<&Arc<Authenticator>> {
        self.authenticator.as_ref()
    }

    /// Whether the server waits to be resumed.
    pub fn is_paused(&self) -> bool {
        self.is_paused
    }
}

impl Deref for Visit {
    type Target = Address;

    fn deref(&self) -> &Address {
        &self.address
    }
}

impl FromRequestParts<Engine> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut request::Parts,
        engine: &Engine,
    ) -> Result<Self, Infallible> {
        let flash = Flash::of(&parts.method, &parts.headers);
        let address = Address::from_request_parts(parts, engine).await?;
        let principal = parts.extensions.get::<Principal>().cloned();
        let viewer = Viewer::of(principal.as_ref());
        let authenticator = parts.extensions.get::<Arc<Authenticator>>().cloned();
        let is_paused = engine.is_paused();
        Ok(Visit { address, flash, is_paused, viewer, principal, authenticator })
    }
}
