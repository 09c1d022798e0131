//! The order of the rows of one page of the job list. The server keeps jobs in the order of their submission only
//! (docs/decisions/0005-keyset-paging.md), so another order applies to the rows of the page, never to the whole list.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::job::State;
use crate::job::shorten::{MAX_NAME, shorten};

use super::column::{Column, Direction};
use super::list_row::ListRow;

/// The column and the direction in which the rows of a page are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowOrder {
    /// The column that is compared.
    pub column: Column,
    /// Which values come first.
    pub direction: Direction,
}

impl RowOrder {
    /// The order that a click on the heading of a column selects; `None` if the column does not order rows.
    pub fn after_click(column: Column, current: Option<RowOrder>) -> Option<RowOrder> {
        let first = column.first_direction()?;
        let is_first = current == Some(RowOrder { column, direction: first });
        Some(RowOrder { column, direction: if is_first { first.reversed() } else { first } })
    }

    /// Orders the rows of a page. Equal rows stay newest first, and jobs that have not started come after those with a
    /// duration in both directions.
    pub fn apply(self, rows: &mut [ListRow]) {
        rows.sort_by(|a, b| {
            let order = match (a.run.as_ref(), b.run.as_ref()) {
                (Some(_), None) if self.column == Column::Duration => return Ordering::Less,
                (None, Some(_)) if self.column == Column::Duration => return Ordering::Greater,
                (_, _) => self.column.compare(a, b),
            };
            match self.direction {
                Direction::Ascending => order,
                Direction::Descending => order.reverse(),
            }
        });
    }

    /// The order in words: `duration, longest first`.
    pub fn words(self) -> &'static str {
        let words: [&str; 2] = match self.column {
            Column::State => ["state, earliest first", "state, latest first"],
            Column::Job => ["kind, from A to Z", "kind, from Z to A"],
            Column::Queue => ["queue, from A to Z", "queue, from Z to A"],
            Column::Attempt => ["attempt, fewest first", "attempt, most first"],
            Column::Duration => ["duration, shortest first", "duration, longest first"],
            Column::When => ["time, earliest first", "time, latest first"],
            Column::Payload | Column::Error => ["submission", "submission"],
        };
        match self.direction {
            Direction::Ascending => words[0],
            Direction::Descending => words[1],
        }
    }
}

impl Column {
    fn compare(self, a: &ListRow, b: &ListRow) -> Ordering {
        let place = |state: State| State::ALL.iter().position(|one| *one == state);
        match self {
            Column::State => place(a.cells.state).cmp(&place(b.cells.state)),
            Column::Job => a.cells.kind.cmp(&b.cells.kind),
            Column::Queue => a.cells.queue.cmp(&b.cells.queue),
            Column::Attempt => a.cells.attempt.cmp(&b.cells.attempt),
            Column::Duration => {
                let length = |row: &ListRow| row.run.as_ref().map(|run| run.length);
                length(a).cmp(&length(b))
            }
            // Times in RFC 3339 with the same number of digits are ordered as texts.
            Column::When => a.cells.when.iso.cmp(&b.cells.when.iso),
            Column::Payload | Column::Error => Ordering::Equal,
        }
    }
}

/// The order as addresses have it: `duration`, or `-duration` for the greatest first.
impl fmt::Display for RowOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.direction {
            Direction::Ascending => "",
            Direction::Descending => "-",
        };
        write!(f, "{sign}{}", self.column.name())
    }
}

impl FromStr for RowOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, direction) = match text.strip_prefix('-') {
            Some(name) => (name, Direction::Descending),
            None => (text, Direction::Ascending),
        };
        let mut known = Column::ALL.into_iter().filter(|one| one.first_direction().is_some());
        let column = known.clone().find(|column| column.name() == name);
        column.map(|column| RowOrder { column, direction }).ok_or_else(|| {
            let mut names = known.next().map_or(String::new(), |one| one.name().to_owned());
            known.for_each(|one| names.extend([", ", one.name()]));
            let name = shorten(name, MAX_NAME);
            format!(
                "a page cannot be sorted by {name:?}; use one of {names}, with - before it for the opposite order"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_written_as_it_is_read() {
        for text in ["duration", "-duration", "state", "-when", "job", "queue", "-attempt"] {
            assert_eq!(text.parse::<RowOrder>().unwrap().to_string(), text);
        }
        for text in ["payload", "error", "", "-", "--when", "Duration"] {
            let refused = text.parse::<RowOrder>().unwrap_err();
            assert!(refused.contains("state, job, queue, attempt, duration, when"), "{refused}");
        }
    }

    #[test]
    fn a_second_click_reverses_the_order() {
        let first = RowOrder::after_click(Column::Duration, None).unwrap();
        assert_eq!(first.to_string(), "-duration");
        let second = RowOrder::after_click(Column::Duration, Some(first)).unwrap();
        assert_eq!(second.to_string(), "duration");
        let other = RowOrder::after_click(Column::Queue, Some(second)).unwrap();
        assert_eq!(other.to_string(), "queue");
        assert_eq!(RowOrder::after_click(Column::Payload, None), None);
    }
}
