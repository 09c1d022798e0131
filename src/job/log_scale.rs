//! The buckets of a histogram on a logarithmic scale: small values are exact, and a bucket of larger ones is never
//! wider than a fixed share of what it holds.

/// A scale with `2^BITS` buckets for each doubling.
pub struct LogScale<const BITS: u32>;

impl<const BITS: u32> LogScale<BITS> {
    const PER_DOUBLING: u64 = 1 << BITS;

    /// The bucket that holds a value.
    pub const fn bucket(value: u64) -> usize {
        if value < Self::PER_DOUBLING {
            return value as usize;
        }
        // The highest bit says which doubling, the `BITS` below it which bucket of it.
        let doubling = value.ilog2() - BITS + 1;
        let within = (value >> (doubling - 1)) - Self::PER_DOUBLING;
        (doubling as u64 * Self::PER_DOUBLING + within) as usize
    }

    /// The smallest value of a bucket.
    pub const fn lower_bound(bucket: usize) -> u64 {
        let doubling = (bucket as u64 / Self::PER_DOUBLING) as u32;
        let within = bucket as u64 % Self::PER_DOUBLING;
        if doubling == 0 {
            return within;
        }
        let (first, shift) = (Self::PER_DOUBLING + within, doubling - 1);
        if shift > first.leading_zeros() { u64::MAX } else { first << shift }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<const BITS: u32>() {
        let mut last = 0;
        for value in (0..100_000).chain([1 << 40, u64::MAX / 3, u64::MAX - 1, u64::MAX]) {
            let bucket = LogScale::<BITS>::bucket(value);
            assert!(bucket >= last, "{value}");
            last = bucket;
            let least = LogScale::<BITS>::lower_bound(bucket);
            let next = LogScale::<BITS>::lower_bound(bucket + 1);
            assert!(least <= value && value - least <= value >> BITS, "{value} is told as {least}");
            assert!(value < next || next == u64::MAX, "{value} is not below {next}");
        }
    }

    #[test]
    fn a_bucket_holds_its_values_and_is_never_wider_than_its_share_of_them() {
        check::<2>();
        check::<6>();
    }
}
