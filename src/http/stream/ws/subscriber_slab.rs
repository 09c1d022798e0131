//! Who sits where: subscribers by number, with numbers that are used again.

use super::subscriber::Subscriber;

/// The subscribers of one hub.
#[derive(Default)]
pub struct Seats {
    taken: Vec<Option<Box<Subscriber>>>,
    free: Vec<u32>,
}

impl Seats {
    /// A number that nobody has; [`Seats::seat`] must follow.
    pub fn next(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.taken.push(None);
            (self.taken.len() - 1) as u32
        })
    }

    /// Gives a seat to a subscriber.
    pub fn seat(&mut self, number: u32, subscriber: Subscriber) {
        if let Some(seat) = self.taken.get_mut(number as usize) {
            *seat = Some(Box::new(subscriber));
        }
    }

    /// Who sits there, if anybody.
    pub fn get(&mut self, number: u32) -> Option<&mut Subscriber> {
        self.taken.get_mut(number as usize)?.as_deref_mut()
    }

    /// Sends a subscriber home.
    pub fn remove(&mut self, number: u32) -> Option<Box<Subscriber>> {
        let gone = self.taken.get_mut(number as usize)?.take()?;
        self.free.push(number);
        if self.is_empty() {
            *self = Seats::default(); // a crowd's memory goes with it
        }
        Some(gone)
    }

    /// Seats, taken and free: every number is below.
    pub fn numbers(&self) -> u32 {
        self.taken.len() as u32
    }

    /// Subscribers.
    pub fn len(&self) -> usize {
        self.taken.len() - self.free.len()
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
