//! The steps of a random script. They refer to queues, jobs and leases by small numbers, so that scripts shrink well.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::job::{Concurrency, Interruption, QueueChange, Role};
use crate::store::conformance::per_minute;

/// One step of a script.
#[derive(Debug, Clone)]
pub(super) enum Move {
    Enqueue(Vec<Want>),
    Claim {
        queues: Vec<u8>,
        kinds: Vec<&'static str>,
        is_remote: bool,
        max: usize,
        ttl: u64,
    },
    Settle(Vec<(Pick, How)>),
    Extend {
        leases: Vec<Pick>,
        ttl: u64,
    },
    Annotate {
        lease: Pick,
        lines: usize,
        progress: Option<u64>,
    },
    Cancel(Vec<Pick>),
    Retry(Vec<Pick>),
    Delete(Vec<Pick>),
    Shift {
        jobs: Vec<Pick>,
        queue: u8,
    },
    Reprioritise {
        jobs: Vec<Pick>,
        priority: i16,
    },
    SetQueue {
        queue: u8,
        change: QueueChange,
    },
    SetSchedule {
        schedule: u8,
        /// The interval in seconds.
        every: u64,
        overlap: bool,
        max_late: Option<u64>,
    },
    DeleteSchedule(u8),
    PauseSchedule(u8),
    ResumeSchedule(u8),
    Fire(u8),
    Access(AccessMove),
    Kind(KindMove),
    /// Advances the clock by seconds and ticks.
    Pass(u64),
    /// Ticks without advancing the clock.
    Tick,
    Reopen,
    Crash,
}

/// A change of users, tokens or sessions, which have small numbers.
#[derive(Debug, Clone)]
pub(super) enum AccessMove {
    AddUser(u8, Role),
    SetPassword(u8),
    SetRole(u8, Role),
    DisableUser(u8),
    EnableUser(u8),
    DeleteUser(u8),
    AddToken(u8, Role),
    RevokeToken(u8),
    OpenSession(u8),
    CloseSession(u8),
}

/// A change of declared kinds, which have small numbers.
#[derive(Debug, Clone)]
pub(super) enum KindMove {
    /// The second number is what is declared.
    Set(u8, u8),
    Announce(Vec<u8>),
    Delete(u8),
}

/// A job to enqueue.
#[derive(Debug, Clone)]
pub(super) struct Want {
    pub(super) queue: u8,
    pub(super) key: Option<u8>,
    pub(super) priority: i16,
    pub(super) delay: Option<u64>,
    pub(super) max_attempts: u16,
    pub(super) payload: usize,
}

/// A job or lease of the script, counted back from the newest. A number that is too large means the oldest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pick(pub(super) usize);

/// How an attempt ends.
#[derive(Debug, Clone)]
pub(super) enum How {
    Completed,
    Failed(u64),
    Snoozed(u64),
    Discarded,
    Cancelled,
    Interrupted(Interruption),
}

pub(super) fn script() -> impl Strategy<Value = Vec<Move>> {
    vec(step(), 1..100)
}

fn step() -> impl Strategy<Value = Move> {
    prop_oneof![
        8 => vec(want(), 0..4).prop_map(Move::Enqueue),
        8 => (vec(queue(), 0..4), kinds(), any::<bool>(), 0..5usize, 1..60u64).prop_map(
            |(queues, kinds, is_remote, max, ttl)| Move::Claim { queues, kinds, is_remote, max, ttl },
        ),
        8 => vec((pick(), how()), 0..4).prop_map(Move::Settle),
        3 => (vec(pick(), 0..4), 1..60u64)
            .prop_map(|(leases, ttl)| Move::Extend { leases, ttl }),
        2 => (pick(), 0..6usize, proptest::option::of(0..9u64))
            .prop_map(|(lease, lines, progress)| Move::Annotate { lease, lines, progress }),
        3 => vec(pick(), 0..4).prop_map(Move::Cancel),
        3 => vec(pick(), 0..4).prop_map(Move::Retry),
        2 => vec(pick(), 0..3).prop_map(Move::Delete),
        2 => (vec(pick(), 0..4), queue()).prop_map(|(jobs, queue)| Move::Shift { jobs, queue }),
        2 => (vec(pick(), 0..4), -1..2i16)
            .prop_map(|(jobs, priority)| Move::Reprioritise { jobs, priority }),
        5 => (queue(), queue_change())
            .prop_map(|(queue, change)| Move::SetQueue { queue, change }),
        2 => (0..3u8, 5..40u64, any::<bool>(), proptest::option::of(0..20_000u64)).prop_map(
            |(schedule, every, overlap, max_late)| {
                Move::SetSchedule { schedule, every, overlap, max_late }
            },
        ),
        1 => (0..3u8).prop_map(Move::DeleteSchedule),
        1 => (0..3u8).prop_map(Move::PauseSchedule),
        1 => (0..3u8).prop_map(Move::ResumeSchedule),
        1 => (0..3u8).prop_map(Move::Fire),
        3 => access().prop_map(Move::Access),
        2 => declared_kinds().prop_map(Move::Kind),
        4 => (0..40u64).prop_map(Move::Pass),
        2 => Just(Move::Tick),
        1 => Just(Move::Reopen),
        1 => Just(Move::Crash),
    ]
}

