//! Accounting of what a search reads. It checks at regular intervals whether to continue, because the client may have
//! disconnected or the server may be stopping, so that not even one large job blocks a reader.

/// The bytes between two checks whether to continue.
const CHECK_INTERVAL: u64 = 64 * 1_024;

/// Counts the bytes that a search reads.
pub struct Reading<'a> {
    bytes: u64,
    check_at: u64,
    go_on: &'a dyn Fn() -> bool,
}

/// The error of an interrupted search. Whether the current job matches is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupted;

impl<'a> Reading<'a> {
    /// Starts counting; `go_on` is asked at intervals whether to continue.
    pub fn new(go_on: &'a dyn Fn() -> bool) -> Reading<'a> {
        Reading { bytes: 0, check_at: CHECK_INTERVAL, go_on }
    }

    /// Counts bytes that were read.
    ///
    /// # Errors
    /// When the search must not continue.
    pub fn count(&mut self, bytes: usize) -> Result<(), Interrupted> {
        self.bytes += bytes as u64;
        if self.bytes < self.check_at {
            return Ok(());
        }
        self.check_at = self.bytes + CHECK_INTERVAL;
        if (self.go_on)() { Ok(()) } else { Err(Interrupted) }
    }

    /// Returns the bytes read so far. A byte that is read for several terms counts several times.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
