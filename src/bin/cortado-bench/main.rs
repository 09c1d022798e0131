//! The load generator behind the figures in docs/benchmarks.md. Each mode prints a table; each figure of
//! the store has a baseline from the same run beside it. Every mode is bounded and ends by itself.

mod baseline;
mod engine;
mod fanout;
mod figures;
mod http;
mod library;
mod nodes;
mod rewind;
mod store;
mod waiters;
mod workers;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use figures::Table;

/// Thousands of small buffers per second are allocated by one thread and freed by another, which takes glibc's
/// allocator twice the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Cortado on this machine.
#[derive(Parser)]
#[command(version, about)]
struct Args {
    /// What to measure.
    #[arg(value_enum, default_value = "all")]
    mode: Mode,
    /// Where to keep the data of the runs; a fresh directory under it is made and removed
    /// [default: the system's temporary directory].
    #[arg(long)]
    dir: Option<PathBuf>,
    /// A tenth of the jobs: to see that it works.
    #[arg(long)]
    quick: bool,
    /// Passes of each figure; the median is printed.
    #[arg(long, default_value_t = 3)]
    passes: usize,
    /// Subscribers of `fanout`; a tenth of them where it measures few [default: 10000].
    #[arg(long)]
    sockets: Option<usize>,
    /// Measure only this part of `nodes`; may be given several times.
    #[arg(long = "part", value_enum)]
    parts: Vec<nodes::Part>,
    /// The server, and how to connect to it, of `worker-process`.
    #[arg(hide = true)]
    connection: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Everything but `library`, `pages`, `fanout`, `returning`, `workers`, `nodes` and `long`.
    All,
    /// The store without engine and HTTP.
    Store,
    /// The engine: drain, and the time from enqueueing to the start of the handler.
    Engine,
    /// A server process under load from this one.
    Http,
    /// Submissions through the client library, in the server's process and over loopback.
    Library,
    /// The jobs page and a payload search with 1,000,000 jobs stored.
    Pages,
    /// Pages of earlier moments of a log with 5,000,000 events.
    Rewind,
    /// Ten thousand subscribers of a server process, beside a plain loop that writes to as many sockets.
    Fanout,
    /// The part of `fanout` in which all subscribers come back after a restart.
    Returning,
    /// Workers in processes of their own, in three languages.
    Workers,
    /// Several servers on one PostgreSQL.
    Nodes,
    /// Ten million jobs through the store: does memory or disk grow?
    Long,
    /// The load generator of `fanout`.
    #[value(hide = true)]
    FanoutClients,
    /// The baseline of `fanout`.
    #[value(hide = true)]
    FanoutRaw,
    /// A worker of `workers`.
    #[value(hide = true)]
    WorkerProcess,
}

/// The settings of every measurement.
pub struct Setup {
    /// The directory in which each run makes its own.
    pub dir: PathBuf,
    /// Jobs of the large runs.
    pub jobs: usize,
    /// How often each figure is taken.
    pub passes: usize,
    /// The number of subscribers of the large runs.
    pub sockets: usize,
    /// The parts of `nodes` that are measured; all of them if there are none.
    pub parts: Vec<nodes::Part>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match args.mode {
        Mode::FanoutRaw => return fanout::raw::run(),
        Mode::FanoutClients => {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            return runtime.enable_all().build()?.block_on(fanout::clients::run());
        }
        Mode::WorkerProcess => {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            return runtime.enable_all().build()?.block_on(workers::program::run(&args.connection));
        }
        Mode::All
        | Mode::Store
        | Mode::Engine
        | Mode::Http
        | Mode::Library
        | Mode::Pages
        | Mode::Rewind
        | Mode::Fanout
        | Mode::Returning
        | Mode::Workers
        | Mode::Nodes
        | Mode::Long => {}
    }
    let dir = args.dir.unwrap_or_else(std::env::temp_dir);
    let dir = dir.join(format!("cortado-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let jobs = if args.quick { 10_000 } else { 100_000 };
    let sockets = args.sockets.unwrap_or(if args.quick { 60 } else { 10_000 });
    let (passes, parts) = (args.passes.max(1), args.parts);
    let setup = Setup { dir: dir.clone(), jobs, passes, sockets, parts };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let measured = runtime.block_on(measure(args.mode, &setup));
    let removed = std::fs::remove_dir_all(&dir);
    measured?;
    Ok(removed?)
}

async fn measure(mode: Mode, setup: &Setup) -> anyhow::Result<()> {
    let wants = |one| mode == one || mode == Mode::All;
    println!("machine: {}", figures::machine());
    if wants(Mode::Store) {
        let mut table = Table::new("store (headless)");
        store::measure(setup, &mut table).await?;
        table.print();
    }
    if wants(Mode::Engine) {
        let mut table = Table::new("engine (one process, no HTTP)");
        engine::measure(setup, &mut table).await?;
        table.print();
    }
    if wants(Mode::Http) {
        let mut table = Table::new("http (server and load in two processes)");
        http::measure(setup, &mut table).await?;
        waiters::measure(setup, &mut table).await?;
        table.print();
    }
    if mode == Mode::Library {
        let mut table = Table::new("client library (server and callers in one process)");
        library::measure(setup, &mut table).await?;
        table.print();
    }
    if mode == Mode::Pages {
        let mut table = Table::new("pages (1,000,000 jobs stored)");
        http::pages(setup, &mut table).await?;
        table.print();
    }
    if mode == Mode::Rewind {
        let mut table = Table::new("pages of earlier moments (5,000,000 events in the log)");
        rewind::measure(setup, &mut table).await?;
        table.print();
    }
    if mode == Mode::Fanout {
        let mut table = Table::new("fanout (server, load and baseline in processes of their own)");
        fanout::measure(setup, &mut table).await?;
        table.print();
    }
    if mode == Mode::Returning {
        let mut table = Table::new("returning (server and load in processes of their own)");
        fanout::measure_returning(setup, &mut table).await?;
        table.print();
    }
    if mode == Mode::Workers {
        let mut table = Table::new("workers (server and workers in processes of their own)");
        workers::measure(setup, &mut table).await?;
        table.print();
    }
    if mode == Mode::Nodes {
        let mut table =
            Table::new("nodes (PostgreSQL, servers and load in processes of their own)");
        nodes::measure(setup, &mut table).await?;
        table.print();
    }
    if mode == Mode::Long {
        let mut table = Table::new("ten million jobs");
        store::long(setup, &mut table).await?;
        table.print();
    }
    Ok(())
}
