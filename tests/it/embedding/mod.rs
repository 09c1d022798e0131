//! The programs of `docs/embedding.md` and the Cortado column of `docs/compared-for-rust.md`, in packages outside of this
//! workspace: they compile without warnings, end, and print what the page shows.

mod pages;
mod workspace;

use std::path::Path;
use std::process::Stdio;

use futures_util::{StreamExt, stream};
use nix::sys::signal::Signal::SIGINT;
use serde_json::{Value, json};

use crate::support::{BOUND, Command, Dir, Server, eventually};
use crate::tidy::read;
use pages::{Program, is_output, programs, solutions};
use workspace::{Executables, Workspace};

const PAGE: &str = "docs/embedding.md";
const COMPARISON: &str = "docs/compared-for-rust.md";
const LIBRARIES: [&str; 3] = ["Cortado", "apalis", "graphile_worker"];
/// The program that needs no server in its process, and runs until Ctrl-C.
const WORKER: &str = "worker";
/// Programs that run at a time.
const AT_ONCE: usize = 4;

/// What a program has printed, or why there is nothing.
async fn run(program: &Program, executable: &Path, workspace: &Workspace) -> Result<(), String> {
    let mut command = tokio::process::Command::new(executable);
    command.current_dir(workspace.work_dir(program.name())).kill_on_drop(true);
    command.stdin(Stdio::null());
    if program.is_test() {
        command.args(["--test-threads", "1"]); // in the order of their names
    }
    let name = program.name();
    let output = match tokio::time::timeout(BOUND, command.output()).await {
        Ok(output) => output.unwrap(),
        Err(_) => return Err(format!("{name} does not end within {BOUND:?}")),
    };
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let is_line_of_test = |line: &&str| line.starts_with("test ") && line.contains(" ... ");
    let compared: String = if program.is_test() {
        printed.lines().filter(is_line_of_test).map(|line| format!("{line}\n")).collect()
    } else {
        printed.to_string()
    };
    if output.status.success() && is_output(&program.output, &compared) {
        return Ok(());
    }
    Err(format!(
        "{name} ended with {} and should have printed:\n{}\nIt printed:\n{printed}\nand to standard error:\n{errors}",
        output.status, program.output
    ))
}

/// Runs the worker against a server until it has run a job.
async fn run_worker(program: &Program, executable: &Path) -> Result<(), String> {
    let dir = Dir::new();
    let server = Server::start(&dir, &[]).await;
    let url = format!("http://{}", server.address);
    let mut worker = Command::changed(executable.to_str().unwrap(), &[], |command| {
        command.env("JOB_SERVER", &url);
    });
    let client = cortado::Client::new(&url).unwrap();
    let size = json!({"width": 640, "height": 480});
    let job = eventually("a worker that knows its kind", || async {
        match client.submit_kind("resize", &size).queue("images").await {
            Ok(job) => Some(job),
            Err(error) if error.code() == "unknown_kind" => None,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
    let job = client.wait(&job.id, BOUND).await.unwrap();
    let result: Value = job.result_as().unwrap();
    worker.signal(SIGINT);
    let status = worker.exit().await;
    let printed = worker.out.so_far().join("\n");
    if status.success() && is_output(&program.output, &printed) && result["pixels"] == 307_200 {
        return Ok(());
    }
    Err(format!("the worker ended with {status} and printed:\n{printed}\nThe result: {result}"))
}

fn is_client_only(program: &Program) -> bool {
    program.name() == WORKER
}

#[tokio::test]
async fn each_program_of_the_pages_runs_in_a_crate_of_its_own() {
    let programs = programs(&read(PAGE));
    assert!(programs.len() >= 15, "{} programs", programs.len());
    let mut workspace = Workspace::new();
    workspace.add_package("embedding-programs", "features = []");
    workspace.add_package("embedding-client", "default-features = false, features = [\"client\"]");
    workspace.add_package("embedding-tasks", "features = []");
    let mut targets = vec!["--bins", "--lib"];
    for program in &programs {
        let package =
            if is_client_only(program) { "embedding-client" } else { "embedding-programs" };
        workspace.write(package, &program.file, &program.text);
        if program.is_test() {
            targets.extend(["--test", program.name()]);
        }
    }
    let mut tasks = String::new();
    let comparison = solutions(&read(COMPARISON));
    for (n, solution) in comparison.iter().filter(|it| it.library == LIBRARIES[0]).enumerate() {
        let module = format!("task_{}", n + 1);
        // A task defines what the rest of a program would use.
        tasks.push_str(&format!("#[allow(dead_code)]\nmod {module};\n"));
        workspace.write("embedding-tasks", &format!("src/{module}.rs"), &solution.text);
    }
    workspace.write("embedding-tasks", "src/lib.rs", &tasks);

    let built = workspace.build(&["embedding-programs", "embedding-tasks"], &targets).await;
    let client = workspace.build(&["embedding-client"], &["--bins"]).await;
    let failures = failures(&programs, &built, &client, &workspace).await;
    workspace.clean().await;
    assert!(failures.is_empty(), "{PAGE}:\n{}", failures.join("\n"));
}

async fn failures(
    programs: &[Program],
    built: &Executables,
    client: &Executables,
    workspace: &Workspace,
) -> Vec<String> {
    let runs = stream::iter(programs).map(|program| async move {
        if is_client_only(program) {
            run_worker(program, client.of(program.name())).await.err()
        } else {
            run(program, built.of(program.name()), workspace).await.err()
        }
    });
    runs.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await
}

#[test]
fn the_comparison_has_ten_tasks_in_three_libraries() {
    let solutions = solutions(&read(COMPARISON));
    let mut expected = Vec::new();
    for task in solutions.iter().step_by(LIBRARIES.len()) {
        expected.extend(LIBRARIES.map(|library| (&*task.task, library)));
    }
    let found: Vec<(&str, &str)> = solutions.iter().map(|it| (&*it.task, &*it.library)).collect();
    assert_eq!(found, expected);
    assert_eq!(found.len(), 10 * LIBRARIES.len());
    for (n, task) in solutions.iter().step_by(LIBRARIES.len()).enumerate() {
        assert!(task.task.starts_with(&format!("{}. ", n + 1)), "{}", task.task);
    }
}
