//! A worker in a process of its own, which runs jobs of the kind `resize` until SIGTERM or Ctrl-C:
//! `cargo run --example worker --no-default-features --features client -- http://127.0.0.1:8080`

use std::time::Duration;

use cortado::client::{Client, ClientError, HandlerError, JobContext, Worker};
use serde::{Deserialize, Serialize};
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};

/// The payload in JSON: `{"width": 640, "height": 480}`. Jobs with any other payload are discarded.
#[derive(Deserialize)]
struct Resize {
    width: u64,
    height: u64,
}

/// The result.
#[derive(Serialize)]
struct Resized {
    pixels: u64,
}

/// Any error that can be displayed is a failure, after which the job is retried.
async fn resize(context: JobContext, size: Resize) -> Result<Resized, HandlerError> {
    if size.width == 0 || size.height == 0 {
        return Err(HandlerError::discard("an image without pixels")); // no attempt can succeed
    }
    context.log(format!("resizing to {} x {}", size.width, size.height));
    context.progress(1, Some(2), Some("loading"));
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(200)) => {}
        () = context.cancelled() => return Err(HandlerError::Cancelled),
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
    let end = Worker::new(&client).concurrency(20).handle("resize", resize).run(stop).await?;
    println!("the worker has ended and gave {} jobs back", end.returned);
    Ok(())
}
