//! Cortado inside your own program: a handler of yours, and the whole server with its dashboard.
//!
//!     cargo run --example embedded

use std::time::Duration;

use cortado::{Context, Cortado, Submission};
use serde::{Deserialize, Serialize};

/// The payload of a job in JSON: `{"width": 640, "height": 480}`. Jobs with any other payload are discarded.
#[derive(Deserialize)]
struct Resize {
    width: u32,
    height: u32,
}

/// The result of a job, which is stored as JSON.
#[derive(Serialize)]
struct Resized {
    pixels: u64,
}

/// After an `Err` or a panic, the job is retried after its backoff.
async fn resize(context: Context, size: Resize) -> Result<Resized, std::io::Error> {
    context.log(format!("resizing to {} x {}", size.width, size.height));
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(Resized { pixels: u64::from(size.width) * u64::from(size.height) })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // `.serve()` runs the server until SIGTERM or Ctrl-C; `.data_dir("data")` keeps the jobs on disk.
    let server = Cortado::builder()
        .handler("resize", resize)
        .in_memory()
        .listen(([127, 0, 0, 1], 0).into())
        .start()
        .await?;
    println!("the dashboard is at http://{}", server.address());

    let job = r#"{"kind": "resize", "payload": {"width": 640, "height": 480}, "tags": ["demo"]}"#;
    let job = Submission::parse(job, server.engine().kinds());
    let job = job.map_err(|wrong| anyhow::anyhow!("{wrong:?}"))?;
    let id = job.id;
    server.engine().enqueue(vec![job]).await?;

    let job = server.engine().wait_final(id, Duration::from_secs(10)).await?;
    let job = job.ok_or_else(|| anyhow::anyhow!("the job was deleted"))?;
    println!("{} is {}: {}", job.id, job.status.state, job.result().map_or("-", |it| it.as_str()));

    let report = server.stop().await;
    println!("stopped, clean: {}", report.clean);
    Ok(())
}
