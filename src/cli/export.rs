//! `cortado export` of a running server: its lines, as they come.
//! The last line must be the end, or the export is not whole.

use std::future::Future;
use std::io::Write;

use super::Failed;
use super::api::{Api, causes};
use crate::config::ExportArgs;

/// Prints the lines.
///
/// # Errors
/// When the server refuses or breaks off, or `stop` resolves.
pub async fn run(
    args: ExportArgs,
    stop: impl Future<Output = ()>,
    out: &mut (impl Write + Send),
) -> Result<(), Failed> {
    let copying = async {
        let api = Api::new(&args.client)?;
        let mut response = api.get("/api/v1/export").await?;
        let mut last = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(|error| causes(&error))? {
            out.write_all(&bytes).map_err(|error| format!("cannot write: {error}"))?;
            keep_last_line(&mut last, &bytes);
        }
        out.flush().map_err(|error| format!("cannot write: {error}"))?;
        if last.starts_with(b"{\"end\":") && last.ends_with(b"\n") {
            return Ok(());
        }
        Err("the export breaks off before its end".to_owned())
    };
    tokio::select! {
        done = copying => done,
        () = stop => Err("interrupted; the export is not whole".to_owned()),
    }
}

/// Keeps the last line, ended or not, of what came so far.
fn keep_last_line(last: &mut Vec<u8>, bytes: &[u8]) {
    if last.ends_with(b"\n") {
        last.clear();
    }
    last.extend_from_slice(bytes);
    let body = last.strip_suffix(b"\n").unwrap_or(last);
    if let Some(end) = body.iter().rposition(|byte| *byte == b'\n') {
        last.drain(..=end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_kept_however_the_bytes_come() {
        let text = b"first\nsecond\nthird\n";
        for size in 1..=text.len() {
            let mut last = Vec::new();
            text.chunks(size).for_each(|bytes| keep_last_line(&mut last, bytes));
            assert_eq!(last, b"third\n", "{size}");
        }
    }
}
