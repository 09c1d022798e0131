//! Remembers for a while which names and passwords were right, because a program that uses HTTP Basic sends them with
//! every request, and checking a password is made to be expensive. It holds no password, only keyed hashes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ring::hmac;
use ring::rand::SystemRandom;
use tokio::time::Instant;

use crate::access::PasswordHash;
use crate::job::UserName;

/// How long a password that was right is not checked again.
const KEPT_FOR: Duration = Duration::from_secs(300);
/// The most passwords that are remembered.
const MAX_REMEMBERED: usize = 1_000;

/// The keyed hash of a name and a password.
pub type BasicKey = [u8; 32];

/// The names and passwords that were right.
pub struct PasswordCache {
    /// Random, and known to this process only.
    key: hmac::Key,
    remembered: Mutex<HashMap<BasicKey, RightPassword>>,
    /// The checks under way: the same password is checked only once at a time.
    checks: Mutex<HashMap<BasicKey, Arc<tokio::sync::Mutex<()>>>>,
}

/// A password that was right.
struct RightPassword {
    user: UserName,
    /// The hash that it was checked against. Once the user has another one, the password is checked again.
    against: PasswordHash,
    until: Instant,
}

impl PasswordCache {
    /// Creates an empty cache. `None` if the system has no random numbers; every password is checked then.
    pub fn new() -> Option<PasswordCache> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok()?;
        Some(PasswordCache { key, remembered: Mutex::default(), checks: Mutex::default() })
    }

    /// The key of a name and a password.
    pub fn key(&self, name: &str, password: &str) -> BasicKey {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&(name.len() as u64).to_le_bytes());
        context.update(name.as_bytes());
        context.update(password.as_bytes());
        let mut key = BasicKey::default();
        key.copy_from_slice(context.sign().as_ref());
        key
    }

    /// Whether this password of a user was right a short while ago, with the hash that the user has now.
    pub fn is_right(
        &self,
        key: &BasicKey,
        user: &UserName,
        hash: &PasswordHash,
        now: Instant,
    ) -> bool {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered
            .get(key)
            .is_some_and(|known| known.user == *user && known.against == *hash && known.until > now)
    }

    /// Remembers that a password is right.
    pub fn remember(&self, key: BasicKey, user: UserName, against: PasswordHash, now: Instant) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MAX_REMEMBERED {
            remembered.retain(|_, known| known.until > now);
        }
        if remembered.len() >= MAX_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(key, RightPassword { user, against, until: now + KEPT_FOR });
    }

    /// The lock of the check of one password. Whoever waits for it finds the answer of the first.
    pub fn lock_of(&self, key: &BasicKey) -> Arc<tokio::sync::Mutex<()>> {
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        if checks.len() >= MAX_REMEMBERED {
            checks.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        checks.entry(*key).or_default().clone()
    }
}

/// The output shows nothing of what is remembered.
impl std::fmt::Debug for PasswordCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordCache").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::AccessLimits;

    fn another_hash() -> PasswordHash {
        PasswordHash::of(&"another password".into(), &AccessLimits::default()).unwrap()
    }

    #[test]
    fn only_the_same_password_of_the_same_user_with_the_same_hash_is_right() {
        let (cache, now) = (PasswordCache::new().unwrap(), Instant::now());
        let user = |name: &str| UserName::parse(name).unwrap();
        let (hash, changed) = (PasswordHash::of_nobody(), another_hash());
        let key = cache.key("anna", "a long password");
        assert!(!cache.is_right(&key, &user("anna"), &hash, now));
        cache.remember(key, user("anna"), hash.clone(), now);
        assert!(cache.is_right(&key, &user("anna"), &hash, now));
        assert!(!cache.is_right(&key, &user("bert"), &hash, now));
        assert!(!cache.is_right(&key, &user("anna"), &changed, now));
        for (name, password) in [("anna", "a long passwor"), ("ann", "aa long password")] {
            let other = cache.key(name, password);
            assert!(!cache.is_right(&other, &user("anna"), &hash, now), "{name}");
        }
        let later = now + KEPT_FOR;
        assert!(!cache.is_right(&key, &user("anna"), &hash, later), "it is checked again");
    }

    #[test]
    fn the_memory_is_bounded() {
        let cache = PasswordCache::new().unwrap();
        let (user, hash) = (UserName::parse("anna").unwrap(), PasswordHash::of_nobody());
        for n in 0..3 * MAX_REMEMBERED {
            let key = cache.key("anna", &n.to_string());
            drop(cache.lock_of(&key));
            cache.remember(key, user.clone(), hash.clone(), Instant::now());
        }
        assert!(cache.remembered.lock().unwrap().len() <= MAX_REMEMBERED);
        assert!(cache.checks.lock().unwrap().len() <= MAX_REMEMBERED);
    }
}
