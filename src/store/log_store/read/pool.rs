//! A pool of threads for reads that block. Tokio alone would start a thread for each read that finds none idle, up to
//! 512, and the allocator keeps memory for each of them; so the number is limited here, and a thread that has finished
//! a read takes the next one in the queue.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::store::StoreLimits;
use crate::supervise::{Part, PartFailures, pass};

type Read = Box<dyn FnOnce() + Send>;

/// The threads that read, and the reads that are queued.
#[derive(Clone)]
pub struct ReadPool {
    limits: ReadLimits,
    state: Arc<Mutex<PoolState>>,
    failures: PartFailures,
}

/// The class of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadClass {
    /// A turn of a search. Only some readers may do these at once.
    Search,
    /// A part of the log, for a follower that is behind. Only some readers may do these at once.
    Log,
    /// A short read, such as a record or a page.
    Short,
}

impl ReadClass {
    /// The classes in the order in which they take turns.
    const ALL: [ReadClass; 3] = [ReadClass::Search, ReadClass::Log, ReadClass::Short];
}

/// How many reads of each class may run at once.
#[derive(Debug, Clone, Copy)]
struct ReadLimits {
    readers: usize,
    searches: usize,
    log: usize,
    /// Searches and reads of the log together. One reader is left for everything else, if there is more than one.
    long: usize,
}

impl ReadLimits {
    fn of(limits: &StoreLimits) -> ReadLimits {
        let readers = limits.readers.max(1);
        let long = (readers - 1).max(1);
        let part = |wanted: usize| wanted.clamp(1, long);
        ReadLimits {
            readers,
            searches: part(limits.search_readers),
            log: part(limits.log_readers),
            long,
        }
    }

    fn of_class(&self, class: ReadClass) -> usize {
        match class {
            ReadClass::Search => self.searches,
            ReadClass::Log => self.log,
            ReadClass::Short => self.readers,
        }
    }
}

#[derive(Default)]
struct PoolState {
    reading: usize,
    /// How many reads of each class are running.
    busy: [usize; ReadClass::ALL.len()],
    waiting: [VecDeque<Read>; ReadClass::ALL.len()],
    /// The class of the last read that was started, so that all classes take turns even with a single reader.
    last: Option<ReadClass>,
}

impl PoolState {
    fn next(&mut self, limits: &ReadLimits) -> Option<(ReadClass, Read)> {
        let from = self.last.map_or(0, |last| last as usize + 1);
        let turns =
            (from..from + ReadClass::ALL.len()).map(|at| ReadClass::ALL[at % ReadClass::ALL.len()]);
        let class = turns.into_iter().find(|class| self.may_begin(*class, limits))?;
        let read = self.waiting[class as usize].pop_front()?;
        self.last = Some(class);
        self.busy[class as usize] += 1;
        Some((class, read))
    }

    fn may_begin(&self, class: ReadClass, limits: &ReadLimits) -> bool {
        let busy = self.busy[class as usize];
        let long = self.busy[ReadClass::Search as usize] + self.busy[ReadClass::Log as usize];
        let has_room = match class {
            ReadClass::Search | ReadClass::Log => {
                busy < limits.of_class(class) && long < limits.long
            }
            ReadClass::Short => true,
        };
        has_room && !self.waiting[class as usize].is_empty()
    }
}

impl ReadPool {
    /// A pool with the numbers of readers that these limits set.
    pub fn new(limits: &StoreLimits, failures: PartFailures) -> ReadPool {
        ReadPool { limits: ReadLimits::of(limits), state: Arc::default(), failures }
    }

