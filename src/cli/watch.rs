//! `cortado watch`: prints one line per event until its reader has gone. It reconnects and resumes automatically, and
//! prints messages about the connection on standard error.

use std::future::Future;
use std::io::{self, Write};

use super::CliError;
use super::api::ApiClient;
use super::line::human;
use super::output::say;
use super::stream::{EventSubscription, StreamItem};
use crate::config::WatchArgs;
use crate::job::Cursor;
use crate::job::hidden::printable_json;

/// Prints events until `stop` resolves (Ctrl-C) or the reader of `out` has gone.
///
/// # Errors
/// When the server refuses the subscription.
pub async fn run(
    args: WatchArgs,
    stop: impl Future<Output = ()>,
    out: &mut (impl Write + Send),
) -> Result<(), CliError> {
    let api = ApiClient::new(&args.client)?;
    let server = args.client.server.clone();
    let mut stream = EventSubscription::new(api, filter(&args), args.after);
    let mut stop = std::pin::pin!(stop);
    loop {
        let item = tokio::select! {
            item = stream.next() => item?,
            () = &mut stop => return Ok(()),
        };
        let written = match item {
            // One line per event, however the server has broken it.
            StreamItem::Event(event) if args.json => {
                writeln!(out, "{}", printable_json(event.get()).replace('\n', " "))
            }
            StreamItem::Event(event) => writeln!(out, "{}", human(event.get())),
            StreamItem::Gap { from, to } => {
                say(&format!("cortado: {}", gap(from, to)));
                Ok(())
            }
            StreamItem::Lost { why, delay } => {
                say(&format!("cortado: {server}: {why}; retrying in {:.1} s", delay.as_secs_f64()));
                Ok(())
            }
        };
        match written.and_then(|()| out.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(format!("cannot write: {error}")),
        }
    }
}

/// Why events are missing between two cursors.
fn gap(from: Cursor, to: Cursor) -> String {
    if from.epoch != to.epoch {
        format!(
            "the cursor {from} is of another log, such as the one before a restore; this one is read from {to}"
        )
    } else if from.seq > to.seq {
        format!("the cursor {from} is ahead of the log, which ends at {to} and is read from there")
    } else {
        format!("the log does not reach back far enough; events from {from} to {to} are missing")
    }
}

/// The filter as the server reads it. The lists and patterns are sent as they were typed.
fn filter(args: &WatchArgs) -> Vec<(&'static str, String)> {
    let fields = [
        ("queue", &args.queue),
        ("kind", &args.kind),
        ("job", &args.job),
        ("tag", &args.tag),
        ("by", &args.by),
        ("type", &args.types),
    ];
    let pairs = |(name, values): (&'static str, &Vec<String>)| {
        values.iter().map(move |value| (name, value.clone())).collect::<Vec<_>>()
    };
    fields.into_iter().flat_map(pairs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_says_why_events_are_missing() {
        for (from, to, says) in [
            ("00000001:3", "00000001:9", "does not reach back far enough"),
            ("00000001:9", "00000001:3", "ahead of the log, which ends at 00000001:3"),
            ("00000002:3", "00000001:9", "of another log"),
            ("00000002:9", "00000001:3", "of another log"),
        ] {
            let said = gap(from.parse().unwrap(), to.parse().unwrap());
            assert!(said.contains(says) && said.contains(from), "{said}");
        }
    }
}
