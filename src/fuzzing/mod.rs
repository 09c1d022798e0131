//! The fuzz targets: functions that take any bytes and check what must hold for all of them. `tests/fuzz` calls them with
//! the inputs of libFuzzer, and the tests of this module with random bytes and changed seeds, so that both check the same.
//!
//! A target panics when something does not hold. The seeds are in `tests/fuzz/corpus`, in a directory for each target.

mod configuration;
mod cron;
mod exports;
mod journal;
mod messages;
mod problems;
mod requests;
mod rows;
mod search;
mod websocket;

#[cfg(test)]
mod tests;

use crate::job::Time;

pub use configuration::configuration;
pub use cron::cron;
pub use exports::export_line;
pub use journal::journal_chunk;
pub use messages::{client_message, worker_message};
pub use requests::{job_submission, query_string, request_body};
pub use rows::stored_row;
pub use search::search;
pub use websocket::websocket_frames;

/// The time at which everything arrives or is written.
const NOW: Time = Time::from_millis(1_800_000_000_000);

/// A function that panics when something does not hold for the bytes.
pub type Target = fn(&[u8]);

/// All targets by their names.
pub const TARGETS: [(&str, Target); 12] = [
    ("client_message", client_message),
    ("configuration", configuration),
    ("cron", cron),
    ("export_line", export_line),
    ("job_submission", job_submission),
    ("journal_chunk", journal_chunk),
    ("query_string", query_string),
    ("request_body", request_body),
    ("search", search),
    ("stored_row", stored_row),
    ("websocket_frames", websocket_frames),
    ("worker_message", worker_message),
];

/// The first line of a text as a choice, and what follows it. Seeds stay readable that way.
fn choice(input: &[u8]) -> Option<(&str, &[u8])> {
    let end = input.iter().position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&input[..end]).ok()?, &input[end + 1..]))
}