    /// Runs a read when it is its turn. Returns `None` when it panicked, or the runtime ends.
    pub async fn read<T: Send + 'static>(
        &self,
        class: ReadClass,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let read = Box::new(move || {
            // The caller may have stopped waiting.
            let _gone = reply.send(read());
        });
        self.ask(class, read);
        answer.await.ok()
    }

    fn ask(&self, class: ReadClass, read: Read) {
        let mut state = self.state();
        let ahead = state.busy[class as usize] + state.waiting[class as usize].len();
        let free = match class {
            ReadClass::Short => true,
            ReadClass::Search | ReadClass::Log => ahead < self.limits.of_class(class),
        };
        state.waiting[class as usize].push_back(read);
        // If no reader is free, one takes it when it has finished another read of its class.
        if free && state.reading < self.limits.readers {
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

    /// Runs queued reads until there is none that may start now.
    fn run(&self) {
        while let Some((class, read)) = self.next() {
            pass(Part::Reader);
            // After a panic the reply is dropped, which tells the caller. The panic hook has logged it.
            let _panicked = catch_unwind(AssertUnwindSafe(read));
            self.state().busy[class as usize] -= 1;
        }
    }

    fn next(&self) -> Option<(ReadClass, Read)> {
        let mut state = self.state();
        let next = state.next(&self.limits);
        if next.is_none() {
            state.reading -= 1;
        }
        next
    }

    fn state(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    fn readers(readers: usize, long: usize) -> ReadPool {
        let limits = StoreLimits {
            readers,
            search_readers: long,
            log_readers: long,
            ..StoreLimits::default()
        };
        ReadPool::new(&limits, PartFailures::default())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_more_read_at_once_than_may_and_all_do() {
        let readers = readers(2, 1);
        let seen = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0), Barrier::new(2)));
        let reads = (0..64).map(|number| {
            let seen = seen.clone();
            readers.read(ReadClass::Short, move || {
                let (now, limits, pair) = &*seen;
                limits.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
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
        let readers = readers(1, 1);
        let (broken, sound) =
            tokio::join!(read(&readers, || panic!("on purpose")), read(&readers, || 7));
        assert_eq!((broken, sound), (None::<()>, Some(7)));
        for class in [ReadClass::Search, ReadClass::Short] {
            let broken = readers.read(class, || panic!("on purpose")).await;
            assert_eq!((broken, readers.read(class, || 8).await), (None::<()>, Some(8)));
        }
    }

    async fn read<T: Send + 'static>(
        readers: &ReadPool,
        what: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        readers.read(ReadClass::Short, what).await
    }

    #[tokio::test]
    async fn long_reads_that_do_not_end_leave_readers_for_everything_else() {
        for classes in [
            [ReadClass::Search; 6],
            [ReadClass::Log; 6],
            [ReadClass::Search, ReadClass::Log].repeat(3).try_into().unwrap(),
        ] {
            let readers = readers(3, 2);
            let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
            let open = Arc::new(Barrier::new(3));
            let reads = classes.into_iter().enumerate().map(|(number, class)| {
                let (begun, open) = (begun.clone(), open.clone());
                let readers = readers.clone();
                async move {
                    let read = move || {
                        begun.send(number).unwrap();
                        if number < 2 {
                            open.wait();
                        }
                    };
                    readers.read(class, read).await
                }
            });
            let reads: Vec<_> = reads.collect();
            let reads = tokio::spawn(join_all(reads));
            let two = (begins.recv().await, begins.recv().await);
            assert!(matches!(two, (Some(0), Some(1)) | (Some(1), Some(0))), "{two:?}");
            for number in 0..20 {
                assert_eq!(read(&readers, move || number).await, Some(number));
            }
            assert!(begins.try_recv().is_err(), "a third one has begun: {classes:?}");
            open.wait();
            assert!(reads.await.unwrap().into_iter().all(|ended| ended.is_some()));
        }
    }

    #[test]
    fn with_one_reader_all_classes_take_turns() {
        let (order, mut state) = (Arc::new(Mutex::new(Vec::new())), PoolState::default());
        for number in 0..3 {
            for class in ReadClass::ALL {
                let order = order.clone();
                let read = move || order.lock().unwrap().push((class, number));
                state.waiting[class as usize].push_back(Box::new(read));
            }
        }
        let most = ReadLimits::of(&StoreLimits { readers: 1, ..StoreLimits::default() });
        while let Some((class, read)) = state.next(&most) {
            read();
            state.busy[class as usize] -= 1;
        }
        let turns = order.lock().unwrap().iter().map(|(class, _)| *class).collect::<Vec<_>>();
        assert_eq!(turns, ReadClass::ALL.repeat(3));
    }
}
