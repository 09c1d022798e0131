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
    state: Arc<Mutex<State>>,
    failures: Failures,
}

#[derive(Default)]
struct State {
    reading: usize,
    waiting: VecDeque<Read>,
}

impl Readers {
    /// At most so many reads at once.
    pub fn new(most: usize, failures: Failures) -> Readers {
        Readers { most: most.max(1), state: Arc::default(), failures }
    }

    /// Does a read when it is its turn; `None` when it panicked, or the runtime ends.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.ask(Box::new(move || {
            // Whoever asked may have given up.
            let _gone = reply.send(read());
        }));
        answer.await.ok()
    }

    fn ask(&self, read: Read) {
        let mut state = self.state();
        state.waiting.push_back(read);
        if state.reading < self.most {
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

    /// Reads until nothing waits.
    fn run(&self) {
        while let Some(read) = self.next() {
            pass(Part::Reader);
            // Dropping its reply tells whoever asked; the panic itself was logged by its hook.
            let _panicked = catch_unwind(AssertUnwindSafe(read));
        }
    }

    fn next(&self) -> Option<Read> {
        let mut state = self.state();
        let next = state.waiting.pop_front();
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
        let readers = Readers::new(2, Failures::default());
        let seen = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0), Barrier::new(2)));
        let reads = (0..64).map(|number| {
            let seen = seen.clone();
            readers.read(move || {
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
        let readers = Readers::new(1, Failures::default());
        let (broken, sound) =
            tokio::join!(readers.read(|| panic!("on purpose")), readers.read(|| 7));
        assert_eq!((broken, sound), (None::<()>, Some(7)));
        assert_eq!(readers.read(|| 8).await, Some(8));
    }
}
