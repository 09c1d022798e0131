//! Runs expensive work without blocking the runtime's other tasks.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Smaller inputs are processed faster than they could be handed to another thread.
const MIN_BLOCKING_BYTES: usize = 32 * 1_024;

/// Runs work whose time grows with `bytes`. For large inputs the runtime first moves this thread's other tasks to
/// another thread. On a single-threaded runtime or outside of any runtime, such as in a program's own `main`, the
/// work runs in place.
pub fn run_blocking<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let has_others =
        Handle::try_current().is_ok_and(|it| it.runtime_flavor() == RuntimeFlavor::MultiThread);
    if bytes < MIN_BLOCKING_BYTES || !has_others {
        work()
    } else {
        tokio::task::block_in_place(work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_is_done_with_and_without_a_runtime() {
        assert_eq!(run_blocking(1 << 20, || 1), 1);
        let mut one = tokio::runtime::Builder::new_current_thread();
        assert_eq!(one.build().unwrap().block_on(async { run_blocking(1 << 20, || 2) }), 2);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn other_tasks_of_the_only_worker_continue_meanwhile() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let heavy = tokio::spawn(async move {
            // Received only if another thread runs the other task.
            run_blocking(1 << 20, || receiver.recv_timeout(std::time::Duration::from_secs(60)))
        });
        let light = tokio::spawn(async move { sender.send(7).is_ok() });
        assert_eq!((heavy.await.unwrap(), light.await.unwrap()), (Ok(7), true));
    }
}
