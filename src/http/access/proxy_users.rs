//! The users whom a trusted reverse proxy names in the headers of its requests.

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::authenticator::Authenticator;
use super::in_process::by_program;
use super::principal::{Credential, Principal, forbidden};
use crate::access::Scope;
use crate::http::Problem;
use crate::http::server::client_address::ThroughTrustedProxy;
use crate::job::Actor;

impl Authenticator {
    /// Removes the headers by which a proxy names users from a request that no trusted proxy has sent.
    pub fn remove_untrusted(&self, parts: &mut Parts) {
        if let Some(users) = &self.proxy_users
            && parts.extensions.get::<ThroughTrustedProxy>().is_none()
        {
            users.remove_from(&mut parts.headers);
        }
    }

    /// Who makes a request that needs no credentials, as far as its headers say.
    pub fn known(&self, parts: &Parts) -> Option<Principal> {
        // The header of a proxy that is refused elsewhere names nobody here.
        by_program(parts)
            .or_else(|| self.by_proxy(parts).ok().flatten())
            .or_else(|| self.by_cookie(parts))
    }

    /// The principal of the user whom a trusted proxy names. A program that sends a token is not the user.
    ///
    /// # Errors
    /// 403 if the proxy does not name one user with a role. A user of this server logs in here.
    pub(super) fn by_proxy(&self, parts: &Parts) -> Result<Option<Principal>, Problem> {
        let Some(users) = &self.proxy_users else { return Ok(None) };
        let is_trusted = parts.extensions.get::<ThroughTrustedProxy>().is_some();
        if !is_trusted || has_bearer(parts) {
            return Ok(None);
        }
        let person = users.identify(&parts.headers);
        let Some(person) = person.map_err(|error| forbidden(error.to_string()))? else {
            return Ok(None);
        };
        if let Some(user) = self.table().user_like(&person.name) {
            let (name, header) = (&user.name, &users.user_header);
            return Err(forbidden(format!(
                "the header {header} of the proxy names {name}, who is a user of this server: it may name only people who \
                 are not; delete the user {name}, or let {name} log in here without the header"
            )));
        }
        Ok(Some(Principal {
            actor: Actor::User(person.name.clone()),
            scope: Scope::of(person.role),
            credential: Credential::Proxy(person),
        }))
    }
}

fn has_bearer(parts: &Parts) -> bool {
    let scheme = parts.headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().get(..7));
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "))
}
