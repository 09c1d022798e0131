//! L4: the commands that keep data safe. `verify`, `export`, `import`, `restore` and `move` work on databases, and on
//! directories that no server uses; `backup` reads from a running server or a database. Only `main` and tests call them.

pub mod access;
pub mod backup;
mod failed;
pub mod moving;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

pub use self::failed::Failed;
use crate::cli::output::say;
use crate::config::{ImportArgs, RestoreArgs, VerifyArgs};
use crate::job::hidden::{printable, printable_lines};
use crate::job::{ScheduleName, ScheduleProblem};
use crate::store::data_dir;
use crate::store::location::{StorageLocation, StoreBuilder};
use crate::store::snapshot::Totals;
use crate::store::{ExportReader, ExportWriter, Piece, StoreError, WideAccess};

/// Why reading or writing pieces failed.
enum Broken {
    Store(StoreError),
    Output(String),
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Broken::Store(error)
    }
}

impl From<Broken> for Failed {
    fn from(broken: Broken) -> Failed {
        match broken {
            Broken::Store(error) => error.into(),
            Broken::Output(why) => why.into(),
        }
    }
}

/// Verifies a directory or a database and prints the report. Returns the exit code: 0 when it is sound, 1 when it is not, 2 when it
/// could not be checked, and 3 when a newer version wrote it.
///
/// # Errors
/// When the output cannot be written.
pub fn verify(args: &VerifyArgs, out: &mut impl Write) -> Result<u8, Failed> {
    let report = args.place()?.verify();
    writeln!(out, "{}", printable_lines(&report.to_string()))
        .map_err(|error| format!("cannot write: {error}"))?;
    if report.is_newer {
        return Ok(Failed::NEWER);
    }
    Ok(if report.unchecked.is_some() { Failed::OTHER } else { u8::from(!report.is_sound()) })
}

/// Prints everything in a directory or a database as JSON lines.
///
/// # Errors
/// When the place cannot be read or the output cannot be written.
pub fn export(place: &StorageLocation, out: &mut impl Write) -> Result<(), Failed> {
    let mut out = BufWriter::new(out);
    let cannot = |error: io::Error| format!("cannot write: {error}");
    let mut writer = ExportWriter::default();
    place.read_all_pieces(|piece| {
        let line = writer.line(&piece).map_err(Broken::Output)?;
        out.write_all(&line).map_err(|error| Broken::Output(cannot(error)))
    })?;
    Ok(out.flush().map_err(cannot)?)
}

/// Builds a store from an export and verifies it. An export of an older version, without checksums, is imported
/// with a warning.
///
/// # Errors
/// When a line was changed or the file is incomplete, the place is not empty, or the result is not sound. Then there
/// is no store in it, and a server refuses to start on it.
pub fn import(args: &ImportArgs, out: &mut impl Write) -> Result<(), Failed> {
    let place = args.place()?;
    let imported = if args.file == Path::new("-") {
        read_in(&mut io::stdin().lock(), &place, LinesFrom::Export)
            .map_err(|why| why.after("nothing was imported from standard input"))?
    } else {
        let cannot = |error| format!("cannot read {}: {error}", args.file.display());
        let file = File::open(&args.file).map_err(cannot)?;
        if file.metadata().map_err(cannot)?.is_dir() {
            return Err(cannot(io::Error::other("it is a directory")).into());
        }
        let nothing = format!("nothing was imported from {}", args.file.display());
        read_in(&mut BufReader::new(file), &place, LinesFrom::Export)
            .map_err(|why| why.after(&nothing))?
    };
    if !imported.has_checksums {
        say(
            "cortado: warning: the export has no checksums, because an older version wrote it: changes to it \
             could not be noticed",
        );
    }
    for (schedule, problem) in &imported.problems {
        say(&format!("cortado: warning: schedule {schedule}: {problem}"));
    }
    report(&place, imported.totals, out)
}

/// Builds a store from a backup and verifies it.
///
/// # Errors
/// When the backup cannot be read, the place is not empty, or the result is not sound. Then there is no store in it, and
/// a server refuses to start on it.
pub fn restore(args: &RestoreArgs, out: &mut impl Write) -> Result<(), Failed> {
    let place = args.place()?;
    data_dir::check_store(&args.backup)?;
    let mut builder = StoreBuilder::create(&place)?;
    let nothing = format!("nothing was restored from {}", args.backup.display());
    data_dir::read_all_pieces::<StoreError>(&args.backup, |piece| builder.push(piece))
        .map_err(|error| Failed::from(error).after(&nothing))?;
    let totals = builder.finish()?;
    report(&place, totals, out)
}

/// The result of an import.
#[derive(Debug)]
struct Imported {
    totals: Totals,
    has_checksums: bool,
    /// The schedules that will not run here, and why.
    problems: Vec<(ScheduleName, ScheduleProblem)>,
}

/// Where lines come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinesFrom {
    /// A file, which anybody may have written: it must not bring users and tokens with it.
    Export,
    /// A running server, which says everything.
    Backup,
}

/// Builds a store from lines. An error names the line; the place holds no store then, however early the lines break off,
/// and a server refuses to start on it.
fn read_in(
    lines: &mut impl BufRead,
    place: &StorageLocation,
    from: LinesFrom,
) -> Result<Imported, Failed> {
    let mut builder = StoreBuilder::create(place)?;
    let mut reader = ExportReader::default();
    let (mut line, mut problems) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        let length = lines
            .read_until(b'\n', &mut line)
            .map_err(|error| format!("line {}: {error}", reader.line_number() + 1))?;
        if length == 0 {
            break;
        }
        let piece = reader.piece(&line)?;
        if from == LinesFrom::Export && matches!(piece, Piece::Access(_)) {
            let number = reader.line_number();
            return Err(format!("line {number}: an export has no users and tokens").into());
        }
        if let Piece::Schedule(schedule) = &piece {
            problems.extend(schedule.problem().map(|problem| (schedule.name.clone(), problem)));
        }
        builder.push(piece).map_err(|error| {
            Failed::from(error).after(&format!("line {}", reader.line_number()))
        })?;
    }
    reader.finish()?;
    let totals = builder.finish()?;
    Ok(Imported { totals, has_checksums: reader.has_checksums(), problems })
}

/// Reports what is in a store that was just built.
fn report(place: &StorageLocation, totals: Totals, out: &mut impl Write) -> Result<(), Failed> {
    let Totals { jobs, events, .. } = totals;
    if let StorageLocation::Directory(dir) = place
        && let Some(access) = WideAccess::of(dir)
    {
        say(&format!("cortado: warning: {access}"));
    }
    let place = place.to_string();
    writeln!(out, "{jobs} jobs and {events} events are in {}, verified", printable(&place))
        .map_err(|error| format!("cannot write: {error}"))?;
    Ok(())
}
