//! `cortado export` of a running server: verifies each line and prints it. An export is complete only if its last line
//! is the end.

use std::future::Future;
use std::io::Write;

use super::CliError;
use super::api::ApiClient;
use super::output::say;
use crate::config::ExportArgs;
use crate::http::ExportCheck;
use crate::job::causes;

/// Prints the export.
///
/// # Errors
/// When the server refuses the request or breaks off, a checksum is wrong, or `stop` resolves.
pub async fn run(
    args: ExportArgs,
    stop: impl Future<Output = ()>,
    out: &mut (impl Write + Send),
) -> Result<(), CliError> {
    let copying = async {
        let api = ApiClient::new(&args.client)?;
        let mut response = api.get("/api/v1/export").await?;
        let mut check = ExportCheck::default();
        let unusable = |why: &dyn std::fmt::Display| format!("the export cannot be used: {why}");
        while let Some(bytes) = response.chunk().await.map_err(|error| broken_off(&error))? {
            let lines = check.lines(&bytes).map_err(|why| unusable(&why))?;
            out.write_all(&lines).map_err(|error| format!("cannot write: {error}"))?;
        }
        out.flush().map_err(|error| format!("cannot write: {error}"))?;
        if !check.finish().map_err(|why| unusable(&why))? {
            say(
                "cortado: warning: the server runs an older version, whose exports have no checksums",
            );
        }
        Ok(())
    };
    tokio::select! {
        done = copying => done,
        () = stop => Err("interrupted; the export is incomplete".to_owned()),
    }
}

/// The message for an export that the server has broken off.
pub(crate) fn broken_off(error: &reqwest::Error) -> CliError {
    format!(
        "the server broke off the export ({}): it stopped, the export took longer than store.max_export, or it was read \
         more slowly than http.export_min_rate; the log of the server has the reason",
        causes(error)
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::config::ClientArgs;

    #[tokio::test]
    async fn an_export_that_the_server_breaks_off_is_told_to_be_incomplete_and_why() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let client = ClientArgs::of(server);
        let args = ExportArgs { client, data_dir: None, store: None };
        let breaks_off = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_u8().await.unwrap();
            let half = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\n{\"head\":\r\n";
            stream.write_all(half.as_bytes()).await.unwrap();
        };
        let mut out = Vec::new();
        let exporting = run(args, std::future::pending(), &mut out);
        let (ended, ()) = tokio::join!(exporting, breaks_off);
        let why = ended.unwrap_err();
        assert!(why.contains("broke off the export"), "{why}");
        assert!(why.contains("http.export_min_rate") && why.contains("store.max_export"), "{why}");
    }
}
