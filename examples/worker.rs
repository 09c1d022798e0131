//! A worker in a process of its own, which runs jobs of the kind `resize` until SIGTERM or Ctrl-C:
//! `cargo run --example worker --no-default-features --features client -- http://127.0.0.1:8080`

use std::time::Duration;

use cortado::{Client, ClientError, Context, Decision, JobError, JobKind, Worker};
use serde::{Deserialize, Serialize};
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};

/// The payload in JSON: `{"width": 640, "height": 480}`. Jobs with any other payload are discarded.
#[derive(Serialize, Deserialize)]
struct Resize {
    width: u64,
    height: u64,
}

impl JobKind for Resize {
    const KIND: &'static str = "resize";
}

/// The result.
#[derive(Serialize)]
struct Resized {
    pixels: u64,
}

/// Why a job failed. Each error decides what happens to its job.
#[derive(Debug, thiserror::Error)]
enum ResizeError {
    #[error("an image without pixels")]
    NoPixels,
    #[error("cancelled")]
    Cancelled,
}

impl JobError for ResizeError {
    fn decision(&self) -> Decision {
        match self {
            ResizeError::NoPixels => Decision::Discard, // no attempt can succeed
            ResizeError::Cancelled => Decision::Cancel,
        }
    }
}

async fn resize(context: Context, size: Resize) -> Result<Resized, ResizeError> {
    if size.width == 0 || size.height == 0 {
        return Err(ResizeError::NoPixels);
    }
    context.log(format!("resizing to {} x {}", size.width, size.height));
    context.progress(1, Some(2), Some("loading"));
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(200)) => {}
        () = context.cancelled() => return Err(ResizeError::Cancelled),
    }
    Ok(Resized { pixels: size.width * size.height })
}

/// Waits for SIGTERM or Ctrl-C.
async fn stop_signal() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        pressed = ctrl_c() => pressed,
    }
}

#[tokio::main]
async fn main() -> Result<(), ClientError> {
    let server = std::env::args().nth(1);
    let mut client = Client::new(server.as_deref().unwrap_or("http://127.0.0.1:8080"))?;
    if let Ok(token) = std::env::var("CORTADO_TOKEN") {
        client = client.token(token)?;
    }
    let stop = async { stop_signal().await.unwrap_or_default() };
    let end = Worker::new(&client).concurrency(20).handle(resize).run(stop).await?;
    println!("the worker has ended and gave {} jobs back", end.returned);
    Ok(())
}
