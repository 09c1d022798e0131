//! `cortado resume`: ends the pause of a server that was started with `--paused`.

use std::io::Write;

use serde::Deserialize;

use super::CliError;
use super::api::ApiClient;
use crate::config::ResumeArgs;

/// The answer of the readiness check, as far as it is needed here.
#[derive(Deserialize)]
struct PausedAnswer {
    #[serde(default)]
    paused: bool,
}

/// Resumes the server, and says whether it was paused. It succeeds as well when the server is not paused.
///
/// # Errors
/// When the server refuses the request or the output cannot be written.
pub async fn run(args: ResumeArgs, out: &mut (impl Write + Send)) -> Result<(), CliError> {
    let api = ApiClient::new(&args.client)?;
    let was_paused = match api.get("/readyz").await {
        Ok(answer) => answer.json::<PausedAnswer>().await.ok().map(|answer| answer.paused),
        // The request below says what is wrong.
        Err(_) => None,
    };
    api.post("/api/v1/resume", &serde_json::json!({})).await?;
    let said = match was_paused {
        Some(true) => "the server was resumed; jobs and schedules start now",
        Some(false) => "the server was not paused; nothing has changed",
        None => "the server is not paused",
    };
    writeln!(out, "{said}").map_err(|error| format!("cannot write: {error}"))
}
