//! The live events once more, for those who read by themselves: event streams, followed logs, waiting
//! polls. There may be thousands of them, and the channel of the engine is to have a handful of receivers.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::engine::{Batch, Engine};
use crate::supervise::{Part, pass};

/// A channel that is fed from the engine's, from its first receiver on and to the end.
#[derive(Default)]
pub struct Relay(Mutex<Option<broadcast::WeakSender<Arc<Batch>>>>);

impl Relay {
    /// A receiver of what comes from now on. What the relay missed is missing here too: the numbers show it.
    pub fn listen(&self, engine: &Engine) -> broadcast::Receiver<Arc<Batch>> {
        let mut relay = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = relay.as_ref().and_then(broadcast::WeakSender::upgrade) {
            return sender.subscribe();
        }
        let (sender, receiver) = broadcast::channel(engine.config().stream_capacity.max(1));
        *relay = Some(sender.downgrade());
        let shutdown = engine.shutdown();
        let passing = pass_on(engine.live(), sender);
        shutdown.tasks.spawn(shutdown.failures.clone().guard(Part::Relay, passing));
        receiver
    }
}

/// Ends after the last event, and the channel with it.
async fn pass_on(mut live: broadcast::Receiver<Arc<Batch>>, sender: broadcast::Sender<Arc<Batch>>) {
    loop {
        pass(Part::Relay);
        match live.recv().await {
            // An error means that nobody listens just now.
            Ok(batch) => drop(sender.send(batch)),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}
