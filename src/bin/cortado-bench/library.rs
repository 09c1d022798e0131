//! Submissions through the client library: straight into a server of this process, and to the same server over loopback.

use std::path::Path;
use std::time::{Duration, Instant};

use cortado::{Client, Cortado};

use super::Setup;
use super::figures::{Latencies, Table, median, per_second, rate};

const CALLERS: usize = 64;
/// Jobs of this benchmark do not run.
const LATER: Duration = Duration::from_secs(3_600);

pub async fn measure(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    for route in [Route::InProcess, Route::Loopback] {
        let (mut rates, mut words) = (Vec::new(), String::new());
        for pass in 0..setup.passes {
            let dir = setup.dir.join(format!("{}{pass}", route.name()));
            let (rate, mut acks) = submissions(&dir, route, setup.jobs).await?;
            rates.push(rate);
            words = acks.words();
        }
        let name = format!("durable enqueue by {CALLERS} callers of the client, {}", route.name());
        table.row(name, format!("{} jobs", per_second(median(rates))));
        table.row("· ack, last pass", words);
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Route {
    InProcess,
    Loopback,
}

impl Route {
    fn name(self) -> &'static str {
        match self {
            Route::InProcess => "in-process",
            Route::Loopback => "loopback",
        }
    }
}

async fn submissions(dir: &Path, route: Route, jobs: usize) -> anyhow::Result<(f64, Latencies)> {
    let server = Cortado::builder().data_dir(dir).listen(([127, 0, 0, 1], 0));
    let server = server.start().await?;
    let client = match route {
        Route::InProcess => server.client(),
        Route::Loopback => Client::new(format!("http://{}", server.address()))?,
    };
    let payload: String = std::iter::repeat_with(fastrand::alphanumeric).take(100).collect();
    let begun = Instant::now();
    let callers = (0..CALLERS).map(|_| {
        let (client, payload) = (client.clone(), payload.clone());
        tokio::spawn(async move {
            let mut acks = Latencies::default();
            for _ in 0..jobs / CALLERS {
                let sent = Instant::now();
                client.submit_kind("echo", &payload).delay(LATER).await?;
                acks.add(sent.elapsed());
            }
            anyhow::Ok(acks)
        })
    });
    let mut acks = Latencies::default();
    for caller in callers.collect::<Vec<_>>() {
        acks.append(caller.await??);
    }
    let rate = rate(acks.count(), begun.elapsed());
    server.stop().await;
    Ok((rate, acks))
}
