//! Slows down the guessing of credentials. Each client may fail a few times and then once per interval, and so may all
//! clients together, and all that try the password of one user. A client that never failed is never refused for what
//! others did, except for the password of a user whom many guess at. A client that has failed too often is refused at once,
//! without a look at its credentials. Checking a password takes a while, and no more of them are checked at once than may
//! be wrong: the others wait until one of those turns out to be right.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::engine::TooBusy;
use crate::http::server::client_address::counted_as;
use crate::http::server::throttled_warning::ThrottledWarning;
use crate::http::{HttpLimits, Problem};
use crate::job::TokenId;

/// The failures of clients, and how many logins were rejected.
#[derive(Debug)]
pub struct LoginLimiter {
    of_client: FailureAllowance,
    of_user: FailureAllowance,
    in_all: FailureAllowance,
    failures: Mutex<LoginFailures>,
    /// Wakes those that wait until fewer passwords are being checked.
    ended: Notify,
    /// The places of those that wait.
    waiting: Semaphore,
    /// Whether any client may have failed lately. While it is unset, checking a client takes no lock.
    is_any_known: AtomicBool,
    rejected_tokens: AtomicU64,
    rejected_passwords: AtomicU64,
    rejected_external: AtomicU64,
    refused: AtomicU64,
    refused_warnings: ThrottledWarning,
    ended_warnings: ThrottledWarning,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WrongToken {
    /// No token has this text, so it may be a guess.
    Unknown,
    /// The token with this id has expired or was revoked. Programs go on sending such a token, and it is no guess.
    Ended(TokenId),
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
/// The most logins that wait until fewer passwords are being checked. Each that ends wakes all of them.
const MAX_WAITING: usize = 64;

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
    pending: PendingChecks,
}

/// The passwords that are being checked. Few are checked at once, so this is small.
#[derive(Debug, Default)]
struct PendingChecks {
    of_clients: HashMap<IpAddr, u32>,
    of_users: HashMap<Box<str>, u32>,
    in_all: u32,
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

/// A password that is being checked, which takes a while. Until that ends, it takes the place of a wrong one, so that nobody
/// can have many of them checked at once. It is a failure only once [`LoginAttempt::fail`] says so.
#[derive(Debug)]
pub struct LoginAttempt<'a> {
    limiter: &'a LoginLimiter,
    client: IpAddr,
    user: &'a str,
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
            ended: Notify::new(),
            waiting: Semaphore::new(MAX_WAITING),
            is_any_known: AtomicBool::new(false),
            rejected_tokens: AtomicU64::new(0),
            rejected_passwords: AtomicU64::new(0),
            rejected_external: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            refused_warnings: ThrottledWarning::default(),
            ended_warnings: ThrottledWarning::default(),
        }
    }

    /// Checks the token of a client with `look_up`, unless it has failed too often. A failure is logged and counted. A token
    /// that has ended slows nobody down: those who send it share their address with others, and guess at nothing.
    ///
    /// # Errors
    /// The token is wrong, or was not checked.
    pub fn attempt<T>(
        &self,
        client: IpAddr,
        look_up: impl FnOnce() -> Result<T, WrongToken>,
    ) -> Result<T, LoginFailure> {
        let now = Instant::now();
        self.check(client, None, now).map_err(LoginFailure::TooMany)?;
        match look_up() {
            Ok(found) => Ok(found),
            Err(wrong) => {
                match wrong {
                    WrongToken::Unknown => self.reject(client, now),
                    WrongToken::Ended(token) => self.reject_ended(client, &token, now),
                }
                Err(LoginFailure::Wrong)
            }
        }
    }

    /// Begins to check the password of a user, who need not exist, as soon as few enough are being checked.
    ///
    /// # Errors
    /// The client has failed too often, too many have failed at the password of this user, or too many others wait.
    pub async fn begin<'a>(
        &'a self,
        client: IpAddr,
        user: &'a str,
    ) -> Result<LoginAttempt<'a>, LoginFailure> {
        if let Some(attempt) = self.try_begin(client, user)? {
            return Ok(attempt);
        }
        let _place = self.waiting.try_acquire().map_err(|_| LoginFailure::Busy(TooBusy))?;
        loop {
            let mut ended = pin!(self.ended.notified());
            ended.as_mut().enable(); // an end between the look and the wait counts, too
            if let Some(attempt) = self.try_begin(client, user)? {
                return Ok(attempt);
            }
            ended.await;
        }
    }

    /// The same without a wait. `None` while so many passwords are being checked that one more could be a wrong one too many.
    fn try_begin<'a>(
        &'a self,
        client: IpAddr,
        user: &'a str,
    ) -> Result<Option<LoginAttempt<'a>>, LoginFailure> {
        let now = Instant::now();
        self.check(client, Some(user), now).map_err(LoginFailure::TooMany)?;
        let mut failures = self.lock();
        if !self.has_place(&failures, client, user, now) {
            return Ok(None);
        }
        failures.pending.add(counted_as(client), user);
        Ok(Some(LoginAttempt { limiter: self, client, user }))
    }

    /// Whether one more password may be checked, even if all that are being checked turn out to be wrong.
    fn has_place(
        &self,
        failures: &LoginFailures,
        client: IpAddr,
        user: &str,
        now: Instant,
    ) -> bool {
        let (client, pending) = (counted_as(client), &failures.pending);
        let of_client = pending.of_clients.get(&client).copied().unwrap_or_default();
        let of_user = pending.of_users.get(user).copied().unwrap_or_default();
        let known = failures.of_clients.of(&client);
        let may_have_failed =
            of_client > 0 || known.is_some_and(|known| known.last + self.in_all.window > now);
        let user_until = failures.of_users.of(user).map(|known| known.until);
        self.of_client.has_place(known.map(|known| known.until), of_client, now)
            && self.of_user.has_place(user_until, of_user, now)
            && (!may_have_failed || self.in_all.has_place(failures.all_until, pending.in_all, now))
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
            let failures = self.lock();
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
        let mut failures = self.lock();
        self.add_failure(&mut failures, client, None, now);
    }

    /// Counts and logs a token that has expired or was revoked.
    fn reject_ended(&self, client: IpAddr, token: &TokenId, now: Instant) {
        self.rejected_tokens.fetch_add(1, Ordering::Relaxed);
        if let Some(more) = self.ended_warnings.due(now) {
            tracing::warn!(
                %client, %token, not_logged = more,
                "login rejected: the token has expired or was revoked"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, LoginFailures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut failures = self.lock();
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
        let mut failures = self.limiter.lock();
        self.limiter.add_failure(&mut failures, client, Some(self.user), Instant::now());
        drop(failures);
        LoginFailure::Wrong
    }
}

impl Drop for LoginAttempt<'_> {
    /// Gives its place to the next one: the password was right or wrong, or nobody waits for the answer any more.
    fn drop(&mut self) {
        self.limiter.lock().pending.remove(counted_as(self.client), self.user);
        self.limiter.ended.notify_waiters();
    }
}

impl PendingChecks {
    fn add(&mut self, client: IpAddr, user: &str) {
        *self.of_clients.entry(client).or_default() += 1;
        *self.of_users.entry(user.into()).or_default() += 1;
        self.in_all += 1;
    }

    fn remove(&mut self, client: IpAddr, user: &str) {
        take_one(&mut self.of_clients, &client);
        take_one(&mut self.of_users, user);
        self.in_all = self.in_all.saturating_sub(1);
    }
}

/// Counts one less, and forgets what has none.
fn take_one<K: Hash + Eq + std::borrow::Borrow<Q>, Q: Hash + Eq + ?Sized>(
    counts: &mut HashMap<K, u32>,
    key: &Q,
) {
    let Some(count) = counts.get_mut(key) else { return };
    *count = count.saturating_sub(1);
    if *count == 0 {
        counts.remove(key);
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

    /// Whether one more failure fits into the window, if all pending ones fail.
    fn has_place(self, until: Option<Instant>, pending: u32, now: Instant) -> bool {
        let until = until.map_or(now, |until| until.max(now)) + self.interval * pending;
        self.wait(until, now).is_zero()
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
mod tests;
