//! Sessions of browsers. A person enters the token once, in a form, and the browser then sends a cookie. The value of
//! the cookie is derived from the token: it does not reveal the token, and it is invalid once the token is changed.

use axum::http::HeaderMap;
use ring::hmac;
use subtle::ConstantTimeEq;

use super::cookies::cookies;
use crate::http::server::connection_scheme::ConnectionScheme;
use crate::job::Secret;

/// The prefix of the name of the cookie. The name also depends on the token, because cookies do not distinguish ports:
/// two servers on one machine must not overwrite each other's.
const PREFIX: &str = "cortado-session-";

/// The token of the server and the cookie derived from it.
#[derive(Debug, Clone)]
pub struct Session {
    token: Secret<Box<str>>,
    name: Box<str>,
    value: Secret<Box<str>>,
}

impl Session {
    /// Derives the cookie from the token.
    pub fn new(token: &str) -> Session {
        let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
        let derive = |purpose: &str| hex(hmac::sign(&key, purpose.as_bytes()).as_ref());
        let name: String = derive("cortado session name").chars().take(8).collect();
        Session {
            token: Secret::new(token.into()),
            name: format!("{PREFIX}{name}").into(),
            value: Secret::new(derive("cortado session").into()),
        }
    }

    /// Whether a text is the token.
    pub fn accepts(&self, token: &str) -> bool {
        bool::from(token.as_bytes().ct_eq(self.token.expose().as_bytes()))
    }

    /// Whether a request carries the cookie.
    pub fn is_open(&self, headers: &HeaderMap) -> bool {
        cookies(headers).any(|(name, value)| {
            let known = self.value.expose().as_bytes();
            name == &*self.name && bool::from(value.as_bytes().ct_eq(known))
        })
    }

    /// The `Set-Cookie` header that opens the session until the browser is closed. `path` is the base path of the
    /// server; over HTTPS, the cookie is never sent without encryption.
    pub fn opening(&self, path: &str, transport: ConnectionScheme) -> String {
        let (name, value) = (&self.name, self.value.expose());
        format!("{name}={value}{}", attributes(path, transport))
    }

    /// The `Set-Cookie` header that ends the session.
    pub fn closing(&self, path: &str, transport: ConnectionScheme) -> String {
        format!("{}=; Max-Age=0{}", self.name, attributes(path, transport))
    }
}

/// Whether a request carries the cookie of a session, valid or not.
pub fn has_cookie(headers: &HeaderMap) -> bool {
    cookies(headers).any(|(name, _)| name.starts_with(PREFIX))
}

/// Scripts cannot read the cookie, and requests of other sites' pages do not carry it, except for links.
fn attributes(path: &str, transport: ConnectionScheme) -> String {
    let secure = match transport {
        ConnectionScheme::Https => "; Secure",
        ConnectionScheme::Http => "",
    };
    format!("; Path={path}; HttpOnly; SameSite=Lax{secure}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::COOKIE;

    use super::*;

    fn with(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(cookie).unwrap())])
    }

    #[test]
    fn a_session_is_opened_by_its_cookie_and_by_no_other() {
        let session = Session::new("s3cret");
        let opening = session.opening("/", ConnectionScheme::Http);
        let (cookie, attributes) = opening.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");
        assert!(!opening.contains("s3cret"), "{opening}");
        assert!(
            session.is_open(&with(cookie)) && session.is_open(&with(&format!("a=b; {cookie}")))
        );
        let other = Session::new("other").opening("/", ConnectionScheme::Http);
        let (name, value) = cookie.split_once('=').unwrap();
        for bad in ["", "a=b", name, &format!("{name}="), &format!("x={value}"), &other] {
            assert!(!session.is_open(&with(bad)), "{bad}");
        }
        assert!(!session.is_open(&HeaderMap::new()));
        assert!(has_cookie(&with(&other)) && !has_cookie(&with("a=b")));
        assert!(!has_cookie(&with("cortado-flash=job-deleted.7")), "a message is not a session");
    }

    #[test]
    fn a_cookie_of_an_encrypted_session_is_never_sent_without_encryption() {
        let session = Session::new("s3cret");
        assert!(
            session
                .opening("/x", ConnectionScheme::Https)
                .ends_with("Path=/x; HttpOnly; SameSite=Lax; Secure")
        );
        assert!(session.closing("/x", ConnectionScheme::Http).contains("=; Max-Age=0; Path=/x;"));
    }

    #[test]
    fn only_the_token_is_accepted() {
        let session = Session::new("s3cret");
        assert!(session.accepts("s3cret"));
        for bad in ["", "s3cre", "s3cret ", "S3cret"] {
            assert!(!session.accepts(bad), "{bad:?}");
        }
    }
}
