//! `cortado move`: moves a store from a directory to a database or back.

use std::io::Write;

use super::Failed;
use crate::cli::output::say;
use crate::config::MoveArgs;
use crate::job::hidden::printable;
use crate::store::WideAccess;
use crate::store::location::StorageLocation;
use crate::store::moving::move_store;

/// Moves a store and verifies it where it is then.
///
/// # Errors
/// When a server uses the store, it is not sound, the other place is not empty, or either cannot be read or written.
pub fn run(args: &MoveArgs, out: &mut impl Write) -> Result<(), Failed> {
    let (from, to) = args.places()?;
    let nothing = format!("nothing was moved from {from}");
    let report = move_store(&from, &to).map_err(|error| Failed::from(error).after(&nothing))?;
    if let StorageLocation::Directory(dir) = &to
        && let Some(access) = WideAccess::of(dir)
    {
        say(&format!("cortado: warning: {access}"));
    }
    let (jobs, events) = (report.jobs.values().sum::<u64>(), report.events);
    let (from, to) = (from.to_string(), to.to_string());
    let (from, to) = (printable(&from), printable(&to));
    writeln!(
        out,
        "{jobs} jobs and {events} events were moved from {from} to {to}, verified; start the server there"
    )
    .map_err(|error| format!("cannot write: {error}"))?;
    Ok(())
}
