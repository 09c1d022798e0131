//! Slows down the guessing of credentials. Each client may fail a few times and then once per interval, and so may all
//! clients together. A client that never failed is never refused, however many others fail, and nothing waits: a refused
//! request is answered at once, without a look at its credentials.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::session::Session;
use crate::http::server::client_address::counted_as;
use crate::http::server::throttled_warning::ThrottledWarning;
use crate::http::{HttpLimits, Problem};

/// The failures of clients, and how many logins were rejected.
#[derive(Debug)]
pub struct LoginLimiter {
    of_client: FailureAllowance,
    in_all: FailureAllowance,
    failures: Mutex<KnownFailures>,
    /// Whether any client may have failed lately. While it is unset, checking a client takes no lock.
    is_any_known: AtomicBool,
    rejected: AtomicU64,
    refused: AtomicU64,
    refused_warnings: ThrottledWarning,
}

/// What the login page needs, in the extensions of its requests.
#[derive(Debug, Clone)]
pub struct LoginGate {
    /// The session that a login opens.
    pub session: Session,
    /// The limiter of all logins.
    pub limiter: Arc<LoginLimiter>,
    /// The address of the client.
    pub client: IpAddr,
}

/// Why a login failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginFailure {
    /// The credentials are wrong.
    Wrong,
    /// They were not checked.
    TooMany(TooManyFailures),
}

/// The most clients whose failures are remembered in one generation.
const MAX_CLIENTS: usize = 10_000;

/// How many failures are allowed: a number at once, and one more in each interval.
#[derive(Debug, Clone, Copy)]
struct FailureAllowance {
    interval: Duration,
    window: Duration,
}

/// The failures of one client.
#[derive(Debug, Clone, Copy)]
struct ClientFailures {
    last: Instant,
    /// When they will be forgotten.
    until: Instant,
}

/// The failures of all clients.
#[derive(Debug, Default)]
struct KnownFailures {
    /// The clients that failed lately. Two generations bound the memory without a search for the oldest entry: when the
    /// recent one is full, it becomes the older one.
    recent: HashMap<IpAddr, ClientFailures>,
    older: HashMap<IpAddr, ClientFailures>,
    /// When those of all clients together will be forgotten.
    all_until: Option<Instant>,
}

/// The client has failed too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyFailures {
    /// The time after which it may try again.
    pub retry_after: Duration,
}

impl LoginLimiter {
    /// Creates a limiter with the limits of the settings.
    pub fn new(limits: &HttpLimits) -> LoginLimiter {
        let window = limits.login_window;
        let allow = |failures: u32| FailureAllowance { interval: window / failures.max(1), window };
        LoginLimiter {
            of_client: allow(limits.login_failures),
            in_all: allow(limits.login_failures_total),
            failures: Mutex::default(),
            is_any_known: AtomicBool::new(false),
            rejected: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            refused_warnings: ThrottledWarning::default(),
        }
    }

    /// Checks the credentials of a client with `is_right`, unless it has failed too often. A failure is logged and counted.
    ///
    /// # Errors
    /// The credentials are wrong, or were not checked.
    pub fn attempt(
        &self,
        client: IpAddr,
        is_right: impl FnOnce() -> bool,
    ) -> Result<(), LoginFailure> {
        let now = Instant::now();
        self.check(client, now).map_err(LoginFailure::TooMany)?;
        if is_right() {
            return Ok(());
        }
        self.reject(client, now);
        Err(LoginFailure::Wrong)
    }

