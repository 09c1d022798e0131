//! The binary: arguments → configuration → runtime → exit code.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use cortado::Cortado;
use cortado::internal::app::{InheritedSockets, Served, Signals};
use cortado::internal::cli::output::{Output, RawOutput, escaped, reader_gone, say};
use cortado::internal::config::variables::{self, UnknownVariable, all_mistakes, is_mistake};
use cortado::internal::config::{Cli, CliCommand, Config, LogConfig, LogFormat, ServeArgs};
use cortado::internal::logging::LineFormat;
use cortado::internal::store::StoreError;
use cortado::internal::{admin, cli, logging};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::EnvFilter;

/// On exit, how long to wait for blocking tasks; those still running are abandoned.
const LEAVE_BEHIND_AFTER: Duration = Duration::from_secs(1);
/// The exit code of a command that failed; 1 is an answer, such as that the job of `submit --wait` did not complete.
const FAILED: u8 = admin::Failed::OTHER;

/// Thousands of small buffers per second are allocated by one thread and freed by another, for which glibc's allocator
/// takes twice the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hold_back_signals();
    let command = match arguments() {
        Ok(command) => command,
        Err(code) => return code,
    };
    // The TLS library and the store's libraries panic if the clock is before 1970.
    if let Err(why) = cortado::internal::clock::check_system() {
        return fail(&anyhow::Error::msg(why));
    }
    match &command {
        CliCommand::Backup(_)
        | CliCommand::Import(_)
        | CliCommand::Restore(_)
        | CliCommand::Move(_) => {
            create_private_files();
        }
        CliCommand::Serve(_)
        | CliCommand::Watch(_)
        | CliCommand::Submit(_)
        | CliCommand::Resume(_)
        | CliCommand::Stats(_)
        | CliCommand::Health(_)
        | CliCommand::Access(_)
        | CliCommand::Export(_)
        | CliCommand::Verify(_)
        | CliCommand::Link(_) => {}
        CliCommand::User(_) | CliCommand::Token(_) | CliCommand::Session(_) => {
            create_private_files();
        }
    }
    let unknown = variables::unknown(std::env::vars_os().map(|(name, _)| name));
    if !matches!(command, CliCommand::Serve(ServeArgs { check: false, .. })) {
        unknown.iter().for_each(|variable| say(&format!("cortado: warning: {variable}")));
    }
    match command {
        CliCommand::Serve(args) if args.check => match check(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        },
        CliCommand::Serve(args) => {
            // Before there is any other thread, because this changes the environment.
            let inherited = InheritedSockets::take();
            match (Config::load(&args), inherited) {
                (Ok(config), Ok(inherited)) => serve(config, inherited, &unknown),
                (Err(error), _) => fail(&error.into()),
                (_, Err(error)) => fail(&error.into()),
            }
        }
        CliCommand::Watch(args) => client(|stop| async {
            // `cortado watch | head -1` must end after the first line instead of waiting for the next one.
            let stop = async {
                tokio::select! {
                    () = stop => {}
                    () = reader_gone() => {}
                }
            };
            cli::watch::run(args, stop, &mut Output::default()).await.map(|()| 0)
        }),
        CliCommand::Submit(args) => client(|stop| async {
            cli::submit::run(args, stop, &mut Output::default()).await.map(|fate| fate.exit_code())
        }),
        CliCommand::Resume(args) => {
            client(|_| async { cli::resume::run(args, &mut Output::default()).await.map(|()| 0) })
        }
        CliCommand::Stats(args) => {
            client(|_| async { cli::stats::run(args, &mut Output::default()).await.map(|()| 0) })
        }
        CliCommand::Health(args) => client(|_| async {
            Ok::<u8, cli::CliError>(cli::health::run(args, &mut Output::default()).await)
        }),
        CliCommand::Access(args) => {
            let printed = cli::route_roles::run(args, &mut Output::default());
            offline(printed.map(|()| 0).map_err(Into::into))
        }
        CliCommand::Backup(args) => match args.place() {
            Ok(Some(database)) => {
                let mut output = Output::default();
                let backed_up = admin::backup::of_database(&database, &args.dir, &mut output);
                offline(backed_up.map(|()| 0))
            }
            Ok(None) => client(|stop| async {
                admin::backup::run(args, stop, &mut Output::default()).await.map(|()| 0)
            }),
            Err(why) => offline(Err(why.into())),
        },
        CliCommand::Export(args) => match args.place() {
            Ok(Some(place)) => {
                offline(admin::export(&place, &mut RawOutput::standard()).map(|()| 0))
            }
            Ok(None) => client(|stop| async {
                cli::export::run(args, stop, &mut RawOutput::standard()).await.map(|()| 0)
            }),
            Err(why) => offline(Err(why.into())),
        },
        CliCommand::Move(args) => {
            offline(admin::moving::run(&args, &mut Output::default()).map(|()| 0))
        }
        CliCommand::Import(args) => {
            offline(admin::import(&args, &mut Output::default()).map(|()| 0))
        }
        CliCommand::Restore(args) => {
            offline(admin::restore(&args, &mut Output::default()).map(|()| 0))
        }
        CliCommand::Verify(args) => offline(admin::verify(&args, &mut Output::default())),
        CliCommand::User(args) => client(|_| async {
            admin::access::run_user(args.command, &mut Output::default()).await.map(|()| 0)
        }),
        CliCommand::Token(args) => client(|_| async {
            admin::access::run_token(args.command, &mut Output::default()).await.map(|()| 0)
        }),
        CliCommand::Session(args) => client(|_| async {
            admin::access::run_session(args.command, &mut Output::default()).await.map(|()| 0)
        }),
        CliCommand::Link(args) => client(|_| async {
            cli::access::links::run(args.command, &mut Output::default()).await.map(|()| 0)
        }),
    }
}

