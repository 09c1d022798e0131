//! Whose turn it is to append to a shared log while several nodes do so at the same time. Each of them could try at once,
//! but only one append succeeds, and the others would have been decided in vain. While appends of different nodes follow
//! each other at once, nodes therefore let those go first that come after the last writer in the order of their numbers, as
//! far as they have appended lately. Nobody has to keep to this, and a node whose turn it is may have nothing to write: then
//! the next one goes on after a short time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::store::log::TurnRequest;
use crate::store::log_store::journal::nodes::NodeId;

/// Limits of the time that each node is given.
const SHORTEST_TURN: Duration = Duration::from_millis(1);
const LONGEST_TURN: Duration = Duration::from_millis(50);
/// How many turns of all nodes, and how long at least, a node that has appended is expected to do so again.
const EXPECTED_ROUNDS: u32 = 2;
const EXPECTED_FOR: Duration = Duration::from_millis(50);
/// Of how many changes of the writer it is known whether they came at once.
const CHANGES: u32 = 8;

/// What is known of another node that may be about to append.
#[derive(Debug, Clone, Copy)]
struct Competitor {
    /// When it appended last, or asked for its turn.
    at: Instant,
    /// How long it has said that it needs; zero if it has not said anything.
    needs: Duration,
}

/// Who has appended lately.
#[derive(Debug, Default)]
pub struct Turns {
    /// The other nodes that may be about to append.
    others: BTreeMap<NodeId, Competitor>,
    /// The writer of the newest chunk, and when this node came to know it.
    last: Option<(NodeId, Instant)>,
    /// The number of that chunk. It may not have been read yet.
    newest: Option<u64>,
    /// How long the appends of this node take.
    append_time: Duration,
    /// The newest times at which another node than before has appended, the newest in the lowest bit: one if it did so at
    /// once, so that it was probably waiting.
    changes: u8,
}

impl Turns {
    /// Notes the writer of a chunk, which was read, written, or only announced. A chunk that is known is not counted again.
    pub fn appended(&mut self, chunk: u64, writer: NodeId, own: NodeId, now: Instant) {
        if self.newest.is_some_and(|newest| chunk <= newest) {
            return;
        }
        self.newest = Some(chunk);
        if let Some((last, at)) = self.last
            && writer != last
        {
            let came_at_once = now.saturating_duration_since(at) < self.turn();
            self.changes = self.changes << 1 | u8::from(came_at_once);
        }
        if writer != own {
            let needs = self.others.get(&writer).map_or(Duration::ZERO, |other| other.needs);
            self.others.insert(writer, Competitor { at: now, needs });
        }
        self.last = Some((writer, now));
    }

    /// Notes that a node has lost an append and asks for its turn. Then nodes compete for certain.
    pub fn asked(&mut self, request: TurnRequest, now: Instant) {
        let TurnRequest { node, needs } = request;
        self.others.insert(NodeId(node), Competitor { at: now, needs });
        self.changes = u8::MAX;
    }

    /// Notes that the log was read to its end, before chunk `next`. There is nothing behind that, whatever was announced.
    pub fn read_up_to(&mut self, next: u64) {
        self.newest = self.newest.min(next.checked_sub(1));
    }

    /// The number of the first chunk that this node does not know of, when it reads chunk `next` next.
    pub fn next_unknown(&self, next: u64) -> u64 {
        self.newest.map_or(next, |newest| next.max(newest.saturating_add(1)))
    }

    /// Notes how long an append of this node has taken, with the decision before it.
    pub fn took(&mut self, time: Duration) {
        self.append_time = (self.append_time * 7 + time.min(LONGEST_TURN)) / 8;
    }

