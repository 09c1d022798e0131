//! What the connection of a worker has asked of the engine, and waits for.

use std::future::{Future, pending};

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::engine::{
    AboutLease, ExtendAnswer, StoreError, UpdateAnswer, WorkerError, WorkerSession,
};

/// Something that was asked of the engine and is answered later.
pub enum EngineAnswer {
    /// The leases that the worker named when it connected were extended.
    Kept(Result<Vec<AboutLease<ExtendAnswer>>, StoreError>),
    /// The kinds of the worker were announced.
    Announced(Result<(), StoreError>),
    /// The report with this number was applied.
    Updated(i64, Result<UpdateAnswer, StoreError>),
    /// The worker has signed off.
    SignedOff(Result<usize, WorkerError>),
}

/// Resolves when there is a push for the worker, or when it should claim.
pub async fn woken(session: Option<&WorkerSession>) {
    match session {
        Some(session) => session.woken().await,
        None => pending().await,
    }
}

/// The result of a claim; pending for ever when none is under way.
pub async fn under_way<F: Future + Unpin>(claim: Option<F>) -> F::Output {
    match claim {
        Some(claim) => claim.await,
        None => pending().await,
    }
}

/// The next answer of the engine; pending for ever when nothing was asked.
pub async fn next_done(
    asked: &mut Option<FuturesUnordered<BoxFuture<'static, EngineAnswer>>>,
) -> EngineAnswer {
    match asked {
        Some(asked) => match asked.next().await {
            Some(done) => done,
            None => pending().await,
        },
        None => pending().await,
    }
}
