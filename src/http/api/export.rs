//! `/api/v1/export`: everything that is stored, at one place of the log, as JSON lines.
//! Backups and exports of a running server read it.

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;

use crate::engine::{EngineError, ExportWriter, Snapshot, off_runtime};
use crate::http::server::write_timeout::AtLeast;
use crate::http::{Api, Problem};

const HEADERS: [(header::HeaderName, &str); 2] = [
    (header::CONTENT_TYPE, "application/jsonl"),
    (header::CONTENT_DISPOSITION, "attachment; filename=\"cortado-export.jsonl\""),
];

/// One piece a line: `{"head": …}`, then `{"paused": …}`, `{"event": …}` and `{"job": …}`, at last
/// `{"end": …}`, each with its checksum. An answer that breaks off has no end. Work goes on meanwhile and is
/// not seen.
pub async fn export(State(api): State<Api>) -> Result<Response, Problem> {
    let snapshot = api.engine.snapshot().await?;
    let begun = (snapshot, ExportWriter::default());
    let steps = stream::try_unfold(begun, |(mut snapshot, mut writer)| async {
        let lines = next(&mut *snapshot, &mut writer).await.inspect_err(|why| {
            // The status is sent: only a broken answer can tell the client.
            tracing::warn!(%why, "an export broke off");
        })?;
        Ok::<_, String>(lines.map(|lines| (lines, (snapshot, writer))))
    });
    let mut response = (HEADERS, Body::from_stream(steps)).into_response();
    // The journal keeps everything until the last piece is read: a client must not take for ever.
    response.extensions_mut().insert(AtLeast(api.limits.export_min_rate));
    Ok(response)
}

/// The next lines; `None` after the end.
async fn next(
    snapshot: &mut dyn Snapshot,
    writer: &mut ExportWriter,
) -> Result<Option<Bytes>, String> {
    let pieces = snapshot.next().await.map_err(|error| EngineError::from(error).to_string())?;
    // Nobody knows how long the pieces are before they are lines.
    let lines = off_runtime(usize::MAX, || {
        let lines: Result<Vec<Vec<u8>>, String> =
            pieces.iter().map(|piece| writer.line(piece)).collect();
        lines.map(|lines| lines.concat())
    })?;
    Ok((!lines.is_empty()).then(|| lines.into()))
}
