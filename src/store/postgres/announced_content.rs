//! The content of a small chunk in its announcement, so that other nodes need not ask for it. Whoever may connect to a database
//! can listen to its notifications and send some, so the content is encrypted and authenticated (ChaCha20-Poly1305, RFC 8439)
//! with a key that is made of a row that only the nodes can read. A chunk that does not decrypt is read from the database.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;

use super::failure::StatementFailure;
use super::identity::ServerIdentity;
use super::sql::SqlSession;

/// The longest chunk that is announced with its content, in bytes. A notification has less than 8,000, and this is about a third
/// longer as text.
const MAX_BYTES: usize = 5 * 1_024;

const SECRET: &str = "select (select value from cortado.meta where key = 'announcements')";

/// A chunk as it is announced: the batch that wrote it, and its encrypted content as Base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnouncedContent {
    pub grp: String,
    pub sealed: String,
}

/// Encrypts and decrypts the chunks of one epoch of a log.
pub struct ContentKey {
    secret: hmac::Key,
    /// The server on which the epoch began. After a failover that has lost commits, their numbers are given to other chunks, and
    /// the announcements of the lost ones must no longer count.
    server: ServerIdentity,
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentKey").field("server", &self.server).finish_non_exhaustive()
    }
}

impl ContentKey {
    /// The key of an epoch, made of the secret of the database.
    pub fn new(secret: &str, server: ServerIdentity) -> ContentKey {
        ContentKey { secret: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), server }
    }

    /// Reads the secret of the database. One whose schema an older version has updated last has none yet.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn read(
        sql: &SqlSession,
        server: ServerIdentity,
    ) -> Result<Option<ContentKey>, StatementFailure> {
        let secret: Option<String> = sql.value(SECRET, &[]).await?;
        Ok(secret.map(|secret| ContentKey::new(&secret, server)))
    }

    /// Encrypts the content of a chunk, unless it is too long or the batch has several.
    pub fn seal(&self, numbers: &[i64], grp: &str, bodies: &[Vec<u8>]) -> Option<AnnouncedContent> {
        let ([number], [body]) = (numbers, bodies) else { return None };
        if body.len() > MAX_BYTES {
            return None;
        }
        let mut content = body.clone();
        let key = self.key_of(*number, grp)?;
        key.seal_in_place_append_tag(nonce(), Aad::empty(), &mut content).ok()?;
        Some(AnnouncedContent { grp: grp.to_owned(), sealed: STANDARD_NO_PAD.encode(content) })
    }

    /// Decrypts the content of a chunk; `None` if no node has encrypted it in this epoch.
    pub fn open(&self, number: i64, content: &AnnouncedContent) -> Option<Vec<u8>> {
        let mut bytes = STANDARD_NO_PAD.decode(&content.sealed).ok()?;
        let key = self.key_of(number, &content.grp)?;
        let length = key.open_in_place(nonce(), Aad::empty(), &mut bytes).ok()?.len();
        bytes.truncate(length);
        Some(bytes)
    }

    /// The key of one chunk. Its batch has an identifier of its own, so the key encrypts nothing else.
    fn key_of(&self, number: i64, grp: &str) -> Option<LessSafeKey> {
        let text = format!("announced chunk\n{}\n{number}\n{grp}", self.server.as_str());
        let bytes = hmac::sign(&self.secret, text.as_bytes());
        UnboundKey::new(&CHACHA20_POLY1305, bytes.as_ref()).ok().map(LessSafeKey::new)
    }
}

/// Each key encrypts one content, so its nonce may be the same.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &str, server: &str) -> ContentKey {
        ContentKey::new(secret, ServerIdentity::of(server))
    }

    #[test]
    fn a_chunk_is_decrypted_with_its_own_key_only() {
        let (own, body) = (key("secret", "7/1/9"), b"a chunk".to_vec());
        let sealed = own.seal(&[5], "grp", std::slice::from_ref(&body)).unwrap();
        assert!(!STANDARD_NO_PAD.decode(&sealed.sealed).unwrap().starts_with(b"a chunk"));
        assert_eq!(own.open(5, &sealed), Some(body));
        assert_eq!(own.open(6, &sealed), None);
        let other_batch = AnnouncedContent { grp: "other".into(), ..sealed.clone() };
        assert_eq!(own.open(5, &other_batch), None);
        for other in [key("another secret", "7/1/9"), key("secret", "7/2/9")] {
            assert_eq!(other.open(5, &sealed), None);
        }
    }

    #[test]
    fn changed_content_is_refused() {
        let own = key("secret", "7/1/9");
        let sealed = own.seal(&[5], "grp", &[b"a chunk".to_vec()]).unwrap();
        let bytes = STANDARD_NO_PAD.decode(&sealed.sealed).unwrap();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            let content =
                AnnouncedContent { sealed: STANDARD_NO_PAD.encode(changed), ..sealed.clone() };
            assert_eq!(own.open(5, &content), None, "byte {place}");
        }
        for text in ["", "AAAA", "not Base64!"] {
            let content = AnnouncedContent { sealed: text.into(), ..sealed.clone() };
            assert_eq!(own.open(5, &content), None, "{text}");
        }
    }

    #[test]
    fn only_one_short_chunk_is_announced_with_its_content() {
        let own = key("secret", "7/1/9");
        let longest = vec![7; MAX_BYTES];
        let sealed = own.seal(&[i64::MAX], &"g".repeat(36), std::slice::from_ref(&longest));
        // With the numbers before it, a notification of PostgreSQL may have up to 7,999 bytes.
        assert!(sealed.clone().unwrap().sealed.len() < 7_999 - 200);
        assert_eq!(own.open(i64::MAX, &sealed.unwrap()), Some(longest.clone()));
        assert_eq!(own.seal(&[1], "grp", &[[longest.clone(), vec![7]].concat()]), None);
        assert_eq!(own.seal(&[1, 2], "grp", &[vec![1], vec![2]]), None);
    }
}
