//! L0: what a job is. Pure data and rules: no IO, no clock, no async, no HTTP.
//! Everything above speaks in these words.

mod cursor;
mod ending;
mod event;
mod filter;
mod fingerprint;
mod id;
mod json;
mod names;
mod outcome;
mod query;
mod record;
mod replay;
mod retry;
pub mod schema;
mod search;
mod spec;
mod state;
mod term;
mod time;

pub use cursor::{Cursor, Epoch};
pub use event::{
    Change, Event, EventType, Fact, Interruption, LogLine, Progress, QueueChange, Stream,
};
pub use filter::Filter;
pub use fingerprint::{fingerprint, pattern};
pub use id::JobId;
pub use json::Json;
pub use names::{IdempotencyKey, Invalid, Kind, QueueName, Tag, WorkerName};
pub use outcome::{Failure, FailureClass, Outcome, Verdict};
pub use query::{JobQuery, PageCursor};
pub use record::{AttemptEnd, AttemptView, Job, Labels, LogCaps, Moment};
pub use retry::{Backoff, RetryPolicy};
pub use schema::Schema;
pub use search::moment;
pub use spec::{NewJob, Spec, Start};
pub use state::{Refused, State, Status, Step};
pub use term::{Needle, Term, Value};
pub use time::Time;
