//! Lines of the log that are written as they are, for programs that read a known format: an event with the name
//! [`RAW_LINE`] becomes a line with its message and nothing else, whatever the format of the log is.

use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The name of events whose message is the whole line.
pub const RAW_LINE: &str = "raw line";

/// Formats such events; all others are formatted as the log's format says.
pub(super) struct RawLines<F>(pub F);

impl<S, N, F> FormatEvent<S, N> for RawLines<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if event.metadata().name() != RAW_LINE {
            return self.0.format_event(context, writer, event);
        }
        let mut message = Message { writer: writer.by_ref(), written: Ok(()) };
        event.record(&mut message);
        message.written?;
        writeln!(writer)
    }
}

/// Writes the message of an event.
struct Message<'a> {
    writer: Writer<'a>,
    written: fmt::Result,
}

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.written = write!(self.writer, "{value:?}");
        }
    }
}
