//! A PostgreSQL server for tests of several nodes; see `tests/postgres.sh`.

use std::ffi::OsString;
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
    /// The directory with its programs.
    programs: PathBuf,
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
        // The chosen programs are links, and the others are beside what they lead to.
        let programs = programs.join("initdb").canonicalize().unwrap().parent().unwrap().into();
        let mut server = Postgres { _supervisor: supervisor, input, output, dir, programs };
        server.hear_done().await;
        server
    }

    /// The URL of its database.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The URL of another database.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgresql://cortado@/{database}?host={}", self.dir.display())
    }

    /// Creates another database and returns its URL.
    pub async fn create_database(&self, name: &str) -> String {
        self.sql_in(&self.url(), &format!("create database {name}")).await;
        self.url_of(name)
    }

    /// The `PATH` of commands that use its programs.
    pub fn path(&self) -> OsString {
        let path = tools::path();
        let places = std::iter::once(self.programs.clone()).chain(std::env::split_paths(&path));
        std::env::join_paths(places).unwrap_or(path)
    }

    /// Executes a statement in its database. `None` when that fails.
    pub async fn try_sql(&self, sql: &str) -> Option<String> {
        self.psql(&self.url(), sql).await.ok()
    }

    /// Executes a statement in a database.
    pub async fn sql_in(&self, url: &str, sql: &str) -> String {
        self.psql(url, sql).await.unwrap_or_else(|why| panic!("{sql}: {why}"))
    }

    async fn psql(&self, url: &str, sql: &str) -> Result<String, String> {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql, url]);
        let ran = psql.env("PATH", self.path()).kill_on_drop(true).output();
        let ran = super::within("psql", ran).await.unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
        if ran.status.success() { Ok(text(&ran.stdout)) } else { Err(text(&ran.stderr)) }
    }

    /// Connects to its database as a user, for statements of a test.
    pub async fn connect(&self, user: &str) -> tokio_postgres::Client {
        let config = format!("host={} user={user} dbname=postgres", self.dir.display());
        let opened = tokio_postgres::connect(&config, tokio_postgres::NoTls).await;
        let (client, connection) = opened.unwrap();
        // It ends with the client, or with the server.
        tokio::spawn(async { drop(connection.await) });
        client
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

    /// Runs a script as the user of the server, with `PGDATA`, `PGHOST`, `PGUSER`, `BACKUPS` and `UNTIL`.
    pub async fn run_script(&mut self, script: &str, until: &str) {
        let file = self.dir.join("script.sh");
        std::fs::write(&file, script).unwrap();
        self.tell(&format!("script {} {until}", file.display())).await;
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
