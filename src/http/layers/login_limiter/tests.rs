//! The limits of failures, and of the passwords that are checked at once.

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
    assert_eq!(limiter.check(guesser(1), None, now + secs(60)), Ok(()), "its failure is forgotten");
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

fn begin<'a>(limiter: &'a LoginLimiter, client: IpAddr, user: &'a str) -> LoginAttempt<'a> {
    limiter.try_begin(client, user).unwrap().expect("there is a place")
}

#[test]
fn no_more_passwords_are_checked_at_once_than_may_be_wrong() {
    let limiter = limiter(3, 1_000);
    let client = ip("192.0.2.1");
    let attempts: Vec<LoginAttempt<'_>> = (0..3).map(|_| begin(&limiter, client, "anna")).collect();
    assert!(limiter.try_begin(client, "anna").unwrap().is_none(), "no more at once");
    assert_eq!(limiter.check(client, Some("anna"), Instant::now()), Ok(()), "none was wrong");
    drop(attempts);
    for _ in 0..20 {
        drop(begin(&limiter, client, "anna"));
    }
    for left in [true, true, false] {
        let failure = begin(&limiter, client, "anna").fail(Some("anna"));
        assert_eq!(failure, LoginFailure::Wrong);
        assert_eq!(limiter.try_begin(client, "bert").is_ok(), left);
    }
    assert_eq!((limiter.rejected_passwords(), limiter.refused()), (3, 1));
    let pending = &limiter.lock().pending;
    assert!(pending.of_clients.is_empty() && pending.of_users.is_empty() && pending.in_all == 0);
}

#[tokio::test]
async fn right_passwords_wait_for_each_other_and_lock_nobody_out() {
    let limiter = limiter(3, 1_000);
    let client = ip("192.0.2.1");
    let log_in = || async {
        let attempt = limiter.begin(client, "anna").await;
        tokio::task::yield_now().await;
        attempt.map(drop)
    };
    let all = futures_util::future::join_all((0..12).map(|_| log_in())).await;
    assert_eq!(all, vec![Ok(()); 12]);
    // Those that wait are told when the ones before them were wrong.
    let wrong: Vec<LoginAttempt<'_>> = (0..3).map(|_| begin(&limiter, client, "anna")).collect();
    let waits = limiter.begin(client, "anna");
    let fail = async {
        tokio::task::yield_now().await;
        for attempt in wrong {
            let _refusal = attempt.fail(None);
        }
    };
    let (refused, ()) = tokio::join!(waits, fail);
    assert!(matches!(refused, Err(LoginFailure::TooMany(_))), "{refused:?}");
}

#[tokio::test]
async fn only_so_many_logins_wait_and_the_others_are_told_to_come_back() {
    let limiter = limiter(1, 1_000);
    let client = ip("192.0.2.1");
    let first = begin(&limiter, client, "anna");
    let count = MAX_WAITING + 7;
    let waits = futures_util::future::join_all(
        (0..count).map(|_| async { limiter.begin(client, "anna").await.map(drop) }),
    );
    let end = async {
        tokio::task::yield_now().await;
        drop(first);
    };
    let (answers, ()) = tokio::join!(waits, end);
    let busy = answers.iter().filter(|answer| **answer == Err(LoginFailure::Busy(TooBusy)));
    assert_eq!(busy.count(), 7);
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), MAX_WAITING);
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
        begin(&limiter, guesser(n), "anna").fail(None);
    }
    assert!(limiter.try_begin(guesser(99), "anna").is_err(), "too many guess at this user");
    assert!(limiter.try_begin(guesser(99), "bert").is_ok(), "another user");
    assert_eq!(limiter.attempt(guesser(98), || Ok(7)), Ok(7), "a token");
}
