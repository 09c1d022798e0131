//! The prefix of every stored value: its version, its flags and its checksum. Values are compressed where that saves space.

use crate::store::formats::{self, StoredFormat, Unreadable};

const COMPRESSED_FLAG: u8 = 1;
const PREFIX_BYTES: usize = 6;
/// The size in bytes below which compression costs more than it saves.
const MIN_COMPRESSED_BYTES: usize = 200;
/// The most bytes that one byte of lz4 can stand for.
const MAX_COMPRESSION: usize = 255;

/// Compresses a value where that saves space, and adds its version and checksum.
pub fn seal(format: StoredFormat, raw: &[u8]) -> Vec<u8> {
    let mut out = vec![format.newest, 0, 0, 0, 0, 0];
    let packed = (raw.len() >= MIN_COMPRESSED_BYTES)
        .then(|| lz4_flex::block::compress_prepend_size(raw))
        .filter(|packed| packed.len() < raw.len());
    match packed {
        Some(packed) => {
            out[1] = COMPRESSED_FLAG;
            out.extend_from_slice(&packed);
        }
        None => out.extend_from_slice(raw),
    }
    let crc = crc32fast::hash(&out[PREFIX_BYTES..]);
    out[2..PREFIX_BYTES].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Decompresses a body. Its first four bytes say how long it was, which is the memory that it takes, so a length that no
/// body of this size can have is refused.
fn decompress(body: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let (len, packed) = lz4_flex::block::uncompressed_size(body)
        .map_err(|error| format!("cannot decompress: {error}"))?;
    if len / MAX_COMPRESSION > packed.len() {
        let why = format!("{} bytes cannot be {len} compressed bytes", packed.len());
        return Err(why.into());
    }
    lz4_flex::block::decompress(packed, len)
        .map_err(|error| format!("cannot decompress: {error}").into())
}

/// The format of the value under a key, which the first letter of the key tells.
pub fn format_of(key: &[u8]) -> StoredFormat {
    match key.first() {
        Some(b'j') => formats::JOURNAL_CHUNK,
        Some(b'r' | b't') => formats::RUN_HEADER,
        Some(b'a') => formats::ARCHIVED_JOBS,
        Some(b's') => formats::SCHEDULE,
        Some(b'd') => formats::DECLARED_KIND,
        Some(b'q') => formats::QUEUE_SETTINGS,
        Some(b'c') => formats::SHARED_LIMITS,
        Some(b'h') => formats::HISTORY,
        Some(b'u' | b'o' | b'x' | b'l' | b'i') => formats::ACCESS,
        Some(_) | None => formats::STORE,
    }
}

/// Undoes [`seal`].
///
/// # Errors
/// [`Unreadable::Newer`] when the version is not known yet: then nothing else is read, because it may have another
/// meaning there. Otherwise [`Unreadable::Damaged`].
pub fn unseal(format: StoredFormat, bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let (Some(&[version, flags, a, b, c, d]), Some(body)) =
        (bytes.first_chunk::<PREFIX_BYTES>(), bytes.get(PREFIX_BYTES..))
    else {
        return Err(format!("{} bytes are too short for a value", bytes.len()).into());
    };
    format.check(version.into())?;
    if crc32fast::hash(body) != u32::from_le_bytes([a, b, c, d]) {
        return Err("the checksum does not match".into());
    }
    match flags {
        0 => Ok(body.to_vec()),
        COMPRESSED_FLAG => decompress(body),
        other => Err(format!("unknown flags {other}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(length: u32, packed: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let body = [&length.to_le_bytes(), packed].concat();
        let crc = crc32fast::hash(&body).to_le_bytes();
        let version = formats::JOURNAL_CHUNK.newest;
        unseal(formats::JOURNAL_CHUNK, &[&[version, COMPRESSED_FLAG], &crc[..], &body].concat())
    }

    #[test]
    fn a_length_that_no_body_can_have_takes_no_memory() {
        let wrong = compressed(u32::MAX, b"\x10a").unwrap_err();
        assert!(
            format!("{wrong:?}").contains("cannot be 4294967295 compressed bytes"),
            "{wrong:?}"
        );
        for len in [1_000, 1_000_000] {
            let raw = vec![7; len];
            let packed = lz4_flex::block::compress(&raw);
            assert_eq!(compressed(len as u32, &packed), Ok(raw), "the best compression there is");
        }
    }
}
