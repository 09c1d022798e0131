//! The start of the engine: makes its parts and starts its loops.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::attempts::executor::Executor;
use super::attempts::heartbeat::Heartbeat;
use super::attempts::leases;
use super::attempts::report::{Report, Reports};
use super::attempts::settler::Settler;
use super::insight::live_stats;
use super::insight::observer::{Observed, Observer};
use super::queues::{known, slots};
use super::stream::completion_waiters::{self, Finals};
use super::stream::event_pump::{self, EventPump};
use super::{Engine, EngineConfig, Inner, Registry, timer};
use crate::clock::{Clock, SystemClock};
use crate::job::{Cursor, Event};
use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::supervise::Part;

impl Engine {
    /// Opens for business: starts every loop on the shutdown's tracker. Needs a tokio runtime.
    pub fn start(
        store: Arc<dyn Store>,
        registry: Registry,
        config: EngineConfig,
        shutdown: Shutdown,
    ) -> Engine {
        Engine::start_with_clock(store, registry, config, shutdown, Arc::new(SystemClock))
    }

    /// The same with the clock the store was given.
    pub fn start_with_clock(
        store: Arc<dyn Store>,
        registry: Registry,
        config: EngineConfig,
        shutdown: Shutdown,
        clock: Arc<dyn Clock>,
    ) -> Engine {
        let (reports, inbox) = Reports::channel();
        // The place first: an event between the two comes through the channel or is seen missing.
        let from = store.head();
        let followed = store.follow(event_pump::FOLLOW);
        let work_over = CancellationToken::new();
        let leases = Arc::new(leases::Leases::new(config.lease_ttl, shutdown.abort.clone()));
        let registry = Arc::new(registry);
        let executor = Arc::new(Executor {
            registry: registry.clone(),
            clock: clock.clone(),
            leases: leases.clone(),
            reports,
            attempts: shutdown.attempts.clone(),
            failures: shutdown.failures.clone(),
            default_timeout: config.default_timeout,
            handler_grace: config.handler_grace,
            json: config.json,
        });
        let inner = Arc::new(Inner {
            queues: Arc::new(known::Queues::new(&config)),
            slots: slots::Slots::new(config.max_running),
            leases,
            executor,
            live: Arc::new(event_pump::Live::new(config.stream_capacity)),
            finals: Arc::new(Finals::new(store.clone(), work_over.clone())),
            pulses: Arc::default(),
            observed: Arc::new(Observed::new(clock.now())),
            bulks: Arc::default(),
            subscriber_counts: Arc::default(),
            settled: Arc::default(),
            dispatchers: TaskTracker::new(),
            loops: TaskTracker::new(),
            pump: TaskTracker::new(),
            quiet: CancellationToken::new(),
            last_event_is_in: CancellationToken::new(),
            work_over,
            store,
            registry,
            config: Arc::new(config),
            clock,
            shutdown,
        });
        inner.spawn_loops(from, followed, inbox);
        Engine { inner }
    }
}

impl Inner {
    /// Runs a loop that may end only once `may_end` is cancelled.
    pub fn supervise<F: Future<Output = ()> + Send + 'static>(
        &self,
        part: Part,
        may_end: &CancellationToken,
        body: F,
    ) -> impl Future<Output = ()> + Send + use<F> {
        self.shutdown.failures.supervise(part, may_end, body)
    }

    /// Starts everything; called once.
    pub fn spawn_loops(
        self: &Arc<Self>,
        from: Cursor,
        followed: mpsc::Receiver<Arc<[Event]>>,
        reports: mpsc::UnboundedReceiver<Report>,
    ) {
        let tasks = &self.shutdown.tasks;
        if let Some(of_store) = self.store.failures() {
            let over = self.last_event_is_in.clone().cancelled_owned();
            tasks.spawn(self.shutdown.failures.follow(of_store, over));
        }
        let pump = EventPump {
            store: self.store.clone(),
            live: self.live.clone(),
            last_event_is_in: self.last_event_is_in.clone(),
            sent: from,
        };
        let pump = pump.run(followed);
        let pump = self.supervise(Part::EventPump, &self.last_event_is_in, pump);
        tasks.spawn(self.pump.track_future(pump));
        let finals = completion_waiters::run(self.finals.clone(), self.live.subscribe());
        tasks.spawn(self.supervise(Part::Waiters, &self.last_event_is_in, finals));
        let observer = Observer::new(self.store.clone(), self.clock.clone(), self.observed.clone());
        let observer = observer.run(self.live.subscribe(), self.last_event_is_in.clone());
        tasks.spawn(self.supervise(Part::Observer, &self.last_event_is_in, observer));
        let pulse = live_stats::Publisher {
            store: self.store.clone(),
            clock: self.clock.clone(),
            observed: self.observed.clone(),
            pulses: self.pulses.clone(),
            last_event_is_in: self.last_event_is_in.clone(),
        };
        let pulse = pulse.run();
        tasks.spawn(self.supervise(Part::Pulse, &self.last_event_is_in, pulse));
        let settler = Settler {
            store: self.store.clone(),
            leases: self.leases.clone(),
            slots: self.slots.clone(),
            settled: self.settled.clone(),
            quiet: self.quiet.clone(),
        };
        let settler = settler.run(reports);
        tasks.spawn(self.loops.track_future(self.supervise(Part::Settler, &self.quiet, settler)));
        let heartbeat = Heartbeat {
            store: self.store.clone(),
            leases: self.leases.clone(),
            lease_ttl: self.config.lease_ttl,
            quiet: self.quiet.clone(),
        };
        let heartbeat = heartbeat.run();
        tasks.spawn(self.loops.track_future(self.supervise(
            Part::Heartbeat,
            &self.quiet,
            heartbeat,
        )));
        let timer = timer::run(self.clone());
        tasks.spawn(self.loops.track_future(self.supervise(Part::Timer, &self.quiet, timer)));
        self.ensure_queues(self.config.queues.iter().map(|(queue, _)| queue));
        let census =
            self.supervise(Part::Census, &self.shutdown.draining, known::census(self.clone()));
        tasks.spawn(self.dispatchers.track_future(census));
    }
}