fn access() -> impl Strategy<Value = AccessMove> {
    let name = || 0..3u8;
    let role = || prop_oneof![Just(Role::Admin), Just(Role::Viewer)];
    prop_oneof![
        3 => (name(), role()).prop_map(|(name, role)| AccessMove::AddUser(name, role)),
        1 => name().prop_map(AccessMove::SetPassword),
        1 => (name(), role()).prop_map(|(name, role)| AccessMove::SetRole(name, role)),
        1 => name().prop_map(AccessMove::DisableUser),
        1 => name().prop_map(AccessMove::EnableUser),
        1 => name().prop_map(AccessMove::DeleteUser),
        2 => (name(), role()).prop_map(|(name, role)| AccessMove::AddToken(name, role)),
        1 => name().prop_map(AccessMove::RevokeToken),
        2 => name().prop_map(AccessMove::OpenSession),
        1 => name().prop_map(AccessMove::CloseSession),
    ]
}

/// The kinds of a worker, usually all.
fn kinds() -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![
        6 => Just(vec!["even", "odd", "echo"]),
        1 => Just(vec!["even"]),
        1 => Just(vec!["odd", "none"]),
        1 => Just(Vec::new()),
    ]
}

fn declared_kinds() -> impl Strategy<Value = KindMove> {
    let name = || 0..4u8;
    prop_oneof![
        2 => (name(), 0..3u8).prop_map(|(name, spec)| KindMove::Set(name, spec)),
        1 => vec(name(), 0..4).prop_map(KindMove::Announce),
        1 => name().prop_map(KindMove::Delete),
    ]
}

/// It resumes more often than it pauses, so that jobs are claimed.
fn queue_change() -> impl Strategy<Value = QueueChange> {
    let number = || proptest::option::of(0..3u32);
    prop_oneof![
        1 => Just(QueueChange::Paused),
        2 => Just(QueueChange::Resumed),
        1 => number().prop_map(|number| QueueChange::ConcurrencySet {
            concurrency: number.map(|number| Concurrency::clamped(i64::from(number) + 1)),
        }),
        1 => number().prop_map(|starts| QueueChange::RateLimitSet {
            rate_limit: starts.map(per_minute),
        }),
    ]
}

/// One of two queues in most cases; the third exceeds the limit.
fn queue() -> impl Strategy<Value = u8> {
    prop_oneof![6 => Just(0u8), 4 => Just(1u8), 1 => Just(2u8)]
}

fn want() -> impl Strategy<Value = Want> {
    let key = proptest::option::weighted(0.3, 0..4u8);
    let delay = proptest::option::weighted(0.3, 0..30u64);
    // Usually small, sometimes large enough that a store writes it in several pieces.
    let payload = prop_oneof![8 => 0..50usize, 1 => 5_000..40_000usize];
    (queue(), key, -1..2i16, delay, 1..4u16, payload).prop_map(
        |(queue, key, priority, delay, max_attempts, payload)| match key {
            // Most submissions with the same key are the same, so that they find the job of the first one.
            Some(key) if payload % 4 > 0 => {
                let (queue, priority, max_attempts) = (key % 2, 0, 2);
                Want { queue, key: Some(key), priority, delay, max_attempts, payload: 7 }
            }
            Some(_) | None => Want { queue, key, priority, delay, max_attempts, payload },
        },
    )
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        4 => Just(How::Completed),
        3 => (0..20u64).prop_map(How::Failed),
        1 => (0..20u64).prop_map(How::Snoozed),
        1 => Just(How::Discarded),
        1 => Just(How::Cancelled),
        1 => Just(How::Interrupted(Interruption::Stop)),
    ]
}

fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![2 => Just(0), 4 => 0..4usize, 1 => 0..20usize].prop_map(Pick)
}
