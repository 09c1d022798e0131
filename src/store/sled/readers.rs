//! Reads of the disk, off the runtime's threads and only so many at once. Tokio begins a thread for each
//! read that finds none idle, up to 512, and what an allocator keeps for a thread stays when it is gone; so
//! here whoever has read takes the next read that waits.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::supervise::{Failures, Part, pass};

type Read = Box<dyn FnOnce() + Send>;

/// Who reads, and what waits to be read.
#[derive(Clone)]
pub(super) struct Readers {
    most: usize,
    /// How many of them may search at once.
    most_searches: usize,
    state: Arc<Mutex<State>>,
    failures: Failures,
}

/// What kind of a read it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Over soon: a record, a page, a stretch of the log.
    Short,
    /// A turn of a search. Only some readers take those at once.
    Search,
}

#[derive(Default)]
struct State {
    reading: usize,
    /// How many of those that read search.
    searching: usize,
    short: VecDeque<Read>,
    searches: VecDeque<Read>,
    /// What was begun last, so that with a single reader both have their turn.
    last: Option<Class>,
}

impl State {
    fn next(&mut self, most_searches: usize) -> Option<(Class, Read)> {
        let may_search = self.searching < most_searches && !self.searches.is_empty();
        let search = may_search && (self.short.is_empty() || self.last != Some(Class::Search));
        let (class, queue) = match search {
            true => (Class::Search, &mut self.searches),
            false => (Class::Short, &mut self.short),
        };
        let read = queue.pop_front()?;
        self.last = Some(class);
        if class == Class::Search {
            self.searching += 1;
        }
        Some((class, read))
    }
}

impl Readers {
    /// At most so many reads at once, and so many of them turns of searches.
    pub fn new(most: usize, most_searches: usize, failures: Failures) -> Readers {
        let most = most.max(1);
        // One is left for everything else, if there is more than one.
        let most_searches = most_searches.clamp(1, (most - 1).max(1));
        Readers { most, most_searches, state: Arc::default(), failures }
    }

    /// Does a read when it is its turn; `None` when it panicked, or the runtime ends.
    pub async fn read<T: Send + 'static>(
        &self,
        class: Class,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let read = Box::new(move || {
            // Whoever asked may have given up.
            let _gone = reply.send(read());
        });
        self.ask(class, read);
        answer.await.ok()
    }

    fn ask(&self, class: Class, read: Read) {
        let mut state = self.state();
        let free = match class {
            Class::Short => true,
            Class::Search => state.searching + state.searches.len() < self.most_searches,
        };
        match class {
            Class::Short => state.short.push_back(read),
            Class::Search => state.searches.push_back(read),
        }
        // A search that finds no reader free is taken by one that has searched.
        if free && state.reading < self.most {
            state.reading += 1;
            let readers = self.clone();
            drop(spawn_blocking(move || {
                let body = || readers.run();
                if !readers.failures.run(Part::Reader, body) {
                    readers.state().reading -= 1;
                }
            }));
        }
    }

    /// Reads until nothing waits that may be read now.
    fn run(&self) {
        while let Some((class, read)) = self.next() {
            pass(Part::Reader);
            // Dropping its reply tells whoever asked; the panic itself was logged by its hook.
            let _panicked = catch_unwind(AssertUnwindSafe(read));
            if class == Class::Search {
                self.state().searching -= 1;
            }
        }
    }

    fn next(&self) -> Option<(Class, Read)> {
        let mut state = self.state();
        let next = state.next(self.most_searches);
        if next.is_none() {
            state.reading -= 1;
        }
        next
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_more_read_at_once_than_may_and_all_do() {
        let readers = Readers::new(2, 1, Failures::default());
        let seen = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0), Barrier::new(2)));
        let reads = (0..64).map(|number| {
            let seen = seen.clone();
            readers.read(Class::Short, move || {
                let (now, most, pair) = &*seen;
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                pair.wait();
                now.fetch_sub(1, Ordering::SeqCst);
                number
            })
        });
        let answers = join_all(reads).await;
        assert!(answers.into_iter().eq((0..64).map(Some)));
        assert_eq!(seen.1.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_read_that_panics_ends_only_itself() {
        let readers = Readers::new(1, 1, Failures::default());
        let (broken, sound) =
            tokio::join!(read(&readers, || panic!("on purpose")), read(&readers, || 7));
        assert_eq!((broken, sound), (None::<()>, Some(7)));
        for class in [Class::Search, Class::Short] {
            let broken = readers.read(class, || panic!("on purpose")).await;
            assert_eq!((broken, readers.read(class, || 8).await), (None::<()>, Some(8)));
        }
    }

    async fn read<T: Send + 'static>(
        readers: &Readers,
        what: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        readers.read(Class::Short, what).await
    }

    #[tokio::test]
    async fn searches_that_do_not_end_leave_readers_for_everything_else() {
        let readers = Readers::new(3, 2, Failures::default());
        let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
        let open = Arc::new(Barrier::new(3));
        let searches = (0..6).map(|number| {
            let (begun, open) = (begun.clone(), open.clone());
            let readers = readers.clone();
            async move {
                let search = move || {
                    begun.send(number).unwrap();
                    if number < 2 {
                        open.wait();
                    }
                };
                readers.read(Class::Search, search).await
            }
        });
        let searches: Vec<_> = searches.collect();
        let searches = tokio::spawn(join_all(searches));
        let two = (begins.recv().await, begins.recv().await);
        assert!(matches!(two, (Some(0), Some(1)) | (Some(1), Some(0))), "{two:?}");
        for number in 0..20 {
            assert_eq!(read(&readers, move || number).await, Some(number));
        }
        assert!(begins.try_recv().is_err(), "a third search has begun");
        open.wait();
        assert!(searches.await.unwrap().into_iter().all(|ended| ended.is_some()));
    }

    #[test]
    fn with_one_reader_searches_and_the_rest_take_turns() {
        let (order, mut state) = (Arc::new(Mutex::new(Vec::new())), State::default());
        for number in 0..3 {
            for (class, queue) in
                [(Class::Short, &mut state.short), (Class::Search, &mut state.searches)]
            {
                let order = order.clone();
                queue.push_back(Box::new(move || order.lock().unwrap().push((class, number))));
            }
        }
        while let Some((class, read)) = state.next(1) {
            read();
            state.searching -= usize::from(class == Class::Search);
        }
        let turns = order.lock().unwrap().iter().map(|(class, _)| *class).collect::<Vec<_>>();
        let in_turn = |two: &[Class]| two[0] != two[1];
        assert!(turns.len() == 6 && turns.windows(2).all(in_turn), "{turns:?}");
    }
}
