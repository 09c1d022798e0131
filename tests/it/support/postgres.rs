//! A PostgreSQL server for tests of several nodes; see `tests/postgres.sh`.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::tools;

/// A running server. It ends with this value, and with the process of the tests.
pub struct Postgres {
    _supervisor: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    dir: PathBuf,
}

impl Postgres {
    /// Starts a server with an empty database.
    pub async fn start() -> Postgres {
        // The path of a socket is short.
        let dir = tempfile::Builder::new().prefix("cortado-pg.").tempdir_in("/tmp").unwrap();
        let dir = dir.keep(); // the script removes it
        let programs = std::env::split_paths(&tools::path())
            .find(|place| place.join("initdb").exists() && place.join("pg_ctl").exists())
            .expect("the tests of several nodes need PostgreSQL: run tests/tools.sh");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres.sh");
        let mut supervisor = Command::new("sh")
            .arg(script)
            .args([&dir, &programs])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = supervisor.stdin.take().unwrap();
        let output = BufReader::new(supervisor.stdout.take().unwrap()).lines();
        let mut server = Postgres { _supervisor: supervisor, input, output, dir };
        server.hear_done().await;
        server
    }

    /// The URL of its database.
    pub fn url(&self) -> String {
        format!("postgresql://cortado@/postgres?host={}", self.dir.display())
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join(".s.PGSQL.5432")
    }

    /// Stops it as a crash does.
    pub async fn crash(&mut self) {
        self.tell("stop").await;
    }

    /// Starts it again.
    pub async fn start_again(&mut self) {
        self.tell("start").await;
    }

    async fn tell(&mut self, word: &str) {
        self.input.write_all(format!("{word}\n").as_bytes()).await.unwrap();
        self.hear_done().await;
    }

    async fn hear_done(&mut self) {
        let line = self.output.next_line().await.unwrap();
        assert_eq!(line.as_deref(), Some("done"), "PostgreSQL does not start");
    }
}
