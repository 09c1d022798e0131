//! Case folding of texts that a search compares, so that case does not matter.

use super::reading::{Interrupted, Reading};
use crate::job::shorten::truncated;

/// Bytes that are folded, or searched, between two counts of what was read.
pub const PIECE: usize = 64 * 1_024;

/// Adds a text in the one case that texts are compared in.
pub fn fold(
    text: &str,
    folded: &mut Vec<u8>,
    reading: &mut Reading<'_>,
) -> Result<(), Interrupted> {
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(truncated(rest, PIECE).len());
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

/// A text in the one case that texts are compared in.
pub fn folded(text: &str) -> String {
    text.chars().flat_map(lower).collect()
}

/// Each character by itself, so that a part of a text is folded as it is in the whole.
fn lower(c: char) -> impl Iterator<Item = char> {
    let c = if c == 'ς' { 'σ' } else { c };
    c.to_lowercase()
}
