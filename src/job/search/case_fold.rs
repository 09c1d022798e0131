//! Case folding, which makes searches case-insensitive, and the decoding of escapes, which makes them independent of how a
//! client wrote its JSON.

use memchr::memchr;

use super::reading::{Interrupted, Reading};
use crate::job::escapes::read_escape;
use crate::job::shorten::truncated;

/// The bytes that are folded or searched between two calls of [`Reading::count`].
pub const PIECE_BYTES: usize = 64 * 1_024;

/// Appends the case-folded text.
pub fn fold(
    text: &str,
    folded: &mut Vec<u8>,
    reading: &mut Reading<'_>,
) -> Result<(), Interrupted> {
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(truncated(rest, PIECE_BYTES).len());
        reading.count(piece.len())?;
        if piece.is_ascii() {
            folded.extend(piece.bytes().map(|byte| byte.to_ascii_lowercase()));
        } else {
            piece.chars().for_each(|c| push(c, folded));
        }
        rest = after;
    }
    Ok(())
}

/// Appends the case-folded text with its escapes decoded, as in `M\u00fcller`. Without a backslash it does what [`fold`]
/// does.
pub fn fold_decoded(
    text: &str,
    folded: &mut Vec<u8>,
    reading: &mut Reading<'_>,
) -> Result<(), Interrupted> {
    let mut rest = text;
    while let Some(at) = memchr(b'\\', rest.as_bytes()) {
        let (plain, escape) = rest.split_at(at);
        fold(plain, folded, reading)?;
        let (char, length) = read_escape(escape).unwrap_or(('\\', 1));
        reading.count(length)?;
        push(char, folded);
        rest = &escape[length..];
    }
    fold(rest, folded, reading)
}

/// Returns the case-folded text.
pub fn folded(text: &str) -> String {
    text.chars().flat_map(lower).collect()
}

fn push(c: char, folded: &mut Vec<u8>) {
    for c in lower(c) {
        folded.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Folds each character on its own, so that a part of a text is folded as in the whole text.
fn lower(c: char) -> impl Iterator<Item = char> {
    let c = if c == 'ς' { 'σ' } else { c };
    c.to_lowercase()
}
