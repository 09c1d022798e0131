//! The format of exports: a snapshot as lines of JSON with checksums. docs/export.md describes it.
//!
//! Each line is a JSON object whose last member is `"crc":"xxxxxxxx"`: CRC-32 (the one of gzip and zlib), in
//! eight lowercase hexadecimal digits, of the bytes of the line before `,"crc":`. The member before it in the
//! last line is `"export_crc":"xxxxxxxx"`: the same checksum of all bytes of all lines before, with their line
//! feeds. Exports of format 1 have neither.

use std::borrow::Cow;

use crc32fast::Hasher;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Piece;
use super::formats::{EXPORT, Unreadable};
use super::snapshot::Totals;

/// The text between the object of a line and its checksum.
const LINE_CHECKSUM: &[u8] = b",\"crc\":\"";
/// The text between the counts of the last line and the checksum of the lines before it.
const EXPORT_CHECKSUM: &[u8] = b",\"export_crc\":\"";
/// The beginning of the last line.
const END_LINE: &[u8] = b"{\"end\":";
/// The number of digits of a checksum.
const CHECKSUM_DIGITS: usize = 8;

/// Writes the lines of one export. It leaves out users, tokens, sessions and share links, unless it is for a backup.
#[derive(Default)]
pub struct ExportWriter {
    /// The checksum of all bytes so far.
    whole: Hasher,
    purpose: Purpose,
}

/// What lines are written for.
#[derive(Default, PartialEq, Eq)]
enum Purpose {
    #[default]
    Export,
    Backup,
}

impl ExportWriter {
    /// Writes the lines of a backup, which has users, tokens, sessions and share links, too.
    pub fn of_backup() -> ExportWriter {
        ExportWriter { purpose: Purpose::Backup, ..ExportWriter::default() }
    }

    /// The next piece as a line, with its line feed; nothing for a piece that an export does not have. Payloads and results are strings that hold the JSON text
    /// as it was typed, so that no digit of it changes.
    ///
    /// # Errors
    /// The error of the serializer, which does not occur for a piece of a store.
    pub fn line(&mut self, piece: &Piece) -> Result<Vec<u8>, String> {
        let without_access;
        let piece = match piece {
            Piece::Access(_) if self.purpose == Purpose::Export => return Ok(Vec::new()),
            Piece::End(totals) if self.purpose == Purpose::Export => {
                without_access = Piece::End(Totals { access: 0, ..*totals });
                &without_access
            }
            Piece::Head(_)
            | Piece::Queue { .. }
            | Piece::Schedule(_)
            | Piece::Kind(_)
            | Piece::Access(_)
            | Piece::Event(_)
            | Piece::Job(_)
            | Piece::End(_) => piece,
        };
        let mut line = serde_json::to_vec(piece).map_err(|error| error.to_string())?;
        line.pop(); // the closing brace follows the checksums
        if let Piece::End(_) = piece {
            add(&mut line, EXPORT_CHECKSUM, self.whole.clone().finalize());
        }
        let crc = crc32fast::hash(&line);
        add(&mut line, LINE_CHECKSUM, crc);
        line.extend_from_slice(b"}\n");
        self.whole.update(&line);
        Ok(line)
    }
}

fn add(line: &mut Vec<u8>, name: &[u8], crc: u32) {
    line.extend_from_slice(name);
    line.extend_from_slice(format!("{crc:08x}\"").as_bytes());
}

/// Reads the lines of one export, from the first to the last. An error names its line.
#[derive(Clone, Default)]
pub struct ExportReader {
    /// The number of lines so far.
    number: u64,
    /// The format in the first line.
    format: u64,
    /// The checksum of all bytes so far.
    whole: Hasher,
    ended: bool,
}

/// The part of the first line that every format has.
#[derive(Deserialize)]
struct First {
    head: Number,
}

#[derive(Deserialize)]
struct Number {
    cortado_export: u64,
}

impl ExportReader {
    /// Checks the next line, with its line feed, and reads the piece in it.
    ///
    /// # Errors
    /// [`Unreadable::Newer`] for a format that this version does not know; otherwise the line and what is wrong with it.
    pub fn piece(&mut self, line: &[u8]) -> Result<Piece, Unreadable> {
        let text = self.text(line)?;
        let piece = Piece::from_line(&text).map_err(|why| self.at(why))?;
        self.ended = matches!(piece, Piece::End(_));
        Ok(piece)
    }

    /// Checks the next line, which must be JSON, without interpreting its content.
    ///
    /// # Errors
    /// As [`ExportReader::piece`].
    pub fn check(&mut self, line: &[u8]) -> Result<(), Unreadable> {
        self.text(line)?;
        serde_json::from_slice::<IgnoredAny>(line)
            .map_err(|error| self.at(format!("it is not JSON: {error}")))?;
        self.ended = line.starts_with(END_LINE) && line.ends_with(b"\n");
        Ok(())
    }

    /// The number of the line that was read last.
    pub fn line_number(&self) -> u64 {
        self.number
    }

    /// Whether the lines have checksums. Those of format 1 have none, so damage to them cannot be noticed.
    pub fn has_checksums(&self) -> bool {
        self.format > 1
    }

