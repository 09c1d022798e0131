//! A PostgreSQL server for tests of several nodes; see `tests/postgres.sh`.

use std::path::{Path, PathBuf};
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

    /// The URL of its database, or of that of its standby once that was promoted.
    pub fn url_of_either(&self) -> String {
        let dir = self.dir.display();
        format!(
            "postgresql://cortado@/postgres?host={dir},{dir}/standby&target_session_attrs=read-write"
        )
    }

    /// Makes a standby and starts it.
    pub async fn add_standby(&mut self) {
        self.tell("standby").await;
    }

    /// Lets commits wait for the standby.
    pub async fn wait_for_standby(&mut self) {
        self.tell("synchronous").await;
    }

    /// Stops the standby, which then falls behind.
    pub async fn stop_standby(&mut self) {
        self.tell("standby-stop").await;
    }

    /// Starts the standby again and makes a server of its own of it.
    pub async fn promote_stopped_standby(&mut self) {
        self.tell("standby-start").await;
        self.tell("promote").await;
    }

    /// Makes a server of its own of the standby.
    pub async fn promote_standby(&mut self) {
        self.tell("promote").await;
    }

    /// Runs PgBouncer in front of it on a port, with the certificate `pooler.pem` and its key `pooler.key` in the directory.
    pub async fn start_pooler(&mut self, port: u16) {
        let program = std::env::split_paths(&tools::path())
            .map(|place| place.join("pgbouncer"))
            .find(|program| program.exists())
            .expect("the tests of a pooler need PgBouncer: run tests/tools.sh");
        self.tell(&format!("pooler {} {port}", program.display())).await;
    }

    /// Kills PgBouncer.
    pub async fn kill_pooler(&mut self) {
        self.tell("pooler-kill").await;
    }

    /// Lets PgBouncer connect to the standby from now on, while its clients stay connected.
    pub async fn move_pooler(&mut self) {
        self.tell("pooler-move").await;
    }

    /// Where its files are.
    pub fn dir(&self) -> &Path {
        &self.dir
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
