//! Fault injection for tests: wherever the store uses the disk it passes a named point, and a plan can end the process
//! there or return an error of the disk. Without a plan, passing a point costs one check of an `Option`.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::StoreError;
use crate::store::log::Mark;
use crate::supervise;

/// The environment variable that injects a fault into a whole server: `ACTION:POINT:NTH[:TIMES]`, for example
/// `crash:after-flush:17` or `enospc:sync:5:20`. It is for tests only.
pub use crate::supervise::VARIABLE;

/// The points where a fault can be injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The directory is about to be opened.
    Open,
    /// A batch is about to be handed to sled.
    Apply,
    /// sled has the batch in its buffer; the kernel may not have it.
    AfterApply,
    /// The kernel has the batch.
    AfterFlush,
    /// `fdatasync` is about to be called. An error here stands for an error of that call.
    Sync,
    /// The batch is durable, and no caller has been answered.
    AfterSync,
    /// A batch with a run of finished jobs is being written. It is passed between apply and flush, and after the flush.
    Run,
    /// A batch that removes or rewrites a run; passed like `Run`.
    Prune,
    /// A batch that copies jobs forward; passed like `Run`.
    Carry,
    /// The batch that rescues the jobs of the previous process; passed like `Run`.
    Rescue,
}

impl From<Mark> for Point {
    fn from(mark: Mark) -> Point {
        match mark {
            Mark::Run => Point::Run,
            Mark::Prune => Point::Prune,
            Mark::Carry => Point::Carry,
            Mark::Rescue => Point::Rescue,
        }
    }
}

impl Point {
    pub const ALL: [Point; 10] = [
        Point::Open,
        Point::Apply,
        Point::AfterApply,
        Point::AfterFlush,
        Point::Sync,
        Point::AfterSync,
        Point::Run,
        Point::Prune,
        Point::Carry,
        Point::Rescue,
    ];

    fn name(self) -> &'static str {
        match self {
            Point::Open => "open",
            Point::Apply => "apply",
            Point::AfterApply => "after-apply",
            Point::AfterFlush => "after-flush",
            Point::Sync => "sync",
            Point::AfterSync => "after-sync",
            Point::Run => "run",
            Point::Prune => "prune",
            Point::Carry => "carry",
            Point::Rescue => "rescue",
        }
    }
}

/// What happens at the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultAction {
    /// The process ends as in a crash.
    Crash,
    /// The call fails with this error number.
    Refuse(i32),
}

/// Input/output error.
pub const EIO: i32 = 5;
/// No space left on device.
pub const ENOSPC: i32 = 28;

/// Takes effect when `point` is passed for the `nth` time (the first is 1), and for `times` passes from then on.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    pub action: FaultAction,
    pub point: Point,
    pub nth: u64,
    pub times: u64,
}

/// Is called at every pass with the data directory, for tests that need more than one fault.
pub type Watcher = Box<dyn FnMut(Point, &Path) -> io::Result<()> + Send>;

/// The faults to inject. Clones share one plan.
#[derive(Clone, Default)]
pub struct Faults(Option<Arc<Mutex<Watcher>>>);

impl Faults {
    /// The fault that [`VARIABLE`] asks for, which is usually none.
    ///
    /// # Errors
    /// When the value of the variable is invalid.
    pub fn from_environment() -> Result<Faults, StoreError> {
        let Some(request) = supervise::fault_request() else { return Ok(Faults::default()) };
        if supervise::is_kill_request(&request) {
            return Ok(Faults::default()); // it asks for the end of a thread or loop
        }
        let fault = Fault::parse(&request).ok_or_else(|| {
            StoreError::Unavailable(format!(
                "{VARIABLE}={request} is neither ACTION:POINT:NTH[:TIMES] nor kill:PART:NTH"
            ))
        })?;
        Ok(Faults::plan(fault))
    }

    /// A plan with one fault.
    pub fn plan(fault: Fault) -> Faults {
        let mut passed = 0;
        Faults::watch(Box::new(move |point, _| {
            if point != fault.point {
                return Ok(());
            }
            passed += 1;
            if passed < fault.nth || passed - fault.nth >= fault.times {
                return Ok(());
            }
            match fault.action {
                FaultAction::Crash => std::process::abort(),
                FaultAction::Refuse(number) => Err(io::Error::from_raw_os_error(number)),
            }
        }))
    }

    /// A plan that is a function of a test.
    pub fn watch(watcher: Watcher) -> Faults {
        Faults(Some(Arc::new(Mutex::new(watcher))))
    }

    /// Passes a point.
    ///
    /// # Errors
    /// The error that the plan injects here.
    pub fn pass(&self, point: Point, dir: &Path) -> Result<(), StoreError> {
        let Some(watcher) = &self.0 else { return Ok(()) };
        let mut watcher = watcher.lock().unwrap_or_else(PoisonError::into_inner);
        watcher(point, dir).map_err(|error| StoreError::Unavailable(error.to_string()))
    }
}

impl Fault {
    fn parse(order: &str) -> Option<Fault> {
        let mut parts = order.split(':');
        let action = match parts.next()? {
            "crash" => FaultAction::Crash,
            "eio" => FaultAction::Refuse(EIO),
            "enospc" => FaultAction::Refuse(ENOSPC),
            _ => return None,
        };
        let name = parts.next()?;
        let point = Point::ALL.into_iter().find(|point| point.name() == name)?;
        let nth = parts.next()?.parse().ok()?;
        let times = parts.next().map_or(Some(1), |times| times.parse().ok())?;
        parts.next().is_none().then_some(Fault { action, point, nth, times })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_an_action_a_point_and_a_count() {
        let fault = Fault::parse("enospc:after-flush:3:2").unwrap();
        let faults = Faults::plan(fault);
        let passes: Vec<bool> =
            (0..6).map(|_| faults.pass(Point::AfterFlush, Path::new("")).is_ok()).collect();
        assert_eq!(passes, [true, true, false, false, true, true]);
        assert!(faults.pass(Point::Sync, Path::new("")).is_ok());
        for nonsense in ["", "crash", "crash:here:1", "crash:sync:x", "eio:sync:1:1:1"] {
            assert!(Fault::parse(nonsense).is_none(), "{nonsense}");
        }
        for point in Point::ALL {
            let order = format!("crash:{}:1", point.name());
            assert_eq!(Fault::parse(&order).unwrap().point, point);
        }
    }
}
