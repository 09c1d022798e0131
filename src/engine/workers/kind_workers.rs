//! The connected workers that run one kind, by whether they take jobs of one queue.

use std::fmt;

/// Numbers of connected workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KindWorkers {
    /// Those that take jobs of the queue.
    pub able: usize,
    /// Those that take no more jobs, because they were told to be quiet or to stop.
    pub withdrawn: usize,
    /// Those that take jobs of other queues only.
    pub elsewhere: usize,
}

impl KindWorkers {
    /// Whether any is connected.
    pub fn any(&self) -> bool {
        self.able + self.withdrawn + self.elsewhere > 0
    }
}

/// Says why those that are not able take no jobs of the queue.
impl fmt::Display for KindWorkers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KindWorkers { withdrawn, elsewhere, .. } = self;
        if *withdrawn > 0 {
            let verb = if *withdrawn == 1 { "is" } else { "are" };
            write!(f, "{withdrawn} {verb} quiet or stopping")?;
        }
        if *elsewhere > 0 {
            let between = if *withdrawn > 0 { ", " } else { "" };
            let verb = if *elsewhere == 1 { "takes" } else { "take" };
            write!(f, "{between}{elsewhere} {verb} jobs of other queues")?;
        }
        Ok(())
    }
}
