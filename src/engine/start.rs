//! Starts the engine: builds its parts and spawns its loops.

use std::sync::Arc;

use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::attempts::dispatcher::Dispatcher;
use super::attempts::dispatchers::Dispatchers;
use super::attempts::executor::Executor;
use super::attempts::heartbeat::Heartbeat;
use super::attempts::leases::Leases;
use super::attempts::report::{AttemptReport, Reports};
use super::attempts::settler::Settler;
use super::hash_permits::HashPermits;
use super::inbox::InboxReader;
use super::insight::history_keeper::HistoryKeeper;
use super::insight::live_stats;
use super::insight::observer::{Observed, Observer};
use super::insight::system_samples::SystemSampler;
use super::link_keeper::LinkKeeper;
use super::nodes::NodeReporter;
use super::projection::Projector;
use super::queues::discovery::QueueDiscovery;
use super::queues::known::KnownQueues;
use super::queues::limits::QueueLimits;
use super::queues::slots::Slots;
use super::stages::Stages;
use super::stream::completion_waiters::{self, CompletionWaiters};
use super::stream::event_pump::{self, EventPump, Live};
use super::submission::declared_schedules::DeclaredSchedules;
use super::timer::Timer;
use super::workers::callbacks::{CallbackPlace, Callbacks};
use super::workers::keeper::WorkerKeeper;
use super::workers::lease_token::LeaseTokens;
use super::workers::node_names::NodeNames;
use super::workers::remote::{RemoteParts, RemoteWorkers};
use super::{Engine, EngineConfig, Kinds, Parts, Registry};
use crate::access::SigningKey;
use crate::clock::{Clock, SystemClock};
use crate::job::{Cursor, Event};
use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::supervise::Part;

impl Engine {
    /// Starts the engine and spawns all of its loops. Must be called on a tokio runtime.
    pub fn start(
        store: Arc<dyn Store>,
        registry: impl Into<Arc<Registry>>,
        config: EngineConfig,
        shutdown: Shutdown,
    ) -> Engine {
        Engine::start_with_clock(store, registry, config, shutdown, Arc::new(SystemClock))
    }

