//! Subscribers who want the same get the same bytes: sets of subscriptions, each kept once.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::http::stream::protocol::Subscriptions;

/// All who want the same.
#[derive(Debug)]
pub struct Group {
    /// Names it in the hub; never used again.
    pub id: u64,
    /// What they want.
    pub wanted: Subscriptions,
}

/// The groups of one hub.
#[derive(Debug, Default)]
pub struct Groups {
    known: HashSet<ByWish>,
    next_id: u64,
}

/// Found by what it wants.
#[derive(Debug)]
struct ByWish(Arc<Group>);

impl Borrow<Subscriptions> for ByWish {
    fn borrow(&self) -> &Subscriptions {
        &self.0.wanted
    }
}

impl Hash for ByWish {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.wanted.hash(state);
    }
}

impl PartialEq for ByWish {
    fn eq(&self, other: &Self) -> bool {
        self.0.wanted == other.0.wanted
    }
}

impl Eq for ByWish {}

impl Groups {
    /// The group that wants this; a new one when there is none.
    pub fn of(&mut self, wanted: Subscriptions) -> Arc<Group> {
        if let Some(known) = self.known.get(&wanted) {
            return known.0.clone();
        }
        self.next_id += 1;
        let group = Arc::new(Group { id: self.next_id, wanted });
        self.known.insert(ByWish(group.clone()));
        group
    }

    /// Gives a membership back; the last one to leave ends the group.
    pub fn leave(&mut self, group: Arc<Group>) {
        if Arc::strong_count(&group) == 2 {
            self.known.remove(&group.wanted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Filter, QueueName};

    #[test]
    fn who_wants_the_same_is_one_group_until_the_last_leaves() {
        let wish = |queue: &str| {
            let queues = vec![QueueName::parse(queue).unwrap()];
            Subscriptions::new(Filter { queues, ..Filter::default() }, 32)
        };
        let mut groups = Groups::default();
        let (one, two, other) = (groups.of(wish("a")), groups.of(wish("a")), groups.of(wish("b")));
        assert_eq!((one.id, two.id == other.id), (two.id, false));
        groups.leave(one);
        assert_eq!(groups.of(wish("a")).id, two.id);
        groups.leave(two);
        assert_eq!(groups.known.len(), 1);
        groups.leave(other);
        assert!(groups.known.is_empty());
    }
}
