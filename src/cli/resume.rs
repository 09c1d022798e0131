//! `cortado resume`: ends the pause of a server that was started with `--paused`.

use std::io::Write;

use super::CliError;
use super::api::ApiClient;
use crate::config::ResumeArgs;

/// Resumes the server. It succeeds as well when the server is not paused.
///
/// # Errors
/// When the server refuses the request or the output cannot be written.
pub async fn run(args: ResumeArgs, out: &mut (impl Write + Send)) -> Result<(), CliError> {
    ApiClient::new(&args.client)?.post("/api/v1/resume", &serde_json::json!({})).await?;
    writeln!(out, "the server is not paused; jobs and schedules start")
        .map_err(|error| format!("cannot write: {error}"))
}
