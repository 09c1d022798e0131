//! The workers in Rust that the documents show, against the real server: that of the README as it stands there, except
//! for the server's address, and `examples/worker.rs`, which `docs/workers.md` repeats.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal::{self, SIGINT, SIGTERM};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::process::cargo_example;
use crate::support::{BOUND, Command, Dir, Server, eventually};
use crate::tidy::read;

const ADDRESS: &str = "http://127.0.0.1:8080";

/// The only program in Rust that a document has.
fn program_of(document: &str) -> String {
    let text = read(document);
    let blocks = text.split("\n```rust\n").skip(1).filter_map(|rest| rest.split_once("\n```\n"));
    let blocks: Vec<&str> = blocks.map(|(block, _)| block).collect();
    let [program] = blocks[..] else { panic!("{document} has {} programs", blocks.len()) };
    format!("{program}\n")
}

/// A line of what cargo prints about a build.
#[derive(Deserialize)]
struct CargoMessage {
    reason: String,
    target: Option<BuiltTarget>,
    #[serde(default)]
    features: Vec<String>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct BuiltTarget {
    name: String,
}

/// The files of a build of `examples/worker.rs`, which uses the same crates as the README.
struct ExampleBuild(Vec<CargoMessage>);

impl ExampleBuild {
    async fn new() -> ExampleBuild {
        let mut cargo = cargo_example("build", "worker");
        cargo.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
        let built = tokio::time::timeout(Duration::from_secs(600), cargo.output()).await;
        let built = built.unwrap().unwrap();
        assert!(built.status.success(), "the example does not build");
        let lines = String::from_utf8(built.stdout).unwrap();
        let messages = lines.lines().map(|line| serde_json::from_str(line).unwrap());
        ExampleBuild(
            messages.filter(|it: &CargoMessage| it.reason == "compiler-artifact").collect(),
        )
    }

    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a CargoMessage> {
        self.0.iter().filter(move |it| it.target.as_ref().is_some_and(|it| it.name == name))
    }

    fn executable(&self) -> &Path {
        self.of("worker").find_map(|it| it.executable.as_deref()).unwrap()
    }

    /// The file of a library. A macro may use another build of it, which has fewer features.
    fn library<'a>(&'a self, name: &'a str) -> &'a Path {
        let libraries = self.of(name).filter_map(|it| {
            let is_library = |file: &&PathBuf| file.extension().is_some_and(|it| it == "rlib");
            Some((it.features.len(), it.filenames.iter().find(is_library)?))
        });
        libraries.max_by_key(|(features, _)| *features).unwrap().1
    }

    /// Compiles a program that uses these libraries.
    fn compile(&self, text: &str, dir: &Dir) -> PathBuf {
        let source = dir.data().with_file_name("program.rs");
        let program = dir.data().with_file_name("program");
        std::fs::write(&source, text).unwrap();
        let mut rustc =
            std::process::Command::new(Path::new(env!("CARGO")).with_file_name("rustc"));
        rustc.args(["--edition", "2024", "-D", "warnings", "-o"]).args([&program, &source]);
        let path = self.library("tokio").parent().unwrap();
        rustc.arg("-L").arg(format!("dependency={}", path.display()));
        for name in ["cortado", "serde", "tokio"] {
            rustc.arg("--extern").arg(format!("{name}={}", self.library(name).display()));
        }
        assert!(rustc.status().unwrap().success(), "the program does not compile");
        program
    }
}

/// Runs a worker until it has run a job, and stops it with a signal.
async fn runs_a_job(program: &Path, server: &Server, stop: Signal) -> Value {
    let url = format!("http://{}", server.address);
    let mut worker = Command::of(program.to_str().unwrap(), &[&url]);
    let client = cortado::client::Client::new(&url).unwrap();
    let size = json!({"width": 640, "height": 480});
    let job = eventually("a known kind", || async {
        match client.submit_kind("resize", &size).send().await {
            Ok(job) => Some(job),
            Err(error) if error.code() == "unknown_kind" => None,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
    let result = client.wait(&job.id, BOUND).await.unwrap().result_as().unwrap();
    worker.signal(stop);
    assert!(worker.exit().await.success());
    result
}

#[tokio::test]
async fn the_worker_in_rust_of_the_readme_runs_as_it_stands_there() {
    let dir = Dir::new();
    let server = Server::start(&dir, &[]).await;
    let text = program_of("README.md");
    assert_eq!(text.matches(ADDRESS).count(), 1, "the program names the server once");
    let text = text.replace(ADDRESS, &format!("http://{}", server.address));
    let program = ExampleBuild::new().await.compile(&text, &dir);
    assert_eq!(runs_a_job(&program, &server, SIGINT).await, json!(640 * 480));
    server.stop().await;
}

#[tokio::test]
async fn the_worker_in_rust_of_the_page_about_workers_is_the_example_and_runs() {
    let dir = Dir::new();
    let server = Server::start(&dir, &[]).await;
    assert_eq!(program_of("docs/workers.md"), read("examples/worker.rs"));
    let build = ExampleBuild::new().await;
    let result = runs_a_job(build.executable(), &server, SIGTERM).await;
    assert_eq!(result, json!({"pixels": 640 * 480}));
    server.stop().await;
}
