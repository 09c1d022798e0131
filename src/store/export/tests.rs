//! Nothing that differs from what was written passes as an export, and each refusal names its line.

use super::*;

/// An export of the first format, as its version wrote it.
const OLD: &str = include_str!("../../../tests/fixtures/store-v1.jsonl");

/// The pieces of the old export as this version writes them.
fn all() -> Vec<Vec<u8>> {
    let mut writer = ExportWriter::default();
    let pieces = OLD.lines().map(|line| Piece::from_line(line.as_bytes()).unwrap());
    let lines = pieces.map(|mut piece| {
        if let Piece::Head(head) = &mut piece {
            head.cortado_export = EXPORT.newest.into();
        }
        writer.line(&piece).unwrap()
    });
    lines.collect()
}

/// Some lines of every sort, few enough to try every bit of them.
fn few() -> Vec<Vec<u8>> {
    let mut writer = ExportWriter::default();
    let mut seen = std::collections::BTreeMap::new();
    let mut lines = Vec::new();
    for line in all() {
        let text = strip(&line);
        let mut piece = Piece::from_line(&text).unwrap();
        let sort = text.split(|byte| *byte == b':').next().unwrap().to_vec();
        let count = seen.entry(sort).or_insert(0);
        *count += 1;
        if let Piece::End(totals) = &mut piece {
            totals.jobs = 2;
        }
        if *count <= 2 && text.len() < 3_000 {
            lines.push(writer.line(&piece).unwrap());
        }
    }
    assert!(lines.len() >= 8 && lines.last().unwrap().starts_with(END_LINE));
    lines
}

/// A line without its checksums, as somebody might make it by hand.
fn strip(line: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(line).unwrap();
    let text = text.rsplit_once(",\"crc\":").unwrap().0;
    let text = text.rsplit_once(",\"export_crc\":").map_or(text, |(text, _)| text);
    format!("{text}}}\n").into_bytes()
}

/// Reads bytes as an importer does, from where a reader is.
fn read_on(mut reader: ExportReader, bytes: &[u8]) -> Result<(), String> {
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        reader.piece(line).map_err(|error| error.to_string())?;
    }
    reader.finish().map_err(|error| error.to_string())
}

fn read(lines: &[Vec<u8>]) -> Result<(), String> {
    read_on(ExportReader::default(), &lines.concat())
}

/// The same as a client reads it that only prints the lines, in parts of a length.
fn print(bytes: &[u8], part: usize) -> Result<bool, String> {
    let mut check = ExportCheck::default();
    let mut printed = Vec::new();
    for part in bytes.chunks(part) {
        printed.extend(check.lines(part).map_err(|error| error.to_string())?);
    }
    let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    assert_eq!(printed, bytes[..complete]);
    check.finish().map_err(|error| error.to_string())
}

#[test]
fn what_was_written_is_read_however_it_comes() {
    let lines = all();
    assert_eq!(read(&lines), Ok(()));
    let mut reader = ExportReader::default();
    for (line, old) in lines.iter().zip(OLD.lines()).skip(1) {
        if reader.line_number() == 0 {
            reader.piece(&lines[0]).unwrap();
        }
        assert_eq!(reader.piece(line).unwrap(), Piece::from_line(old.as_bytes()).unwrap());
        let object: serde_json::Value = serde_json::from_slice(line).unwrap();
        assert_eq!(
            object["crc"].as_str().unwrap().len(),
            CHECKSUM_DIGITS,
            "it is JSON for every reader"
        );
    }
    for part in [1, 2, 7, 100, usize::MAX] {
        assert_eq!(print(&lines.concat(), part), Ok(true));
    }
}

/// The rule of docs/export.md, followed by hand.
#[test]
fn the_checksums_are_those_that_the_documentation_says() {
    let lines = few();
    for line in &lines {
        let text = std::str::from_utf8(line).unwrap();
        let (before, rest) = text.rsplit_once(",\"crc\":\"").unwrap();
        assert_eq!(rest, format!("{:08x}\"}}\n", crc32fast::hash(before.as_bytes())));
    }
    let (last, before) = lines.split_last().unwrap();
    let whole = crc32fast::hash(&before.concat());
    assert!(
        std::str::from_utf8(last).unwrap().contains(&format!("\"export_crc\":\"{whole:08x}\""))
    );
    assert!(crc32fast::hash(b"123456789") == 0xcbf4_3926, "the CRC-32 of gzip and zlib");
}

#[test]
fn every_flipped_bit_is_refused() {
    let lines = few();
    let mut reader = ExportReader::default();
    let mut flips = 0;
    for (n, line) in lines.iter().enumerate() {
        let rest = lines[n..].concat();
        for place in 0..line.len() {
            for bit in 0..8 {
                let mut bad = rest.clone();
                bad[place] ^= 1 << bit;
                let why = read_on(reader.clone(), &bad).expect_err("a flipped bit was not noticed");
                let (this, next) = (format!("line {}: ", n + 1), format!("line {}: ", n + 2));
                // The first line says the format; a flip of the line feed may show in the next line.
                let is_named = why.starts_with(&this) || why.starts_with(&next);
                assert!(is_named || why.contains("newer version"), "{n} {place} {bit}: {why}");
                if n == 0 {
                    assert!(print(&bad, 999).is_err(), "{place} {bit}");
                }
                flips += 1;
            }
        }
        reader.piece(line).unwrap();
    }
    assert!(flips > 10_000);
}

