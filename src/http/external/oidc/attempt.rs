//! What the server must remember between the start of a login and the return of the browser from the provider. It is
//! kept in a cookie of the browser, encrypted and authenticated, so that unfinished logins cost the server no memory.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use super::error::OidcError;
use crate::http::layers::cookies::cookies;
use crate::http::server::connection_scheme::ConnectionScheme;
use crate::job::Time;

/// A login that began and has not ended.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OidcAttempt {
    /// The random text that the provider returns with the browser.
    pub(super) state: String,
    /// The random text that the ID token must contain.
    pub(super) nonce: String,
    /// The secret without which nobody can use the code (PKCE, RFC 7636).
    pub(super) verifier: String,
    /// The page to open afterwards.
    pub(super) next: String,
    /// When the login expires.
    pub(super) until: Time,
}

/// The key that encrypts attempts.
pub(super) struct AttemptKey(LessSafeKey);

impl AttemptKey {
    /// Derives the key from a secret of the server, so that a login survives a restart.
    pub(super) fn new(secret: &[u8]) -> Option<AttemptKey> {
        let mut derived = digest::Context::new(&digest::SHA256);
        derived.update(b"cortado login through an OpenID Connect provider\0");
        derived.update(secret);
        let key = UnboundKey::new(&CHACHA20_POLY1305, derived.finish().as_ref()).ok()?;
        Some(AttemptKey(LessSafeKey::new(key)))
    }

    fn seal(&self, attempt: &OidcAttempt) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut text = serde_json::to_vec(attempt).ok()?;
        let key = Nonce::assume_unique_for_key(nonce);
        self.0.seal_in_place_append_tag(key, Aad::empty(), &mut text).ok()?;
        Some(URL_SAFE_NO_PAD.encode([&nonce[..], &text].concat()))
    }

    fn open(&self, sealed: &str) -> Option<OidcAttempt> {
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, text) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let text = self.0.open_in_place(nonce, Aad::empty(), text).ok()?;
        serde_json::from_slice(text).ok()
    }

    /// The `Set-Cookie` header that keeps an attempt in the browser until it expires.
    pub(super) fn cookie(
        &self,
        attempt: &OidcAttempt,
        now: Time,
        scheme: ConnectionScheme,
    ) -> Option<String> {
        let (name, value) = (cookie_name(&attempt.state, scheme)?, self.seal(attempt)?);
        let age = attempt.until.since(now).as_secs();
        Some(format!("{name}={value}; Max-Age={age}{}", attributes(scheme)))
    }

    /// The attempt that a browser returns with.
    ///
    /// # Errors
    /// [`OidcError::Expired`] if the browser has none of this name or it has expired, and [`OidcError::Mismatch`] if it
    /// has another one.
    pub(super) fn of(
        &self,
        headers: &HeaderMap,
        state: &str,
        now: Time,
        scheme: ConnectionScheme,
    ) -> Result<OidcAttempt, OidcError> {
        let name = cookie_name(state, scheme).ok_or(OidcError::Expired)?;
        let mut sealed = cookies(headers).filter(|(given, _)| *given == name);
        let (_, sealed) = sealed.next().ok_or(OidcError::Expired)?;
        let mismatch = |why: &str| OidcError::Mismatch(why.to_owned());
        let attempt = self.open(sealed).ok_or_else(|| mismatch("the cookie is not valid"))?;
        if !bool::from(subtle::ConstantTimeEq::ct_eq(attempt.state.as_bytes(), state.as_bytes())) {
            return Err(mismatch("the state is not that of the cookie"));
        }
        if attempt.until <= now {
            return Err(OidcError::Expired);
        }
        Ok(attempt)
    }
}

/// The `Set-Cookie` header that removes the attempt, so that it is used only once.
pub(super) fn removal(state: &str, scheme: ConnectionScheme) -> Option<String> {
    Some(format!("{}=; Max-Age=0{}", cookie_name(state, scheme)?, attributes(scheme)))
}

