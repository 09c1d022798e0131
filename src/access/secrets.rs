//! Secrets of 256 random bits: the texts of tokens and of session cookies, of which only hashes are stored, and the key
//! that signs share links.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac};
use subtle::ConstantTimeEq;

use crate::job::Secret;
use crate::job::secret::NOT_SHOWN;

/// The beginning of every token, by which people and scanners of repositories recognize one.
const TOKEN_PREFIX: &str = "cortado_";
/// The number of characters of 256 bits in base64.
const SECRET_LENGTH: usize = 43;

/// The SHA-256 hash of a secret, or a fingerprint of a credential. It is stored and never shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Hashes a secret. A secret of 256 random bits needs no slow hash.
    pub fn of(secret: &str) -> SecretHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
        SecretHash(hash)
    }

    /// A hash as it was stored.
    pub fn from_bytes(bytes: [u8; 32]) -> SecretHash {
        SecretHash(bytes)
    }

    /// The bytes, to be stored.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether two hashes are the same, in constant time.
    pub fn is(&self, other: &SecretHash) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NOT_SHOWN)
    }
}

/// The system gave no random bytes, so that no secret can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandomness;

/// A new secret of 256 random bits: 43 characters that can be used in a header, a cookie or a URL.
pub(super) fn fresh_secret() -> Result<Secret, NoRandomness> {
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(random::<32>()?)))
}

/// The text of a new token.
pub(super) fn fresh_token() -> Result<Secret, NoRandomness> {
    Ok(Secret::new(format!("{TOKEN_PREFIX}{}", fresh_secret()?.expose())))
}

/// A new password for a person: 120 random bits in four groups of letters and digits that do not look alike.
///
/// # Errors
/// When the system gives no random bytes.
pub fn generate_password() -> Result<Secret, NoRandomness> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let characters = random::<24>()?.map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    let groups: Vec<String> = characters.chunks(6).map(|group| group.iter().collect()).collect();
    Ok(Secret::new(groups.join("-")))
}

/// A new public id: 16 hexadecimal digits.
pub(super) fn fresh_id<T: FromStr>() -> Result<T, NoRandomness> {
    let digits: String = random::<8>()?.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.parse().map_err(|_| NoRandomness) // digits are a valid id
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// The hash by which a token is found, or `None` when the text does not have the form of a token.
pub fn parse_token(text: &str) -> Option<SecretHash> {
    let secret = text.strip_prefix(TOKEN_PREFIX)?;
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (secret.len() == SECRET_LENGTH && secret.bytes().all(is_base64)).then(|| SecretHash::of(text))
}

/// The key of a store that signs its share links and leases.
#[derive(Clone)]
pub struct SigningKey {
    bytes: Secret<[u8; 32]>,
    /// The key, prepared for signing: that takes as long as two signatures.
    prepared: hmac::Key,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.bytes).finish()
    }
}

impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for SigningKey {}

impl SigningKey {
    /// Generates a key.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate() -> Result<SigningKey, NoRandomness> {
        random().map(SigningKey::from_bytes)
    }

    /// A key as it was stored.
    pub fn from_bytes(bytes: [u8; 32]) -> SigningKey {
        let prepared = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        SigningKey { bytes: Secret::new(bytes), prepared }
    }

    /// The bytes, to be stored.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.bytes.expose()
    }

    /// The signature (HMAC-SHA-256) of a message.
    pub fn sign(&self, message: &[u8]) -> [u8; 32] {
        let mut signature = [0; 32];
        signature.copy_from_slice(hmac::sign(&self.prepared, message).as_ref());
        signature
    }

    /// Whether a signature of a message is right, in constant time.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        hmac::verify(&self.prepared, message, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_recognized_by_its_form_and_found_by_its_hash() {
        let token = fresh_token().unwrap();
        let text = token.expose();
        assert_eq!(text.len(), TOKEN_PREFIX.len() + SECRET_LENGTH);
        assert_eq!(parse_token(text), Some(SecretHash::of(text)));
        assert_ne!(fresh_token().unwrap(), token);
        let (shorter, longer) = (&text[..text.len() - 1], format!("{text}A"));
        for bad in ["", "cortado_", shorter, &longer, &text.replace("cortado_", "Cortado_")] {
            assert_eq!(parse_token(bad), None, "{bad}");
        }
        assert_eq!(parse_token(&text.replacen(|c: char| c != 'c', "é", 1)), None);
    }

    #[test]
    fn a_generated_password_can_be_typed_and_is_accepted() {
        let (one, other) = (generate_password().unwrap(), generate_password().unwrap());
        assert_ne!(one, other);
        let groups: Vec<&str> = one.expose().split('-').collect();
        assert!(groups.len() == 4 && groups.iter().all(|group| group.len() == 6), "{groups:?}");
        assert!(!one.expose().contains(['l', 'o', '0', '1']), "{groups:?}");
    }

    #[test]
    fn hashes_and_keys_are_not_shown() {
        let (hash, key) = (SecretHash::of("a secret"), SigningKey::generate().unwrap());
        let shown = format!("{hash:?} {key:?}");
        assert_eq!(shown, "(not shown) SigningKey((not shown))");
        assert!(hash.is(&SecretHash::of("a secret")) && !hash.is(&SecretHash::of("another")));
    }

    #[test]
    fn a_signature_is_of_one_key_and_one_message() {
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let signature = key.sign(b"job 7");
        assert!(key.verify(b"job 7", &signature));
        assert!(!key.verify(b"job 8", &signature) && !other.verify(b"job 7", &signature));
        assert!(SigningKey::from_bytes(*key.as_bytes()).verify(b"job 7", &signature));
    }
}
