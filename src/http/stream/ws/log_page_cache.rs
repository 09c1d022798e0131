//! Reading the stored log for subscribers who are behind. Thousands who come back at once read it once:
//! the log is read in pages, one read at a time in the whole server, and everybody shares them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::engine::{Batch, Engine, EngineError, Events};
use crate::job::{Cursor, Event};

/// Events on one page.
const PAGE: u64 = 1_024;
/// Pages read at once, so that a filter which lets little through still fills its frames.
const AHEAD: u64 = 4;
/// Pages kept for others, and about how many bytes of events.
const KEPT: usize = 32;
const KEPT_BYTES: usize = 32 * 1_024 * 1_024;

/// The pages that all hubs share.
pub struct LogPageCache {
    engine: Engine,
    pages: Mutex<CachedPages>,
    /// One reader at a time: who comes next finds the pages on the cache, and submissions keep the disk.
    one_reader: Semaphore,
}

#[derive(Default)]
struct CachedPages {
    pages: Vec<CachedPage>,
    uses: u64,
}

struct CachedPage {
    /// The moment of its last use, load_guard in uses.
    used: u64,
    bytes: usize,
    batch: Arc<Batch>,
}

/// The answer to a topic for what follows a place.
pub enum PageRead {
    /// It is on the cache, or there is nothing more.
    Cached,
    /// The log begins only at `oldest`, or has another epoch.
    Gap {
        /// Where it begins.
        oldest: Cursor,
    },
    /// It cannot be read.
    Failed(EngineError),
}

impl LogPageCache {
    /// An empty cache.
    pub fn new(engine: Engine) -> LogPageCache {
        LogPageCache { engine, pages: Mutex::default(), one_reader: Semaphore::new(1) }
    }

    /// The page with the event after `seq`, if it is on the cache.
    pub fn find(&self, seq: u64) -> Option<Arc<Batch>> {
        let mut cache = self.lock();
        cache.uses += 1;
        let now = cache.uses;
        let wanted = seq + 1;
        let holds = |page: &Batch| page.first_seq() <= wanted && wanted <= page.last_seq();
        let page = cache.pages.iter_mut().find(|page| holds(&page.batch))?;
        page.used = now;
        Some(page.batch.clone())
    }

    /// The pages after `seq`, as far as they are on the cache.
    pub fn after(&self, seq: u64) -> impl Iterator<Item = Arc<Batch>> {
        std::iter::successors(self.find(seq), |page| self.find(page.last_seq()))
    }

    /// Where the page begins that holds what follows `cursor`: all who want something of it ask for the
    /// same.
    pub fn page_of(cursor: Cursor) -> Cursor {
        Cursor { seq: cursor.seq - cursor.seq % PAGE, ..cursor }
    }

    /// Puts what follows `after`, the beginning of a page, on the cache, if it can be read. A page of large
    /// events takes several reads; each puts more of it there.
    pub async fn read(&self, after: Cursor) -> PageRead {
        // The semaphore is never closed; reading without a permit would be right too.
        let _permit = self.one_reader.acquire().await;
        if after.epoch == self.engine.head().epoch && self.find_whole(after.seq) {
            return PageRead::Cached;
        }
        let is_here = after.epoch == self.engine.head().epoch;
        let torn = self.find(after.seq).filter(|_| is_here);
        let from = torn.as_ref().map_or(after, |page| Cursor { seq: page.last_seq(), ..after });
        match self.engine.events(from, (PAGE * AHEAD) as usize).await {
            Ok(Events::Some(more)) => {
                let begun = torn.iter().flat_map(|page| page.events.iter().cloned());
                let events: Vec<Event> = begun.chain(more).collect();
                let mut first = 0;
                for (at, event) in events.iter().enumerate() {
                    if event.seq % PAGE == 0 || at + 1 == events.len() {
                        let page = events[first..=at].into();
                        self.keep(Arc::new(Batch::new(after.epoch, page)));
                        first = at + 1;
                    }
                }
                PageRead::Cached
            }
            Ok(Events::Gap { oldest, head: _ }) => PageRead::Gap { oldest },
            Err(error) => PageRead::Failed(error),
        }
    }

    /// Lets go of all pages: nobody is behind.
    pub fn clear(&self) {
        *self.lock() = CachedPages::default();
    }

    /// Whether another reader has just put the page there, and it is not the torn last one.
    fn find_whole(&self, seq: u64) -> bool {
        self.find(seq).is_some_and(|page| page.last_seq() % PAGE == 0)
    }

    fn keep(&self, page: Arc<Batch>) {
        let mut cache = self.lock();
        let now = cache.uses;
        // The same page may be there from when it was not full, or read from a later place.
        let number = |page: &Batch| (page.first_seq() - 1) / PAGE;
        cache.pages.retain(|old| number(&old.batch) != number(&page));
        let bytes = page.events.iter().map(Event::bytes).sum();
        let is_too_much = |pages: &[CachedPage]| {
            let held: usize = pages.iter().map(|page| page.bytes).sum();
            pages.len() >= KEPT || held + bytes > KEPT_BYTES
        };
        while is_too_much(&cache.pages)
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

/// Who waits for which page, in one hub.
#[derive(Default)]
pub struct PageWaiters {
    by_page: HashMap<Cursor, Vec<u32>>,
}

impl PageWaiters {
    /// Enters a key. Whether it is the first that waits for the page, which must then be read.
    #[must_use]
    pub fn enter(&mut self, page: Cursor, key: u32) -> bool {
        let keys = self.by_page.entry(page).or_default();
        keys.push(key);
        keys.len() == 1
    }

    /// Those who waited for it.
    pub fn take(&mut self, page: Cursor) -> Vec<u32> {
        self.by_page.remove(&page).unwrap_or_default()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.by_page.is_empty()
    }
}
