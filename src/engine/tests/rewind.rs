//! An earlier moment is shown as it was: what the reads of a moment returned is compared with what is read back later.

use super::*;
use crate::clock::ManualClock;
use crate::engine::insight::checkpoint::{Checkpoint, Checkpoints};
use crate::engine::rewind::limits::RewindLimits;
use crate::job::{Failure, LogLine, Progress, QueueChange, Stream, Tag, Time, Verdict, WorkerName};
use crate::store::{Claim, Lease, Note, Page, Settlement, Stats, WorkerPlace};

const QUEUES: [&str; 3] = ["mail", "media", "default"];
const KINDS: [&str; 3] = ["work", "send", "resize"];
const TAGS: [&str; 2] = ["red", "blue"];
const SECRET: &str = "a secret of somebody";

/// A store that a random script changes, with the reads of every moment.
struct Script {
    random: fastrand::Rng,
    clock: ManualClock,
    store: Arc<MemoryStore>,
    engine: Engine,
    submitted: Vec<JobId>,
    leases: Vec<Lease>,
    moments: Vec<Moment>,
}

/// What the reads returned at a moment.
struct Moment {
    stats: Stats,
    lists: Vec<(JobQuery, Page)>,
    /// All jobs with their whole records.
    jobs: Vec<Job>,
}

fn queue(random: &mut fastrand::Rng) -> QueueName {
    QueueName::parse(QUEUES[random.usize(..QUEUES.len())]).unwrap()
}

impl Script {
    fn new(seed: u64, limits: RewindLimits) -> Script {
        Script::on(seed, limits, StoreLimits::default())
    }

    fn on(seed: u64, limits: RewindLimits, of_store: StoreLimits) -> Script {
        let clock = ManualClock::at(Time::from_millis(1_800_000_000_000));
        let store = MemoryStore::new(of_store, Arc::new(clock.clone()));
        let config = EngineConfig { paused: true, rewind: limits, ..quick() };
        let shop =
            open_with_clock(store.clone(), Registry::default(), config, Arc::new(clock.clone()));
        Script {
            random: fastrand::Rng::with_seed(seed),
            clock,
            store,
            engine: shop.engine,
            submitted: Vec::new(),
            leases: Vec::new(),
            moments: Vec::new(),
        }
    }

    /// A job whose id begins with the time of the clock, as those of real jobs do.
    fn new_job(&mut self) -> NewJob {
        let random = &mut self.random;
        let kind = KINDS[random.usize(..KINDS.len())];
        let mut job = job(kind, QUEUES[random.usize(..QUEUES.len())]);
        let first = u128::from_be_bytes(JobId::first_of(self.clock.now()).to_bytes());
        job.id = JobId::from_u128(first + self.submitted.len() as u128);
        let tags = TAGS.iter().filter(|_| random.bool()).map(|tag| Tag::parse(tag).unwrap());
        Arc::get_mut(&mut job.labels).unwrap().tags = tags.collect();
        let spec = Arc::get_mut(&mut job.spec).unwrap();
        let long = if random.u8(..8) == 0 { "long ".repeat(500) } else { String::new() };
        spec.payload = Json::parse(&format!("{{\"text\":\"{SECRET} {long}\"}}")).unwrap();
        spec.retry.max_attempts = random.u16(1..=3);
        if random.u8(..3) == 0 {
            job.start = Start::After(Duration::from_secs(random.u64(1..90)));
        }
        job
    }