/// Parses the command line. Messages about it show arguments with their control characters escaped.
fn arguments() -> Result<CliCommand, ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let error = match Cli::read(&arguments) {
        Ok(command) => return Ok(command),
        Err(error) if is_mistake(&error) => error,
        Err(help) => help.exit(),
    };
    let escape = |text: &OsString| escaped(&text.to_string_lossy()).into();
    let harmless: Vec<OsString> = arguments.iter().map(escape).collect();
    let mistakes = match Cli::read(&harmless).err().filter(is_mistake) {
        Some(same) => all_mistakes(same, &harmless),
        None => all_mistakes(error, &arguments),
    };
    let texts: Vec<String> =
        mistakes.iter().map(|mistake| mistake.render().to_string().trim_end().to_owned()).collect();
    // Each text ends with the same hint.
    if let Some((last, others)) = texts.split_last() {
        for text in others {
            say(text.strip_suffix(HELP_HINT).unwrap_or(text).trim_end());
        }
        say(last);
    }
    Err(ExitCode::from(FAILED))
}

/// The end of messages about a command line.
const HELP_HINT: &str = "For more information, try '--help'.";

/// Keeps other users from reading the files that this process creates, also those that a library creates. A server
/// does not do this, because the programs that it runs inherit it.
fn create_private_files() {
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
}

/// Blocks SIGXFSZ and SIGTTOU. A file that has reached its size limit (`LimitFSIZE=`), or a terminal that refuses
/// output from background processes, must fail one write instead of killing or stopping the process. Threads inherit
/// this; programs of the `command` kind do not.
fn hold_back_signals() {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGXFSZ);
    signals.add(Signal::SIGTTOU);
    // Fails only for invalid signal numbers.
    let _ = signals.thread_block();
}

/// Checks the configuration as a start does.
fn check(args: &ServeArgs) -> anyhow::Result<()> {
    let open = Cortado::builder().config(Config::load(args)?).check()?;
    let mut output = Output::default();
    open.iter().try_for_each(|open| writeln!(output, "not checked: {open}"))?;
    writeln!(output, "the configuration is valid")?;
    Ok(())
}

fn serve(config: Config, inherited: InheritedSockets, unknown: &[UnknownVariable]) -> ExitCode {
    let flush = config.log.flush;
    let logging = log(&config.log).context("cannot set up the log");
    if logging.is_ok() {
        unknown.iter().for_each(|variable| tracing::warn!("{variable}"));
    }
    let code = match logging.and_then(|()| run(config, inherited)) {
        Ok(Served::Stopped(_)) => ExitCode::SUCCESS,
        Ok(Served::Restarting(restart)) => {
            logging::finish(flush);
            fail(&anyhow::Error::new(restart.exec()).context("cannot start the program again"))
        }
        Err(error) => fail(&error),
    };
    logging::finish(flush);
    code
}

fn run(config: Config, inherited: InheritedSockets) -> anyhow::Result<Served> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    // Safe, because only the `command` kind starts processes in this program.
    let server = Cortado::builder().config(config).reap_orphans();
    let served = runtime.block_on(server.serve_until_restart(inherited));
    runtime.shutdown_timeout(LEAVE_BEHIND_AFTER);
    served
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
        // The reader of the output is gone, so there is nothing to report.
        Err(_) if Output::was_closed() => ExitCode::from(FAILED),
        Err(error) => {
            logging::report_exit(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

/// Sets up the log on standard error. Standard output only has the server's address and data directory.
fn log(config: &LogConfig) -> io::Result<()> {
    let format = match config.format {
        LogFormat::Text => LineFormat::Text,
        LogFormat::Json => LineFormat::Json,
    };
    logging::install(format, EnvFilter::new(&config.filter), config.queue)
}

fn fail(error: &anyhow::Error) -> ExitCode {
    let (text, code) = match error.downcast_ref::<StoreError>() {
        Some(newer @ StoreError::Newer { .. }) => (newer.to_string(), admin::Failed::NEWER),
        // Only opening the store returns this error, and its message is complete.
        Some(StoreError::Unavailable(why)) => (why.clone(), FAILED),
        Some(_) | None => (format!("{error:#}"), FAILED),
    };
    logging::report_exit(&text);
    ExitCode::from(code)
}
