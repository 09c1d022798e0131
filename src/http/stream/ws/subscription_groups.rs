//! Groups of subscribers with the same subscriptions: they receive the same bytes, so each frame is built once for all.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::http::stream::protocol::Subscriptions;

/// The subscribers of a hub that have the same subscriptions.
#[derive(Debug)]
pub struct SubscriptionGroup {
    /// Identifies the group within its hub; never reused.
    pub id: u64,
    /// Their subscriptions.
    pub subscriptions: Subscriptions,
}

/// The groups of one hub, each set of subscriptions once.
#[derive(Debug, Default)]
pub struct SubscriptionGroups {
    known: HashSet<BySubscriptions>,
    next_id: u64,
}

/// A group that is found by its subscriptions.
#[derive(Debug)]
struct BySubscriptions(Arc<SubscriptionGroup>);

impl Borrow<Subscriptions> for BySubscriptions {
    fn borrow(&self) -> &Subscriptions {
        &self.0.subscriptions
    }
}

impl Hash for BySubscriptions {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.subscriptions.hash(state);
    }
}

impl PartialEq for BySubscriptions {
    fn eq(&self, other: &Self) -> bool {
        self.0.subscriptions == other.0.subscriptions
    }
}

impl Eq for BySubscriptions {}

impl SubscriptionGroups {
    /// Returns the group with these subscriptions, and creates it if there is none.
    pub fn join(&mut self, subscriptions: Subscriptions) -> Arc<SubscriptionGroup> {
        if let Some(known) = self.known.get(&subscriptions) {
            return known.0.clone();
        }
        self.next_id += 1;
        let group = Arc::new(SubscriptionGroup { id: self.next_id, subscriptions });
        self.known.insert(BySubscriptions(group.clone()));
        group
    }

    /// Ends one membership; the group is removed with its last member.
    pub fn leave(&mut self, group: Arc<SubscriptionGroup>) {
        if Arc::strong_count(&group) == 2 {
            self.known.remove(&group.subscriptions);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Filter, QueueName};

    #[test]
    fn subscribers_with_the_same_filter_are_one_group_until_the_last_leaves() {
        let of_queue = |queue: &str| {
            let queues = vec![QueueName::parse(queue).unwrap()];
            Subscriptions::new(Filter { queues, ..Filter::default() }, 32)
        };
        let mut groups = SubscriptionGroups::default();
        let (one, two, other) =
            (groups.join(of_queue("a")), groups.join(of_queue("a")), groups.join(of_queue("b")));
        assert_eq!((one.id, two.id == other.id), (two.id, false));
        groups.leave(one);
        assert_eq!(groups.join(of_queue("a")).id, two.id);
        groups.leave(two);
        assert_eq!(groups.known.len(), 1);
        groups.leave(other);
        assert!(groups.known.is_empty());
    }
}
