//! `cortado backup`: reads the export of a running server and builds a directory from it, which is then
//! verified. The server goes on meanwhile; the copy is of one place in its log.

use std::future::Future;
use std::io::{self, BufReader, Read, Write};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use super::{Failed, read_in, report};
use crate::cli::api::ApiClient;
use crate::cli::export::broken_off;
use crate::config::BackupArgs;

/// Pieces of the answer that may wait for the disk.
const WAITING: usize = 64;

/// Copies and verifies.
///
/// # Errors
/// When the server refuses or breaks off, the directory is not empty, what was written is not sound, or
/// `stop` resolves; then there is no store in the directory.
pub async fn run(
    args: BackupArgs,
    stop: impl Future<Output = ()>,
    out: &mut (impl Write + Send),
) -> Result<(), Failed> {
    let api = ApiClient::new(&args.client)?;
    let response = api.get("/api/v1/export").await?;
    let (bytes, received) = mpsc::channel(WAITING);
    let dir = args.dir.clone();
    let building = tokio::task::spawn_blocking(move || {
        read_in(&mut BufReader::new(Received { received, now: Bytes::new() }), &dir)
    });
    let fed = tokio::select! {
        fed = feed(response, bytes) => fed,
        () = stop => Err("interrupted".to_owned()),
    };
    // The builder's own reason is the better one: the feed ends when the builder does.
    let built = building.await.map_err(|error| error.to_string())?;
    let nothing = format!("nothing was kept in {}", args.dir.display());
    let built = match (fed, built) {
        (Ok(()), built) => built.map_err(|why| why.after(&nothing))?,
        (Err(why), _) => return Err(Failed::from(why).after(&nothing)),
    };
    report(&args.dir, built.totals, out)
}

/// Hands the answer to the builder; ends early and in silence when that is gone.
async fn feed(mut response: reqwest::Response, bytes: mpsc::Sender<Bytes>) -> Result<(), String> {
    while let Some(chunk) = response.chunk().await.map_err(|error| broken_off(&error))? {
        if bytes.send(chunk).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// The answer as a file that a thread may block on.
struct Received {
    received: mpsc::Receiver<Bytes>,
    now: Bytes,
}

impl Read for Received {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.now.is_empty() {
            match self.received.blocking_recv() {
                Some(next) => self.now = next,
                None => return Ok(0),
            }
        }
        let length = into.len().min(self.now.len());
        self.now.copy_to_slice(&mut into[..length]);
        Ok(length)
    }
}
