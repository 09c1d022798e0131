//! What one peer has sent of its messages. It holds a buffer only while a message is incomplete, and knows since when, so
//! that no peer can have the server hold one for as long as it likes.

use tokio::time::Instant;

use super::close_reason::CloseReason;
use super::inbound::{InboundMessage, MessageDecoder};

/// Reads the messages of one peer.
#[derive(Debug, Default)]
pub struct MessageReader(Option<Box<Unfinished>>);

/// An incomplete frame or message.
#[derive(Debug)]
struct Unfinished {
    decoder: MessageDecoder,
    since: Instant,
}

impl MessageReader {
    /// Decodes bytes that have arrived; `limit` is the longest allowed message in bytes. Returns what the complete frames are,
    /// and the reason to close if an invalid byte follows them.
    pub fn read(
        &mut self,
        arrived: &mut [u8],
        limit: usize,
        now: Instant,
    ) -> (Vec<InboundMessage>, Option<CloseReason>) {
        let (mut decoder, begun_at) = match self.0.take() {
            Some(unfinished) => (unfinished.decoder, unfinished.since),
            None => (MessageDecoder::default(), now),
        };
        let was_open = decoder.has_open_message();
        let (messages, fault) = decoder.decode(arrived, limit);
        let has_text = messages.iter().any(|one| matches!(one, InboundMessage::Text(_)));
        // Control frames may come between the frames of a message.
        let is_same = messages.is_empty() || (was_open && decoder.has_open_message() && !has_text);
        if !decoder.is_empty() {
            let since = if is_same { begun_at } else { now };
            self.0 = Some(Box::new(Unfinished { decoder, since }));
        }
        (messages, fault)
    }

    /// Since when the peer has not finished a message that it has begun; `None` when there is none.
    pub fn unfinished_since(&self) -> Option<Instant> {
        self.0.as_ref().map(|unfinished| unfinished.since)
    }

    /// Gives the peer as long for the message that it has begun as if it began it now: it was not read meanwhile.
    pub fn excuse_unfinished(&mut self, now: Instant) {
        if let Some(unfinished) = &mut self.0 {
            unfinished.since = now;
        }
    }
}
