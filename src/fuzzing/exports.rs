//! Exports and backups: their lines, and whole files.

use super::rows::with_changed_byte;
use crate::store::{ExportCheck, ExportReader, ExportWriter, Piece};

/// A line that is read is written with the same content. An export of the lines is read as it was written, in parts of any
/// length, and any damage to it is noticed.
pub fn export_line(input: &[u8]) {
    let mut reader = ExportReader::default();
    let mut writer = ExportWriter::of_backup();
    let (mut export, mut pieces) = (Vec::new(), Vec::new());
    let head = br#"{"head":{"cortado_export":4,"epoch":1,"at":0,"oldest":0,"head":0}}"#;
    for line in std::iter::once(&head[..]).chain(input.split(|byte| *byte == b'\n')) {
        // As the line of a file: the checksum is missing or wrong, or it is one of format 1.
        drop(reader.piece(line));
        match Piece::from_line(line) {
            Ok(Piece::Head(_) | Piece::End(_)) if !pieces.is_empty() => {}
            Ok(piece) => {
                written_again(&piece);
                export.extend(writer.line(&piece).unwrap());
                pieces.push(piece);
            }
            Err(why) => assert!(!why.is_empty() && why.len() <= 100_000, "{} bytes", why.len()),
        }
    }
    let end = Piece::End(Default::default());
    export.extend(writer.line(&end).unwrap());
    pieces.push(end);
    read_again(&export, &pieces);
}

fn written_again(piece: &Piece) {
    let line = piece.to_line().unwrap();
    let again = Piece::from_line(&line);
    let again = again.unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(&line)));
    assert_eq!(again, *piece);
    assert_eq!(again.to_line().unwrap(), line);
}

fn read_again(export: &[u8], pieces: &[Piece]) {
    let mut reader = ExportReader::default();
    let lines = export.split_inclusive(|byte| *byte == b'\n');
    let read: Vec<Piece> = lines.map(|line| reader.piece(line).unwrap()).collect();
    assert_eq!(read, pieces);
    assert!(reader.finish().is_ok());

    let chosen = crc32fast::hash(export) as usize;
    let mut check = ExportCheck::default();
    let mut passed = Vec::new();
    for part in export.chunks(chosen % 100 + 1) {
        passed.extend(check.lines(part).unwrap());
    }
    assert_eq!((passed == export, check.finish().ok()), (true, Some(true)));

    let at = chosen % export.len();
    let mut check = ExportCheck::default();
    let is_noticed = check.lines(&with_changed_byte(export)).is_err() || check.finish().is_err();
    assert!(is_noticed, "byte {at} of {} was changed", String::from_utf8_lossy(export));
    let mut check = ExportCheck::default();
    let is_noticed = check.lines(&export[..at]).is_err() || check.finish().is_err();
    assert!(is_noticed, "{} was cut off at byte {at}", String::from_utf8_lossy(export));
}
