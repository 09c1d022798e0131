//! The worker process in Rust.

use std::future::pending;

use anyhow::{Context as _, bail};
use cortado::client::{Client, Context, HandlerError, Worker, WorkerProtocol};
use serde::de::IgnoredAny;

use super::process::CREDIT;
use crate::fanout::wire::micros;

/// Runs a worker until it is told to stop. The arguments are the address of the server, and `websocket` or `http`.
pub async fn run(connection: &[String]) -> anyhow::Result<()> {
    let [server, protocol] = connection else { bail!("it takes an address and a protocol") };
    let protocol = match protocol.as_str() {
        "websocket" => WorkerProtocol::WebSocket,
        "http" => WorkerProtocol::Http,
        other => bail!("{other} is no protocol of workers"),
    };
    let worker = Worker::new(&Client::new(server)?)
        .name("bench")
        .concurrency(CREDIT)
        .protocol(protocol)
        .handle_kind("noop", |_: Context, _: IgnoredAny| async { Ok::<_, HandlerError>(()) })
        .handle_kind("mark", |_: Context, _: IgnoredAny| async {
            println!("{}", micros());
            Ok::<_, HandlerError>(())
        })
        .handle_kind("hold", |context: Context, _: IgnoredAny| async move {
            println!("held");
            context.cancelled().await;
            println!("{}", micros());
            Err::<(), _>(HandlerError::Cancelled)
        });
    worker.run(pending()).await.context("the worker ended")?;
    Ok(())
}
