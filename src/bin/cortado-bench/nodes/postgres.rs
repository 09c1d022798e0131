//! A PostgreSQL server of its own, with fsync, and pgbench as its baseline.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use crate::figures::{per_second, ticks_of};

/// A running server, whose directory is removed with it.
pub struct Postgres {
    dir: PathBuf,
    programs: PathBuf,
    child: Child,
    /// The server ends when this is closed.
    input: Option<ChildStdin>,
}

impl Postgres {
    /// Starts a server with an empty database.
    pub async fn start() -> anyhow::Result<Postgres> {
        let programs = programs().context("PostgreSQL is not installed: there is no initdb")?;
        // The path of a socket is short.
        let dir = PathBuf::from(format!("/tmp/cortado-bench-pg.{}", fastrand::u32(..)));
        std::fs::create_dir(&dir)?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres.sh");
        let mut child = Command::new("sh")
            .arg(script)
            .args([&dir, &programs])
            .arg("-c fsync=on -c synchronous_commit=on")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take().context("no output")?);
        let line = BufReader::new(output).lines().next_line().await?;
        ensure!(line.as_deref() == Some("done"), "PostgreSQL does not start: {line:?}");
        let postgres = Postgres { dir, programs, child, input };
        postgres.query("create table cortado_bench (id bigserial primary key, data text)").await?;
        Ok(postgres)
    }

    /// The URL of its database.
    pub fn url(&self) -> String {
        format!("postgresql://cortado@/postgres?host={}", self.dir.display())
    }

    /// Stops it.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.input.take());
        self.child.wait().await?;
        Ok(())
    }

    /// Inserts with one row per transaction, in transactions per second.
    pub async fn pgbench(&self) -> anyhow::Result<f64> {
        let script = std::env::temp_dir().join(format!("cortado-bench-{}.sql", fastrand::u32(..)));
        std::fs::write(&script, "insert into cortado_bench (data) values (repeat('x', 200));\n")?;
        let output = Command::new(self.programs.join("pgbench"))
            .args(["-n", "-c", "16", "-j", "2", "-T", "3", "-U", "cortado", "-h"])
            .arg(&self.dir)
            .arg("-f")
            .arg(&script)
            .arg("postgres")
            .output()
            .await;
        std::fs::remove_file(&script)?;
        let output = output.context("pgbench is not installed")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let tps = text.lines().find_map(|line| line.strip_prefix("tps = "));
        let tps = tps.and_then(|tps| tps.split_whitespace().next());
        tps.with_context(|| format!("pgbench fails: {text}"))?.parse().context("a strange figure")
    }

    /// The figure of pgbench in words.
    pub async fn baseline(&self) -> anyhow::Result<String> {
        Ok(format!("pgbench: {} inserts", per_second(self.pgbench().await?)))
    }

    /// A session in which something can be executed.
    pub fn session(&self) -> anyhow::Result<Session> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-U", "cortado", "-d", "postgres", "-h"]).arg(&self.dir);
        let mut child = psql
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("psql is not installed")?;
        let input = child.stdin.take().context("no input")?;
        let output = BufReader::new(child.stdout.take().context("no output")?).lines();
        Ok(Session { _child: child, input, output })
    }

    /// Executes a statement.
    pub async fn query(&self, sql: &str) -> anyhow::Result<()> {
        self.session()?.execute(sql).await
    }

    /// The processor time that all of its processes have used so far.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let pid = std::fs::read_to_string(self.dir.join("data/postmaster.pid"))?;
        let pid: u32 = pid.lines().next().context("no process")?.trim().parse()?;
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        let ticks = children.map(|child| ticks_of(child, 2)).sum::<u64>() + ticks_of(pid, 4);
        Ok(Duration::from_millis(ticks * 10))
    }
}

/// A session of psql.
pub struct Session {
    _child: Child,
    input: ChildStdin,
    output: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl Session {
    /// Executes a statement that returns no rows.
    pub async fn execute(&mut self, sql: &str) -> anyhow::Result<()> {
        self.input.write_all(format!("{sql};\n\\echo done\n").as_bytes()).await?;
        match self.output.next_line().await?.as_deref() {
            Some("done") => Ok(()),
            other => bail!("psql says {other:?}"),
        }
    }
}

/// The directory of PostgreSQL's programs. The one in the path may be a link to it.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found =
        std::env::split_paths(&path).map(|dir| dir.join("initdb")).find(|it| it.exists())?;
    std::fs::canonicalize(found).ok()?.parent().map(Path::to_owned)
}
