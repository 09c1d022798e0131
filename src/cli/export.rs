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
            match bytes.strip_suffix(b"\n").unwrap_or(&bytes).iter().rposition(|b| *b == b'\n') {
                Some(end) => last = bytes[end + 1..].to_vec(),
                None => last.extend_from_slice(&bytes),
            }
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
