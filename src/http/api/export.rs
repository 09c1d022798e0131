//! `GET /api/v1/export`: a consistent snapshot of the whole store as JSON lines, without users, tokens, sessions and share
//! links. `GET /api/v1/backup`: the same with them.

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;

use super::extract::NoQuery;
use crate::engine::{ExportWriter, Snapshot, run_blocking};
use crate::http::server::write_timeout::RequiredRate;
use crate::http::{Api, Problem};

const HEADERS: [(header::HeaderName, &str); 2] = [
    (header::CONTENT_TYPE, "application/jsonl"),
    (header::CONTENT_DISPOSITION, "attachment; filename=\"cortado-export.jsonl\""),
];

/// Streams the snapshot, one record per line: `{"head": …}`, then `{"queue": …}`, `{"schedule": …}`, `{"event": …}` and `{"job": …}`, and
/// at last `{"end": …}`, each with a checksum. An incomplete export has no end. Changes made meanwhile are not
/// included.
pub async fn export(State(api): State<Api>, _: NoQuery) -> Result<Response, Problem> {
    stream_lines(&api, ExportWriter::default()).await
}

/// Streams what a backup holds: the lines of an export, and users, tokens, sessions and share links with the hashes of
/// their secrets.
pub async fn backup(State(api): State<Api>, _: NoQuery) -> Result<Response, Problem> {
    stream_lines(&api, ExportWriter::of_backup()).await
}

async fn stream_lines(api: &Api, writer: ExportWriter) -> Result<Response, Problem> {
    let snapshot = api.engine.snapshot().await?;
    let start = (snapshot, writer);
    let steps = stream::try_unfold(start, |(mut snapshot, mut writer)| async {
        let lines = next(&mut *snapshot, &mut writer).await.inspect_err(|error| {
            // The status has been sent, so the client can only be told by breaking off the response.
            tracing::warn!(%error, "an export failed");
        })?;
        Ok::<_, String>(lines.map(|lines| (lines, (snapshot, writer))))
    });
    let mut response = (HEADERS, Body::from_stream(steps)).into_response();
    // The journal is kept until the snapshot has been read, so a client must not take too long.
    response.extensions_mut().insert(RequiredRate(api.limits.export_min_rate));
    Ok(response)
}

/// Returns the next lines; `None` after the end.
async fn next(
    snapshot: &mut dyn Snapshot,
    writer: &mut ExportWriter,
) -> Result<Option<Bytes>, String> {
    let pieces = snapshot.next().await.map_err(|error| error.to_string())?;
    // The length of the lines is not known in advance, so the work never runs on the runtime.
    let lines = run_blocking(usize::MAX, || {
        let lines: Result<Vec<Vec<u8>>, String> =
            pieces.iter().map(|piece| writer.line(piece)).collect();
        lines.map(|lines| lines.concat())
    })?;
    Ok((!lines.is_empty()).then(|| lines.into()))
}