    /// Starts the engine with the clock that the store uses.
    pub fn start_with_clock(
        store: Arc<dyn Store>,
        registry: impl Into<Arc<Registry>>,
        config: EngineConfig,
        shutdown: Shutdown,
        clock: Arc<dyn Clock>,
    ) -> Engine {
        let (reports, inbox) = Reports::channel();
        // The head is read before the channel opens. An event committed in between is then noticed as missing and
        // read from the log.
        let from = store.head();
        let followed = store.follow(event_pump::CHANNEL_CAPACITY);
        let (registry, config): (Arc<Registry>, _) = (registry.into(), Arc::new(config));
        let kinds = Kinds::of_program(registry.clone(), config.kinds.clone());
        let kinds = kinds.with_declared(store.kinds());
        let (stages, restored) = (Stages::default(), CancellationToken::new());
        let resumed = CancellationToken::new();
        if config.paused {
            tracing::warn!(
                "started paused: no job starts and no schedule fires until the server is resumed \
                 (cortado resume, or the button on any page)"
            );
        } else {
            resumed.cancel();
        }
        let leases = Arc::new(Leases::new(config.lease_ttl, shutdown.abort.clone()));
        let slots = Slots::new(config.max_running);
        let queues = Arc::new(KnownQueues::new(config.clone(), slots.clone()));
        // Every open store has a key, which stays the same over restarts.
        let key = store.access_table().borrow().signing_key().cloned();
        let key = key.unwrap_or_else(|| SigningKey::from_bytes([0; 32]));
        let (tokens, callbacks) =
            (Arc::new(LeaseTokens::new(key, store.head().epoch)), Arc::<Callbacks>::default());
        let live = Arc::new(Live::new(config.stream_capacity));
        let remote = Arc::new(RemoteWorkers::new(RemoteParts {
            store: store.clone(),
            clock: clock.clone(),
            tokens: tokens.clone(),
            callbacks: callbacks.clone(),
            live: live.clone(),
            default_timeout: config.default_timeout,
            limits: config.worker_limits(),
            resumed: resumed.clone(),
            draining: shutdown.draining.clone(),
            attempts_over: stages.attempts_over.clone(),
            connections: shutdown.connections.clone(),
        }));
        let executor = Executor {
            registry: registry.clone(),
            clock: clock.clone(),
            leases: leases.clone(),
            reports,
            callbacks: Arc::new(CallbackPlace {
                callbacks,
                tokens,
                draining: shutdown.draining.clone(),
            }),
            attempts: shutdown.attempts.clone(),
            failures: shutdown.failures.clone(),
            default_timeout: config.default_timeout,
            handler_grace: config.handler_grace,
            json: config.json,
        };
        let dispatcher = Dispatcher {
            store: store.clone(),
            slots: slots.clone(),
            leases: leases.clone(),
            executor: Arc::new(executor),
            restored: restored.clone(),
            resumed: resumed.clone(),
            draining: shutdown.draining.clone(),
            kinds: Arc::new(registry.kinds().iter().map(|info| info.kind.clone()).collect()),
            worker: config.worker.clone(),
            lease_ttl: config.lease_ttl,
            poll_interval: config.poll_interval,
        };
        let dispatchers = Dispatchers {
            dispatcher,
            waiting: remote.waiting.clone(),
            queues: queues.clone(),
            shutdown: shutdown.clone(),
            tracker: stages.claiming.clone(),
        };
        let queue_limits = QueueLimits {
            store: store.clone(),
            queues,
            restored,
            draining: shutdown.draining.clone(),
            change_lock: Mutex::default(),
        };
        let parts = Arc::new(Parts {
            dispatchers: Arc::new(dispatchers),
            queue_limits: Arc::new(queue_limits),
            leases,
            remote,
            live,
            completion_waiters: Arc::new(CompletionWaiters::new(
                store.clone(),
                stages.attempts_over.clone(),
            )),
            live_stats: Arc::default(),
            observed: Arc::new(Observed::new(clock.now(), config.queue_histories)),
            enqueue_times: Arc::default(),
            system_samples: Arc::default(),
            rewinding: Arc::new(Semaphore::new(config.rewind.pages)),
            hashing: HashPermits::default(),
            bulks: Arc::default(),
            node_names: Arc::new(NodeNames::new(config.worker.clone())),
            subscriber_counts: Arc::default(),
            settled: Arc::default(),
            stages,
            resumed,
            store,
            kinds,
            config,
            clock,
            shutdown,
        });
        parts.spawn_loops(from, followed, inbox, slots);
        Engine { parts, actor: None, restriction: None }
    }
}

