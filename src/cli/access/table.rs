//! Lists as tables for people, in columns that are as wide as their longest cell.

use std::io::Write;

use crate::cli::CliError;
use crate::job::hidden::{printable, printable_json};

/// Prints rows below a head. Control characters in cells are escaped.
///
/// # Errors
/// When the output cannot be written.
pub fn print_table<const N: usize>(
    out: &mut impl Write,
    head: [&str; N],
    rows: &[[String; N]],
) -> Result<(), CliError> {
    let rows: Vec<[String; N]> =
        rows.iter().map(|row| row.each_ref().map(|cell| printable(cell).into_owned())).collect();
    let head = head.map(str::to_owned);
    let mut widths = [0; N];
    for row in rows.iter().chain([&head]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in [&head].into_iter().chain(&rows) {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        print_line(out, line.trim_end())?;
    }
    Ok(())
}

/// Prints a document of JSON on one line.
///
/// # Errors
/// When the output cannot be written.
pub fn print_json(out: &mut impl Write, value: &impl serde::Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string(value).map_err(|error| error.to_string())?;
    print_line(out, &printable_json(&text))
}

/// Prints a line.
///
/// # Errors
/// When the output cannot be written.
pub fn print_line(out: &mut impl Write, line: &str) -> Result<(), CliError> {
    writeln!(out, "{line}").map_err(|error| format!("cannot write: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell_and_cannot_control_the_terminal() {
        let mut out = Vec::new();
        let rows = [["anna".to_owned(), "admin".to_owned()], ["\u{1b}[2J".into(), "ä".into()]];
        print_table(&mut out, ["NAME", "ROLE"], &rows).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "NAME       ROLE\nanna       admin\n\\u{1b}[2J  ä\n");
    }
}
