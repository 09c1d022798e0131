//! Runs a process in a process group of its own, and ends it together with everything that it started.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use futures_util::FutureExt;
use futures_util::future::FusedFuture;
use nix::sys::signal::Signal;
use process_wrap::tokio::{ChildWrapper, CommandWrap, ProcessGroup};
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::time::timeout;

use super::children::{Owned, StartingProcess};
use super::descendants::Descendants;
use super::output::Transcript;
use super::register::RegisterEntry;
use super::{CommandSettings, LINGER, Program, Stdin, survivors};
use crate::engine::AttemptContext;
use crate::job::Stream;

/// The variables that are inherited from the server's environment; the others could contain secrets.
const PASSED_ON: [&str; 3] = ["PATH", "HOME", "LANG"];

/// How a process ended.
pub(super) enum ProcessEnd {
    /// It exited by itself.
    Exited {
        /// The exit status.
        status: ExitStatus,
        /// The last line of its standard error.
        last_error: String,
    },
    /// It was stopped because the attempt had to end.
    Stopped,
}

/// Why a program has not run to its end.
pub(super) enum RunError {
    /// It could not be started.
    Start(io::Error),
    /// It could not be waited for.
    Wait(io::Error),
}

/// Runs a program to its end. When this returns, the main process is reaped and its group is killed. If the attempt had
/// to end, what it has started in other groups and sessions is killed as well; if the program has exited by itself, that
/// keeps running. When the future is dropped, everything is killed.
///
/// # Errors
/// The program cannot be started or waited for.
pub(super) async fn run(
    settings: &CommandSettings,
    program: &Program,
    args: Vec<String>,
    context: &AttemptContext,
) -> Result<ProcessEnd, RunError> {
    let register = settings.register.as_deref();
    let mut group = Group::start(program, args, context, register).map_err(RunError::Start)?;
    let mut descendants = Descendants::of(context, group.child.id());
    let transcript = Transcript::new(context, program.max_output_lines, settings.max_line);
    let (stdin, stdout, stderr) = group.pipes();
    let talk = async {
        tokio::join!(
            async {
                if let Some(pipe) = stdout {
                    transcript.follow(Stream::Stdout, pipe).await
                }
            },
            async {
                if let Some(pipe) = stderr {
                    transcript.follow(Stream::Stderr, pipe).await
                }
            },
            async {
                tokio::select! {
                    () = feed(stdin, context.job().spec.payload.as_str()) => {}
                    () = transcript.silence() => {}
                }
            },
        );
    };
    let mut talk = Box::pin(talk.fuse());

    let exited = loop {
        tokio::select! {
            biased;
            status = group.exited() => break Some(status.map_err(RunError::Wait)?),
            () = &mut talk, if !talk.is_terminated() => {}
            () = context.cancelled() => break None,
        }
    };
    match exited {
        // Children that outlive the process may write a little longer.
        Some(_) => {
            descendants.keep();
            drop(timeout(LINGER, until_over(&mut talk)).await);
        }
        None => {
            group.terminate();
            let others = descendants.signal_until_gone(Signal::SIGTERM);
            let end = async { tokio::join!(group.exited(), until_over(&mut talk), others).0 };
            // After the grace period everything is killed below, whatever it does.
            let _ = timeout(settings.kill_grace, end).await;
        }
    }
    group.kill();
    if exited.is_none() {
        kill_all(&mut descendants, context).await;
    }
    let status = group.exited().await.map_err(RunError::Wait)?;
    // Everything that the group has written is in the pipes by now.
    transcript.process_ended(LINGER);
    until_over(&mut talk).await;
    drop(talk);
    let last_error = transcript.finish().await;
    Ok(match exited {
        Some(_) => ProcessEnd::Exited { status, last_error },
        None => ProcessEnd::Stopped,
    })
}

/// Kills what an attempt has started outside of its group.
async fn kill_all(descendants: &mut Descendants, context: &AttemptContext) {
    if timeout(LINGER, descendants.signal_until_gone(Signal::SIGKILL)).await.is_err() {
        tracing::error!(
            job.id = %context.id(), attempt = context.attempt(), processes = descendants.running(),
            "processes of a command cannot be ended; the next attempt may run beside them"
        );
    }
    descendants.keep();
}

/// A process and its group, which is killed when this is dropped.
struct Group {
    child: Box<dyn ChildWrapper>,
    /// Reserves the exit code for this handler.
    owned: Owned,
    /// Lets the next start find the process if this server is killed.
    _entry: RegisterEntry,
    /// Set once the group was killed on purpose, so that dropping does not signal an id that may belong to another
    /// group by then.
    killed: Killed,
}

#[derive(PartialEq)]
enum Killed {
    NotYet,
    Done,
}

impl Group {
    fn start(
        program: &Program,
        args: Vec<String>,
        context: &AttemptContext,
        register: Option<&Path>,
    ) -> io::Result<Group> {
        let job = context.job();
        let mut command = CommandWrap::with_new(&program.program, |command| {
            command
                .args(args)
                .env_clear()
                .envs(PASSED_ON.iter().filter_map(|key| Some((key, std::env::var_os(key)?))))
                .envs(program.env.iter().map(|(name, value)| (name, value.expose())))
                .env("CORTADO_JOB_ID", job.id.to_string())
                .env("CORTADO_ATTEMPT", context.attempt().to_string())
                .env("CORTADO_QUEUE", job.labels.queue.as_str())
                .env("CORTADO_KIND", job.labels.kind.as_str())
                .envs(survivors::mark())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .stdin(match program.stdin {
                    Stdin::Empty => Stdio::null(),
                    Stdin::Payload => Stdio::piped(),
                });
            if let Some(directory) = &program.cwd {
                command.current_dir(directory);
            }
        });
        let start = StartingProcess::begin();
        let child = command.wrap(ProcessGroup::leader()).spawn()?;
        let entry = RegisterEntry::write(register, child.id(), job.id, context.attempt());
        let owned = start.done(child.id());
        Ok(Group { child, owned, _entry: entry, killed: Killed::NotYet })
    }

    fn pipes(
        &mut self,
    ) -> (
        Option<ChildStdin>,
        Option<tokio::process::ChildStdout>,
        Option<tokio::process::ChildStderr>,
    ) {
        (self.child.stdin().take(), self.child.stdout().take(), self.child.stderr().take())
    }

    /// Resolves when the main process has ended and is reaped. The wrapper's own `wait` waits for the whole group,
    /// which a child that stays behind could prolong without end.
    async fn exited(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.inner_mut().wait().await?;
        self.owned.reaped();
        Ok(status)
    }

    fn terminate(&self) {
        // An error means that the group is gone.
        let _ = self.child.signal(Signal::SIGTERM as i32);
    }

    fn kill(&mut self) {
        self.killed = Killed::Done;
        // An error means that the group is gone.
        let _ = self.child.start_kill();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.killed == Killed::NotYet {
            self.kill();
        }
    }
}

/// Writes the payload, then closes the pipe.
async fn feed(pipe: Option<ChildStdin>, payload: &str) {
    if let Some(mut pipe) = pipe {
        // A program may end without reading all of its input.
        let _ = pipe.write_all(payload.as_bytes()).await;
    }
}

async fn until_over(talk: &mut (impl FusedFuture<Output = ()> + Unpin)) {
    if !talk.is_terminated() {
        talk.await;
    }
}