impl Parts {
    /// Spawns all loops. Called once.
    fn spawn_loops(
        self: &Arc<Self>,
        from: Cursor,
        followed: mpsc::Receiver<Arc<[Event]>>,
        reports: mpsc::UnboundedReceiver<AttemptReport>,
        slots: Arc<Slots>,
    ) {
        let (tasks, failures) = (&self.shutdown.tasks, &self.shutdown.failures);
        let (stages, draining) = (&self.stages, &self.shutdown.draining);
        if let Some(of_store) = self.store.failures() {
            let over = stages.no_more_events.clone().cancelled_owned();
            tasks.spawn(failures.follow(of_store, over));
        }
        let pump = EventPump {
            store: self.store.clone(),
            live: self.live.clone(),
            no_more_events: stages.no_more_events.clone(),
            sent: from,
        };
        let pump = pump.run(followed);
        let pump = failures.supervise(Part::EventPump, &stages.no_more_events, pump);
        tasks.spawn(stages.pump.track_future(pump));
        let completion_waiters =
            completion_waiters::run(self.completion_waiters.clone(), self.live.subscribe());
        tasks.spawn(failures.supervise(
            Part::CompletionWaiters,
            &stages.no_more_events,
            completion_waiters,
        ));
        let observer = Observer::new(self.store.clone(), self.clock.clone(), self.observed.clone());
        let observer = observer.run(self.live.subscribe(), stages.no_more_events.clone());
        tasks.spawn(failures.supervise(Part::Observer, &stages.no_more_events, observer));
        let history = HistoryKeeper {
            store: self.store.clone(),
            clock: self.clock.clone(),
            observed: self.observed.clone(),
            no_more_events: stages.no_more_events.clone(),
        };
        let history =
            failures.supervise(Part::HistoryKeeper, &stages.no_more_events, history.run());
        tasks.spawn(stages.pump.track_future(history));
        let pulse = live_stats::Publisher {
            store: self.store.clone(),
            clock: self.clock.clone(),
            observed: self.observed.clone(),
            live_stats: self.live_stats.clone(),
            no_more_events: stages.no_more_events.clone(),
        };
        tasks.spawn(failures.supervise(Part::LiveStats, &stages.no_more_events, pulse.run()));
        let sampler = SystemSampler {
            store: self.store.clone(),
            clock: self.clock.clone(),
            observed: self.observed.clone(),
            enqueue_times: self.enqueue_times.clone(),
            leases: self.leases.clone(),
            subscriber_counts: self.subscriber_counts.clone(),
            samples: self.system_samples.clone(),
            no_more_events: stages.no_more_events.clone(),
        };
        let sampler =
            failures.supervise(Part::SystemSampler, &stages.no_more_events, sampler.run());
        tasks.spawn(sampler);
        let settler = Settler {
            store: self.store.clone(),
            leases: self.leases.clone(),
            slots,
            callbacks: self.remote.callbacks.clone(),
            settled: self.settled.clone(),
            end: stages.end_loops.clone(),
        };
        let settler = settler.run(reports);
        let settler = failures.supervise(Part::Settler, &stages.end_loops, settler);
        tasks.spawn(stages.loops.track_future(settler));
        let heartbeat = Heartbeat {
            store: self.store.clone(),
            leases: self.leases.clone(),
            lease_ttl: self.config.lease_ttl,
            end: stages.end_loops.clone(),
        };
        let heartbeat = failures.supervise(Part::Heartbeat, &stages.end_loops, heartbeat.run());
        tasks.spawn(stages.loops.track_future(heartbeat));
        let timer = Timer {
            store: self.store.clone(),
            clock: self.clock.clone(),
            declared: DeclaredSchedules {
                store: self.store.clone(),
                config: self.config.clone(),
                tried: stages.schedules_tried.clone(),
                end: stages.end_loops.clone(),
            },
            dispatchers: self.dispatchers.clone(),
            resumed: self.resumed.clone(),
            end: stages.end_loops.clone(),
        };
        let timer = failures.supervise(Part::Timer, &stages.end_loops, timer.run());
        tasks.spawn(stages.loops.track_future(timer));
        let keeper = WorkerKeeper {
            remote: self.remote.clone(),
            poll_interval: self.config.poll_interval,
            end: stages.end_loops.clone(),
        };
        let keeper = keeper.run(self.live.subscribe());
        let keeper = failures.supervise(Part::WorkerKeeper, &stages.end_loops, keeper);
        tasks.spawn(stages.loops.track_future(keeper));
        let links = LinkKeeper { store: self.store.clone(), table: self.store.access_table() };
        let links = links.run(self.live.subscribe());
        tasks.spawn(failures.supervise(Part::LinkKeeper, &stages.no_more_events, links));
        let reader = InboxReader {
            store: self.store.clone(),
            kinds: self.kinds.clone(),
            config: self.config.clone(),
            dispatchers: self.dispatchers.clone(),
            draining: draining.clone(),
        };
        let reader = failures.supervise(Part::Inbox, draining, reader.run());
        tasks.spawn(stages.claiming.track_future(reader));
        let projector = Projector {
            store: self.store.clone(),
            is_on: self.config.projection,
            draining: draining.clone(),
        };
        let projector = failures.supervise(Part::Projection, draining, projector.run());
        tasks.spawn(stages.claiming.track_future(projector));
        let reporter = NodeReporter {
            store: self.store.clone(),
            config: self.config.clone(),
            own_kinds: self.kinds.own(),
            leases: self.leases.clone(),
            remote: self.remote.clone(),
            subscriber_counts: self.subscriber_counts.clone(),
            bulks: self.bulks.clone(),
            node_names: self.node_names.clone(),
            clock: self.clock.clone(),
            end: stages.no_more_events.clone(),
        };
        let reporter =
            failures.supervise(Part::NodeReporter, &stages.no_more_events, reporter.run());
        tasks.spawn(reporter);
        self.dispatchers.ensure(self.config.queues.iter().map(|(queue, _)| queue));
        let discovery = QueueDiscovery {
            store: self.store.clone(),
            limits: self.queue_limits.clone(),
            dispatchers: self.dispatchers.clone(),
            poll_interval: self.config.poll_interval,
            draining: draining.clone(),
        };
        let discovery = failures.supervise(Part::QueueDiscovery, draining, discovery.run());
        tasks.spawn(stages.claiming.track_future(discovery));
    }
}
