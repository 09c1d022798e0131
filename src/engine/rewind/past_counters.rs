//! The counters of an earlier moment: those of the nearest checkpoint, and the changes of the events in between.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::future::join_all;

use super::{Past, RewindError};
use crate::engine::insight::checkpoint::Checkpoint;
use crate::engine::{Engine, EngineConfig};
use crate::job::{
    Change, Concurrency, Cursor, Event, Fact, JobId, Labels, QueueChange, QueueName, State,
};
use crate::store::{QueueStats, Stats};

/// How many records are read at once.
const READS_AT_ONCE: usize = 8;

impl Engine {
    /// The counters as they were. Jobs that retention has removed count until the next checkpoint. How long jobs had been
    /// waiting and what rate limits allowed is not known.
    pub async fn stats_at(&self, past: &Past) -> Result<Stats, RewindError> {
        let at = past.cursor;
        let (before, after) = self.parts.observed.lock().checkpoints.around(at.seq);
        let now = self.stats().await?;
        let (whole_log, most) = (now.oldest, self.config().rewind.counted_events);
        // The events after an older checkpoint may have left the log.
        let before = before.filter(|it| it.cursor.seq >= whole_log.seq);
        let is_near_begin = whole_log.seq == 0 && at.seq <= most;
        let before = before.or_else(|| is_near_begin.then(|| Checkpoint::empty(whole_log)));
        let after = after.or_else(|| Some(Checkpoint::of(&now)));
        let is_near = |it: &Checkpoint| (at.seq..=at.seq + most).contains(&it.cursor.seq);
        let after = after.filter(is_near);
        let counted = match (before, after) {
            (Some(before), _) => self.count(before, at, CountingDirection::Forward).await?,
            (None, Some(after)) => self.count(after, at, CountingDirection::Back).await?,
            (None, None) => return Err(RewindError::NotCounted),
        };
        Ok(counted.into_stats(whole_log, self.config()))
    }

    /// Counts from a checkpoint to a moment.
    async fn count(
        &self,
        checkpoint: Checkpoint,
        to: Cursor,
        direction: CountingDirection,
    ) -> Result<Checkpoint, RewindError> {
        let (first, last) = match direction {
            CountingDirection::Forward => (checkpoint.cursor, to),
            CountingDirection::Back => (to, checkpoint.cursor),
        };
        let events = self.events_until(first, last.seq).await?;
        let unknown = self.states_before(&events, first).await?;
        let mut counted = checkpoint;
        let mut steps = steps(&events, &unknown);
        if direction == CountingDirection::Back {
            steps.reverse();
        }
        for step in steps {
            counted.apply(&step, direction);
        }
        let changes = events.iter().filter_map(|event| match &event.fact {
            Fact::Queue { queue, change } => Some((queue, *change)),
            _ => None,
        });
        match direction {
            CountingDirection::Forward => changes.for_each(|(queue, change)| {
                counted.queues.entry(queue.clone()).or_default().1.apply(change);
            }),
            CountingDirection::Back => changes.rev().for_each(|(queue, change)| {
                counted.queues.entry(queue.clone()).or_default().1.paused = match change {
                    // A change that changes nothing has no event.
                    QueueChange::Paused => false,
                    QueueChange::Resumed => true,
                    // What was set before is not known.
                    QueueChange::ConcurrencySet { .. } | QueueChange::RateLimitSet { .. } => return,
                };
            }),
        }
        counted.cursor = to;
        counted.remove_empty();
        Ok(counted)
    }

    /// The states of jobs before the first of these events, where neither the event nor an earlier one of them tells it.
    async fn states_before(
        &self,
        events: &[Event],
        first: Cursor,
    ) -> Result<HashMap<JobId, State>, RewindError> {
        let mut seen = HashSet::new();
        let mut unknown = Vec::new();
        for event in events {
            let Fact::Job { id, change, attempt, .. } = &event.fact else { continue };
            if seen.insert(*id) && before(change, *attempt).is_none() && is_move(change) {
                unknown.push((*id, event));
            }
        }
        // More of them are looked for in the log, which costs less than their records.
        let rest = unknown.split_off(unknown.len().min(self.config().rewind.list_records));
        let mut looked_up = Vec::with_capacity(unknown.len());
        for some in unknown.chunks(READS_AT_ONCE) {
            let reads = some.iter().map(|(id, event)| async move {
                let (job, _) = self.job(*id).await?;
                let then = job.and_then(|job| job.as_of(event.seq - 1, event.at, None));
                Ok::<_, RewindError>((*id, then.map(|job| job.status.state)))
            });
            looked_up.extend(join_all(reads).await);
        }
        let mut states = HashMap::new();
        let mut gone = HashMap::new();
        for (found, (_, event)) in looked_up.into_iter().zip(&unknown) {
            let (id, state) = found?;
            match state {
                Some(state) => drop(states.insert(id, state)),
                None => drop(gone.insert(id, *event)),
            }
        }
        gone.extend(rest);
        self.states_of_gone(gone, first, &mut states).await?;
        Ok(states)
    }

    /// The same for jobs that have been removed: by their last event before these, as far as it is looked for.
    async fn states_of_gone(
        &self,
        mut gone: HashMap<JobId, &Event>,
        first: Cursor,
        states: &mut HashMap<JobId, State>,
    ) -> Result<(), RewindError> {
        let oldest = self.stats().await?.oldest.seq;
        let (mut end, mut examined) = (first, 0);
        while !gone.is_empty() && end.seq > oldest && examined < self.config().rewind.list_events {
            let begin = end.seq.saturating_sub(4_096).max(oldest);
            let window = self.events_until(Cursor { seq: begin, ..end }, end.seq).await?;
            for event in window.iter().rev() {
                let Fact::Job { id, state, .. } = &event.fact else { continue };
                if gone.remove(id).is_some() {
                    states.insert(*id, *state);
                }
            }
            examined += end.seq - begin;
            end.seq = begin;
        }
        for (id, event) in gone {
            let Fact::Job { change, .. } = &event.fact else { continue };
            states.insert(id, likely(change));
        }
        Ok(())
    }
}

