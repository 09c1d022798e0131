//! Slows down the guessing of credentials. Each client may fail a few times and then once per interval, and so may all
//! clients together, and all that try the password of one user. A client that never failed is never refused for what
//! others did, except for the password of a user whom many guess at. Nothing waits: a refused request is answered at
//! once, without a look at its credentials.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::TooBusy;
use crate::http::server::client_address::counted_as;
use crate::http::server::throttled_warning::ThrottledWarning;
use crate::http::{HttpLimits, Problem};

/// The failures of clients, and how many logins were rejected.
#[derive(Debug)]
pub struct LoginLimiter {
    of_client: FailureAllowance,
    of_user: FailureAllowance,
    in_all: FailureAllowance,
    failures: Mutex<LoginFailures>,
    /// Whether any client may have failed lately. While it is unset, checking a client takes no lock.
    is_any_known: AtomicBool,
    rejected_tokens: AtomicU64,
    rejected_passwords: AtomicU64,
    rejected_external: AtomicU64,
    refused: AtomicU64,
    refused_warnings: ThrottledWarning,
}

/// Why a login failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginFailure {
    /// The credentials are wrong.
    Wrong,
    /// They were not checked, because too many were wrong.
    TooMany(TooManyFailures),
    /// They were not checked, because too many others are being checked.
    Busy(TooBusy),
}

/// The most clients, and users, whose failures are remembered in one generation.
const MAX_KNOWN: usize = 10_000;

/// How many failures are allowed: a number at once, and one more in each interval.
#[derive(Debug, Clone, Copy)]
struct FailureAllowance {
    interval: Duration,
    window: Duration,
}

/// The failures of one client, or at the password of one user.
#[derive(Debug, Clone, Copy)]
struct RecentFailures {
    last: Instant,
    /// When they will be forgotten.
    until: Instant,
}

/// The failures of all clients.
#[derive(Debug, Default)]
struct LoginFailures {
    of_clients: KnownFailures<IpAddr>,
    of_users: KnownFailures<Box<str>>,
    /// When those of all clients together will be forgotten.
    all_until: Option<Instant>,
}

/// The failures by whose they are. Two generations bound the memory without a search for the oldest entry: when the
/// recent one is full, it becomes the older one.
#[derive(Debug)]
struct KnownFailures<K> {
    recent: HashMap<K, RecentFailures>,
    older: HashMap<K, RecentFailures>,
}

/// The client has failed too often, or too many have failed at the password of the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyFailures {
    /// The time after which it may try again.
    pub retry_after: Duration,
}

/// A password that is being checked, which takes a while. It counts as wrong until it turns out to be right, so that
/// nobody can have many of them checked at once.
#[derive(Debug)]
pub struct LoginAttempt<'a> {
    limiter: &'a LoginLimiter,
    client: IpAddr,
    user: &'a str,
    at: Instant,
    /// The failures of the client, and at the password of the user, before this attempt.
    before: (Option<RecentFailures>, Option<RecentFailures>),
}

impl LoginLimiter {
    /// Creates a limiter with the limits of the settings.
    pub fn new(limits: &HttpLimits) -> LoginLimiter {
        let window = limits.login_window;
        let allow = |failures: u32| FailureAllowance { interval: window / failures.max(1), window };
        LoginLimiter {
            of_client: allow(limits.login_failures),
            of_user: allow(limits.login_failures_per_user),
            in_all: allow(limits.login_failures_total),
            failures: Mutex::default(),
            is_any_known: AtomicBool::new(false),
            rejected_tokens: AtomicU64::new(0),
            rejected_passwords: AtomicU64::new(0),
            rejected_external: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            refused_warnings: ThrottledWarning::default(),
        }
    }

    /// Checks the token of a client with `look_up`, unless it has failed too often. A failure is logged and counted.
    ///
    /// # Errors
    /// The token is wrong, or was not checked.
    pub fn attempt<T>(
        &self,
        client: IpAddr,
        look_up: impl FnOnce() -> Option<T>,
    ) -> Result<T, LoginFailure> {
        let now = Instant::now();
        self.check(client, None, now).map_err(LoginFailure::TooMany)?;
        match look_up() {
            Some(found) => Ok(found),
            None => {
                self.reject(client, now);
                Err(LoginFailure::Wrong)
            }
        }
    }

