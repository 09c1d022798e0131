//! The reference store is held to the same rules as every other.

use std::sync::Arc;

use super::MemoryStore;
use crate::clock::ManualClock;
use crate::store::conformance::{Harness, conformance_suite};
use crate::store::{Store, StoreLimits};

/// A memory store that "restarts" by handing its content on.
pub(crate) struct MemoryHarness {
    clock: ManualClock,
    store: Option<Arc<MemoryStore>>,
}

impl MemoryHarness {
    fn restart(&mut self) -> Arc<dyn Store> {
        let store = self.store.as_ref().expect("opened first").restarted();
        self.store = Some(store.clone());
        store
    }
}

impl Harness for MemoryHarness {
    fn new(clock: ManualClock) -> Self {
        MemoryHarness { clock, store: None }
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    async fn open(&mut self, limits: StoreLimits) -> Arc<dyn Store> {
        let store = MemoryStore::new(limits, Arc::new(self.clock.clone()));
        self.store = Some(store.clone());
        store
    }

    async fn reopen(&mut self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        store.close().await.unwrap();
        self.restart()
    }

    async fn crash(&mut self, _store: Arc<dyn Store>) -> Arc<dyn Store> {
        self.restart()
    }
}

conformance_suite!(MemoryHarness);
