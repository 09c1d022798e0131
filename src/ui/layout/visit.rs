//! The request for a page: its address, and what every page says at its top.

use std::convert::Infallible;
use std::ops::Deref;

use axum::extract::FromRequestParts;
use axum::http::request;

use super::flash::Flash;
use crate::engine::Engine;
use crate::http::layers::base_path::Address;

/// A request for a page.
#[derive(Debug, Clone)]
pub struct Visit {
    address: Address,
    flash: Option<Flash>,
    is_paused: bool,
}

impl Visit {
    /// The message about the last action, if the page is the one that shows it.
    pub fn flash(&self) -> Option<&Flash> {
        self.flash.as_ref()
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
        Ok(Visit { address, flash, is_paused: engine.is_paused() })
    }
}