    /// Begins to check the password of a user, who need not exist.
    ///
    /// # Errors
    /// The client has failed too often, or too many have failed at the password of this user.
    pub fn begin<'a>(
        &'a self,
        client: IpAddr,
        user: &'a str,
    ) -> Result<LoginAttempt<'a>, TooManyFailures> {
        let now = Instant::now();
        self.check(client, Some(user), now)?;
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let before = (failures.of_clients.of(&counted_as(client)), failures.of_users.of(user));
        self.add_failure(&mut failures, client, Some(user), now);
        Ok(LoginAttempt { limiter: self, client, user, at: now, before })
    }

    /// Whether the credentials of a client may be checked. A refusal must not depend on whether they are right.
    fn check(
        &self,
        client: IpAddr,
        user: Option<&str>,
        now: Instant,
    ) -> Result<(), TooManyFailures> {
        if !self.is_any_known.load(Ordering::Acquire) {
            return Ok(());
        }
        let retry_after = {
            let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            let of_user = user.and_then(|user| failures.of_users.of(user));
            let of_user =
                of_user.map_or(Duration::ZERO, |known| self.of_user.wait(known.until, now));
            let of_client = failures.of_clients.of(&counted_as(client)).map(|known| {
                let has_failed_lately = known.last + self.in_all.window > now;
                let in_all = failures.all_until.filter(|_| has_failed_lately);
                let in_all = in_all.map_or(Duration::ZERO, |until| self.in_all.wait(until, now));
                self.of_client.wait(known.until, now).max(in_all)
            });
            of_client.unwrap_or_default().max(of_user)
        };
        if retry_after.is_zero() {
            return Ok(());
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        if let Some(more) = self.refused_warnings.due(now) {
            tracing::warn!(
                %client, not_logged = more,
                "login refused: too many wrong tokens or passwords, see http.login_failures"
            );
        }
        Err(TooManyFailures { retry_after })
    }

    /// Counts and logs the wrong token of a client.
    fn reject(&self, client: IpAddr, now: Instant) {
        self.rejected_tokens.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%client, "login rejected: wrong token");
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        self.add_failure(&mut failures, client, None, now);
    }

    fn add_failure(
        &self,
        failures: &mut LoginFailures,
        client: IpAddr,
        user: Option<&str>,
        now: Instant,
    ) {
        let client = counted_as(client);
        let until = failures.of_clients.of(&client).map(|known| known.until);
        let until = self.of_client.after_failure(until, now);
        failures.of_clients.set(client, RecentFailures { last: now, until });
        if let Some(user) = user {
            let until = failures.of_users.of(user).map(|known| known.until);
            let until = self.of_user.after_failure(until, now);
            failures.of_users.set(user.into(), RecentFailures { last: now, until });
        }
        failures.all_until = Some(self.in_all.after_failure(failures.all_until, now));
        self.is_any_known.store(true, Ordering::Release);
    }

    /// The number of wrong tokens.
    pub fn rejected_tokens(&self) -> u64 {
        self.rejected_tokens.load(Ordering::Relaxed)
    }

    /// Whether a client may finish a login that somebody else has checked.
    ///
    /// # Errors
    /// The client has failed too often.
    pub fn check_client(&self, client: IpAddr) -> Result<(), TooManyFailures> {
        self.check(client, None, Instant::now())
    }

    /// Counts a login that somebody else should have checked and that could not be verified. The caller logs why.
    pub fn reject_external(&self, client: IpAddr) {
        self.rejected_external.fetch_add(1, Ordering::Relaxed);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        self.add_failure(&mut failures, client, None, Instant::now());
    }

    /// The number of logins through a provider that could not be verified.
    pub fn rejected_external(&self) -> u64 {
        self.rejected_external.load(Ordering::Relaxed)
    }

    /// The number of wrong names or passwords.
    pub fn rejected_passwords(&self) -> u64 {
        self.rejected_passwords.load(Ordering::Relaxed)
    }

    /// The number of credentials that were not checked, because too many were wrong.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl LoginAttempt<'_> {
    /// The password is wrong, or there is no such user. The name is logged only if the user exists: people type their
    /// passwords into the wrong field.
    pub fn fail(self, known_user: Option<&str>) -> LoginFailure {
        self.limiter.rejected_passwords.fetch_add(1, Ordering::Relaxed);
        let (client, user) = (self.client, known_user.unwrap_or("(unknown)"));
        tracing::warn!(%client, user, "login rejected: wrong name or password");
        LoginFailure::Wrong
    }

    /// The password is right, so the attempt was no failure. What was counted for it is taken back.
    pub fn succeed(self) {
        let limiter = self.limiter;
        let mut failures = limiter.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let (client, at) = (counted_as(self.client), self.at);
        let (of_client, of_user) = self.before;
        failures.of_clients.take_back(&client, of_client, at, limiter.of_client.interval);
        failures.of_users.take_back(self.user, of_user, at, limiter.of_user.interval);
        let all_until = failures.all_until.and_then(|all| all.checked_sub(limiter.in_all.interval));
        failures.all_until = all_until;
    }
}

