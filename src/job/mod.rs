//! L0: the domain. Jobs, events, schedules and their rules as pure data and functions, without IO, clock, async or
//! HTTP. All other layers use these types.

mod actor;
mod attempt;
mod decimal;
mod declared_kind;
mod event;
pub mod fields;
mod id;
mod json;
mod labels;
pub mod limits;
mod log_scale;
mod names;
mod number;
mod queue_settings;
mod rate;
mod record;
pub mod refusal;
mod role;
mod schedule;
pub mod schema;
mod search;
pub mod secret;
mod spec;
mod state;
mod text;
mod time;

pub use actor::Actor;
pub use attempt::lease_holder::LeaseHolder;
pub use attempt::outcome::{Failure, FailureClass, Interruption, Outcome, Verdict};
pub use attempt::retry::{Backoff, RetryPolicy};
pub use declared_kind::{DeclaredKind, KindDefaults, KindOrigin, KindSpec};
pub use event::access::{AccessChange, AccessSubject, LinkSubject};
pub use event::cursor::{Cursor, Epoch};
pub use event::event_type::EventType;
pub use event::filter::Filter;
pub use event::worker::{WorkerChange, WorkerLeft};
pub use event::{
    Change, Event, Fact, KindChange, LogLine, Progress, QueueChange, ScheduleChange, Skip, Stream,
};
pub use fields::{FieldError, FieldErrors, Fields};
pub use id::{JobId, fresh_uuid};
pub use json::{
    Json, JsonLimits, Scan, TooComplex, Unwritable, ambiguities, elements, parse_value, same,
    same_meaning, text_length,
};
pub use labels::Labels;
pub use log_scale::LogScale;
pub use names::{
    IdempotencyKey, Invalid, Kind, LinkId, QueueName, ScheduleName, SessionId, Tag, TokenId,
    TokenName, UserName, WorkerName,
};
pub use number::{Concurrency, IntegerRange};
pub use queue_settings::QueueSettings;
pub use rate::{RateLimit, RateRule};
pub use record::{AttemptEnd, AttemptView, Job, LogCaps, Moment};
pub use role::Role;
pub use schedule::cron::{Cron, CronError, DueStretch, time_zone};
pub use schedule::{DueAction, Fired, Origin, Overlap, Schedule, ScheduleProblem, ScheduleSpec};
pub use schema::Schema;
pub use search::matcher::Matcher;
pub use search::moment;
pub use search::query::{JobQuery, PageCursor};
pub use search::reading::{Interrupted, Reading};
pub use search::term::{Needle, Term, Value};
pub use secret::{Secret, UrlText};
pub use spec::{NewJob, OmittedOptions, Spec, Start};
pub use state::{Refused, State, Status, Step};
pub use text::causes::causes;
pub use text::comma_list::{FilterValue, MAX_NAMES, add_names, has_empty_name, names_of};
pub use text::error_line::{TRACEBACK, error_line};
pub use text::escapes;
pub use text::fingerprint::{fingerprint, pattern};
pub use text::hidden::{self, is_hidden};
pub use text::shorten;
pub use text::stable_hash::{StableHasher, stable_hash};
pub use time::{Time, parse_duration};
