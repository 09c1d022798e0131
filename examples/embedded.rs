//! Cortado inside your own program: a handler of yours, and the whole server with its dashboard.
//!
//!     cargo run --example embedded

use std::time::Duration;

use cortado::{Context, Cortado, HandlerError, JobKind, JobOptions};
use serde::{Deserialize, Serialize};

/// The payload of a job in JSON: `{"width": 640, "height": 480}`. Jobs with any other payload are discarded.
#[derive(Serialize, Deserialize)]
struct Resize {
    width: u32,
    height: u32,
}

/// The kind of these jobs, and their options where a submission does not say.
impl JobKind for Resize {
    const KIND: &'static str = "resize";

    fn options() -> JobOptions {
        JobOptions::new().queue("images").max_attempts(5).timeout(Duration::from_secs(30))
    }
}

/// The result of a job, which is stored as JSON.
#[derive(Serialize, Deserialize)]
struct Resized {
    pixels: u64,
}

/// After an `Err` or a panic, the job is retried after its backoff.
async fn resize(context: Context, size: Resize) -> Result<Resized, HandlerError> {
    context.log(format!("resizing to {} x {}", size.width, size.height));
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(Resized { pixels: u64::from(size.width) * u64::from(size.height) })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // `.serve()` runs the server until SIGTERM or Ctrl-C; `.data_dir("data")` keeps the jobs on disk.
    let server =
        Cortado::builder().handle(resize).in_memory().listen(([127, 0, 0, 1], 0)).start().await?;
    println!("the dashboard is at http://{}", server.address());

    // The client of a server elsewhere is the same type: `Client::new("http://…")`.
    let client = server.client();
    let submitted = client.submit(&Resize { width: 640, height: 480 }).tag("demo").await?;
    let job = client.wait(&submitted.id, Duration::from_secs(10)).await?;
    let resized: Resized = job.result_as()?;
    println!("{} is {}: {} pixels", job.id, job.state, resized.pixels);

    let report = server.stop().await;
    println!("stopped, clean: {}", report.clean);
    Ok(())
}
