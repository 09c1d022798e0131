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
            StreamItem::Event(event) if args.json => writeln!(out, "{}", event.get()),
            StreamItem::Event(event) => writeln!(out, "{}", human(event.get())),
            StreamItem::Gap { from, to } => {
                say(&format!(
                    "cortado: the log does not reach back far enough; events from {from} to {to} are missing"
                ));
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

fn filter(args: &WatchArgs) -> Vec<(&'static str, String)> {
    fn all<T: ToString>(
        name: &'static str,
        values: &[T],
    ) -> impl Iterator<Item = (&'static str, String)> {
        values.iter().map(move |value| (name, value.to_string()))
    }
    all("queue", &args.queue)
        .chain(all("kind", &args.kind))
        .chain(all("job", &args.job))
        .chain(all("tag", &args.tag))
        .chain(all("type", &args.types))
        .collect()
}