#[test]
fn an_export_that_is_cut_off_is_refused_wherever_it_is_cut() {
    let bytes = few().concat();
    for length in 0..bytes.len() {
        let part = &bytes[..length];
        assert!(read_on(ExportReader::default(), part).is_err(), "{length} bytes were taken");
        assert!(print(part, 64).is_err(), "{length} bytes were printed as if they were whole");
    }
}

#[test]
fn lines_that_are_missing_repeated_or_moved_are_refused() {
    let lines = all();
    for n in 0..lines.len() {
        let mut less = lines.clone();
        less.remove(n);
        assert!(read(&less).is_err(), "without line {}", n + 1);
        let mut more = lines.clone();
        more.insert(n, lines[n].clone());
        assert!(read(&more).is_err(), "line {} twice", n + 1);
        assert!(print(&more.concat(), 4_096).is_err(), "line {} twice", n + 1);
        let other = (n * 7 + 3) % lines.len();
        if other != n {
            let mut swapped = lines.clone();
            swapped.swap(n, other);
            assert!(read(&swapped).is_err(), "lines {} and {} swapped", n + 1, other + 1);
        }
        if let Some(next) = lines.get(n + 1) {
            let mut swapped = lines.clone();
            swapped[n + 1] = lines[n].clone();
            swapped[n] = next.clone();
            assert!(read(&swapped).is_err(), "line {} after the next", n + 1);
        }
    }
    // A line of another export, whole in itself.
    let mut mixed = lines.clone();
    mixed[1] = few()[1].clone();
    mixed[2] = mixed[1].clone();
    let why = read(&mixed).unwrap_err();
    let last = lines.len();
    assert!(why.starts_with(&format!("line {last}: lines before it are missing")), "{why}");
}

#[test]
fn an_export_that_a_tool_has_changed_is_refused_with_the_reason() {
    let lines = few();
    let bytes = lines.concat();
    let text = String::from_utf8(bytes.clone()).unwrap();
    let end = lines.len();
    let stripped: Vec<u8> = lines.iter().flat_map(|line| strip(line)).collect();
    let one_stripped = text.replacen(
        &String::from_utf8(lines[2].clone()).unwrap(),
        &String::from_utf8(strip(&lines[2])).unwrap(),
        1,
    );
    let upper = text.rsplit_once(",\"crc\":").unwrap();
    let upper = format!("{},\"crc\":{}", upper.0, upper.1.to_uppercase());
    for (bad, reason) in [
        (text.replace('\n', "\r\n"), "line 1: it ends with a carriage return".to_owned()),
        (format!("\u{feff}{text}"), "line 1: it begins with a byte order mark".into()),
        (format!("{text}\n"), format!("line {}: there is more after the end", end + 1)),
        (format!("{text} "), format!("line {}: there is more after the end", end + 1)),
        (format!("{text}{text}"), format!("line {}: there is more after the end", end + 1)),
        (format!("\n{text}"), "line 1: it is not the head".into()),
        (text.replacen('\n', "\n\n", 1), "line 2: it does not end with its checksum".into()),
        (text.replacen(":", ": ", 1), "line 1: it was changed".into()),
        (
            text.replacen("\"crc\"", "\"Crc\"", 1),
            "line 1: it does not end with its checksum".into(),
        ),
        (upper, format!("line {end}: it was changed")),
        (one_stripped, "line 3: it does not end with its checksum".into()),
        (String::from_utf8(stripped).unwrap(), "line 1: it does not end with its checksum".into()),
        (text.trim_end().into(), format!("line {end}: it is cut off")),
        ("<html>\n".into(), "line 1: it is not the head".into()),
        (String::new(), "the export is empty".into()),
    ] {
        let why = read_on(ExportReader::default(), bad.as_bytes()).unwrap_err();
        assert!(why.starts_with(&reason), "expected {reason:?}, not {why:?}");
        assert!(print(bad.as_bytes(), 50).is_err(), "{reason}");
    }
}

#[test]
fn an_export_of_the_first_format_is_read_and_known_to_have_no_checksums() {
    let mut reader = ExportReader::default();
    for line in OLD.split_inclusive('\n') {
        reader.piece(line.as_bytes()).unwrap();
    }
    reader.finish().unwrap();
    assert!(!reader.has_checksums());
    assert_eq!(print(OLD.as_bytes(), 100), Ok(false));
    // A line with a checksum does not belong there.
    let lines = all();
    let mixed = [OLD.lines().next().unwrap().as_bytes(), b"\n", &lines[1]].concat();
    assert!(read_on(ExportReader::default(), &mixed).unwrap_err().starts_with("line 2: "));
}

#[test]
fn an_export_of_a_newer_version_is_called_that() {
    for number in ["5", "77", "4294967295", "4294967296"] {
        let text = String::from_utf8(few().concat()).unwrap();
        let newer = format!("\"cortado_export\":{number}");
        let text = text.replacen("\"cortado_export\":4", &newer, 1);
        let line = text.lines().next().unwrap();
        let why = ExportReader::default().piece(line.as_bytes()).unwrap_err();
        assert!(matches!(why, Unreadable::Newer { newest: 4, .. }), "{why}");
        // Whatever else a newer version may write there.
        let line =
            format!("{{\"head\":{{\"cortado_export\":{number},\"new\":[]}},\"sha\":\"x\"}}\n");
        let why = ExportReader::default().piece(line.as_bytes()).unwrap_err();
        assert!(why.to_string().contains(&format!("format {number}; this version reads up to 4")));
    }
    let none = b"{\"head\":{\"cortado_export\":0}}\n";
    let why = ExportReader::default().piece(none).unwrap_err();
    assert!(matches!(why, Unreadable::Damaged(_)), "{why}");
}
