//! `cortado watch`: one line an event, for as long as somebody reads. Reconnects and resumes by
//! itself; what it has to say about the connection goes to standard error.

use std::future::Future;
use std::io::{self, Write};

use super::Failed;
use super::api::Api;
use super::line::human;
use super::output::say;
use super::stream::{Item, Stream};
use crate::config::WatchArgs;

/// Prints events until `stop` resolves (Ctrl-C) or nobody reads `out` any more.
///
/// # Errors
/// When the server refuses for good.
pub async fn run(
    args: WatchArgs,
    stop: impl Future<Output = ()>,
    out: &mut (impl Write + Send),
) -> Result<(), Failed> {
    let api = Api::new(&args.client)?;
    let server = args.client.server.clone();
    let mut stream = Stream::new(api, filter(&args), args.after);
    let mut stop = std::pin::pin!(stop);
    loop {
        let item = tokio::select! {
            item = stream.next() => item?,
            () = &mut stop => return Ok(()),
        };
        let written = match item {
            Item::Event(event) if args.json => writeln!(out, "{}", event.get()),
            Item::Event(event) => writeln!(out, "{}", human(event.get())),
            Item::Gap { from, to } => {
                say(&format!(
                    "cortado: the log does not reach back: events from {from} to {to} are missing"
                ));
                Ok(())
            }
            Item::Lost { why, wait } => {
                say(&format!(
                    "cortado: {server}: {why}; trying again in {:.1} s",
                    wait.as_secs_f64()
                ));
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
