//! The bytes of users, tokens, sessions, share links and the signing key, for rows of a store and for backups. This is the
//! only place where the hashes of secrets are serialized.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use crate::access::{
    AccessRecord, PasswordHash, RevokedToken, SecretHash, Session, SessionOwner, ShareLink,
    SharedPayload, SigningKey, Token, User,
};
use crate::job::{
    Actor, Kind, LinkId, LinkSubject, QueueName, Role, SessionId, Time, TokenId, TokenName,
    UserName,
};

/// The first letters of the keys.
pub const PREFIXES: [&[u8]; 6] = [USER, TOKEN, SESSION, LINK, REVOKED_TOKEN, SIGNING_KEY];

const USER: &[u8] = b"u";
const TOKEN: &[u8] = b"o";
const SESSION: &[u8] = b"x";
const LINK: &[u8] = b"l";
const REVOKED_TOKEN: &[u8] = b"v";
/// The key of the row with the key that signs share links.
pub const SIGNING_KEY: &[u8] = b"i";

/// The key of a record: a letter, and the name or id.
pub fn key(record: &AccessRecord) -> Vec<u8> {
    let (prefix, name) = match record {
        AccessRecord::User(user) => (USER, user.name.as_str()),
        AccessRecord::Token(token) => (TOKEN, token.id.as_str()),
        AccessRecord::Session(session) => (SESSION, session.id.as_str()),
        AccessRecord::Link(link) => (LINK, link.id.as_str()),
        AccessRecord::RevokedToken(token) => (REVOKED_TOKEN, token.id.as_str()),
        AccessRecord::SigningKey(_) => (SIGNING_KEY, ""),
    };
    [prefix, name.as_bytes()].concat()
}

/// The bytes of a record.
///
/// # Errors
/// The error of the encoder, which does not occur for these types.
pub fn encode(record: &AccessRecord) -> Result<Vec<u8>, String> {
    let bytes = match record {
        AccessRecord::User(user) => postcard::to_stdvec(&StoredUser(User::clone(user))),
        AccessRecord::Token(token) => postcard::to_stdvec(&StoredToken(Token::clone(token))),
        AccessRecord::Session(session) => {
            postcard::to_stdvec(&StoredSession(Session::clone(session)))
        }
        AccessRecord::Link(link) => postcard::to_stdvec(&StoredLink(ShareLink::clone(link))),
        AccessRecord::RevokedToken(token) => {
            postcard::to_stdvec(&StoredRevokedToken(RevokedToken::clone(token)))
        }
        AccessRecord::SigningKey(key) => postcard::to_stdvec(key.as_bytes()),
    };
    bytes.map_err(|error| error.to_string())
}

/// Reads a record.
///
/// # Errors
/// Says what is wrong with it, without any byte of it.
pub fn decode(key: &[u8], bytes: &[u8]) -> Result<AccessRecord, String> {
    let (prefix, _) = key.split_at_checked(1).ok_or("its key is empty")?;
    let record = match prefix {
        USER => AccessRecord::User(Arc::new(read::<StoredUser>(bytes)?.0)),
        TOKEN => AccessRecord::Token(Arc::new(read::<StoredToken>(bytes)?.0)),
        SESSION => AccessRecord::Session(Arc::new(read::<StoredSession>(bytes)?.0)),
        LINK => AccessRecord::Link(Arc::new(read::<StoredLink>(bytes)?.0)),
        REVOKED_TOKEN => AccessRecord::RevokedToken(Arc::new(read::<StoredRevokedToken>(bytes)?.0)),
        SIGNING_KEY => AccessRecord::SigningKey(SigningKey::from_bytes(read(bytes)?)),
        _ => return Err("its key is that of no user, token, session or share link".to_owned()),
    };
    if self::key(&record) == key { Ok(record) } else { Err("it has the key of another".to_owned()) }
}

fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((record, [])) => Ok(record),
        Ok((_, rest)) => Err(format!("{} bytes follow it", rest.len())),
        Err(error) => Err(error.to_string()),
    }
}

/// The line of a record in a backup: its key, and its bytes in base64.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BackupLine {
    key: String,
    record: String,
}

/// Serializes a record for a line of a backup.
pub fn serialize<S: Serializer>(record: &AccessRecord, output: S) -> Result<S::Ok, S::Error> {
    let key = String::from_utf8(key(record)).map_err(ser::Error::custom)?;
    let record = STANDARD.encode(encode(record).map_err(ser::Error::custom)?);
    BackupLine { key, record }.serialize(output)
}

