//! A PostgreSQL server for tests: a cluster in a directory of its own, with a Unix socket and no port. It is stopped and
//! removed when the process of the tests ends, however it ends.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::store::postgres::{PostgresLog, PostgresSettings};

/// Runs the server, and obeys what it is told on its input until that is closed.
const SUPERVISOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres.sh");

/// A running server.
pub(crate) struct TestServer {
    dir: PathBuf,
    /// What the supervisor is told, and what it answers. The server ends when the first is closed.
    channel: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    _supervisor: Child,
    databases: AtomicU32,
}

/// The directory with the programs of PostgreSQL: the one that is set, the one of `tests/tools.sh`, or the machine's.
fn programs() -> Option<PathBuf> {
    let mut places: Vec<PathBuf> =
        std::env::var_os("POSTGRES_BIN").map(Into::into).into_iter().collect();
    places.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin"));
    places.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = installed.map(|version| version.path().join("bin")).collect();
    versions.sort();
    places.extend(versions.into_iter().rev()); // the newest first
    places.into_iter().find(|place| place.join("initdb").exists() && place.join("pg_ctl").exists())
}

impl TestServer {
    /// The server that the tests of this process share.
    pub fn shared() -> &'static TestServer {
        static SHARED: OnceLock<TestServer> = OnceLock::new();
        SHARED.get_or_init(|| TestServer::start_with(|_| String::new()))
    }

    /// Starts a server for a test that stops it or changes its settings. It runs until the process ends.
    pub fn start() -> &'static TestServer {
        TestServer::set_up(|_| String::new())
    }

    /// The same with further options, which may name files that `set_up` writes into its directory.
    pub fn set_up(set_up: impl FnOnce(&Path) -> String) -> &'static TestServer {
        Box::leak(Box::new(TestServer::start_with(set_up)))
    }

    fn start_with(set_up: impl FnOnce(&Path) -> String) -> TestServer {
        let programs = programs().expect(
            "these tests need PostgreSQL 15 or newer: run tests/tools.sh, which finds or fetches it",
        );
        // The path of a socket is short.
        let dir = tempfile::Builder::new().prefix("cortado-pg.").tempdir_in("/tmp").unwrap().keep();
        let options = set_up(&dir);
        let mut supervisor = Command::new("sh")
            .arg(SUPERVISOR)
            .args([&dir, &programs])
            .arg(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = supervisor.stdin.take().unwrap();
        let stdout = BufReader::new(supervisor.stdout.take().unwrap());
        let channel = Mutex::new((stdin, stdout));
        let server =
            TestServer { dir, channel, _supervisor: supervisor, databases: AtomicU32::new(0) };
        server.hear_done();
        server
    }

    fn hear_done(&self) {
        let mut line = String::new();
        self.channel.lock().unwrap().1.read_line(&mut line).unwrap();
        assert_eq!(line, "done\n", "PostgreSQL does not start: {line}");
    }

    fn tell(&self, word: &str) {
        writeln!(self.channel.lock().unwrap().0, "{word}").unwrap();
        self.hear_done();
    }

    /// Kills the server, as a crash does.
    pub fn crash(&self) {
        self.tell("stop");
    }

    /// Starts the server again.
    pub fn start_again(&self) {
        self.tell("start");
    }

    /// The directory with the socket.
    pub fn socket_dir(&self) -> &Path {
        &self.dir
    }

    /// Creates an empty database.
    pub fn database(&'static self) -> TestDatabase {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.execute("postgres", &format!("create database {name} template template0"));
        TestDatabase { server: self, name }
    }

    /// Executes statements in a database and returns the first value of each row.
    pub fn execute(&self, database: &str, sql: &str) -> Vec<String> {
        self.session(database).execute(sql)
    }

    /// Executes statements in the database `postgres` of a server with another port.
    pub fn execute_at(&self, port: u16, sql: &str) -> Vec<String> {
        self.session_at(port, "postgres").execute(sql)
    }

    fn session(&self, database: &str) -> TestSession {
        self.session_at(5432, database)
    }

    fn session_at(&self, port: u16, database: &str) -> TestSession {
        let dir = self.dir.display();
        let config = format!("host={dir} port={port} user=cortado dbname={database}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (client, connection) =
            runtime.block_on(tokio_postgres::connect(&config, NoTls)).unwrap();
        runtime.spawn(connection);
        TestSession { client, runtime }
    }
}

/// A session for the statements of a test. It ends when it is dropped, and its transaction with it.
pub(crate) struct TestSession {
    client: Client,
    runtime: Runtime,
}

impl TestSession {
    /// Executes statements and returns the first value of each row.
    pub fn execute(&self, sql: &str) -> Vec<String> {
        let messages = self.runtime.block_on(self.client.simple_query(sql));
        let value = |message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        };
        messages.unwrap().into_iter().filter_map(value).collect()
    }

    /// Executes a statement that is refused, and returns the message.
    pub fn refusal(&self, sql: &str) -> String {
        let refused = self.runtime.block_on(self.client.batch_execute(sql));
        let refused = refused.expect_err(sql);
        refused.as_db_error().expect(sql).message().to_owned()
    }
}

/// A database on a server.
pub(crate) struct TestDatabase {
    server: &'static TestServer,
    name: String,
}

impl TestDatabase {
    /// A database of its own on the shared server.
    pub fn new() -> TestDatabase {
        TestServer::shared().database()
    }

    /// The URL through another directory with a socket.
    pub fn url_at(&self, socket_dir: &Path) -> String {
        format!("postgresql://cortado@/{}?host={}", self.name, socket_dir.display())
    }

    pub fn settings(&self) -> PostgresSettings {
        self.url_at(self.server.socket_dir()).parse().unwrap()
    }

    /// Opens the log, and creates it if it is not there.
    pub fn open(&self) -> PostgresLog {
        PostgresLog::create_if_missing(self.settings(), Default::default()).unwrap()
    }

    /// Executes statements and returns the first value of each row.
    pub fn execute(&self, sql: &str) -> Vec<String> {
        self.session().execute(sql)
    }

    /// Opens a session, which can hold locks.
    pub fn session(&self) -> TestSession {
        self.server.session(&self.name)
    }
}
