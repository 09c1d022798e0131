//! Faults on order, for tests only: where the store touches the disk it passes named points, and a plan
//! can make it die there or see the disk refuse. Without a plan a pass is one look at an `Option`.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::StoreError;
use crate::store::log::Mark;
use crate::supervise;

/// The variable that orders a fault from a whole server: `DEED:POINT:NTH[:TIMES]`, for example
/// `crash:after-flush:17` or `enospc:sync:5:20`. For tests; without it nothing happens.
pub use crate::supervise::VARIABLE;

/// Where a plan can strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The directory is about to be opened.
    Open,
    /// A group is about to be handed to sled.
    Apply,
    /// sled has the group in its buffer, the kernel may not have it.
    AfterApply,
    /// The kernel has the group.
    AfterFlush,
    /// `fdatasync` is about to be called; a failure here is a failure of it.
    Sync,
    /// The group is on the disk and nobody has been told.
    AfterSync,
    /// A group with a run of finished jobs: once between apply and flush, once after the flush.
    Run,
    /// A group that drops or rewrites a run; passed like `Run`.
    Prune,
    /// A group that copies jobs forward; passed like `Run`.
    Carry,
    /// The group that gives back the leases of the process before; passed like `Run`.
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

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// The process ends, as by a crash.
    Crash,
    /// The disk answers with this error number.
    Refuse(i32),
}

/// Input/output error.
pub const EIO: i32 = 5;
/// No space left on device.
pub const ENOSPC: i32 = 28;

/// Strikes when `point` is passed for the `nth` time (the first is 1), and `times` times from then on.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    pub deed: Deed,
    pub point: Point,
    pub nth: u64,
    pub times: u64,
}

/// Looks at every pass, with the directory; for tests that need more than a refusal.
pub type Watcher = Box<dyn FnMut(Point, &Path) -> io::Result<()> + Send>;

/// What a store is to suffer. Cheap to clone; clones share the plan.
#[derive(Clone, Default)]
pub struct Faults(Option<Arc<Mutex<Watcher>>>);

impl Faults {
    /// What [`VARIABLE`] orders; usually nothing.
    ///
    /// # Errors
    /// When the variable is set and cannot be understood.
    pub fn from_environment() -> Result<Faults, StoreError> {
        let Ok(order) = std::env::var(VARIABLE) else { return Ok(Faults::default()) };
        if supervise::check_order(&order) {
            return Ok(Faults::default()); // a thread or loop is to die
        }
        let fault = Fault::parse(&order).ok_or_else(|| {
            StoreError::Unavailable(format!(
                "{VARIABLE}={order} is neither DEED:POINT:NTH[:TIMES] nor kill:PART:NTH"
            ))
        })?;
        Ok(Faults::plan(fault))
    }

    /// One fault.
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
            match fault.deed {
                Deed::Crash => std::process::abort(),
                Deed::Refuse(number) => Err(io::Error::from_raw_os_error(number)),
            }
        }))
    }

    /// Everything that a test can think of.
    pub fn watch(watcher: Watcher) -> Faults {
        Faults(Some(Arc::new(Mutex::new(watcher))))
    }

    /// Tells the plan that a point is passed.
    pub fn pass(&self, point: Point, dir: &Path) -> Result<(), StoreError> {
        let Some(watcher) = &self.0 else { return Ok(()) };
        let mut watcher = watcher.lock().unwrap_or_else(PoisonError::into_inner);
        watcher(point, dir).map_err(|error| StoreError::Unavailable(error.to_string()))
    }
}

impl Fault {
    fn parse(order: &str) -> Option<Fault> {
        let mut parts = order.split(':');
        let deed = match parts.next()? {
            "crash" => Deed::Crash,
            "eio" => Deed::Refuse(EIO),
            "enospc" => Deed::Refuse(ENOSPC),
            _ => return None,
        };
        let name = parts.next()?;
        let point = Point::ALL.into_iter().find(|point| point.name() == name)?;
        let nth = parts.next()?.parse().ok()?;
        let times = parts.next().map_or(Some(1), |times| times.parse().ok())?;
        parts.next().is_none().then_some(Fault { deed, point, nth, times })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_a_deed_a_point_and_a_count() {
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
