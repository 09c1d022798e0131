//! The request for a page: its address, and the message about the last action that the page shows.

use std::convert::Infallible;
use std::ops::Deref;

use axum::extract::FromRequestParts;
use axum::http::request;

use super::flash::Flash;
use crate::http::layers::base_path::Address;

/// A request for a page.
#[derive(Debug, Clone)]
pub struct Visit {
    address: Address,
    flash: Option<Flash>,
}

impl Visit {
    /// The message about the last action, if the page is the one that shows it.
    pub fn flash(&self) -> Option<&Flash> {
        self.flash.as_ref()
    }
}

impl Deref for Visit {
    type Target = Address;

    fn deref(&self) -> &Address {
        &self.address
    }
}

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, Infallible> {
        let flash = Flash::of(&parts.method, &parts.headers);
        Ok(Visit { address: Address::from_request_parts(parts, state).await?, flash })
    }
}
