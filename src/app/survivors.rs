//! Ends commands that are still running although their server was killed, before their jobs run again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::handlers::command::register;
use crate::handlers::command::survivors::{Survivor, end, find};
use crate::job::{AttemptEnd, FailureClass, Job};
use crate::store::Store;

/// Ends the processes of attempts that were lost with their server. A process that a finished attempt has left on
/// purpose stays.
pub(super) async fn end_lost(store: &Arc<dyn Store>, register: Option<&Path>, grace: Duration) {
    let dir = register.map(Path::to_owned);
    let found = spawn_blocking(move || find_with_register(dir.as_deref())).await;
    let mut lost: Vec<Survivor> = Vec::new();
    for survivor in found.unwrap_or_default() {
        // If the store cannot answer, the server is about to stop.
        if let Ok((Some(job), _)) = store.get(survivor.job).await
            && is_lost(&job, survivor.attempt)
        {
            lost.push(survivor);
        }
    }
    if !lost.is_empty() {
        tracing::warn!(
            processes = lost.len(),
            "processes of commands outlived the server that started them; ending them before their jobs run again"
        );
        let left = spawn_blocking(move || end(&lost, grace)).await.unwrap_or_default();
        if left > 0 {
            tracing::error!(
                processes = left,
                "cannot end processes of commands that outlived their server"
            );
        }
    }
    if let Some(dir) = register.map(Path::to_owned) {
        // It fails only when the runtime shuts down, and then the next start clears the register.
        let _ = spawn_blocking(move || register::clear(&dir)).await;
    }
}

/// The processes of commands whose server does not exist any more, those of the register included.
fn find_with_register(register: Option<&Path>) -> Vec<Survivor> {
    let mut found = find();
    let Some(dir) = register else { return found };
    match register::open(dir) {
        Ok(entries) => {
            let entries = entries.into_iter();
            let new: Vec<Survivor> = entries.filter(|entry| !found.contains(entry)).collect();
            found.extend(new);
        }
        Err(error) => {
            tracing::warn!(%error, dir = %dir.display(), "cannot read the register of commands");
        }
    }
    found
}

/// Whether an attempt of a job ended without its handler.
fn is_lost(job: &Job, attempt: u16) -> bool {
    let attempts = job.attempts();
    let Some(last) = attempts.last().filter(|last| last.number == attempt) else { return false };
    match &last.end {
        None => true,
        Some((_, AttemptEnd::Rescued(_) | AttemptEnd::Cancelled)) => true,
        Some((_, AttemptEnd::Failed(failure))) => failure.class == FailureClass::Lost,
        Some((_, AttemptEnd::Completed | AttemptEnd::Snoozed | AttemptEnd::Interrupted(_))) => {
            false
        }
    }
}