    /// Whether the credentials of a client may be checked. A refusal must not depend on whether they are right.
    fn check(&self, client: IpAddr, now: Instant) -> Result<(), TooManyFailures> {
        if !self.is_any_known.load(Ordering::Acquire) {
            return Ok(());
        }
        let retry_after = {
            let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(known) = failures.of(counted_as(client)) else { return Ok(()) };
            let has_failed_lately = known.last + self.in_all.window > now;
            let in_all = failures.all_until.filter(|_| has_failed_lately);
            let in_all = in_all.map_or(Duration::ZERO, |until| self.in_all.wait(until, now));
            self.of_client.wait(known.until, now).max(in_all)
        };
        if retry_after.is_zero() {
            return Ok(());
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        if let Some(more) = self.refused_warnings.due(now) {
            tracing::warn!(
                %client, not_logged = more,
                "login refused: too many wrong tokens, see http.login_failures"
            );
        }
        Err(TooManyFailures { retry_after })
    }

    /// Counts and logs wrong credentials of a client.
    fn reject(&self, client: IpAddr, now: Instant) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%client, "login rejected: wrong token");
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let client = counted_as(client);
        let until = failures.of(client).map(|known| known.until);
        let until = self.of_client.after_failure(until, now);
        failures.set(client, ClientFailures { last: now, until });
        failures.all_until = Some(self.in_all.after_failure(failures.all_until, now));
        self.is_any_known.store(true, Ordering::Release);
    }

    /// The number of wrong credentials.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// The number of credentials that were not checked, because their clients had failed too often.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
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

impl KnownFailures {
    fn of(&self, client: IpAddr) -> Option<ClientFailures> {
        self.recent.get(&client).or_else(|| self.older.get(&client)).copied()
    }

    fn set(&mut self, client: IpAddr, failures: ClientFailures) {
        if self.recent.len() >= MAX_CLIENTS && !self.recent.contains_key(&client) {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(client, failures);
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
            assert_eq!(limiter.check(guesser, now), Ok(()));
            limiter.reject(guesser, now);
        }
        let neighbour = ip("2001:db8::ffff:2");
        let refused = limiter.check(neighbour, now).unwrap_err();
        assert_eq!(refused.retry_after, secs(20), "a network of 64 bits is one client");
        assert_eq!(limiter.check(other, now), Ok(()));
        assert!(limiter.check(guesser, now + secs(19)).is_err());
        let later = now + secs(20);
        assert_eq!(limiter.check(guesser, later), Ok(()));
        limiter.reject(guesser, later);
        assert_eq!(limiter.check(guesser, later).unwrap_err().retry_after, secs(20));
        for _ in 0..3 {
            assert_eq!(limiter.check(guesser, later + secs(120)), Ok(()));
            limiter.reject(guesser, later + secs(120));
        }
        assert!(limiter.check(guesser, later + secs(120)).is_err());
        assert_eq!((limiter.rejected(), limiter.refused()), (7, 4));
    }

    #[test]
    fn when_many_clients_fail_only_those_that_failed_are_refused() {
        let (limiter, now) = (limiter(10, 20), Instant::now());
        let guesser = |n: u32| IpAddr::V4(std::net::Ipv4Addr::from_bits(n + 1));
        for n in 0..20 {
            assert_eq!(limiter.check(guesser(n), now), Ok(()));
            limiter.reject(guesser(n), now);
        }
        for n in 0..20 {
            assert_eq!(limiter.check(guesser(n), now).unwrap_err().retry_after, secs(3));
        }
        assert_eq!(limiter.check(guesser(20), now), Ok(()), "it has not failed");
        assert!(limiter.check(guesser(0), now + secs(2)).is_err());
        let later = now + secs(3);
        assert_eq!(limiter.check(guesser(0), later), Ok(()));
        limiter.reject(guesser(0), later);
        assert!(limiter.check(guesser(1), later).is_err());
        // However many clients fail for the first time, those that failed once are not refused for longer.
        for n in 100..10_000 {
            limiter.reject(guesser(n), later);
        }
        assert_eq!(limiter.check(guesser(1), later).unwrap_err().retry_after, secs(3));
        assert_eq!(limiter.check(guesser(1), now + secs(60)), Ok(()), "its failure is forgotten");
    }

    #[test]
    fn the_memory_is_bounded_and_the_last_failures_are_remembered() {
        let (limiter, now) = (limiter(1, u32::MAX), Instant::now());
        let client = |n: u32| IpAddr::V4(std::net::Ipv4Addr::from_bits(n));
        let count = 3 * u32::try_from(MAX_CLIENTS).unwrap();
        for n in 0..count {
            limiter.reject(client(n), now);
        }
        let failures = limiter.failures.lock().unwrap();
        assert!(failures.recent.len() <= MAX_CLIENTS && failures.older.len() <= MAX_CLIENTS);
        drop(failures);
        assert!(limiter.check(client(count - 1), now).is_err());
        assert_eq!(limiter.check(client(0), now), Ok(()));
    }
}