    /// Checks that the last line of the export was read.
    ///
    /// # Errors
    /// When the export is incomplete.
    pub fn finish(&self) -> Result<(), Unreadable> {
        match (self.number, self.ended) {
            (0, _) => Err("the export is empty".into()),
            (_, true) => Ok(()),
            (lines, false) => {
                Err(format!("the export breaks off after line {lines}, before its end").into())
            }
        }
    }

    /// Checks the checksums of the next line and returns its JSON without them.
    fn text<'a>(&mut self, line: &'a [u8]) -> Result<Cow<'a, [u8]>, Unreadable> {
        self.number += 1;
        if self.number == 1 {
            self.format = format(line).map_err(|why| self.at(why))?;
            EXPORT.check(self.format).map_err(|why| match why {
                Unreadable::Newer { .. } => why,
                Unreadable::Damaged(why) => self.at(why),
            })?;
        }
        if self.ended {
            return Err(self.at("there is more after the end"));
        }
        if !self.has_checksums() {
            // One flipped bit turns the number 3 into 1, which must not switch the checks off.
            if line_checksum(line.strip_suffix(b"\n").unwrap_or(line)).is_some() {
                return Err(self
                    .at("it has a checksum, but exports of format 1 have none: the number \
                    of the format or the line was changed"));
            }
            return Ok(Cow::Borrowed(line));
        }
        let mut body = self.checked(line).map_err(|why| self.at(why))?;
        if line.starts_with(END_LINE) {
            body = self.whole_checked(body).map_err(|why| self.at(why))?;
        }
        self.whole.update(line);
        Ok(Cow::Owned([body, b"}"].concat()))
    }

    /// The bytes of a line before its own checksum.
    fn checked<'a>(&self, line: &'a [u8]) -> Result<&'a [u8], String> {
        let Some(line) = line.strip_suffix(b"\n") else {
            return Err("it is cut off: it does not end with a line feed".into());
        };
        if line.ends_with(b"\r") {
            return Err("it ends with a carriage return: the line ends of the export were \
                converted; use the file as it was written"
                .into());
        }
        let Some((body, stated)) = line_checksum(line) else {
            return Err(format!(
                "it does not end with its checksum (\"crc\"), which every line of format {} has: the line \
                 was changed or cut off",
                self.format
            ));
        };
        compare(stated, crc32fast::hash(body))
            .map_err(|why| format!("it was changed after it was written: {why}"))?;
        Ok(body)
    }

    /// The bytes of the last line before the checksum of the lines before it.
    fn whole_checked<'a>(&self, body: &'a [u8]) -> Result<&'a [u8], String> {
        let Some((body, stated)) = split(body, EXPORT_CHECKSUM) else {
            return Err("it has no checksum of the lines before it (\"export_crc\")".into());
        };
        compare(stated, self.whole.clone().finalize()).map_err(|why| {
            format!("lines before it are missing, repeated or out of order: {why}")
        })?;
        Ok(body)
    }

    fn at(&self, why: impl std::fmt::Display) -> Unreadable {
        Unreadable::Damaged(format!("line {}: {why}", self.number))
    }
}

/// The format that the first line states.
fn format(line: &[u8]) -> Result<u64, String> {
    if line.starts_with(b"\xef\xbb\xbf") {
        return Err("it begins with a byte order mark: use the file as it was written".into());
    }
    let first: First = serde_json::from_slice(line)
        .map_err(|error| format!("it is not the head of an export of Cortado: {error}"))?;
    Ok(first.head.cortado_export)
}

/// Splits a line, without its line feed, into the text before its checksum and the checksum.
fn line_checksum(line: &[u8]) -> Option<(&[u8], &[u8])> {
    split(line.strip_suffix(b"}")?, LINE_CHECKSUM)
}

/// Splits a line into the text before its last member and the value of that member.
fn split<'a>(line: &'a [u8], name: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let line = line.strip_suffix(b"\"")?;
    let (rest, digits) = line.split_at_checked(line.len().checked_sub(CHECKSUM_DIGITS)?)?;
    Some((rest.strip_suffix(name)?, digits))
}

fn compare(stated: &[u8], found: u32) -> Result<(), String> {
    let found = format!("{found:08x}");
    if stated == found.as_bytes() {
        return Ok(());
    }
    let stated = stated.escape_ascii();
    Err(format!("the checksum says {stated}, but its bytes have {found}"))
}

/// Checks an export that arrives in parts of any length.
#[derive(Default)]
pub struct ExportCheck {
    reader: ExportReader,
    /// The beginning of a line that is still incomplete.
    open: Vec<u8>,
}

impl ExportCheck {
    /// Checks the lines that the next bytes complete, and returns them.
    ///
    /// # Errors
    /// As [`ExportReader::piece`].
    pub fn lines(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let last = bytes.iter().rposition(|byte| *byte == b'\n');
        let end = last.map_or(0, |last| self.open.len() + last + 1);
        self.open.extend_from_slice(bytes);
        let rest = self.open.split_off(end);
        let lines = std::mem::replace(&mut self.open, rest);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            self.reader.check(line)?;
        }
        Ok(lines)
    }

    /// Checks that the export is complete. Returns whether it has checksums.
    ///
    /// # Errors
    /// When the export is incomplete.
    pub fn finish(mut self) -> Result<bool, Unreadable> {
        if !self.open.is_empty() {
            self.reader.check(&self.open)?;
        }
        self.reader.finish()?;
        Ok(self.reader.has_checksums())
    }
}

#[cfg(test)]
mod tests;
