//! No-op jobs, drained by one worker process after the other, and by the engine in this process.

use std::time::{Duration, Instant};

use anyhow::bail;
use cortado::internal::store::StoreLimits;

use super::process::{CREDIT, Program, WorkerProcess, server, set_queue};
use crate::Setup;
use crate::figures::{Table, median, per_second, rate};
use crate::http::{Client, get, post, state};
use crate::{engine, store};

const PAYLOAD_BYTES: usize = 200;
const BATCH: usize = 1_000;
/// How long one drain may take.
const BOUND: Duration = Duration::from_secs(300);

/// A worker, and how it is connected.
struct Case {
    program: Program,
    protocol: &'static str,
    /// Jobs per second that are expected of it.
    target: f64,
}

const CASES: [Case; 6] = [
    Case { program: Program::Rust, protocol: "websocket", target: 60_000.0 },
    Case { program: Program::Rust, protocol: "http", target: 40_000.0 },
    Case { program: Program::Node, protocol: "websocket", target: 15_000.0 },
    Case { program: Program::Node, protocol: "http", target: 15_000.0 },
    Case { program: Program::Python, protocol: "websocket", target: 8_000.0 },
    Case { program: Program::Python, protocol: "http", target: 8_000.0 },
];

pub async fn measure(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let mut present = Vec::new();
    for case in CASES {
        match case.program.is_there().await {
            true => present.push((case, Vec::new())),
            false => eprintln!("  skipped: {} is not installed", case.program.name()),
        }
    }
    // One pass measures everything, so that what else the machine does meanwhile touches all figures alike.
    let mut baseline = Vec::new();
    for pass in 0..setup.passes {
        let (store, _) =
            store::fresh(&setup.dir, &format!("in-process{pass}"), StoreLimits::default())?;
        let labels = store::labels("noop")?;
        let job = || store::job_of(&labels, PAYLOAD_BYTES);
        baseline.push(engine::drain(store, setup.jobs, job).await?);
        for (case, rates) in &mut present {
            rates.push(drain(setup, case).await?);
        }
    }
    let baseline = median(baseline);
    table.row(
        format!("drain of {} no-op jobs with {PAYLOAD_BYTES} B, in-process", setup.jobs),
        format!("{} jobs", per_second(baseline)),
    );
    for (case, rates) in present {
        let rate = median(rates);
        table.row(
            format!(
                "· {} over {}, one process, credit {CREDIT}",
                case.program.name(),
                case.protocol
            ),
            format!(
                "{} jobs, {:.0} % of in-process (target {})",
                per_second(rate),
                rate / baseline * 100.0,
                per_second(case.target)
            ),
        );
    }
    Ok(())
}

/// Fills a server and lets a worker drain it. Returns jobs per second.
async fn drain(setup: &Setup, case: &Case) -> anyhow::Result<f64> {
    let dir = setup.dir.join("worker-drain");
    let server = server(&dir).await?;
    let mut control = Client::connect(&server.address).await?;
    set_queue(&mut control, &server, "pause").await?;
    for _ in 0..setup.jobs / BATCH {
        let job = || format!(r#"{{"kind":"noop","payload":{}}}"#, store::payload(PAYLOAD_BYTES));
        let jobs: Vec<String> = (0..BATCH).map(|_| job()).collect();
        control.ask(&post(&server.address, &format!("[{}]", jobs.join(","))), 202).await?;
    }
    let worker = WorkerProcess::start(case.program, case.protocol, &server).await?;
    let stats = get(&server.address, "/api/v1/stats");
    let begun = Instant::now();
    set_queue(&mut control, &server, "resume").await?;
    let took = loop {
        let completed = state(&control.ask(&stats, 200).await?, "completed")?;
        let took = begun.elapsed();
        if completed == setup.jobs as u64 {
            break took;
        }
        if took > BOUND {
            bail!("only {completed} jobs after {took:?}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    drop(worker);
    server.stop().await?;
    std::fs::remove_dir_all(&dir)?;
    Ok(rate(setup.jobs, took))
}