    async fn step(&mut self) {
        self.clock.advance(Duration::from_millis(self.random.u64(1..20_000)));
        match self.random.u8(..16) {
            0..=3 => {
                let batch: Vec<NewJob> =
                    (0..self.random.u8(1..5)).map(|_| self.new_job()).collect();
                self.submitted.extend(batch.iter().map(|job| job.id));
                self.store.enqueue(batch).await.unwrap();
            }
            4..=6 => {
                let claim = Claim {
                    queues: QUEUES.map(|name| QueueName::parse(name).unwrap()).into(),
                    kinds: Arc::new(KINDS.iter().map(|kind| Kind::parse(kind).unwrap()).collect()),
                    max: self.random.usize(1..4),
                    worker: WorkerName::parse("w").unwrap(),
                    place: WorkerPlace::InProcess,
                    ttl: Duration::from_secs(60),
                };
                self.leases.extend(self.store.claim(claim).await.unwrap().leases);
            }
            7..=9 => self.settle().await,
            10 => self.note().await,
            11 | 12 => drop(self.store.tick().await.unwrap()),
            13 => {
                let change = match self.random.u8(..4) {
                    0 => QueueChange::Paused,
                    1 => QueueChange::Resumed,
                    _ => QueueChange::ConcurrencySet { concurrency: None },
                };
                let control = Control::SetQueue(queue(&mut self.random), change);
                self.store.control(control, None).await.unwrap();
            }
            _ => self.control().await,
        }
    }

    async fn settle(&mut self) {
        if self.leases.is_empty() {
            return;
        }
        let lease = self.leases.swap_remove(self.random.usize(..self.leases.len()));
        let failure = || Failure::new(FailureClass::Error, SECRET);
        let verdict = match self.random.u8(..6) {
            0 | 1 => Verdict::Completed { result: Json::parse(&format!("\"{SECRET}\"")).unwrap() },
            2 => Verdict::Failed { failure: failure(), retry_in: Duration::from_secs(30) },
            3 => Verdict::Snoozed { delay: Duration::from_secs(20) },
            4 => Verdict::Discarded { failure: failure() },
            _ => Verdict::Interrupted { why: Interruption::Stop },
        };
        let settlement = Settlement { lease: lease.key(), verdict };
        drop(self.store.settle(vec![settlement]).await.unwrap());
    }

    async fn note(&mut self) {
        let Some(lease) = self.leases.first() else { return };
        let line = LogLine { at: self.clock.now(), stream: Stream::Log, text: SECRET.into() };
        let progress = Progress { done: self.random.u64(..9), total: Some(9), message: None };
        let note = Note { lease: lease.key(), lines: vec![line], progress: Some(progress) };
        self.store.annotate(vec![note]).await.unwrap();
    }

    async fn control(&mut self) {
        if self.submitted.is_empty() {
            return;
        }
        let newest = self.submitted.len().saturating_sub(30);
        let jobs = vec![self.submitted[self.random.usize(newest..self.submitted.len())]];
        let control = match self.random.u8(..6) {
            0 | 1 => Control::Cancel(jobs),
            2 => Control::Retry(jobs),
            3 | 4 => Control::Delete(jobs),
            _ => Control::Move { jobs, queue: queue(&mut self.random) },
        };
        drop(self.store.control(control, None).await.unwrap());
    }

    /// Reads everything that is compared later.
    async fn look(&mut self) {
        let stats = self.store.stats().await.unwrap();
        let mut lists = Vec::new();
        for query in queries() {
            lists.push((query.clone(), self.store.list(query).await.unwrap()));
        }
        let mut jobs = Vec::new();
        for id in &self.submitted {
            jobs.extend(self.store.get(*id).await.unwrap().0);
        }
        assert_eq!(self.store.head(), stats.cursor, "nothing else changes the store");
        self.moments.push(Moment { stats, lists, jobs });
    }

    async fn run(seed: u64, steps: usize, limits: RewindLimits) -> Script {
        let mut script = Script::new(seed, limits);
        for _ in 0..steps {
            script.step().await;
            script.look().await;
        }
        script
    }

    /// Makes the engine know these checkpoints only.
    fn know(&self, moments: impl Iterator<Item = usize>) {
        let mut checkpoints = Checkpoints::default();
        moments.for_each(|n| checkpoints.add(&Checkpoint::of(&self.moments[n].stats)));
        self.engine.parts.observed.lock().checkpoints = checkpoints;
    }
}

