//! How much a search has read, and whether it shall go on: whoever waits for it may have left, or the server may
//! be stopping. Asked every so many bytes, so that one large job cannot hold a reader.

/// Bytes between two questions whether to go on.
const ASK_EVERY: u64 = 64 * 1_024;

/// Counts what a search reads.
pub struct Reading<'a> {
    bytes: u64,
    ask_at: u64,
    go_on: &'a dyn Fn() -> bool,
}

/// The search was told to end, so nothing is known of the job it was in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupted;

impl<'a> Reading<'a> {
    /// A search that asks `go_on` now and then.
    pub fn new(go_on: &'a dyn Fn() -> bool) -> Reading<'a> {
        Reading { bytes: 0, ask_at: ASK_EVERY, go_on }
    }

    /// Counts bytes that were read.
    ///
    /// # Errors
    /// When the search shall not go on.
    pub fn count(&mut self, bytes: usize) -> Result<(), Interrupted> {
        self.bytes += bytes as u64;
        if self.bytes < self.ask_at {
            return Ok(());
        }
        self.ask_at = self.bytes + ASK_EVERY;
        if (self.go_on)() { Ok(()) } else { Err(Interrupted) }
    }

    /// Bytes read so far. One that is looked at for several terms counts several times.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