    /// Whether nodes compete: at least half of the newest changes of the writer came at once.
    pub fn are_taken(&mut self, now: Instant) -> bool {
        let turns = self.others.values().map(|other| self.turn_of(other));
        let round = turns.sum::<Duration>().saturating_add(self.turn());
        let expected_for = round.saturating_mul(EXPECTED_ROUNDS).max(EXPECTED_FOR);
        self.others.retain(|_, other| now.saturating_duration_since(other.at) < expected_for);
        !self.others.is_empty() && self.changes.count_ones() >= CHANGES / 2
    }

    /// How long this node lets others go first.
    pub fn wait(&mut self, own: NodeId, now: Instant) -> Duration {
        if !self.are_taken(now) {
            return Duration::ZERO;
        }
        let Some((last, at)) = self.last else { return Duration::ZERO };
        let before = self.others.iter().filter(|(other, _)| comes_before(**other, own, last));
        let turns: Duration = before.map(|(_, other)| self.turn_of(other)).sum();
        turns.saturating_sub(now.saturating_duration_since(at))
    }

    /// How long another node is given.
    fn turn_of(&self, other: &Competitor) -> Duration {
        other.needs.min(LONGEST_TURN).max(self.turn())
    }

    /// How long each node is given: twice as long as it usually takes, because a turn that is taken too early is in
    /// vain.
    fn turn(&self) -> Duration {
        (self.append_time * 2).clamp(SHORTEST_TURN, LONGEST_TURN)
    }

    /// Notes that the nodes whose turn it was have not appended.
    pub fn passed(&mut self, own: NodeId) {
        self.changes <<= 1;
        if let Some((last, _)) = self.last {
            self.others.retain(|other, _| !comes_before(*other, own, last));
        }
    }
}

