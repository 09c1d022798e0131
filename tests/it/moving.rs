//! Stores that move between a directory and a PostgreSQL database, and backups of a database, with the real commands.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::postgres::Postgres;
use crate::support::{Client, Command, Dir, Fold, Server, eventually};

/// What a command has done.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn run(args: &[&str]) -> Ran {
    ended(Command::run(args)).await
}

async fn ended(mut process: Command) -> Ran {
    let status = process.exit().await;
    let (out, err) = (process.out.so_far().join("\n"), process.err.so_far().join("\n"));
    Ran { code: status.code(), out, err }
}

/// Runs a command that must succeed, and returns its output.
async fn ok(args: &[&str]) -> String {
    let ran = run(args).await;
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
    ran.out
}

/// Runs a command that must be refused, and returns why.
async fn refused(args: &[&str]) -> String {
    let ran = run(args).await;
    assert_eq!(ran.code, Some(2), "{args:?}: {} {}", ran.out, ran.err);
    ran.err
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn node(dir: &Dir, name: &str, url: &str) -> Server {
    Server::start(dir, &["--store", url, "--node", name, "--grace", "1s"]).await
}

/// Jobs that are submitted until the servers are gone.
struct Load {
    accepted: Arc<Mutex<Vec<String>>>,
    submitting: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn on(servers: &[&Server]) -> Load {
        let accepted = Arc::<Mutex<Vec<String>>>::default();
        let submitting = servers.iter().map(|server| {
            tokio::spawn(submit_until_it_stops(server.client.clone(), accepted.clone()))
        });
        Load { submitting: submitting.collect(), accepted }
    }

    /// Waits until so many jobs were accepted.
    async fn reaches(&self, count: usize) {
        eventually("the load", || async {
            (self.accepted.lock().unwrap().len() >= count).then_some(())
        })
        .await;
    }

    /// The accepted jobs, once the servers are gone.
    async fn end(self) -> Vec<String> {
        for task in self.submitting {
            task.await.unwrap();
        }
        std::mem::take(&mut *self.accepted.lock().unwrap())
    }
}

async fn submit_until_it_stops(client: Client, accepted: Arc<Mutex<Vec<String>>>) {
    let batch = json!([
        { "kind": "echo", "payload": { "n": 1 }, "tags": ["moving"] },
        { "kind": "sleep", "payload": { "ms": 50 }, "priority": 3 },
        { "kind": "fail", "payload": { "times": 1 } },
        { "kind": "echo", "delay_ms": 3_600_000, "queue": "later" },
    ]);
    loop {
        let sent = client.try_send(Method::POST, "/api/v1/jobs", Some(&batch)).await;
        let Ok((status, answer)) = sent else { return };
        if status == 503 {
            return; // the server is about to stop
        }
        assert_eq!(status, 202, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let ids = answer["jobs"].as_array().unwrap().iter();
        let ids: Vec<String> = ids.map(|job| job["id"].as_str().unwrap().to_owned()).collect();
        // The next jobs come once these have run.
        let wait = format!("/api/v1/jobs/{}?wait=30s", ids[1]);
        accepted.lock().unwrap().extend(ids);
        if client.try_send(Method::GET, &wait, None).await.is_err() {
            return;
        }
    }
}

/// Two nodes after a move, and back: nothing of what was accepted is lost, and the log that a subscriber reads in parts, at
/// all four servers, is the one that the last of them has as a whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_moves_to_a_database_and_back_under_load_and_every_cursor_goes_on() {
    let (postgres, dirs) = (Postgres::start().await, [Dir::new(), Dir::new(), Dir::new()]);
    let (url, data, back) = (postgres.url(), dirs[0].data(), dirs[0].data().with_extension("back"));
    let server = Server::start(&dirs[0], &[]).await;
    let schedule = json!({ "kind": "echo", "cron": "0 3 1 1 *" });
    let path = "/api/v1/schedules/yearly";
    let set = server.client.try_send(Method::PUT, path, Some(&schedule)).await.unwrap();
    assert!(set.0 < 300, "{}", set.1);
    server.client.post("/api/v1/queues/later/pause", None).await;
    let keyed = json!({ "kind": "echo", "idempotency_key": "once" });
    let first = server.client.submit(&keyed).await;
    let load = Load::on(&[&server]);
    load.reaches(60).await;
    let start = server.client.start_of_log().await;
    let (mut read, cursor) = server.client.log_after(&start).await;
    server.stop().await;
    let mut accepted = load.end().await;

    let said = ok(&["move", "--from", text(&data), "--to", &url]).await;
    assert!(said.contains("were moved from") && said.contains("verified"), "{said}");
    let exported = ok(&["export", "--data-dir", text(&data)]).await;
    assert_eq!(ok(&["export", "--store", &url]).await, exported, "nothing differs");
    let report = ok(&["verify", "--store", &url]).await;
    assert!(report.ends_with("sound"), "{report}");
    let said = refused(&["serve", "--listen", "127.0.0.1:0", "--data-dir", text(&data)]).await;
    assert!(said.contains("was moved to postgresql://"), "{said}");

    let (one, two) = (node(&dirs[1], "one", &url).await, node(&dirs[2], "two", &url).await);
    let load = Load::on(&[&one, &two]);
    let (more, cursor) = two.client.log_after(&cursor).await;
    read.extend(more);
    assert_eq!(one.client.submit(&keyed).await, first, "its key is still taken");
    let schedules = one.client.get("/api/v1/schedules").await;
    assert_eq!(schedules["schedules"][0]["name"], "yearly", "{schedules}");
    load.reaches(60).await;
    let while_running = refused(&["move", "--from", &url, "--to", text(&back)]).await;
    assert!(while_running.contains("in use by nodes: one (heard of"), "{while_running}");
    let report = ok(&["verify", "--store", &url]).await;
    assert!(report.ends_with("sound"), "while the nodes go on: {report}");
    let copy = dirs[0].data().with_extension("copy");
    ok(&["backup", "--store", &url, text(&copy)]).await;
    ok(&["verify", "--data-dir", text(&copy)]).await;
    let (more, cursor) = one.client.log_after(&cursor).await;
    read.extend(more);
    one.stop().await;
    two.stop().await;
    accepted.extend(load.end().await);

    let exported = ok(&["export", "--store", &url]).await;
    ok(&["move", "--from", &url, "--to", text(&back)]).await;
    assert_eq!(ok(&["export", "--data-dir", text(&back)]).await, exported);
    let report = ok(&["verify", "--data-dir", text(&back)]).await;
    assert!(report.ends_with("sound"), "{report}");
    let said = refused(&["serve", "--listen", "127.0.0.1:0", "--store", &url]).await;
    assert!(said.contains(&format!("was moved to {}", text(&back))), "{said}");

    let server = Server::start_on("127.0.0.1:0".parse().unwrap(), &back, &[]).await;
    read.extend(server.client.log_after(&cursor).await.0);
    let whole = server.client.log().await;
    let so_far = read.len();
    assert_eq!(whole[..so_far], read[..], "what was read in parts");
    let fold = Fold::of(&whole);
    fold.assert_agrees(&server.client.rows().await);
    for id in &accepted {
        assert!(fold.jobs.contains_key(id), "{id} is lost");
    }
    server.stop().await;
}

/// A directory whose copy takes a while.
async fn large(dir: &Dir) -> String {
    let server = Server::start(dir, &[]).await;
    for _ in 0..40 {
        let noise: String = (0..400_000).map(|_| fastrand::alphanumeric()).collect();
        server
            .client
            .submit(&json!({ "kind": "echo", "payload": noise, "delay_ms": 3_600_000 }))
            .await;
    }
    server.stop().await;
    ok(&["export", "--data-dir", text(&dir.data())]).await
}

async fn killed(process: Command) {
    process.signal(Signal::SIGKILL);
    let ran = ended(process).await;
    assert_eq!(ran.code, None, "it was killed before its end: {} {}", ran.out, ran.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_is_killed_leaves_no_store_and_is_begun_again() {
    let (postgres, dir) = (Postgres::start().await, Dir::new());
    let (url, data, back) = (postgres.url(), dir.data(), dir.data().with_extension("back"));
    let exported = large(&dir).await;
    let there = ["move", "--from", text(&data), "--to", &url];
    let moving = Command::run(&there);
    let begun = "select count(*) from cortado.meta where key = 'unfinished'";
    eventually("the move to begin", || async {
        let found = postgres.try_sql(begun).await;
        (found.as_deref() == Some("1")).then_some(())
    })
    .await;
    killed(moving).await;
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data-dir"];
    let on_database = [&serve[..], &[text(&data), "--store", &url]].concat();
    let said = eventually("the server to notice that the command is gone", || async {
        let said = refused(&on_database).await;
        (!said.contains("another command")).then_some(said)
    });
    let said = said.await;
    assert!(said.contains("holds an unfinished import, restore or move and no store"), "{said}");
    let report = run(&["verify", "--store", &url]).await;
    assert_eq!(report.code, Some(2), "{}", report.out);
    assert!(report.out.contains("unfinished"), "{}", report.out);
    // The directory is what it was.
    Server::start(&dir, &[]).await.stop().await;
    let exported_again = ok(&["export", "--data-dir", text(&data)]).await;
    let without_head = |export: &str| export.lines().skip(1).count();
    assert_eq!(without_head(&exported_again), without_head(&exported));
    ok(&there).await;
    assert_eq!(ok(&["export", "--store", &url]).await, exported_again);

    let back_again = ["move", "--from", &url, "--to", text(&back)];
    let moving = Command::run(&back_again);
    eventually("the move to begin", || async { back.join("incomplete").exists().then_some(()) })
        .await;
    killed(moving).await;
    let said = refused(&[&serve[..], &[text(&back)]].concat()).await;
    assert!(said.contains("holds an unfinished backup, import, restore or move"), "{said}");
    let moved = eventually("the server to notice that the command is gone", || async {
        let ran = run(&back_again).await;
        (ran.code == Some(0)).then_some(()).or_else(|| {
            assert!(ran.err.contains("another command"), "{}", ran.err);
            None
        })
    });
    moved.await;
    assert_eq!(ok(&["export", "--data-dir", text(&back)]).await, exported_again);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_and_a_backup_are_read_into_a_database() {
    let (postgres, dir) = (Postgres::start().await, Dir::new());
    let server = Server::start(&dir, &[]).await;
    let done = server.client.submit(&json!({ "kind": "echo", "payload": "☕" })).await;
    server.client.job_in(&done, "completed").await;
    let later = server.client.submit(&json!({ "kind": "echo", "delay_ms": 3_600_000 })).await;
    let copy = dir.data().with_extension("copy");
    ok(&["backup", "--server", server.client.base(), text(&copy)]).await;
    server.stop().await;
    let file = dir.data().with_extension("jsonl");
    let exported = ok(&["export", "--data-dir", text(&dir.data())]).await;
    std::fs::write(&file, exported.clone() + "\n").unwrap();
    let one = postgres.create_database("one").await;
    let said = ok(&["import", text(&file), "--store", &one]).await;
    assert!(said.contains("2 jobs") && said.contains("verified"), "{said}");
    let two = postgres.create_database("two").await;
    ok(&["restore", text(&copy), "--store", &two]).await;
    for url in [&one, &two] {
        let said = refused(&["import", text(&file), "--store", url]).await;
        assert!(said.contains("not empty: there is a store in it; nothing was changed"), "{said}");
        let again = ok(&["export", "--store", url]).await;
        let rest = |export: &str| export.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        let (mut again, mut before) = (rest(&again), rest(&exported));
        again.pop(); // its checksum is also over the head
        before.pop();
        assert_eq!(again, before);
        let node = node(&Dir::new(), "node", url).await;
        assert_eq!(node.client.job(&done).await["result"], "☕");
        assert_eq!(node.client.job(&later).await["state"], "scheduled");
        node.stop().await;
    }
    // An incomplete export leaves no store, and a server refuses to create another one instead.
    let three = postgres.create_database("three").await;
    std::fs::write(&file, exported.lines().next().unwrap().to_owned() + "\n").unwrap();
    let said = refused(&["import", text(&file), "--store", &three]).await;
    assert!(said.contains("nothing was imported") && said.contains("breaks off"), "{said}");
    let said = refused(&["serve", "--listen", "127.0.0.1:0", "--store", &three]).await;
    assert!(said.contains("unfinished import, restore or move"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_variable_of_the_server_names_the_database_unless_a_directory_is_typed() {
    let (postgres, dir) = (Postgres::start().await, Dir::new());
    let url = postgres.url();
    node(&dir, "node", &url).await.stop().await;
    let with_variable = |args: &[&str]| {
        let program = env!("CARGO_BIN_EXE_cortado");
        ended(Command::changed(program, args, |command| {
            command.env("CORTADO_STORE", &url);
        }))
    };
    let verified = with_variable(&["verify"]).await;
    let said = &verified.out;
    assert!(said.starts_with("postgresql://") && said.ends_with("sound"), "{said}");
    let directory = with_variable(&["verify", "--data-dir", text(&dir.data())]).await;
    assert!(directory.out.contains("there is no directory"), "{}", directory.out);
    let said = refused(&["verify", "--store", "mysql://anna:s3cret@db/jobs"]).await;
    assert!(said.contains("--store: ") && said.contains("begins with postgresql://"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
    let said = refused(&["move", "--from", "mysql://anna:s3cret@db/jobs", "--to", "x"]).await;
    assert!(said.contains("--from: ") && !said.contains("s3cret"), "{said}");
}

/// The commands of docs/several-nodes.md that back a database up and restore it.
fn documented() -> String {
    let page = include_str!("../../docs/several-nodes.md");
    let block = page.split("```").find(|block| block.contains("pg_restore")).unwrap();
    block.strip_prefix("sh\n").unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_of_postgresql_is_restored_and_begins_a_new_epoch() {
    let (postgres, dir) = (Postgres::start().await, Dir::new());
    let url = postgres.url();
    let original = node(&dir, "original", &url).await;
    let jobs = (0..50).map(|n| json!({ "kind": "echo", "payload": n })).collect();
    let ids = original.client.submit_all(jobs).await;
    let running =
        original.client.submit(&json!({ "kind": "sleep", "payload": { "ms": 60_000 } })).await;
    original.client.job_in(&running, "running").await;
    for id in &ids {
        original.client.job_in(id, "completed").await;
    }
    let restored = postgres.url_of("restored");
    let dump: PathBuf = dir.data().with_extension("dump");
    std::fs::create_dir(&dump).unwrap();
    let script = Command::changed("sh", &["-ec", &documented()], |command| {
        command.env("CORTADO_STORE", &url).env("RESTORED_STORE", &restored);
        command.env("PATH", postgres.path()).current_dir(&dump);
    });
    let ran = ended(script).await;
    assert_eq!(ran.code, Some(0), "{} {}", ran.out, ran.err);
    // What comes after the dump is not in it, and its numbers are given to other events.
    original.client.submit_all((0..50).map(|_| json!({ "kind": "echo" })).collect()).await;
    let cursor = original.client.head().await;
    original.kill().await;

    let mut epochs = vec![epoch(&cursor)];
    let mut cursor = cursor;
    let name_another = "update cortado.meta set value = 'restored' where key = 'server'";
    for restart in ["the dump", "a copy of the files"] {
        let server = node(&dir, "original", &restored).await;
        for id in &ids {
            assert_eq!(server.client.job(id).await["state"], "completed");
        }
        server.client.job_in(&running, "running").await;
        let (_, next, gap) = server.client.log_there_is_after(&cursor).await;
        assert!(gap.is_some(), "a subscriber is told that the log is another one: {restart}");
        assert!(!epochs.contains(&epoch(&next)), "{restart}");
        epochs.push(epoch(&next));
        cursor = next;
        server.stop().await;
        assert!(include_str!("../../docs/several-nodes.md").contains(name_another));
        postgres.sql_in(&restored, name_another).await;
    }
    ok(&["verify", "--store", &restored]).await;
}

fn epoch(cursor: &str) -> String {
    cursor.split(':').next().unwrap().to_owned()
}
