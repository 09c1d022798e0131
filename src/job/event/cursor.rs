//! Cursors: positions in the event log, written `epoch:seq`. They are opaque to clients and the same for every
//! transport.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The epoch of a store. A restored store gets a new one, so that old cursors cannot be misread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u32);

/// A position in the event log: everything up to and including `seq` has been seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cursor {
    /// The epoch that `seq` belongs to.
    pub epoch: Epoch,
    /// The last sequence number seen, or 0 before the first event.
    pub seq: u64,
}

impl Cursor {
    /// Whether this position comes after the newest event of its log. The client that has it read another log: for
    /// example, a part of this one was lost with its disk.
    pub fn is_ahead_of(self, head: Cursor) -> bool {
        self.epoch == head.epoch && self.seq > head.seq
    }

    /// A position of the same log that no event will reach.
    pub fn behind_every_event(self) -> Cursor {
        Cursor { seq: u64::MAX, ..self }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}:{}", self.epoch.0, self.seq)
    }
}

impl FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once(':').and_then(|(epoch, seq)| {
            // The parsers of numbers would accept a sign.
            if epoch.starts_with('+') || seq.starts_with('+') {
                return None;
            }
            let epoch = Epoch(u32::from_str_radix(epoch, 16).ok()?);
            Some(Cursor { epoch, seq: seq.parse().ok()? })
        });
        parts.ok_or_else(|| {
            format!("{text:?} is not a cursor: use one that the server gave, such as 5f3a9c01:42")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_text() {
        let cursor = Cursor { epoch: Epoch(0x00ab_cdef), seq: u64::MAX };
        assert_eq!(cursor.to_string(), "00abcdef:18446744073709551615");
        assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        for bad in
            ["", "1", "x:1", "1:-1", "1:+1", "+1:1", "1:2:3", "1: 2", "1:18446744073709551616"]
        {
            assert!(bad.parse::<Cursor>().is_err(), "{bad:?} should be refused");
        }
    }
}