/// The questions of the pages.
fn queries() -> Vec<JobQuery> {
    let all = JobQuery { limit: 5, ..JobQuery::default() };
    let states = |states: &[State]| JobQuery { states: states.to_vec(), ..all.clone() };
    vec![
        all.clone(),
        JobQuery { limit: 500, ..all.clone() },
        states(&[State::Running]),
        states(&[State::Available, State::Scheduled]),
        states(&[State::Completed]),
        states(&[State::Discarded, State::Retryable]),
        JobQuery { queues: vec![QueueName::parse("mail").unwrap()], ..all.clone() },
        JobQuery { kinds: vec![Kind::parse("send").unwrap()], ..all.clone() },
        JobQuery { tags: vec![Tag::parse("red").unwrap()], ..all },
    ]
}

/// The counters that a past moment has: how long jobs waited is not among them.
fn comparable(mut stats: Stats) -> Stats {
    for queue in stats.queues.values_mut() {
        queue.waiting_since = None;
        queue.rate_wait = None;
        queue.states.retain(|_, count| *count > 0);
    }
    stats.queues.retain(|_, queue| !queue.states.is_empty() || !queue.settings.is_default());
    stats.kinds.values_mut().for_each(|counts| counts.retain(|_, count| *count > 0));
    stats.kinds.retain(|_, counts| !counts.is_empty());
    stats.oldest.seq = 0;
    stats
}

/// Finds a moment as a page does.
async fn find(engine: &Engine, when: When) -> Result<Past, RewindError> {
    let reach = engine.reach().await?.ok_or(RewindError::Future)?;
    Ok(engine.past(&reach, when).await?.0)
}