impl FailureAllowance {
    /// When failures will be forgotten, after one more: each counts for one interval, and all of them for the window at
    /// most, so that nobody is refused for longer than an interval after the last one.
    fn after_failure(self, until: Option<Instant>, now: Instant) -> Instant {
        let until = until.map_or(now, |until| until.max(now)) + self.interval;
        until.min(now + self.window)
    }

    /// The time until one more failure fits into the window; zero if it does now.
    fn wait(self, until: Instant, now: Instant) -> Duration {
        (until + self.interval).saturating_duration_since(now + self.window)
    }
}

impl<K> Default for KnownFailures<K> {
    fn default() -> Self {
        KnownFailures { recent: HashMap::new(), older: HashMap::new() }
    }
}

impl<K: Hash + Eq> KnownFailures<K> {
    fn of<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<RecentFailures>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.recent.get(key).or_else(|| self.older.get(key)).copied()
    }

    fn set(&mut self, key: K, failures: RecentFailures) {
        if self.recent.len() >= MAX_KNOWN && !self.recent.contains_key(&key) {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(key, failures);
    }

    /// Takes back one failure, which was added at `at`.
    fn take_back<Q: Hash + Eq + ?Sized>(
        &mut self,
        key: &Q,
        before: Option<RecentFailures>,
        at: Instant,
        interval: Duration,
    ) where
        K: std::borrow::Borrow<Q>,
    {
        let Some(known) = self.recent.get_mut(key) else { return };
        known.until = known.until.checked_sub(interval).unwrap_or(at);
        if known.until <= at {
            self.recent.remove(key);
        } else if let Some(before) = before
            && known.last == at
        {
            known.last = before.last;
        }
    }
}

impl TooManyFailures {
    /// The time in whole seconds, rounded up, as `Retry-After` has it.
    pub fn seconds(self) -> u32 {
        u32::try_from(self.retry_after.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1)
    }
}

