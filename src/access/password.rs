//! Passwords: what is accepted, and their hashes (argon2id, as PHC strings). Hashing takes about 20 ms of a core and 19 MiB
//! of memory, so callers run it on a thread that may block.

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc};

use super::limits::AccessLimits;
use super::secrets::{NoRandomness, SecretHash, random};
use crate::job::Secret;

/// The hash of a password. Its text is a PHC string such as `$argon2id$v=19$m=19456,t=2,p=1$…`, so that hashes with other
/// parameters stay valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordHash(Secret<Box<str>>);

/// Why a password is not accepted, or could not be hashed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordProblem {
    /// It has too few characters.
    #[error("the password is too short: use at least {least} characters")]
    TooShort {
        /// The fewest characters.
        least: usize,
    },
    /// It has too many bytes.
    #[error("the password is too long: use at most {most} bytes")]
    TooLong {
        /// The most bytes.
        most: usize,
    },
    /// There are no random bytes for its salt.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// It was not hashed, because the server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// Something went wrong.
    #[error("the password could not be hashed: {0}")]
    NotHashed(String),
}

/// The hash of no password, with the parameters of new hashes. A login with an unknown name is checked against it, so that
/// it takes as long as one with a wrong password.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$\
                      AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

impl PasswordHash {
    /// Checks a new password and hashes it. It blocks.
    ///
    /// # Errors
    /// Says why the password is not accepted.
    pub fn of(password: &Secret, limits: &AccessLimits) -> Result<PasswordHash, PasswordProblem> {
        let password = password.expose();
        let (least, most) = (limits.min_password, AccessLimits::MAX_PASSWORD_BYTES);
        if password.len() > most {
            return Err(PasswordProblem::TooLong { most });
        }
        if password.chars().count() < least {
            return Err(PasswordProblem::TooShort { least });
        }
        let salt = random::<16>()?;
        let hash: Result<phc::PasswordHash, _> =
            Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
        let hash = hash.map_err(|error| PasswordProblem::NotHashed(error.to_string()))?;
        Ok(PasswordHash(Secret::new(hash.to_string().into())))
    }

    /// The hash that no password matches.
    pub fn of_nobody() -> PasswordHash {
        PasswordHash(Secret::new(NOBODY.into()))
    }

    /// Whether this is the hash of a password. It blocks.
    pub fn verify(&self, password: &Secret) -> bool {
        let password = password.expose().as_bytes();
        let is_accepted = password.len() <= AccessLimits::MAX_PASSWORD_BYTES;
        let Ok(hash) = phc::PasswordHash::new(self.0.expose()) else { return false };
        is_accepted && Argon2::default().verify_password(password, &hash).is_ok()
    }

    /// A PHC string as it was stored.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_phc(text: &str) -> Result<PasswordHash, String> {
        let parsed = phc::PasswordHash::new(text);
        parsed.map_err(|_| "the hash of the password is not a PHC string".to_owned())?;
        Ok(PasswordHash(Secret::new(text.into())))
    }

    /// The PHC string, to be stored.
    pub fn as_phc(&self) -> &str {
        self.0.expose()
    }

    /// What a session remembers of the password with which it was opened. It changes with every new password, even when
    /// the same one is set again.
    pub fn fingerprint(&self) -> SecretHash {
        SecretHash::of(self.0.expose())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(password: &str) -> Result<PasswordHash, PasswordProblem> {
        PasswordHash::of(&password.into(), &AccessLimits::default())
    }

    #[test]
    fn a_password_is_verified_by_its_hash() {
        let known = hash("correct horse").unwrap();
        assert!(
            known.as_phc().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{}",
            known.as_phc()
        );
        assert!(known.verify(&"correct horse".into()) && !known.verify(&"correct hors".into()));
        assert!(PasswordHash::from_phc(known.as_phc()).unwrap().verify(&"correct horse".into()));
        let again = hash("correct horse").unwrap();
        assert_ne!(again.fingerprint(), known.fingerprint(), "each hash has a salt of its own");
        assert_eq!(format!("{known:?}"), "PasswordHash((not shown))");
        assert!(PasswordHash::from_phc("hunter2").is_err());
    }

    #[test]
    fn nobody_is_verified_as_slowly_as_somebody_and_never_succeeds() {
        let (nobody, somebody) = (PasswordHash::of_nobody(), hash("correct horse").unwrap());
        let parameters = |hash: &PasswordHash| {
            let text = hash.as_phc().to_owned();
            let fields: Vec<String> = text.split('$').map(str::to_owned).collect();
            (fields[..4].to_vec(), fields[4].len(), fields[5].len())
        };
        assert_eq!(parameters(&nobody), parameters(&somebody));
        assert!(!nobody.verify(&"".into()) && !nobody.verify(&"correct horse".into()));
    }

    #[test]
    fn a_password_is_neither_short_nor_endless() {
        assert_eq!(hash("elevenchars"), Err(PasswordProblem::TooShort { least: 12 }));
        assert!(hash("é☕é☕é☕é☕é☕é☕").is_ok(), "characters count, not bytes");
        let most = AccessLimits::MAX_PASSWORD_BYTES;
        assert_eq!(hash(&"x".repeat(most + 1)), Err(PasswordProblem::TooLong { most }));
        let longest = hash(&"x".repeat(most)).unwrap();
        assert!(longest.verify(&"x".repeat(most).as_str().into()));
        assert!(!longest.verify(&"x".repeat(most + 1).as_str().into()));
    }
}
