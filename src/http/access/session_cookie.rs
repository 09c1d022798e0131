//! The cookie of a browser's session. Its value is a random secret, of which the store has only the hash.

use axum::http::HeaderMap;

use crate::access::SigningKey;
use crate::http::layers::cookies::cookies;
use crate::http::server::connection_scheme::ConnectionScheme;
use crate::job::Secret;

/// The beginning of the name of the cookie.
const NAME: &str = "cortado-session-";

/// The name of the cookie of one server. It depends on the store, because cookies do not distinguish ports: two servers on
/// one machine must not overwrite each other's.
#[derive(Debug, Clone)]
pub struct SessionCookie {
    name: Box<str>,
}

/// Where a browser sends a cookie.
#[derive(Debug, Clone, Copy)]
pub struct CookiePlace<'a> {
    /// The base path of the server without a slash at its end, except for `/` itself.
    pub path: &'a str,
    /// How the browser reaches the server.
    pub scheme: ConnectionScheme,
}

impl SessionCookie {
    /// The cookie of the server whose store has this signing key.
    pub fn of_store(signing_key: &SigningKey) -> SessionCookie {
        let tag = signing_key.sign(b"cortado session name");
        let tag: String = tag.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        SessionCookie { name: format!("{NAME}{tag}").into() }
    }

    /// The secret that a request carries. Over HTTPS, only a cookie with a prefix counts: browsers accept one only over
    /// HTTPS, and `__Host-` only from this host itself.
    pub fn secret_of<'h>(&self, headers: &'h HeaderMap, place: CookiePlace<'_>) -> Option<&'h str> {
        let wanted = self.name(place);
        cookies(headers).find(|(name, _)| *name == wanted).map(|(_, value)| value)
    }

    /// The `Set-Cookie` header that gives a browser the secret of a session, for as long as the session can last.
    pub fn opening(&self, secret: &Secret, max_age: u64, place: CookiePlace<'_>) -> String {
        let (name, secret) = (self.name(place), secret.expose());
        format!("{name}={secret}; Max-Age={max_age}{}", attributes(place))
    }

    /// The `Set-Cookie` header that makes a browser forget the session.
    pub fn closing(&self, place: CookiePlace<'_>) -> String {
        format!("{}=; Max-Age=0{}", self.name(place), attributes(place))
    }

    /// The name, with the prefix that makes browsers enforce what the attributes say.
    fn name(&self, place: CookiePlace<'_>) -> String {
        let prefix = match place.scheme {
            ConnectionScheme::Http => "",
            ConnectionScheme::Https if place.path == "/" => "__Host-",
            ConnectionScheme::Https => "__Secure-",
        };
        format!("{prefix}{}", self.name)
    }
}

/// Whether a request carries the cookie of a session, valid or not.
pub fn has_session_cookie(headers: &HeaderMap) -> bool {
    cookies(headers).any(|(name, _)| {
        let name = name.strip_prefix("__Host-").or(name.strip_prefix("__Secure-")).unwrap_or(name);
        name.starts_with(NAME)
    })
}

/// Scripts cannot read the cookie, and requests of other sites' pages do not carry it, except for links.
fn attributes(place: CookiePlace<'_>) -> String {
    let secure = match place.scheme {
        ConnectionScheme::Https => "; Secure",
        ConnectionScheme::Http => "",
    };
    format!("; Path={}; HttpOnly; SameSite=Lax{secure}", place.path)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::COOKIE;

    use super::*;

    fn with(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(cookie).unwrap())])
    }

    fn place(path: &str, scheme: ConnectionScheme) -> CookiePlace<'_> {
        CookiePlace { path, scheme }
    }

    #[test]
    fn the_name_says_how_the_cookie_is_protected() {
        let cookie = SessionCookie::of_store(&SigningKey::from_bytes([1; 32]));
        let (http, https) = (ConnectionScheme::Http, ConnectionScheme::Https);
        for (place, prefix, attributes) in [
            (place("/", http), "cortado-session-", "; Path=/; HttpOnly; SameSite=Lax"),
            (place("/x", http), "cortado-session-", "; Path=/x; HttpOnly; SameSite=Lax"),
            (place("/", https), "__Host-cortado-", "; Path=/; HttpOnly; SameSite=Lax; Secure"),
            (place("/x", https), "__Secure-cortado-", "; Path=/x; HttpOnly; SameSite=Lax; Secure"),
        ] {
            let opening = cookie.opening(&"s3cret".into(), 60, place);
            assert!(opening.starts_with(prefix), "{opening}");
            assert!(opening.ends_with(&format!("=s3cret; Max-Age=60{attributes}")), "{opening}");
            let closing = cookie.closing(place);
            assert!(closing.ends_with(&format!("=; Max-Age=0{attributes}")), "{closing}");
            let sent = with(&format!("a=b; {}", opening.split(';').next().unwrap()));
            assert_eq!(cookie.secret_of(&sent, place), Some("s3cret"));
            assert!(has_session_cookie(&sent));
            assert_eq!(
                SessionCookie::of_store(&SigningKey::from_bytes([2; 32])).secret_of(&sent, place),
                None
            );
        }
    }

    #[test]
    fn over_https_only_a_cookie_that_was_set_over_https_counts() {
        let cookie = SessionCookie::of_store(&SigningKey::from_bytes([1; 32]));
        let plain = cookie.opening(&"s3cret".into(), 60, place("/", ConnectionScheme::Http));
        let plain = with(plain.split(';').next().unwrap());
        assert_eq!(cookie.secret_of(&plain, place("/", ConnectionScheme::Https)), None);
        assert!(!has_session_cookie(&with("cortado-flash=job-deleted.7")));
    }
}
