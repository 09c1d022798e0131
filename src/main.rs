//! The binary: arguments → configuration → runtime → exit code.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use cortado::Cortado;
use cortado::app::Signals;
use cortado::config::{Cli, Command, Config, ExportArgs, LogConfig, LogFormat};
use cortado::store::StoreError;
use cortado::{admin, cli};
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::EnvFilter;

/// A blocking task that will not end is left behind at the exit after this long.
const LEAVE_BEHIND_AFTER: Duration = Duration::from_secs(1);
/// Something could not be done; 1 is what `submit --wait` says of a job that did not complete.
const FAILED: u8 = admin::Failed::OTHER;

/// Thousands of small buffers a second come from one thread and go on another: glibc's takes twice the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = Cli::parse().into_command();
    // Libraries that we use panic when the clock is before 1970: TLS, and the store's.
    if let Err(why) = cortado::store::clock::check_system() {
        return fail(&anyhow::Error::msg(why));
    }
    match command {
        Command::Serve(args) => match Config::load(&args) {
            Ok(config) => serve(config),
            Err(error) => fail(&error.into()),
        },
        Command::Watch(args) => client(|stop| async {
            cli::watch::run(args, stop, &mut io::stdout()).await.map(|()| 0)
        }),
        Command::Submit(args) => client(|stop| async {
            cli::submit::run(args, stop, &mut io::stdout()).await.map(|fate| fate.exit_code())
        }),
        Command::Stats(args) => {
            client(|_| async { cli::stats::run(args, &mut io::stdout()).await.map(|()| 0) })
        }
        Command::Backup(args) => client(|stop| async {
            admin::backup::run(args, stop, &mut io::stdout()).await.map(|()| 0)
        }),
        Command::Export(ExportArgs { data_dir: Some(dir), .. }) => {
            offline(admin::export(&dir, &mut io::stdout().lock()).map(|()| 0))
        }
        Command::Export(args) => client(|stop| async {
            cli::export::run(args, stop, &mut io::stdout()).await.map(|()| 0)
        }),
        Command::Import(args) => offline(admin::import(&args, &mut io::stdout()).map(|()| 0)),
        Command::Restore(args) => offline(admin::restore(&args, &mut io::stdout()).map(|()| 0)),
        Command::Verify(args) => offline(admin::verify(&args, &mut io::stdout())),
    }
}

fn serve(config: Config) -> ExitCode {
    log(&config.log);
    let runtime = match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let served = runtime.block_on(Cortado::builder().config(config).serve());
    runtime.shutdown_timeout(LEAVE_BEHIND_AFTER);
    match served {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn client<F, E>(
    run: impl FnOnce(std::pin::Pin<Box<dyn Future<Output = ()> + Send>>) -> F,
) -> ExitCode
where
    F: Future<Output = Result<u8, E>>,
    E: Into<admin::Failed>,
{
    let runtime: Runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let code = runtime.block_on(async {
        let mut signals = Signals::install().map_err(|error| error.to_string())?;
        run(Box::pin(async move { signals.next().await })).await.map_err(Into::into)
    });
    offline(code)
}

fn offline(code: Result<u8, admin::Failed>) -> ExitCode {
    match code {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("cortado: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Log lines go to standard error: standard output says where the server is.
fn log(config: &LogConfig) {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&config.filter))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match config.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("cortado: {error:#}");
    let is_newer = |cause: &StoreError| matches!(cause, StoreError::Newer { .. });
    match error.downcast_ref::<StoreError>() {
        Some(cause) if is_newer(cause) => ExitCode::from(admin::Failed::NEWER),
        Some(_) | None => ExitCode::from(FAILED),
    }
}