/// Reads a record of a line of a backup.
pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<AccessRecord, D::Error> {
    let BackupLine { key, record } = BackupLine::deserialize(input)?;
    let bytes = STANDARD.decode(&record).map_err(|_| de::Error::custom("it is not base64"))?;
    decode(key.as_bytes(), &bytes).map_err(de::Error::custom)
}

#[derive(Serialize, Deserialize)]
struct StoredUser(#[serde(with = "UserRow")] User);
#[derive(Serialize, Deserialize)]
struct StoredToken(#[serde(with = "TokenRow")] Token);
#[derive(Serialize, Deserialize)]
struct StoredSession(#[serde(with = "SessionRow")] Session);
#[derive(Serialize, Deserialize)]
struct StoredLink(#[serde(with = "LinkRow")] ShareLink);
#[derive(Serialize, Deserialize)]
struct StoredRevokedToken(#[serde(with = "RevokedTokenRow")] RevokedToken);

#[derive(Serialize, Deserialize)]
#[serde(remote = "User")]
struct UserRow {
    name: UserName,
    #[serde(with = "phc")]
    password: PasswordHash,
    role: Role,
    created_at: Time,
    changed_at: Time,
    disabled: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Token")]
struct TokenRow {
    id: TokenId,
    name: TokenName,
    #[serde(with = "hash")]
    secret: SecretHash,
    role: Role,
    queues: Option<Vec<QueueName>>,
    kinds: Option<Vec<Kind>>,
    created_at: Time,
    expires_at: Option<Time>,
    last_used_at: Option<Time>,
    created_by: Option<Actor>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Session")]
struct SessionRow {
    id: SessionId,
    #[serde(with = "hash")]
    secret: SecretHash,
    #[serde(with = "OwnerRow")]
    who: SessionOwner,
    #[serde(with = "optional_hash")]
    credential: Option<SecretHash>,
    created_at: Time,
    last_used_at: Time,
    expires_at: Time,
    client: Box<str>,
    browser: Box<str>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "SessionOwner")]
enum OwnerRow {
    User(UserName),
    Token { id: TokenId, name: TokenName },
    External { name: UserName, role: Role },
    Environment,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ShareLink")]
struct LinkRow {
    id: LinkId,
    subject: LinkSubject,
    #[serde(with = "PayloadRow")]
    payload: SharedPayload,
    created_at: Time,
    expires_at: Time,
    created_by: Option<Actor>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RevokedToken")]
struct RevokedTokenRow {
    id: TokenId,
    #[serde(with = "hash")]
    secret: SecretHash,
    revoked_at: Time,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "SharedPayload")]
enum PayloadRow {
    Shown,
    Hidden,
}

mod phc {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use crate::access::PasswordHash;

    pub fn serialize<S: Serializer>(hash: &PasswordHash, output: S) -> Result<S::Ok, S::Error> {
        hash.as_phc().serialize(output)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<PasswordHash, D::Error> {
        PasswordHash::from_phc(&String::deserialize(input)?).map_err(de::Error::custom)
    }
}

mod hash {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::access::SecretHash;

    pub fn serialize<S: Serializer>(hash: &SecretHash, output: S) -> Result<S::Ok, S::Error> {
        hash.as_bytes().serialize(output)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<SecretHash, D::Error> {
        <[u8; 32]>::deserialize(input).map(SecretHash::from_bytes)
    }
}

mod optional_hash {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::access::SecretHash;

    pub fn serialize<S: Serializer>(
        hash: &Option<SecretHash>,
        output: S,
    ) -> Result<S::Ok, S::Error> {
        hash.as_ref().map(SecretHash::as_bytes).serialize(output)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        input: D,
    ) -> Result<Option<SecretHash>, D::Error> {
        let bytes = Option::<[u8; 32]>::deserialize(input)?;
        Ok(bytes.map(SecretHash::from_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::access::one_of_each;

    #[test]
    fn every_record_survives_its_bytes() {
        let records = one_of_each();
        for record in &records {
            let (key, bytes) = (key(record), encode(record).unwrap());
            assert_eq!(decode(&key, &bytes).as_ref(), Ok(record));
            assert!(decode(&key, &[&bytes[..], &[0]].concat()).is_err(), "one byte more");
            assert!(decode(&key, &bytes[..bytes.len() - 1]).is_err(), "one byte less");
            assert!(decode(&[&key[..], b"x"].concat(), &bytes).is_err(), "another key");
        }
        let prefixes: Vec<u8> = records.iter().map(|record| key(record)[0]).collect();
        let mut known: Vec<u8> = PREFIXES.concat();
        assert!(prefixes.iter().all(|prefix| known.contains(prefix)), "{prefixes:?}");
        known.retain(|prefix| !prefixes.contains(prefix));
        assert!(known.is_empty(), "each sort of record is tested: {known:?}");
    }
}
