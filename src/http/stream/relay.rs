//! Passes live events to readers that have a task of their own: event streams, followed logs and waiting polls. There
//! may be thousands of them, and the engine's own channel should have only a few receivers.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::engine::{Batch, Engine};
use crate::supervise::{Part, pass};

/// A broadcast channel that is fed from the engine's. It is opened for its first receiver.
#[derive(Default)]
pub struct Relay(Mutex<Option<broadcast::WeakSender<Arc<Batch>>>>);

impl Relay {
    /// Returns a receiver of all batches from now on. If the relay itself lags, batches are missing here too; a reader
    /// notices that by their numbers.
    pub fn subscribe(&self, engine: &Engine) -> broadcast::Receiver<Arc<Batch>> {
        let mut relay = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = relay.as_ref().and_then(broadcast::WeakSender::upgrade) {
            return sender.subscribe();
        }
        let (sender, receiver) = broadcast::channel(engine.config().stream_capacity.max(1));
        *relay = Some(sender.downgrade());
        let shutdown = engine.shutdown();
        let forwarding = forward(engine.live(), sender);
        shutdown.tasks.spawn(shutdown.failures.clone().guard(Part::Relay, forwarding));
        receiver
    }
}

/// Forwards batches until the engine's channel is closed, and closes its own with that.
async fn forward(mut live: broadcast::Receiver<Arc<Batch>>, sender: broadcast::Sender<Arc<Batch>>) {
    loop {
        pass(Part::Relay);
        match live.recv().await {
            // An error means that there are no receivers at the moment.
            Ok(batch) => drop(sender.send(batch)),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}