/// Whether events are added to the counters, or taken out of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CountingDirection {
    Forward,
    Back,
}

/// A job that leaves one place of the counters for another. A new job comes from none, and a deleted one goes to none.
struct CountedStep<'a> {
    labels: &'a Labels,
    from: Option<(&'a QueueName, State)>,
    to: Option<State>,
}

/// The changes of the counters by these events, in their order. `unknown` has the states before the first events of jobs.
fn steps<'a>(events: &'a [Event], unknown: &HashMap<JobId, State>) -> Vec<CountedStep<'a>> {
    let mut states: HashMap<JobId, State> = unknown.clone();
    let mut steps = Vec::new();
    for event in events {
        let Fact::Job { id, labels, state, attempt, change } = &event.fact else { continue };
        let was = before(change, *attempt).or_else(|| states.get(id).copied());
        let step = match change {
            Change::Enqueued { .. } => CountedStep { labels, from: None, to: Some(*state) },
            Change::Deleted => {
                CountedStep { labels, from: Some((&labels.queue, *state)), to: None }
            }
            Change::Moved { from } => {
                CountedStep { labels, from: Some((from, *state)), to: Some(*state) }
            }
            change if is_move(change) => {
                let from = was.map(|was| (&labels.queue, was));
                CountedStep { labels, from, to: Some(*state) }
            }
            _ => {
                states.insert(*id, *state);
                continue;
            }
        };
        states.insert(*id, *state);
        steps.push(step);
    }
    steps
}

/// Whether a change leads from one state to another.
fn is_move(change: &Change) -> bool {
    match change {
        Change::BecameAvailable
        | Change::Started { .. }
        | Change::Completed { .. }
        | Change::RetryScheduled { .. }
        | Change::Snoozed { .. }
        | Change::Discarded { .. }
        | Change::Cancelled
        | Change::Interrupted { .. }
        | Change::Rescued { .. }
        | Change::Retried => true,
        Change::Enqueued { .. }
        | Change::Progressed(_)
        | Change::Logged(_)
        | Change::CancelAsked
        | Change::Deleted
        | Change::Moved { .. }
        | Change::Reprioritised { .. } => false,
    }
}

/// The state before a change, if the change tells it. `attempt` is the attempt count of its event.
fn before(change: &Change, attempt: u16) -> Option<State> {
    match change {
        Change::Started { .. } => Some(State::Available),
        Change::Completed { .. }
        | Change::RetryScheduled { .. }
        | Change::Snoozed { .. }
        | Change::Discarded { .. }
        | Change::Interrupted { .. }
        | Change::Rescued { .. } => Some(State::Running),
        // A job that waits for a retry has been charged for an attempt.
        Change::BecameAvailable if attempt == 0 => Some(State::Scheduled),
        Change::BecameAvailable
        | Change::Cancelled
        | Change::Retried
        | Change::Enqueued { .. }
        | Change::Progressed(_)
        | Change::Logged(_)
        | Change::CancelAsked
        | Change::Deleted
        | Change::Moved { .. }
        | Change::Reprioritised { .. } => None,
    }
}

/// The most likely state before a change of a job of which nothing else is known.
fn likely(change: &Change) -> State {
    match change {
        Change::BecameAvailable => State::Retryable,
        Change::Retried => State::Discarded,
        _ => State::Available,
    }
}

impl Checkpoint {
    fn apply(&mut self, step: &CountedStep<'_>, direction: CountingDirection) {
        let CountedStep { labels, from, to } = step;
        let from = from.map(|(queue, state)| (queue, state));
        let to = to.map(|state| (&labels.queue, state));
        let (less, more) = match direction {
            CountingDirection::Forward => (from, to),
            CountingDirection::Back => (to, from),
        };
        for (change, place) in [(-1, less), (1, more)] {
            let Some((queue, state)) = place else { continue };
            add(&mut self.states, state, change);
            add(&mut self.queues.entry(queue.clone()).or_default().0, state, change);
            add(self.kinds.entry(labels.kind.clone()).or_default(), state, change);
        }
    }

    fn remove_empty(&mut self) {
        let tidy = |counts: &mut BTreeMap<State, u64>| counts.retain(|_, count| *count > 0);
        tidy(&mut self.states);
        self.queues.values_mut().for_each(|(counts, _)| tidy(counts));
        self.queues.retain(|_, (counts, settings)| !counts.is_empty() || !settings.is_default());
        self.kinds.values_mut().for_each(tidy);
        self.kinds.retain(|_, counts| !counts.is_empty());
    }

    fn into_stats(self, oldest: Cursor, config: &EngineConfig) -> Stats {
        let states = State::ALL.map(|state| (state, self.states.get(&state).copied().unwrap_or(0)));
        let queues = self.queues.into_iter().map(|(name, (states, settings))| {
            let unused = config.unused_queue(&name);
            let concurrency: Option<Concurrency> = settings.concurrency.or(unused.concurrency);
            (name, QueueStats { states, settings, concurrency, ..unused })
        });
        Stats {
            states: states.into(),
            queues: queues.collect(),
            kinds: self.kinds,
            cursor: self.cursor,
            oldest,
        }
    }
}

/// Changes a number. It cannot become negative where retention has removed jobs that are counted.
fn add(counts: &mut BTreeMap<State, u64>, state: State, change: i64) {
    let count = counts.entry(state).or_default();
    *count = count.saturating_add_signed(change);
}
