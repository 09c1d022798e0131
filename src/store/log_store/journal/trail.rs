//! Where the record of a job is: the chunks of the journal that hold its events.

/// The journal chunks that make a job's record, oldest first. Most jobs have up to three, which need no
/// memory elsewhere: the second and third stand as their distance from the one before.
#[derive(Debug, Clone)]
pub struct Trail {
    first: u64,
    /// 0: none.
    steps: [u32; 2],
    #[allow(clippy::box_collection)] // eight bytes instead of twenty-four, a million times
    more: Option<Box<Vec<u64>>>,
}

impl Trail {
    pub fn new(chunk: u64) -> Self {
        Trail { first: chunk, steps: [0; 2], more: None }
    }

    /// Adds a chunk; `true` when it is new to the trail.
    pub fn add(&mut self, chunk: u64) -> bool {
        let last = self.last();
        if last == chunk {
            return false;
        }
        let free = self.steps.iter_mut().find(|step| **step == 0);
        match (free, u32::try_from(chunk.saturating_sub(last))) {
            (Some(step), Ok(distance)) if self.more.is_none() => *step = distance,
            _ => self.more.get_or_insert_default().push(chunk),
        }
        true
    }

    pub fn first(&self) -> u64 {
        self.first
    }

    fn last(&self) -> u64 {
        let near = || self.first + self.steps.iter().map(|step| u64::from(*step)).sum::<u64>();
        self.more.as_ref().and_then(|more| more.last().copied()).unwrap_or_else(near)
    }

    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        let steps = self.steps.iter().take_while(|step| **step > 0);
        let near = steps.scan(self.first, |chunk, step| {
            *chunk += u64::from(*step);
            Some(*chunk)
        });
        let more = self.more.iter().flat_map(|more| more.iter().copied());
        std::iter::once(self.first).chain(near).chain(more)
    }
}

#[cfg(test)]
mod tests {
    use super::Trail;

    #[test]
    fn a_trail_keeps_every_chunk_in_order_however_far_they_are() {
        let far = 10 + (1 << 40);
        for chunks in [vec![7], vec![7, 8, 20, 21, 22], vec![7, 10, far, far + 1], vec![0, far]] {
            let mut trail = Trail::new(chunks[0]);
            for chunk in &chunks[1..] {
                assert!(trail.add(*chunk), "{chunks:?}");
                assert!(!trail.add(*chunk), "{chunks:?}");
            }
            assert_eq!(trail.iter().collect::<Vec<_>>(), chunks);
        }
    }
}