/// The name of the cookie. It depends on the state, so that logins in two tabs do not disturb each other. Over HTTPS, the
/// prefix prevents other hosts of the domain from setting it (RFC 6265bis, 4.1.3.2).
fn cookie_name(state: &str, scheme: ConnectionScheme) -> Option<String> {
    let beginning = state.get(..8)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let prefix = match scheme {
        ConnectionScheme::Https => "__Host-",
        ConnectionScheme::Http => "",
    };
    beginning.bytes().all(is_plain).then(|| format!("{prefix}cortado-oidc-{beginning}"))
}

/// Scripts cannot read the cookie. The provider's redirect is a link of another site, which `Lax` allows.
fn attributes(scheme: ConnectionScheme) -> &'static str {
    match scheme {
        ConnectionScheme::Https => "; Path=/; HttpOnly; SameSite=Lax; Secure",
        ConnectionScheme::Http => "; Path=/; HttpOnly; SameSite=Lax",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::HeaderValue;
    use axum::http::header::COOKIE;

    use super::*;

    fn attempt(until: Time) -> OidcAttempt {
        OidcAttempt {
            state: "abcdefgh-and-more".into(),
            nonce: "the-nonce".into(),
            verifier: "the-verifier".into(),
            next: "jobs?q=ä".into(),
            until,
        }
    }

    fn with(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(cookie).unwrap())])
    }

    #[test]
    fn an_attempt_is_read_back_once_by_the_browser_that_began_it() {
        let now = Time::of(std::time::SystemTime::now());
        let until = now.after(Duration::from_secs(600));
        let (key, other_key) = (AttemptKey::new(b"one").unwrap(), AttemptKey::new(b"two").unwrap());
        let http = ConnectionScheme::Http;
        let set = key.cookie(&attempt(until), now, http).unwrap();
        let (cookie, attributes) = set.split_once("; ").unwrap();
        assert_eq!(attributes, "Max-Age=600; Path=/; HttpOnly; SameSite=Lax");
        for secret in ["and-more", "the-nonce", "the-verifier", "jobs"] {
            assert!(!set.contains(secret), "{set}");
        }
        let of = |cookie: &str, state: &str, now: Time| key.of(&with(cookie), state, now, http);
        let found = of(&format!("a=b; {cookie}"), "abcdefgh-and-more", now);
        assert!(found.unwrap() == attempt(until));

        let mismatch =
            |found: Result<OidcAttempt, OidcError>| matches!(found, Err(OidcError::Mismatch(_)));
        let expired =
            |found: Result<OidcAttempt, OidcError>| found.err() == Some(OidcError::Expired);
        assert!(mismatch(of(cookie, "abcdefgh-and-another", now)));
        assert!(mismatch(of(cookie, "abcdefgh", now)));
        assert!(expired(of(cookie, "abcdefg?-and-more", now)) && expired(of(cookie, "", now)));
        assert!(
            expired(of(cookie, "hgfedcba-and-more", now)) && expired(of("a=b", "abcdefgh", now))
        );
        assert!(expired(of(cookie, "abcdefgh-and-more", until)), "too late");
        assert!(mismatch(other_key.of(&with(cookie), "abcdefgh-and-more", now, http)));
        let (name, value) = cookie.split_once('=').unwrap();
        for broken in ["", "x", &value[1..], &value[..value.len() - 2], &format!("{value}AAAA")] {
            let broken = of(&format!("{name}={broken}"), "abcdefgh-and-more", now);
            assert!(mismatch(broken));
        }
        assert_ne!(set, key.cookie(&attempt(until), now, http).unwrap(), "a fresh nonce each time");
    }

    #[test]
    fn over_https_the_cookie_belongs_to_this_host_alone() {
        let now = Time::of(std::time::SystemTime::now());
        let key = AttemptKey::new(b"one").unwrap();
        let set = key.cookie(&attempt(now), now, ConnectionScheme::Https).unwrap();
        assert!(set.starts_with("__Host-cortado-oidc-abcdefgh="), "{set}");
        assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{set}");
        let removed = removal("abcdefgh-and-more", ConnectionScheme::Https).unwrap();
        assert!(
            removed.starts_with("__Host-cortado-oidc-abcdefgh=; Max-Age=0; Path=/"),
            "{removed}"
        );
    }
}
