//! The columns of the job list: their names in addresses and classes, their headings, and which of them can order the
//! rows of a page or be hidden.

/// A column of the job list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The state.
    State,
    /// The kind and the id.
    Job,
    /// The queue.
    Queue,
    /// The number of the attempt.
    Attempt,
    /// How long the newest attempt ran, or has been running.
    Duration,
    /// The time of the last change, or the time at which the job is due.
    When,
    /// The beginning of the payload.
    Payload,
    /// The last error.
    Error,
}

impl Column {
    /// All columns in their order.
    pub const ALL: [Column; 8] = [
        Column::State,
        Column::Job,
        Column::Queue,
        Column::Attempt,
        Column::Duration,
        Column::When,
        Column::Payload,
        Column::Error,
    ];

    /// The name in addresses, classes and in what a browser keeps.
    pub fn name(self) -> &'static str {
        match self {
            Column::State => "state",
            Column::Job => "job",
            Column::Queue => "queue",
            Column::Attempt => "attempt",
            Column::Duration => "duration",
            Column::When => "when",
            Column::Payload => "payload",
            Column::Error => "error",
        }
    }

    /// The heading.
    pub fn label(self) -> &'static str {
        match self {
            Column::State => "State",
            Column::Job => "Job",
            Column::Queue => "Queue",
            Column::Attempt => "Attempt",
            Column::Duration => "Duration",
            Column::When => "When",
            Column::Payload => "Payload",
            Column::Error => "Last error",
        }
    }

    /// Whether its cells are aligned to the right.
    pub fn is_number(self) -> bool {
        matches!(self, Column::Attempt | Column::Duration | Column::When)
    }

    /// Whether readers can hide it. The state and the link to the job are always shown.
    pub fn can_be_hidden(self) -> bool {
        !matches!(self, Column::State | Column::Job)
    }

    /// The direction that the first click on its heading selects; `None` if it does not order rows.
    pub fn first_direction(self) -> Option<Direction> {
        match self {
            Column::State | Column::Job | Column::Queue => Some(Direction::Ascending),
            Column::Attempt | Column::Duration | Column::When => Some(Direction::Descending),
            Column::Payload | Column::Error => None,
        }
    }
}

/// Which values come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The smallest, the first in the alphabet, or the oldest.
    Ascending,
    /// The greatest, the last in the alphabet, or the newest.
    Descending,
}

impl Direction {
    /// The opposite direction.
    pub fn reversed(self) -> Direction {
        match self {
            Direction::Ascending => Direction::Descending,
            Direction::Descending => Direction::Ascending,
        }
    }

    /// The value of `aria-sort`.
    pub fn aria(self) -> &'static str {
        match self {
            Direction::Ascending => "ascending",
            Direction::Descending => "descending",
        }
    }
}
