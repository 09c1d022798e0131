//! Extracts who makes a request. An endpoint that changes something takes [`Acting`] in the place of its state, so that
//! the change is attributed to the caller.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::authenticator::Authenticator;
use super::job_scope::JobScope;
use super::need::{Need, Restricted};
use super::principal::Principal;
use crate::engine::Engine;
use crate::http::server::client_address::client_of;
use crate::http::{Api, Problem};
use crate::job::Role;

/// Who makes a request; `None` on a server that requires no credentials.
#[derive(Debug, Clone)]
pub struct Caller(pub Option<Principal>);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Caller(parts.extensions.get::<Principal>().cloned()))
    }
}

impl<S: Sync> FromRequestParts<S> for JobScope {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(JobScope::of(parts.extensions.get::<Principal>()))
    }
}

/// Checks that a request has a role although its route is open to everybody, because what it is about needs the role. A
/// router without the layers, in a server of its own, requires nothing.
///
/// # Errors
/// As on a route that needs the role.
pub async fn with_role(parts: &Parts, needed: Role) -> Result<Option<Principal>, Problem> {
    let Some(auth) = parts.extensions.get::<Arc<Authenticator>>() else { return Ok(None) };
    let principal = auth.authenticate(parts, client_of(&parts.extensions).ip()).await?;
    if let Some(principal) = &principal {
        principal.check(Need::Role(needed), Restricted::Allowed)?;
    }
    Ok(principal)
}

/// The state of an endpoint whose changes are attributed to the caller.
pub struct Acting<S>(pub S);

/// A state through which changes are made.
pub trait ActsFor: Clone {
    /// The same state, whose changes are attributed to somebody, and which is restricted as their credentials are.
    fn acting_for(&self, principal: Option<&Principal>) -> Self;
}

impl ActsFor for Engine {
    fn acting_for(&self, principal: Option<&Principal>) -> Self {
        let actor = principal.map(|principal| principal.actor.clone());
        let scope = principal.map(|principal| &principal.scope);
        let restriction = scope.filter(|scope| scope.is_restricted()).cloned().map(Arc::new);
        self.by(actor).restricted_to(restriction)
    }
}

impl ActsFor for Api {
    fn acting_for(&self, principal: Option<&Principal>) -> Self {
        let mut api = self.clone();
        api.engine = self.engine.acting_for(principal);
        api
    }
}

impl<S: ActsFor + Send + Sync> FromRequestParts<S> for Acting<S> {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Acting(state.acting_for(parts.extensions.get::<Principal>())))
    }
}