/// Whether it is the turn of `other` before that of `own`, after `last` has appended.
fn comes_before(other: NodeId, own: NodeId, last: NodeId) -> bool {
    let distance = |node: NodeId| node.0.wrapping_sub(last.0).wrapping_sub(1);
    distance(other) < distance(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [NodeId; 3] = [NodeId(10), NodeId(20), NodeId(30)];
    const VERY_LONG: Duration = Duration::from_secs(30);
    const AT_ONCE: Duration = Duration::from_micros(500);

    /// What the second node thinks after all nodes have competed, and then these have appended.
    fn after(writers: &[NodeId]) -> (Turns, Instant) {
        let (mut turns, mut now) = (Turns::default(), Instant::now());
        let [first, own, third] = NODES;
        for (chunk, writer) in (0..).zip([first, own, third].repeat(3).iter().chain(writers)) {
            now += AT_ONCE;
            turns.appended(chunk, *writer, own, now);
        }
        (turns, now)
    }

    #[test]
    fn a_node_that_appends_alone_or_at_other_times_does_not_wait() {
        let [first, own, third] = NODES;
        for (writers, gap) in [
            (vec![], AT_ONCE),
            (vec![own; 9], AT_ONCE),
            (vec![first; 9], AT_ONCE),
            ([first, own, third].repeat(3), Duration::from_millis(5)),
        ] {
            let (mut turns, mut now) = (Turns::default(), Instant::now());
            for (chunk, writer) in (0..).zip(&writers) {
                now += gap;
                turns.appended(chunk, *writer, own, now);
            }
            assert_eq!(turns.wait(own, now), Duration::ZERO, "{writers:?}");
        }
    }

    #[test]
    fn nodes_take_turns_in_the_order_of_their_numbers() {
        let [first, own, third] = NODES;
        for (writers, before) in [
            ([first, third, own], 2),
            ([own, first, third], 1),
            ([own, third, first], 0),
            ([third, own, third], 1),
        ] {
            let (mut turns, now) = after(&writers);
            assert_eq!(turns.wait(own, now), SHORTEST_TURN * before, "{writers:?}");
        }
    }

    #[test]
    fn the_time_since_the_last_chunk_counts() {
        let own = NODES[1];
        let (mut turns, now) = after(&[own]);
        let waits =
            |turns: &mut Turns, micros| turns.wait(own, now + Duration::from_micros(micros));
        assert_eq!(waits(&mut turns, 500), Duration::from_micros(1_500));
        assert_eq!(waits(&mut turns, 2_500), Duration::ZERO);
        assert_eq!(turns.wait(own, now + EXPECTED_FOR * 2), Duration::ZERO);
        assert_eq!(turns.wait(own, now), Duration::ZERO, "they are no longer expected");
    }

    #[test]
    fn turns_are_as_long_as_appends_take() {
        let own = NODES[1];
        let (mut turns, now) = after(&[own]);
        for _ in 0..50 {
            turns.took(Duration::from_millis(20));
        }
        let wait = turns.wait(own, now);
        assert!(wait > Duration::from_millis(75) && wait <= Duration::from_millis(80), "{wait:?}");
        // They are expected again although it takes longer than with short turns.
        assert!(turns.are_taken(now + EXPECTED_FOR * 2));
        assert!(!turns.are_taken(now + EXPECTED_FOR * 6));
    }

    #[test]
    fn a_node_that_lets_its_turn_pass_is_not_waited_for_again() {
        let [first, own, _] = NODES;
        let (mut turns, now) = after(&[own]);
        turns.passed(own);
        assert_eq!(turns.wait(own, now), Duration::ZERO);
        turns.appended(100, first, own, now);
        turns.appended(101, own, own, now);
        assert_eq!(turns.wait(own, now), SHORTEST_TURN);
    }

    #[test]
    fn a_node_that_appends_alone_lets_one_that_asks_go_first() {
        let [first, own, _] = NODES;
        let (mut turns, now) = (Turns::default(), Instant::now());
        turns.appended(1, own, own, now);
        turns.appended(2, own, own, now);
        assert_eq!(turns.wait(own, now), Duration::ZERO);
        let asks = |needs| TurnRequest { node: first.0, needs };
        turns.asked(asks(Duration::ZERO), now);
        assert_eq!(turns.wait(own, now), SHORTEST_TURN);
        for (needs, given) in [(SHORTEST_TURN * 7, SHORTEST_TURN * 7), (VERY_LONG, LONGEST_TURN)] {
            turns.asked(asks(needs), now);
            assert_eq!(turns.wait(own, now), given);
        }
        turns.asked(asks(Duration::ZERO), now);
        turns.appended(3, first, own, now);
        assert_eq!(turns.wait(own, now), Duration::ZERO);
        turns.appended(4, own, own, now);
        let later = now + EXPECTED_FOR * 2;
        assert_eq!(turns.wait(own, later), Duration::ZERO, "it has not asked again");
    }

    #[test]
    fn a_chunk_counts_once_although_it_is_announced_and_then_read() {
        let [first, own, third] = NODES;
        let (mut turns, now) = after(&[own]);
        assert_eq!((turns.next_unknown(3), turns.next_unknown(10)), (10, 10));
        turns.appended(10, third, own, now);
        assert_eq!(turns.wait(own, now), SHORTEST_TURN);
        turns.appended(9, own, own, now);
        turns.appended(10, first, own, now);
        assert_eq!(turns.wait(own, now), SHORTEST_TURN, "both were known");
        turns.appended(11, first, own, now);
        assert_eq!(turns.wait(own, now), Duration::ZERO);
    }

    #[test]
    fn what_was_announced_and_is_not_there_is_forgotten() {
        let [first, own, third] = NODES;
        let (mut turns, now) = after(&[own]);
        turns.appended(u64::MAX, third, own, now);
        assert_eq!(turns.next_unknown(10), u64::MAX);
        turns.read_up_to(10);
        assert_eq!(turns.next_unknown(10), 10);
        turns.appended(10, first, own, now);
        assert_eq!(turns.wait(own, now), Duration::ZERO);
        turns.read_up_to(0);
        assert_eq!(turns.next_unknown(0), 0);
    }
}