async fn past(script: &Script, stats: &Stats) -> Option<Past> {
    match find(&script.engine, When::Cursor(stats.cursor)).await {
        Ok(past) => Some(past),
        Err(RewindError::Future | RewindError::TooOld { .. }) if stats.cursor.seq == 0 => None,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn counters_lists_and_jobs_are_those_that_the_reads_of_the_moment_returned() {
    for seed in 0..5 {
        let script = Script::run(seed, 140, RewindLimits::default()).await;
        let last = script.moments.len() - 1;
        let few = |n: &usize| n % 40 == 7;
        for known in [vec![], (0..last).filter(few).collect(), vec![last]] {
            script.know(known.iter().copied());
            for moment in &script.moments {
                let Some(past) = past(&script, &moment.stats).await else { continue };
                let counted = script.engine.stats_at(&past).await.unwrap();
                let told = format!("seed {seed}, {}, checkpoints {known:?}", past.cursor);
                assert_eq!(comparable(counted), comparable(moment.stats.clone()), "{told}");
            }
        }
        for moment in &script.moments {
            let Some(past) = past(&script, &moment.stats).await else { continue };
            let told = format!("seed {seed}, {}", past.cursor);
            for (query, then) in &moment.lists {
                let now = script.engine.jobs_at(&past, query.clone()).await.unwrap();
                compare(&script, &now.jobs, &then.jobs, &told).await;
                assert_eq!(now.next.is_some(), then.next.is_some(), "{told} {query:?}");
                assert_eq!(now.incomplete_below, None, "the log has everything");
            }
            for job in &moment.jobs {
                let now = script.engine.job_at(&past, job.id).await.unwrap();
                let now = now.unwrap_or_else(|| panic!("{told}: {} is missing", job.id));
                compare(&script, &[now], std::slice::from_ref(job), &told).await;
            }
            let ids: Vec<JobId> = moment.jobs.iter().map(|job| job.id).collect();
            for id in script.submitted.iter().filter(|id| !ids.contains(id)) {
                assert_eq!(script.engine.job_at(&past, *id).await.unwrap(), None, "{told} {id}");
            }
        }
    }
}

/// Compares jobs of a past moment with what a read returned at that moment.
async fn compare(script: &Script, now: &[PastJob], then: &[Job], told: &str) {
    let ids = |jobs: &mut dyn Iterator<Item = &Job>| jobs.map(|job| job.id).collect::<Vec<_>>();
    let now_ids = ids(&mut now.iter().map(|past| &past.job));
    assert_eq!(now_ids, ids(&mut then.iter()), "{told}");
    for (PastJob { job, is_gone }, then) in now.iter().zip(then) {
        let exists = script.store.get(job.id).await.unwrap().0.is_some();
        assert_eq!(*is_gone, !exists, "{told} {}", job.id);
        if *is_gone {
            let shown = format!("{job:?}");
            assert!(!shown.contains(SECRET), "{told}: {shown}");
            assert_eq!((job.status, &job.labels), (then.status, &then.labels), "{told} {}", job.id);
        } else if job.log.is_empty() && job.progress.is_none() {
            // A list has no log lines and no progress.
            let then = Job { log: Vec::new(), progress: None, ..then.clone() };
            assert_eq!(Job { seq: then.seq, ..job.clone() }, then, "{told}");
        } else {
            assert_eq!(job, then, "{told}");
        }
    }
}

#[tokio::test]
async fn jobs_that_were_submitted_long_before_are_shown_as_their_records_tell() {
    let limits =
        RewindLimits { list_events: 8, list_records: 40, job_events: 10, ..Default::default() };
    let mut found = 0;
    for seed in 100..104 {
        let script = Script::run(seed, 160, limits).await;
        for moment in &script.moments {
            let Some(past) = past(&script, &moment.stats).await else { continue };
            for (query, then) in &moment.lists {
                let mut jobs = Vec::new();
                let mut query = query.clone();
                let mut is_incomplete = false;
                loop {
                    let page = script.engine.jobs_at(&past, query.clone()).await.unwrap();
                    is_incomplete |= page.incomplete_below.is_some();
                    jobs.extend(page.jobs);
                    match page.next {
                        Some(next) if jobs.len() < then.jobs.len() => query.after = Some(next),
                        _ => break,
                    }
                }
                // Jobs that were removed since may be missing, and only if the page says so.
                let mut now = jobs.iter().map(|past| &past.job).peekable();
                for job in &then.jobs {
                    let state = |job: &Job| (job.id, job.status.state, job.labels.clone());
                    if now.peek().is_some_and(|now| now.id == job.id) {
                        assert_eq!(state(now.next().unwrap()), state(job));
                        found += 1;
                    } else if now.peek().is_some() || is_incomplete {
                        let is_gone = script.store.get(job.id).await.unwrap().0.is_none();
                        assert!(
                            is_gone && is_incomplete,
                            "seed {seed} {}: {}",
                            past.cursor,
                            job.id
                        );
                    }
                }
            }
            for job in &moment.jobs {
                let Some(now) = script.engine.job_at(&past, job.id).await.unwrap() else {
                    assert!(script.store.get(job.id).await.unwrap().0.is_none());
                    continue;
                };
                assert_eq!(now.job.status.state, job.status.state, "seed {seed} {}", past.cursor);
                assert_eq!(now.job.labels, job.labels);
            }
        }
    }
    assert!(found > 1_000, "{found}");
}

#[tokio::test]
async fn a_time_leads_to_the_last_event_before_it_and_wrong_moments_are_refused() {
    let script = Script::run(7, 60, RewindLimits::default()).await;
    let reach = script.engine.reach().await.unwrap().unwrap();
    let head = script.store.head();
    assert_eq!((reach.oldest.cursor.seq, reach.newest.cursor), (1, head));
    let Events::Some(events) =
        script.engine.events(Cursor { seq: 0, ..head }, 9_999).await.unwrap()
    else {
        panic!("the log has all events");
    };
    for event in &events {
        let last = events.iter().rfind(|other| other.at <= event.at).unwrap();
        let past = find(&script.engine, When::Time(event.at)).await.unwrap();
        assert_eq!((past.cursor.seq, past.at), (last.seq, event.at));
        let exact = find(&script.engine, When::Cursor(event.cursor(head))).await.unwrap();
        assert_eq!((exact.cursor.seq, exact.at), (event.seq, event.at));
    }
    let refused = async |when| find(&script.engine, when).await.unwrap_err();
    let before = Time::from_millis(events[0].at.millis() - 1);
    assert!(
        matches!(refused(When::Time(before)).await, RewindError::TooOld { oldest } if oldest == reach.oldest)
    );
    let later = script.clock.now().after(Duration::from_millis(1));
    assert!(matches!(refused(When::Time(later)).await, RewindError::Future));
    let ahead = Cursor { seq: head.seq + 1, ..head };
    assert!(matches!(refused(When::Cursor(ahead)).await, RewindError::Future));
    let other = Cursor { epoch: crate::job::Epoch(head.epoch.0 ^ 1), ..head };
    assert!(matches!(refused(When::Cursor(other)).await, RewindError::OtherEpoch));
    let empty = Script::new(1, RewindLimits::default());
    assert_eq!(empty.engine.reach().await.unwrap(), None);
}

#[tokio::test]
async fn no_more_pages_of_earlier_moments_are_made_at_once_than_the_limit_says() {
    let limits = RewindLimits { pages: 2, ..RewindLimits::default() };
    let engine = Script::new(1, limits).engine;
    let first = engine.rewind_permit().await.unwrap();
    let _second = engine.rewind_permit().await.unwrap();
    let mut third = std::pin::pin!(engine.rewind_permit());
    assert!(futures_util::poll!(&mut third).is_pending());
    drop(first);
    drop(third.await.unwrap());
}

#[tokio::test]
async fn the_counters_of_a_moment_before_a_restart_are_known_after_it() {
    let store = memory();
    let mut before = open_on(
        store.clone(),
        one(|_: AttemptContext, _: Option<()>| async { Ok::<_, String>(1) }),
        quick(),
    );
    before.run(work()).await;
    let head = store.head();
    let then = before.engine.stats().await.unwrap();
    let known = before.engine.parts.observed.lock().checkpoints.oldest();
    assert!(known < Some(head.seq), "there is a checkpoint from the time of the start: {known:?}");
    before.event(|_, change| matches!(change, Change::Completed { .. }).then_some(())).await;
    // The last save, as at the end of the process.
    let stages = &before.engine.parts.stages;
    stages.no_more_events.cancel();
    stages.pump.close();
    timeout(BOUND, stages.pump.wait()).await.expect("the history is not stored");
    let after =
        open_on(store.clone(), Registry::default(), EngineConfig { paused: true, ..quick() });
    let resumed = async {
        while after.engine.parts.observed.lock().checkpoints.oldest() != known {
            tokio::task::yield_now().await;
        }
    };
    timeout(BOUND, resumed).await.expect("the stored checkpoint is not read");
    let past = find(&after.engine, When::Cursor(head)).await.unwrap();
    assert_eq!(comparable(after.engine.stats_at(&past).await.unwrap()), comparable(then));
}

#[tokio::test]
async fn the_counters_of_every_moment_of_a_trimmed_log_are_known() {
    let mut of_store = StoreLimits::default();
    of_store.retention.events.count = 150;
    let mut script = Script::on(5, RewindLimits::default(), of_store);
    for _ in 0..200 {
        script.step().await;
        script.look().await;
    }
    script.store.tick().await.unwrap();
    let oldest = script.store.stats().await.unwrap().oldest.seq;
    assert!(oldest > 20, "{oldest}");
    // The checkpoint before the oldest event is of no use, and the first one after it counts back.
    for known in [vec![0, 20, 60, 100, 140, 180], vec![0], vec![]] {
        script.know(known.iter().copied());
        let mut compared = 0;
        for moment in &script.moments {
            if moment.stats.cursor.seq <= oldest {
                continue;
            }
            let past = find(&script.engine, When::Cursor(moment.stats.cursor)).await.unwrap();
            let counted = script.engine.stats_at(&past).await.unwrap();
            let total = |stats: &Stats| stats.states.values().sum::<u64>();
            assert_eq!(total(&counted), total(&moment.stats), "{} {known:?}", past.cursor);
            compared += 1;
        }
        assert!(compared > 20, "{compared}");
    }
}
