//! Who sits where: subscribers by key, with numbers that are used again.

use super::subscriber::Subscriber;

/// The subscribers of one hub.
#[derive(Default)]
pub struct SubscriberSlab {
    entries: Vec<Option<Box<Subscriber>>>,
    free: Vec<u32>,
}

impl SubscriberSlab {
    /// A key that nobody has; [`SubscriberSlab::insert`] must follow.
    pub fn reserve(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            (self.entries.len() - 1) as u32
        })
    }

    /// Gives a key to a subscriber.
    pub fn insert(&mut self, key: u32, subscriber: Subscriber) {
        if let Some(entry) = self.entries.get_mut(key as usize) {
            *entry = Some(Box::new(subscriber));
        }
    }

    /// Who sits there, if anybody.
    pub fn get(&mut self, key: u32) -> Option<&mut Subscriber> {
        self.entries.get_mut(key as usize)?.as_deref_mut()
    }

    /// Sends a subscriber home.
    pub fn remove(&mut self, key: u32) -> Option<Box<Subscriber>> {
        let gone = self.entries.get_mut(key as usize)?.take()?;
        self.free.push(key);
        if self.is_empty() {
            *self = SubscriberSlab::default(); // a crowd's memory goes with it
        }
        Some(gone)
    }

    /// SubscriberSlab, entries and free: every key is below.
    pub fn key_bound(&self) -> u32 {
        self.entries.len() as u32
    }

    /// Subscribers.
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
