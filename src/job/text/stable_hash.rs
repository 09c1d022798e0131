//! A hash that is the same on every machine and in every version, unlike that of the standard library. It is not
//! cryptographic.

use std::hash::Hasher;

/// A hasher for 64-bit FNV-1a.
#[derive(Debug, Clone)]
pub struct StableHasher(u64);

impl Default for StableHasher {
    fn default() -> Self {
        StableHasher(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for StableHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Hashes several texts with a separator after each, so that `ab` and `c` differ from `a` and `bc`.
pub fn stable_hash<'a>(parts: impl IntoIterator<Item = &'a str>) -> u64 {
    let mut hasher = StableHasher::default();
    for part in parts {
        hasher.write(part.as_bytes());
        hasher.write(&[0]);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of the FNV reference code. The ids of scheduled jobs and of failure groups depend on them.
    #[test]
    fn the_hash_is_fnv_1a_for_ever() {
        for (text, hash) in [
            ("", 0xcbf2_9ce4_8422_2325),
            ("a", 0xaf63_dc4c_8601_ec8c),
            ("foobar", 0x8594_4171_f739_67e8),
        ] {
            let mut hasher = StableHasher::default();
            hasher.write(text.as_bytes());
            assert_eq!(hasher.finish(), hash, "{text:?}");
        }
    }

    #[test]
    fn the_boundaries_between_parts_count() {
        assert_eq!(stable_hash(["a"]), stable_hash(["a"]));
        assert_ne!(stable_hash(["ab", "c"]), stable_hash(["a", "bc"]));
        assert_ne!(stable_hash(["a", ""]), stable_hash(["a"]));
    }
}
