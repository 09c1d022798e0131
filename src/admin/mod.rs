//! L4: what keeps the data safe, on directories that no server uses: verify, export, import, restore;
//! and the backup, which asks a running server. Only `main` and tests call it.

pub mod backup;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use crate::cli::Failed;
use crate::config::{ImportArgs, RestoreArgs, VerifyArgs};
use crate::store::sled::{self, Builder};
use crate::store::snapshot::Totals;
use crate::store::{Piece, StoreError};

/// Why pieces stop coming: the store's fault, or the file's.
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
            Broken::Store(error) => words(error),
            Broken::Output(why) => why,
        }
    }
}

/// What a store says, without the words that are meant for its callers.
fn words(error: StoreError) -> Failed {
    match error {
        StoreError::Unavailable(why) | StoreError::Corrupt(why) => why,
        StoreError::Full { .. } | StoreError::TooManyQueues { .. } | StoreError::Closed => {
            error.to_string()
        }
    }
}

/// Checks a directory and prints what was found. Answers with the exit code: 0 sound, 1 not.
///
/// # Errors
/// When the output cannot be written.
pub fn verify(args: &VerifyArgs, out: &mut impl Write) -> Result<u8, Failed> {
    let report = sled::verify(&args.data_dir);
    writeln!(out, "{report}").map_err(|error| format!("cannot write: {error}"))?;
    Ok(u8::from(!report.is_sound()))
}

/// Prints everything in a directory as JSON lines.
///
/// # Errors
/// When the directory cannot be read or the output cannot be written.
pub fn export(dir: &Path, out: &mut impl Write) -> Result<(), Failed> {
    let mut out = BufWriter::new(out);
    let cannot = |error: io::Error| format!("cannot write: {error}");
    sled::read_out(dir, |piece| {
        let line = piece.to_line().map_err(Broken::Output)?;
        out.write_all(&line).map_err(|error| Broken::Output(cannot(error)))
    })?;
    out.flush().map_err(cannot)
}

/// Makes a directory out of an export and checks it.
///
/// # Errors
/// When the file is not whole, the directory is not empty, or what was made is not sound.
pub fn import(args: &ImportArgs, out: &mut impl Write) -> Result<(), Failed> {
    let totals = if args.file == Path::new("-") {
        read_in(&mut io::stdin().lock(), &args.data_dir)?
    } else {
        let cannot = |error| format!("cannot read {}: {error}", args.file.display());
        let file = File::open(&args.file).map_err(cannot)?;
        read_in(&mut BufReader::new(file), &args.data_dir)?
    };
    check(&args.data_dir, totals, out)
}

/// Makes a directory out of a backup and checks it.
///
/// # Errors
/// When the backup cannot be read, the directory is not empty, or what was made is not sound.
pub fn restore(args: &RestoreArgs, out: &mut impl Write) -> Result<(), Failed> {
    // The backup first: a wrong name for it must not leave a new directory behind.
    let mut builder = None;
    sled::read_out::<StoreError>(&args.backup, |piece| {
        let builder = match &mut builder {
            Some(builder) => builder,
            None => builder.insert(Builder::create(&args.data_dir)?),
        };
        builder.push(piece)
    })
    .map_err(words)?;
    let builder = builder.ok_or("there is nothing in the backup")?;
    let totals = builder.finish().map_err(words)?;
    check(&args.data_dir, totals, out)
}

/// Builds a directory from lines. An error names the line.
fn read_in(lines: &mut impl BufRead, dir: &Path) -> Result<Totals, Failed> {
    let mut builder = Builder::create(dir).map_err(words)?;
    let (mut line, mut number) = (Vec::new(), 0u64);
    loop {
        line.clear();
        number += 1;
        let at = |why: String| format!("line {number}: {why}");
        let length = lines.read_until(b'\n', &mut line).map_err(|error| at(error.to_string()))?;
        if length == 0 {
            break;
        }
        let piece = Piece::from_line(&line).map_err(at)?;
        builder.push(piece).map_err(|error| at(words(error)))?;
    }
    builder.finish().map_err(words)
}

/// Verifies what was just made and says what is in it.
fn check(dir: &Path, totals: Totals, out: &mut impl Write) -> Result<(), Failed> {
    let report = sled::verify(dir);
    if !report.is_sound() {
        return Err(format!("what was written is not sound; do not use it\n{report}"));
    }
    let Totals { jobs, events, .. } = totals;
    writeln!(out, "{jobs} jobs and {events} events are in {}, verified", dir.display())
        .map_err(|error| format!("cannot write: {error}"))
}
