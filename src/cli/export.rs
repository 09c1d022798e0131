//! `cortado export` of a running server: its lines, as they come, and a check of their checksums.
//! The last line must be the end, or the export is not whole.

use std::future::Future;
use std::io::Write;

use super::Failed;
use super::api::{Api, causes};
use super::output::say;
use crate::config::ExportArgs;
use crate::http::ExportCheck;

/// Prints the lines.
///
/// # Errors
/// When the server refuses or breaks off, what came is not what it wrote, or `stop` resolves.
pub async fn run(
    args: ExportArgs,
    stop: impl Future<Output = ()>,
    out: &mut (impl Write + Send),
) -> Result<(), Failed> {
    let copying = async {
        let api = Api::new(&args.client)?;
        let mut response = api.get("/api/v1/export").await?;
        let mut check = ExportCheck::default();
        let unusable = |why: &dyn std::fmt::Display| format!("the export cannot be used: {why}");
        while let Some(bytes) = response.chunk().await.map_err(|error| unusable(&causes(&error)))? {
            out.write_all(&bytes).map_err(|error| format!("cannot write: {error}"))?;
            check.bytes(&bytes).map_err(|why| unusable(&why))?;
        }
        out.flush().map_err(|error| format!("cannot write: {error}"))?;
        if !check.finish().map_err(|why| unusable(&why))? {
            say("cortado: warning: the server is of an older version; its export has no checksums");
        }
        Ok(())
    };
    tokio::select! {
        done = copying => done,
        () = stop => Err("interrupted; the export is not whole".to_owned()),
    }
}
