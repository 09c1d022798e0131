//! What a provider says about a person: the claims of a verified ID token, and those of its user info endpoint, which
//! some providers use for groups.

use axum::http::header::{ACCEPT, AUTHORIZATION};
use axum::http::{HeaderValue, Request};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::AccessToken;
use openidconnect::core::CoreIdToken;
use serde_json::{Map, Value};

use super::error::OidcError;
use super::provider_client::ProviderClient;
use crate::http::external::ExternalPerson;
use crate::http::external::group_roles::GroupRoles;
use crate::job::{UserName, causes};

/// The claims about one person.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    /// The claims of an ID token that was verified.
    pub(super) fn of_verified(token: &CoreIdToken) -> Result<Claims, OidcError> {
        let text = token.to_string();
        let payload = text.split('.').nth(1).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let claims = payload.and_then(|payload| serde_json::from_slice(&payload).ok());
        claims.map(Claims).ok_or_else(|| OidcError::Unverified("it has no claims".into()))
    }

    /// Asks the user info endpoint for more claims about the same person. Claims of the ID token remain.
    pub(super) async fn with_user_info(
        mut self,
        client: &ProviderClient,
        endpoint: &str,
        token: &AccessToken,
    ) -> Result<Claims, OidcError> {
        let unavailable = |why: String| OidcError::Unavailable(format!("user info: {why}"));
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.secret()))
            .map_err(|_| unavailable("the access token is not a valid header".into()))?;
        bearer.set_sensitive(true);
        let request = Request::get(endpoint)
            .header(AUTHORIZATION, bearer)
            .header(ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|error| unavailable(error.to_string()))?;
        let answer = client.send(request).await.map_err(|error| unavailable(causes(&error)))?;
        if answer.status() != 200 {
            return Err(unavailable(format!("{endpoint} answered with {}", answer.status())));
        }
        let more: Map<String, Value> = serde_json::from_slice(answer.body())
            .map_err(|_| unavailable(format!("the answer of {endpoint} is no JSON object")))?;
        if more.get("sub") != self.0.get("sub") {
            // Another person's claims (OpenID Connect Core 1.0, 5.3.2)
            return Err(OidcError::Unverified("the user info is about another subject".into()));
        }
        for (name, value) in more {
            self.0.entry(name).or_insert(value);
        }
        Ok(self)
    }

    /// Whether there is such a claim.
    pub(super) fn has(&self, claim: &str) -> bool {
        self.get(claim).is_some()
    }

    /// A claim by its name, or by a path such as `/realm_access/roles` (RFC 6901).
    fn get(&self, claim: &str) -> Option<&Value> {
        let Some(path) = claim.strip_prefix('/') else { return self.0.get(claim) };
        let (first, rest) =
            path.split_once('/').map_or((path, ""), |(first, _)| (first, &path[first.len()..]));
        self.0.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(rest)
    }

    /// The person with the highest role of their groups.
    ///
    /// # Errors
    /// There is no acceptable name, or no group has a role.
    pub(super) fn person(
        &self,
        name_claim: &str,
        groups_claim: &str,
        roles: &GroupRoles,
    ) -> Result<ExternalPerson, OidcError> {
        let name = self.get(name_claim).and_then(Value::as_str);
        let name = name.ok_or_else(|| {
            OidcError::Name(format!("there is no text in the claim {name_claim:?}"))
        })?;
        let name = UserName::parse(name).map_err(|error| OidcError::Name(error.to_string()))?;
        let groups: Vec<&str> = match self.get(groups_claim) {
            Some(Value::Array(groups)) => groups.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(group)) => vec![group],
            Some(_) | None => Vec::new(),
        };
        match roles.role_of(groups) {
            Some(role) => Ok(ExternalPerson { name, role }),
            None => Err(OidcError::NoRole(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::access::Role;

    fn claims(value: Value) -> Claims {
        Claims(serde_json::from_value(value).unwrap())
    }

    #[test]
    fn groups_are_a_list_or_one_text_by_name_or_by_path() {
        let roles = [("ops", Role::Operator), ("staff", Role::Viewer)];
        let roles = roles.map(|(group, role)| (group.to_owned(), role));
        let roles = GroupRoles::new(roles.into(), None);
        for (claim, groups, role) in [
            ("groups", json!({"groups": ["staff", "ops"]}), Some(Role::Operator)),
            ("groups", json!({"groups": "staff"}), Some(Role::Viewer)),
            ("groups", json!({"groups": ["x", 1, null, {"ops": 1}, "staff"]}), Some(Role::Viewer)),
            ("/realm/roles", json!({"realm": {"roles": ["ops"]}}), Some(Role::Operator)),
            ("/a~1b", json!({"a/b": ["ops"]}), Some(Role::Operator)),
            ("https://x/groups", json!({"https://x/groups": ["ops"]}), Some(Role::Operator)),
            ("/realm/roles", json!({"realm": ["ops"]}), None),
            ("/realm/roles", json!({"/realm/roles": ["ops"]}), None),
            ("groups", json!({"groups": {"ops": true}}), None),
            ("groups", json!({"groups": "staff,ops"}), None),
            ("groups", json!({"groups": null}), None),
            ("groups", json!({}), None),
        ] {
            let mut all = claims(groups.clone());
            all.0.insert("login".into(), "anna".into());
            let person = all.person("login", claim, &roles);
            match role {
                Some(role) => assert_eq!(person.unwrap().role, role, "{claim} of {groups}"),
                None => assert!(matches!(person, Err(OidcError::NoRole(_))), "{claim} of {groups}"),
            }
        }
    }

    #[test]
    fn a_person_needs_a_name_that_is_accepted() {
        let roles = GroupRoles::new([].into(), Some(Role::Viewer));
        for (name, is_good) in [
            (json!("anna"), true),
            (json!("anna.b-c_d"), true),
            (json!("an na"), false),
            (json!(""), false),
            (json!("a\u{202e}b"), false),
            (json!("x".repeat(65)), false),
            (json!(7), false),
            (json!(["anna"]), false),
            (json!(null), false),
        ] {
            let person = claims(json!({ "login": name })).person("login", "groups", &roles);
            assert_eq!(person.is_ok(), is_good, "{name}");
            assert!(is_good || matches!(person, Err(OidcError::Name(_))), "{name}");
        }
        let none = claims(json!({})).person("login", "groups", &roles);
        assert!(matches!(none, Err(OidcError::Name(_))));
    }
}
