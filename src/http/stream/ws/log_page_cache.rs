//! Reads the stored log for subscribers that are behind. When thousands reconnect at once, the log is still read only
//! once: it is read in pages that all hubs share, one read at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::engine::{Batch, Engine, Events, StoreError};
use crate::job::{Cursor, Event};

/// The number of events on a page.
const EVENTS_PER_PAGE: u64 = 1_024;
/// The number of pages per read, so that a filter that few events pass still fills its frames.
const PAGES_PER_READ: u64 = 4;
/// The size of the cache in pages.
const MAX_PAGES: usize = 32;
/// The approximate size of the cache in bytes of events.
const MAX_BYTES: usize = 32 * 1_024 * 1_024;

/// The pages of the stored log that all hubs share.
pub struct LogPageCache {
    engine: Engine,
    pages: Mutex<CachedPages>,
    /// Allows one read at a time: the next reader finds the pages in the cache, and submissions are not slowed down.
    one_reader: Semaphore,
}

#[derive(Default)]
struct CachedPages {
    pages: Vec<CachedPage>,
    /// A counter that orders the uses of the pages.
    uses: u64,
}

struct CachedPage {
    /// The value of the counter at its last use.
    used: u64,
    /// The size of its events.
    bytes: usize,
    batch: Arc<Batch>,
}

/// The result of reading a page.
pub enum PageRead {
    /// The page is in the cache, or the log has no more events.
    Cached,
    /// The log begins after the page, or has another epoch.
    Gap {
        /// Where the log begins.
        oldest: Cursor,
    },
    /// The log cannot be read.
    Failed(StoreError),
}

impl LogPageCache {
    /// Creates an empty cache.
    pub fn new(engine: Engine) -> LogPageCache {
        LogPageCache { engine, pages: Mutex::default(), one_reader: Semaphore::new(1) }
    }

    /// Returns the page with the event after `seq`, if it is in the cache.
    pub fn find(&self, seq: u64) -> Option<Arc<Batch>> {
        let mut cache = self.lock();
        cache.uses += 1;
        let now = cache.uses;
        let wanted = seq.saturating_add(1);
        let holds = |page: &Batch| page.first_seq() <= wanted && wanted <= page.last_seq();
        let page = cache.pages.iter_mut().find(|page| holds(&page.batch))?;
        page.used = now;
        Some(page.batch.clone())
    }

    /// Returns the pages after `seq`, as far as they are in the cache.
    pub fn after(&self, seq: u64) -> impl Iterator<Item = Arc<Batch>> {
        std::iter::successors(self.find(seq), |page| self.find(page.last_seq()))
    }

    /// Returns the beginning of the page with the event after `cursor`, which identifies the page.
    pub fn page_of(cursor: Cursor) -> Cursor {
        Cursor { seq: cursor.seq - cursor.seq % EVENTS_PER_PAGE, ..cursor }
    }

    /// Reads the page that begins after `after` into the cache. A page of large events may take several reads, each of
    /// which adds more of it.
    pub async fn read(&self, after: Cursor) -> PageRead {
        // The semaphore is never closed; and the permit only avoids duplicate reads.
        let _permit = self.one_reader.acquire().await;
        if after.epoch == self.engine.head().epoch && self.find_whole(after.seq) {
            return PageRead::Cached;
        }
        let is_this_epoch = after.epoch == self.engine.head().epoch;
        let partial = self.find(after.seq).filter(|_| is_this_epoch);
        let from = partial.as_ref().map_or(after, |page| Cursor { seq: page.last_seq(), ..after });
        match self.engine.events(from, (EVENTS_PER_PAGE * PAGES_PER_READ) as usize).await {
            Ok(Events::Some(more)) => {
                let events_so_far = partial.iter().flat_map(|page| page.events.iter().cloned());
                let events: Vec<Event> = events_so_far.chain(more).collect();
                let mut first = 0;
                for (at, event) in events.iter().enumerate() {
                    if event.seq % EVENTS_PER_PAGE == 0 || at + 1 == events.len() {
                        let page = events[first..=at].into();
                        self.insert(Arc::new(Batch::new(after.epoch, page)));
                        first = at + 1;
                    }
                }
                PageRead::Cached
            }
            Ok(Events::Gap { oldest, head: _ }) => PageRead::Gap { oldest },
            Err(error) => PageRead::Failed(error),
        }
    }

    /// Drops all pages, once no subscriber is behind.
    pub fn clear(&self) {
        *self.lock() = CachedPages::default();
    }

    /// Whether the whole page with the event after `seq` is in the cache.
    fn find_whole(&self, seq: u64) -> bool {
        self.find(seq).is_some_and(|page| page.last_seq() % EVENTS_PER_PAGE == 0)
    }

    /// Adds a page, and drops those that were not used for the longest time if the cache is full.
    fn insert(&self, page: Arc<Batch>) {
        let mut cache = self.lock();
        let now = cache.uses;
        // An incomplete copy of the same page may be in the cache.
        let number = |page: &Batch| (page.first_seq() - 1) / EVENTS_PER_PAGE;
        cache.pages.retain(|old| number(&old.batch) != number(&page));
        let bytes = page.events.iter().map(Event::bytes).sum();
        let is_full = |pages: &[CachedPage]| {
            let held: usize = pages.iter().map(|page| page.bytes).sum();
            pages.len() >= MAX_PAGES || held + bytes > MAX_BYTES
        };
        while is_full(&cache.pages)
            && let Some(oldest) = (0..cache.pages.len()).min_by_key(|at| cache.pages[*at].used)
        {
            cache.pages.swap_remove(oldest);
        }
        cache.pages.push(CachedPage { used: now, bytes, batch: page });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, CachedPages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The subscribers of one hub that wait for a page to be read.
#[derive(Default)]
pub struct PageWaiters {
    /// The keys of the subscribers by page.
    by_page: HashMap<Cursor, Vec<u32>>,
}

impl PageWaiters {
    /// Adds a subscriber. Returns whether it is the first to wait for the page, which must then be read.
    #[must_use]
    pub fn add(&mut self, page: Cursor, key: u32) -> bool {
        let keys = self.by_page.entry(page).or_default();
        keys.push(key);
        keys.len() == 1
    }

    /// Removes and returns the subscribers that wait for a page.
    pub fn take(&mut self, page: Cursor) -> Vec<u32> {
        self.by_page.remove(&page).unwrap_or_default()
    }

    /// Whether no subscriber waits.
    pub fn is_empty(&self) -> bool {
        self.by_page.is_empty()
    }
}
