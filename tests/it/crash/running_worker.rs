//! Workers in several languages as processes that a test kills.

use std::net::SocketAddr;
use std::path::Path;

use super::worker_program;
use crate::support::Command;

/// What a worker is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Over a WebSocket.
    Rust,
    /// Over HTTP.
    RustHttp,
    Node,
    Python,
}

/// One process of a worker. A worker that replaces it has another name and another file.
pub struct RunningWorker {
    pub language: Language,
    pub name: String,
    pub process: Command,
}

impl RunningWorker {
    pub fn start(
        language: Language,
        number: u32,
        server: SocketAddr,
        files: &Path,
    ) -> RunningWorker {
        let name = format!("{language:?}-{number}").to_lowercase();
        let (url, file) = (format!("http://{server}"), files.join(&name));
        let file = file.to_str().unwrap();
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
        let run = |program: &str, script: &str| {
            let script = clients.join(script);
            Command::of(program, &[script.to_str().unwrap(), &url, &name, file])
        };
        let process = match language {
            Language::Rust => worker_program::start(&url, &name, file, "websocket"),
            Language::RustHttp => worker_program::start(&url, &name, file, "http"),
            Language::Node => run("node", "node/testing/crash-worker.js"),
            Language::Python => run("python3", "python/tests/crash_worker.py"),
        };
        RunningWorker { language, name, process }
    }
}
