//! `cortado backup`: reads everything from a running server or a database, builds a data directory from it, and verifies
//! it. The server keeps working meanwhile; the backup is of one cursor.

use std::future::Future;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use super::{Failed, LinesFrom, read_in, report};
use crate::cli::api::ApiClient;
use crate::cli::export::broken_off;
use crate::config::BackupArgs;
use crate::store::StoreError;
use crate::store::data_dir::DataDirBuilder;
use crate::store::location::StorageLocation;

/// How many parts of the response may wait for the disk.
const WAITING: usize = 64;

/// Makes a backup of a database, without a server, and verifies it.
///
/// # Errors
/// When the database cannot be read, the directory is not empty, or what was written is not sound. Then there is no store
/// in the directory.
pub fn of_database(
    database: &StorageLocation,
    dir: &Path,
    out: &mut impl Write,
) -> Result<(), Failed> {
    let mut builder = DataDirBuilder::create(dir)?;
    let nothing = format!("no backup was left in {}", dir.display());
    database
        .read_all_pieces::<StoreError>(|piece| builder.push(piece))
        .map_err(|error| Failed::from(error).after(&nothing))?;
    let totals = builder.finish().map_err(|error| Failed::from(error).after(&nothing))?;
    report(&dir.into(), totals, out)
}

/// Makes a backup of a running server and verifies it.
///
/// # Errors
/// When the server refuses or ends the response early, the directory is not empty, what was written is not sound, or
/// `stop` resolves. Then there is no store in the directory.
pub async fn run(
    args: BackupArgs,
    stop: impl Future<Output = ()>,
    out: &mut (impl Write + Send),
) -> Result<(), Failed> {
    let api = ApiClient::new(&args.client)?;
    let response = api.get("/api/v1/backup").await?;
    let (bytes, received) = mpsc::channel(WAITING);
    let dir: StorageLocation = args.dir.as_path().into();
    let place = dir.clone();
    let building = tokio::task::spawn_blocking(move || {
        let mut lines = BufReader::new(Received { received, now: Bytes::new() });
        read_in(&mut lines, &place, LinesFrom::Backup)
    });
    let fed = tokio::select! {
        fed = feed(response, bytes) => fed,
        () = stop => Err("interrupted".to_owned()),
    };
    // The error of the builder comes first, because the feed also ends when the builder has failed.
    let built = building.await.map_err(|error| error.to_string())?;
    let nothing = format!("no backup was left in {}", args.dir.display());
    let built = match (fed, built) {
        (Ok(()), built) => built.map_err(|why| why.after(&nothing))?,
        (Err(why), _) => return Err(Failed::from(why).after(&nothing)),
    };
    report(&dir, built.totals, out)
}

/// Feeds the response to the builder. It ends without an error when the builder has ended.
async fn feed(mut response: reqwest::Response, bytes: mpsc::Sender<Bytes>) -> Result<(), String> {
    while let Some(chunk) = response.chunk().await.map_err(|error| broken_off(&error))? {
        if bytes.send(chunk).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// The response as a reader that blocks.
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
