//! The order of the reports of one connection. Each of them begins once the store has been given all of the one before.
//! The store carries out what it is given in that order, so reports that follow each other are still committed together.

use std::future::Future;
use std::pin::pin;

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio::task::coop::unconstrained;

/// The reports of one connection.
#[derive(Debug, Default)]
pub struct UpdateOrder {
    /// Resolves when the last report has passed its turn on.
    last: Option<oneshot::Receiver<()>>,
}

impl UpdateOrder {
    /// The turn of the next report.
    pub fn next_turn(&mut self) -> UpdateTurn {
        let (passes, passed) = oneshot::channel();
        UpdateTurn { before: self.last.replace(passed), _passes: Some(passes) }
    }
}

/// The turn of one report. The report after it begins when this is dropped.
#[derive(Debug)]
pub struct UpdateTurn {
    before: Option<oneshot::Receiver<()>>,
    _passes: Option<oneshot::Sender<()>>,
}

impl UpdateTurn {
    /// The turn of a report that follows no other.
    pub fn alone() -> UpdateTurn {
        UpdateTurn { before: None, _passes: None }
    }

    /// Resolves when the report may begin.
    pub async fn comes(&mut self) {
        if let Some(before) = self.before.take() {
            // The sender sends nothing; it is dropped.
            drop(before.await);
        }
    }
}

/// Gives the store a command, passes the turn on, and waits for the answer.
pub async fn ask_store<T>(command: impl Future<Output = T>, turn: Option<UpdateTurn>) -> T {
    // The store has the command after one poll, unless tokio makes the task yield in it.
    let mut command = pin!(unconstrained(command));
    let answer = command.as_mut().now_or_never();
    drop(turn);
    match answer {
        Some(answer) => answer,
        None => command.await,
    }
}
