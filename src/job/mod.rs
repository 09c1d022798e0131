//! L0: what a job is. Pure data and rules: no IO, no clock, no async, no HTTP.
//! Everything above speaks in these words.

mod comma_list;
mod content;
mod cron;
mod cursor;
mod ending;
mod event;
mod event_type;
mod filter;
mod fingerprint;
mod id;
mod json;
mod labels;
mod log_scale;
mod names;
mod outcome;
mod rate;
mod record;
mod replay;
mod retry;
mod schedule;
pub mod schema;
mod search;
pub mod shorten;
mod spec;
mod stable_hash;
mod state;
mod time;

pub use comma_list::{MAX_NAMES, add_names};
pub use cron::{Cron, Misread, time_zone};
pub use cursor::{Cursor, Epoch};
pub use event::{
    Change, Event, Fact, LogLine, Progress, QueueChange, ScheduleChange, Skip, Stream,
};
pub use event_type::EventType;
pub use filter::Filter;
pub use fingerprint::{fingerprint, pattern};
pub use id::{JobId, fresh_uuid};
pub use json::{
    Json, JsonLimits, Object, Scan, TooComplex, Unwritable, elements, optional_object, same,
    text_length,
};
pub use labels::Labels;
pub use log_scale::LogScale;
pub use names::{IdempotencyKey, Invalid, Kind, QueueName, ScheduleName, Tag, WorkerName};
pub use outcome::{Failure, FailureClass, Interruption, Outcome, Verdict};
pub use rate::{RateLimit, RateRule};
pub use record::{AttemptEnd, AttemptView, Job, LogCaps, Moment};
pub use retry::{Backoff, RetryPolicy};
pub use schedule::{Due, Fired, Origin, Overlap, Schedule, ScheduleSpec};
pub use schema::Schema;
pub use search::matcher::Matcher;
pub use search::moment;
pub use search::query::{JobQuery, PageCursor};
pub use search::reading::{Interrupted, Reading};
pub use search::term::{Needle, Term, Value};
pub use spec::{NewJob, Spec, Start};
pub use stable_hash::{StableHasher, stable_hash};
pub use state::{Refused, State, Status, Step};
pub use time::{Time, parse_duration};
