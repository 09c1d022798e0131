//! Extracts who makes a request. An endpoint that changes something takes [`Acting`] in the place of its state, so that
//! the change is attributed to the caller.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::job_scope::JobScope;
use super::principal::Principal;
use crate::engine::Engine;
use crate::http::Api;
use crate::job::Actor;

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

/// The state of an endpoint whose changes are attributed to the caller.
pub struct Acting<S>(pub S);

/// A state through which changes are made.
pub trait ActsFor: Clone {
    /// The same state, whose changes are attributed to an actor.
    fn acting_for(&self, actor: Option<Actor>) -> Self;
}

impl ActsFor for Engine {
    fn acting_for(&self, actor: Option<Actor>) -> Self {
        self.by(actor)
    }
}

impl ActsFor for Api {
    fn acting_for(&self, actor: Option<Actor>) -> Self {
        let mut api = self.clone();
        api.engine = self.engine.by(actor);
        api
    }
}

impl<S: ActsFor + Send + Sync> FromRequestParts<S> for Acting<S> {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let actor = parts.extensions.get::<Principal>().map(|principal| principal.actor.clone());
        Ok(Acting(state.acting_for(actor)))
    }
}
