//! The subscribers of a hub by key. The key of a subscriber that has left is used again.

use super::subscriber::Subscriber;

/// The subscribers of one hub.
#[derive(Default)]
pub struct SubscriberSlab {
    entries: Vec<Option<Box<Subscriber>>>,
    /// The keys without a subscriber.
    free: Vec<u32>,
}

impl SubscriberSlab {
    /// Reserves a free key; [`SubscriberSlab::insert`] must follow.
    pub fn reserve(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            (self.entries.len() - 1) as u32
        })
    }

    /// Stores a subscriber under a reserved key.
    pub fn insert(&mut self, key: u32, subscriber: Subscriber) {
        if let Some(entry) = self.entries.get_mut(key as usize) {
            *entry = Some(Box::new(subscriber));
        }
    }

    /// The subscriber with this key, if there is one.
    pub fn get(&mut self, key: u32) -> Option<&mut Subscriber> {
        self.entries.get_mut(key as usize)?.as_deref_mut()
    }

    /// Removes a subscriber and frees its key.
    pub fn remove(&mut self, key: u32) -> Option<Box<Subscriber>> {
        let removed = self.entries.get_mut(key as usize)?.take()?;
        self.free.push(key);
        if self.is_empty() {
            *self = SubscriberSlab::default(); // release the memory of a large number of subscribers
        }
        Some(removed)
    }

    /// A bound that every key is below.
    pub fn key_bound(&self) -> u32 {
        self.entries.len() as u32
    }

    /// The number of subscribers.
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Whether there are no subscribers.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