impl From<TooManyFailures> for Problem {
    fn from(failures: TooManyFailures) -> Problem {
        Problem::too_many_failed_logins(failures.seconds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(failures: u32, total: u32) -> LoginLimiter {
        let limits = HttpLimits {
            login_failures: failures,
            login_failures_total: total,
            login_window: Duration::from_secs(60),
            ..HttpLimits::default()
        };
        LoginLimiter::new(&limits)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_client_may_fail_a_few_times_and_then_once_per_interval() {
        let (limiter, now) = (limiter(3, 1_000), Instant::now());
        let (guesser, other) = (ip("2001:db8::1"), ip("2001:db8:0:1::1"));
        for _ in 0..3 {
            assert_eq!(limiter.check(guesser, None, now), Ok(()));
            limiter.reject(guesser, now);
        }
        let neighbour = ip("2001:db8::ffff:2");
        let refused = limiter.check(neighbour, None, now).unwrap_err();
        assert_eq!(refused.retry_after, secs(20), "a network of 64 bits is one client");
        assert_eq!(limiter.check(other, None, now), Ok(()));
        assert!(limiter.check(guesser, None, now + secs(19)).is_err());
        let later = now + secs(20);
        assert_eq!(limiter.check(guesser, None, later), Ok(()));
        limiter.reject(guesser, later);
        assert_eq!(limiter.check(guesser, None, later).unwrap_err().retry_after, secs(20));
        for _ in 0..3 {
            assert_eq!(limiter.check(guesser, None, later + secs(120)), Ok(()));
            limiter.reject(guesser, later + secs(120));
        }
        assert!(limiter.check(guesser, None, later + secs(120)).is_err());
        assert_eq!((limiter.rejected_tokens(), limiter.refused()), (7, 4));
    }

    #[test]
    fn when_many_clients_fail_only_those_that_failed_are_refused() {
        let (limiter, now) = (limiter(10, 20), Instant::now());
        let guesser = |n: u32| IpAddr::V4(std::net::Ipv4Addr::from_bits(n + 1));
        for n in 0..20 {
            assert_eq!(limiter.check(guesser(n), None, now), Ok(()));
            limiter.reject(guesser(n), now);
        }
        for n in 0..20 {
            assert_eq!(limiter.check(guesser(n), None, now).unwrap_err().retry_after, secs(3));
        }
        assert_eq!(limiter.check(guesser(20), None, now), Ok(()), "it has not failed");
        assert!(limiter.check(guesser(0), None, now + secs(2)).is_err());
        let later = now + secs(3);
        assert_eq!(limiter.check(guesser(0), None, later), Ok(()));
        limiter.reject(guesser(0), later);
        assert!(limiter.check(guesser(1), None, later).is_err());
        // However many clients fail for the first time, those that failed once are not refused for longer.
        for n in 100..10_000 {
            limiter.reject(guesser(n), later);
        }
        assert_eq!(limiter.check(guesser(1), None, later).unwrap_err().retry_after, secs(3));
        assert_eq!(
            limiter.check(guesser(1), None, now + secs(60)),
            Ok(()),
            "its failure is forgotten"
        );
    }

    #[test]
    fn the_memory_is_bounded_and_the_last_failures_are_remembered() {
        let (limiter, now) = (limiter(1, u32::MAX), Instant::now());
        let client = |n: u32| IpAddr::V4(std::net::Ipv4Addr::from_bits(n));
        let count = 3 * u32::try_from(MAX_KNOWN).unwrap();
        for n in 0..count {
            limiter.reject(client(n), now);
        }
        let failures = limiter.failures.lock().unwrap();
        assert!(
            failures.of_clients.recent.len() <= MAX_KNOWN
                && failures.of_clients.older.len() <= MAX_KNOWN
        );
        drop(failures);
        assert!(limiter.check(client(count - 1), None, now).is_err());
        assert_eq!(limiter.check(client(0), None, now), Ok(()));
    }

    #[test]
    fn a_password_counts_as_wrong_until_it_is_right() {
        let limiter = limiter(3, 1_000);
        let client = ip("192.0.2.1");
        let attempts: Vec<LoginAttempt<'_>> =
            (0..3).map(|_| limiter.begin(client, "anna").unwrap()).collect();
        assert!(limiter.begin(client, "anna").is_err(), "no more can be checked at once");
        attempts.into_iter().for_each(LoginAttempt::succeed);
        for _ in 0..20 {
            limiter.begin(client, "anna").unwrap().succeed();
        }
        for _ in 0..3 {
            let failure = limiter.begin(client, "anna").unwrap().fail(Some("anna"));
            assert_eq!(failure, LoginFailure::Wrong);
        }
        assert!(limiter.begin(client, "bert").is_err(), "the client has failed too often");
        assert_eq!((limiter.rejected_passwords(), limiter.refused()), (3, 2));
        // A request whose client has left counts as a failure.
        let other = ip("192.0.2.2");
        for _ in 0..3 {
            let _begun = limiter.begin(other, "anna").unwrap();
        }
        assert!(limiter.begin(other, "anna").is_err());
    }

    #[test]
    fn a_user_is_guessed_at_by_few_clients_and_the_others_stay_what_they_were() {
        let limits = HttpLimits {
            login_failures_per_user: 20,
            login_failures_total: 1_000,
            login_window: Duration::from_secs(60),
            ..HttpLimits::default()
        };
        let limiter = LoginLimiter::new(&limits);
        let guesser = |n: u32| IpAddr::V4(std::net::Ipv4Addr::from_bits(n + 1));
        for n in 0..20 {
            limiter.begin(guesser(n), "anna").unwrap().fail(None);
        }
        assert!(limiter.begin(guesser(99), "anna").is_err(), "too many guess at this user");
        assert!(limiter.begin(guesser(99), "bert").is_ok(), "another user");
        assert_eq!(limiter.attempt(guesser(98), || Some(7)), Ok(7), "a token");
    }
}
