//! The user whom a reverse proxy has authenticated and names in a header, such as `Remote-User`. Only the connections of
//! trusted proxies may carry these headers; from all others they are removed before anything reads them.

use axum::http::{HeaderMap, HeaderName};

use super::ExternalPerson;
use super::group_roles::GroupRoles;
use crate::http::layers::header_list::at_most_one;
use crate::job::UserName;

/// How a reverse proxy names the users whom it has authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyUsers {
    /// The header with the name of the user.
    pub user_header: HeaderName,
    /// The header with the groups of the user.
    pub groups_header: Option<HeaderName>,
    /// What separates two groups in that header.
    pub groups_separator: String,
    /// The roles of the groups.
    pub roles: GroupRoles,
}

/// Why a request with the header of a trusted proxy is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyUserError {
    /// The proxy has passed on a header of the client beside its own, or the value is no text.
    #[error(
        "the header {0} must be sent once, by the proxy, and contain visible ASCII characters only"
    )]
    Ambiguous(HeaderName),
    /// The name is not one that this server accepts.
    #[error("the name in the header {header} is not accepted: {accepted}")]
    Name {
        /// The header.
        header: HeaderName,
        /// What is accepted.
        accepted: &'static str,
    },
    /// No group of the user has a role.
    #[error("no group of user {0} has a role on this server")]
    NoRole(UserName),
}

impl ProxyUsers {
    /// The user whom a trusted proxy names. `None` means that the proxy names nobody: the header is missing or empty.
    ///
    /// # Errors
    /// The headers are ambiguous, the name is invalid, or the user has no role.
    pub fn identify(&self, headers: &HeaderMap) -> Result<Option<ExternalPerson>, ProxyUserError> {
        let Some(name) = single(headers, &self.user_header)? else { return Ok(None) };
        let name = UserName::parse(name).map_err(|invalid| ProxyUserError::Name {
            header: self.user_header.clone(),
            accepted: invalid.accepted,
        })?;
        let groups = match &self.groups_header {
            Some(header) => single(headers, header)?.unwrap_or_default(),
            None => "",
        };
        let groups = groups.split(self.groups_separator.as_str()).map(str::trim);
        match self.roles.role_of(groups) {
            Some(role) => Ok(Some(ExternalPerson { name, role })),
            None => Err(ProxyUserError::NoRole(name)),
        }
    }

    /// Removes the headers from a request that no trusted proxy has sent.
    pub fn remove_from(&self, headers: &mut HeaderMap) {
        headers.remove(&self.user_header);
        if let Some(header) = &self.groups_header {
            headers.remove(header);
        }
    }
}

/// The value of a header that may occur once. An empty value is the same as none.
fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, ProxyUserError> {
    let ambiguous = || ProxyUserError::Ambiguous(name.clone());
    let Some(value) = at_most_one(headers, name).map_err(|_| ambiguous())? else {
        return Ok(None);
    };
    let value = value.to_str().map_err(|_| ambiguous())?.trim();
    Ok((!value.is_empty()).then_some(value))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use axum::http::HeaderValue;

    use super::*;
    use crate::access::Role;

    fn users(of_others: Option<Role>) -> ProxyUsers {
        let roles = [("ops", Role::Operator), ("staff", Role::Viewer)];
        let roles: BTreeMap<_, _> = roles.map(|(group, role)| (group.to_owned(), role)).into();
        ProxyUsers {
            user_header: HeaderName::from_static("remote-user"),
            groups_header: Some(HeaderName::from_static("remote-groups")),
            groups_separator: ",".into(),
            roles: GroupRoles::new(roles, of_others),
        }
    }

    fn headers(lines: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn the_headers_of_a_proxy_name_one_user_with_a_role_or_nobody() {
        type Lines = &'static [(&'static str, &'static [u8])];
        type Named = Result<Option<(&'static str, Role)>, &'static str>;
        let cases: [(Lines, Named); 15] = [
            (&[], Ok(None)),
            (&[("remote-user", b"")], Ok(None)),
            (&[("remote-user", b"  ")], Ok(None)),
            (&[("remote-groups", b"ops")], Ok(None)),
            (
                &[("remote-user", b"anna"), ("remote-groups", b"staff")],
                Ok(Some(("anna", Role::Viewer))),
            ),
            (
                &[("remote-user", b"anna"), ("remote-groups", b"other, ops ,staff")],
                Ok(Some(("anna", Role::Operator))),
            ),
            (&[("remote-user", b"anna"), ("remote-groups", b"other")], Err("no group")),
            (&[("remote-user", b"anna"), ("remote-groups", b"")], Err("no group")),
            (&[("remote-user", b"anna")], Err("no group")),
            (&[("remote-user", b"anna"), ("remote-groups", b"ops|staff")], Err("no group")),
            (
                &[("remote-user", b"anna"), ("remote-user", b"root")],
                Err("remote-user must be sent once"),
            ),
            (
                &[("remote-user", b"anna"), ("remote-user", b"anna")],
                Err("remote-user must be sent once"),
            ),
            (&[("remote-user", b"an na"), ("remote-groups", b"ops")], Err("not accepted: use")),
            (
                &[("remote-user", b"\xe4nna"), ("remote-groups", b"ops")],
                Err("remote-user must be sent once"),
            ),
            (
                &[("remote-user", b"anna"), ("remote-groups", b"staff"), ("remote-groups", b"ops")],
                Err("remote-groups must be sent once"),
            ),
        ];
        for (lines, expected) in cases {
            let got = users(None).identify(&headers(lines));
            match expected {
                Ok(expected) => {
                    let got = got.unwrap().map(|person| (person.name.to_string(), person.role));
                    let expected = expected.map(|(name, role)| (name.to_owned(), role));
                    assert_eq!(got, expected, "{lines:?}");
                }
                Err(expected) => {
                    let why = got.unwrap_err().to_string();
                    assert!(why.contains(expected), "{lines:?}: {why}");
                }
            }
        }
        let anna = headers(&[("remote-user", b"anna")]);
        let anna = users(Some(Role::Submitter)).identify(&anna).unwrap().unwrap();
        assert_eq!(anna.role, Role::Submitter);
    }

    #[test]
    fn nothing_reads_the_headers_of_a_client_that_is_no_trusted_proxy() {
        let mut headers = headers(&[
            ("remote-user", b"anna"),
            ("remote-user", b"root"),
            ("remote-groups", b"ops"),
            ("accept", b"*/*"),
        ]);
        users(None).remove_from(&mut headers);
        assert_eq!(headers.len(), 1);
        assert_eq!(users(None).identify(&headers), Ok(None));
    }
}
