//! Case folding, which makes searches case-insensitive.

use super::reading::{Interrupted, Reading};
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
            let mut bytes = [0; 4];
            for c in piece.chars().flat_map(lower) {
                folded.extend_from_slice(c.encode_utf8(&mut bytes).as_bytes());
            }
        }
        rest = after;
    }
    Ok(())
}

/// Returns the case-folded text.
pub fn folded(text: &str) -> String {
    text.chars().flat_map(lower).collect()
}

/// Folds each character on its own, so that a part of a text is folded as in the whole text.
fn lower(c: char) -> impl Iterator<Item = char> {
    let c = if c == 'ς' { 'σ' } else { c };
    c.to_lowercase()
}
