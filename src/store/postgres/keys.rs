//! Where the value of a key is stored: chunks of the journal, `j` + number, have a table of their own.

use std::collections::VecDeque;

use crate::store::StoreError;

/// The first byte of a chunk's key. No other key begins with it.
const CHUNK: u8 = b'j';

/// The place of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPlace {
    /// The table of chunks, under this number.
    Chunk(i64),
    /// The table of all other rows.
    Row,
}

impl KeyPlace {
    /// The place of a key, or `None` when nothing can be stored under it.
    pub fn of(key: &[u8]) -> Option<KeyPlace> {
        let Some(digits) = key.strip_prefix(&[CHUNK]) else { return Some(KeyPlace::Row) };
        let number = u64::from_be_bytes(digits.try_into().ok()?);
        i64::try_from(number).ok().map(KeyPlace::Chunk)
    }

    /// The place of a key that is about to be written.
    ///
    /// # Errors
    /// When nothing can be stored under it.
    pub fn to_write(key: &[u8]) -> Result<KeyPlace, StoreError> {
        KeyPlace::of(key)
            .ok_or_else(|| StoreError::Corrupt(format!("key {key:02x?}: not a chunk's key")))
    }
}

/// The key of a chunk.
pub fn chunk_key(number: i64) -> Vec<u8> {
    let mut key = vec![CHUNK];
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// A range of one table; the end is not part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableRange {
    /// Rows.
    Rows { from: Vec<u8>, to: Option<Vec<u8>> },
    /// Rows, whose values are not read.
    Keys { from: Vec<u8>, to: Option<Vec<u8>> },
    /// Chunks.
    Chunks { from: i64, to: Option<i64> },
}

impl TableRange {
    /// The same range, of which only the keys are read if it has rows.
    pub fn without_values(self) -> TableRange {
        match self {
            TableRange::Rows { from, to } => TableRange::Keys { from, to },
            TableRange::Keys { .. } | TableRange::Chunks { .. } => self,
        }
    }
}

/// The ranges that hold the keys which begin with `prefix` and are not less than `from`, in the order of the keys.
pub fn ranges(prefix: &[u8], from: &[u8]) -> VecDeque<TableRange> {
    let from = from.max(prefix).to_vec();
    let to = after_prefix(prefix);
    let (chunks, behind) = (vec![CHUNK], vec![CHUNK + 1]);
    let is_before_end = |key: &Vec<u8>| to.as_ref().is_none_or(|to| key < to);
    let mut ranges = VecDeque::new();
    if from < chunks {
        let to = if is_before_end(&chunks) { Some(chunks.clone()) } else { to.clone() };
        ranges.push_back(TableRange::Rows { from: from.clone(), to });
    }
    if from < behind && is_before_end(&chunks) {
        let end = to.as_ref().filter(|to| **to < behind);
        // Numbers above the greatest that PostgreSQL stores are not there.
        if let Some(from) = least_number(&from)
            && end.is_none_or(|end| least_number(end) != Some(from))
        {
            let to = end.and_then(|end| least_number(end));
            ranges.push_back(TableRange::Chunks { from, to });
        }
    }
    if is_before_end(&behind) {
        ranges.push_back(TableRange::Rows { from: from.max(behind), to });
    }
    ranges
}

/// The number of the first chunk whose key is not less than `key`.
fn least_number(key: &[u8]) -> Option<i64> {
    let mut digits = [0; 8];
    let given = key.strip_prefix(&[CHUNK]).unwrap_or_default();
    let count = given.len().min(8);
    digits[..count].copy_from_slice(&given[..count]);
    let number = u64::from_be_bytes(digits).checked_add(u64::from(given.len() > 8))?;
    i64::try_from(number).ok()
}

/// The least key that is greater than all keys with this prefix, or `None` when there is none.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(from: &[u8], to: Option<&[u8]>) -> TableRange {
        TableRange::Rows { from: from.to_vec(), to: to.map(<[u8]>::to_vec) }
    }

    #[test]
    fn only_eight_bytes_that_postgres_can_store_are_the_number_of_a_chunk() {
        assert_eq!(KeyPlace::of(&chunk_key(42)), Some(KeyPlace::Chunk(42)));
        assert_eq!(KeyPlace::of(&chunk_key(i64::MAX)), Some(KeyPlace::Chunk(i64::MAX)));
        assert_eq!(KeyPlace::of(b"meta"), Some(KeyPlace::Row));
        assert_eq!(KeyPlace::of(b""), Some(KeyPlace::Row));
        for odd in [&b"j"[..], b"j1234567", b"j123456789", b"j\xff2345678"] {
            assert_eq!(KeyPlace::of(odd), None);
            assert!(KeyPlace::to_write(odd).is_err());
        }
    }

    #[test]
    fn a_scan_reads_only_the_tables_that_hold_its_keys() {
        assert_eq!(ranges(b"j", b"j"), [TableRange::Chunks { from: 0, to: None }]);
        assert_eq!(ranges(b"j", &chunk_key(7)), [TableRange::Chunks { from: 7, to: None }]);
        assert_eq!(ranges(b"r", b"r"), [rows(b"r", Some(b"s"))]);
        assert_eq!(ranges(b"i", b"ix"), [rows(b"ix", Some(b"j"))]);
        let all =
            [rows(b"", Some(b"j")), TableRange::Chunks { from: 0, to: None }, rows(b"k", None)];
        assert_eq!(ranges(b"", b""), all);
        assert_eq!(ranges(b"", &chunk_key(7))[0], TableRange::Chunks { from: 7, to: None });
        assert_eq!(ranges(b"", b"k1"), [rows(b"k1", None)]);
    }

    #[test]
    fn the_bounds_of_a_range_of_chunks_are_those_of_its_keys() {
        let one = chunk_key(0x0102);
        assert_eq!(ranges(&one, &one), [TableRange::Chunks { from: 0x0102, to: Some(0x0103) }]);
        let many = &one[..8];
        assert_eq!(ranges(many, many), [TableRange::Chunks { from: 0x0100, to: Some(0x0200) }]);
        let behind = [&one[..], &[0]].concat();
        assert_eq!(ranges(b"j", &behind), [TableRange::Chunks { from: 0x0103, to: None }]);
        assert_eq!(ranges(&behind, &behind), []);
        assert_eq!(ranges(b"j", b"j\xff"), [], "no number is that great");
        assert_eq!(ranges(b"j\xff", b"j\xff"), []);
    }
}
