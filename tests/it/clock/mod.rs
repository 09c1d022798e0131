//! A server whose clock is set while it runs, or between two runs (`clock.c`), and one whose machine does not know a
//! time zone any more.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Command, Dir, Server, eventually};

/// A bit less than four years, in milliseconds.
const YEARS: i64 = 1_400 * 86_400_000;

/// The clock of a server.
struct TestClock {
    dir: TempDir,
}

impl TestClock {
    fn ahead_by(ms: i64) -> TestClock {
        let dir = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clock/clock.c");
        let compiled = std::process::Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(dir.path().join("clock.so"))
            .arg(source)
            .arg("-ldl")
            .status()
            .expect("a C compiler, `cc`");
        assert!(compiled.success());
        let clock = TestClock { dir };
        clock.set_ahead_by(ms);
        clock
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("ahead")
    }

    /// Sets the clock of the running servers. The bytes are written at once, into the same file.
    fn set_ahead_by(&self, ms: i64) {
        use std::os::unix::fs::FileExt;
        let mut options = std::fs::File::options();
        let file = options.write(true).create(true).truncate(false).open(self.file());
        file.unwrap().write_all_at(&ms.to_ne_bytes(), 0).unwrap();
    }

    async fn serve(&self, dir: &Dir, more: &str) -> Server {
        let quoted = |path: &Path| format!("'{}'", path.to_str().unwrap());
        let library = quoted(&self.dir.path().join("clock.so"));
        let script = format!(
            "export {more} CORTADO_TEST_CLOCK={} LD_PRELOAD={library}",
            quoted(&self.file())
        );
        let process = Server::launch_by_shell(&script, dir, &[]);
        Server::unless_ended(process).await.unwrap_or_else(|_| panic!("the server ended"))
    }
}

/// Creates the schedule `often`, whose jobs are of the kind `echo`.
async fn schedule(server: &Server, cron: &str, zone: &str) {
    let body = json!({ "cron": cron, "zone": zone, "kind": "echo" });
    let put = server.client.try_send(Method::PUT, "/api/v1/schedules/often", Some(&body));
    assert_eq!(put.await.unwrap().0, 200);
}

/// The id of the last job of the schedule; null if there is none.
async fn last(server: &Server) -> Value {
    server.client.get("/api/v1/schedules/often").await["last"]["job"].clone()
}

async fn fires_again(server: &Server, before: &Value, what: &str) -> Value {
    eventually(what, || async {
        let last = last(server).await;
        (last != *before && !last.is_null()).then_some(last)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_while_the_server_runs_stops_nothing() {
    let (dir, clock) = (Dir::new(), TestClock::ahead_by(0));
    let server = clock.serve(&dir, "LANG=C").await;
    schedule(&server, "every 1s", "UTC").await;
    let long =
        server.client.submit(&json!({ "kind": "sleep", "payload": { "ms": 600_000 } })).await;
    server.client.job_in(&long, "running").await;
    // A retry in an hour, which no jump may bring forward.
    let backoff = json!({ "base_ms": 7_200_000, "cap_ms": 7_200_000 });
    let fails = json!({ "kind": "fail", "payload": { "times": 9 }, "backoff": backoff });
    let retried = server.client.submit(&fails).await;
    server.client.job_in(&retried, "retryable").await;

    let mut last = fires_again(&server, &Value::Null, "a first run").await;
    for (ahead, word) in [
        (600_000, "set forward"),
        (YEARS, "set forward"),
        (-YEARS, "set back"),
        (0, "set forward"),
        (-600_000, "set back"),
    ] {
        let lines = server.process.err.so_far().len();
        clock.set_ahead_by(ahead);
        let warned = eventually("a warning", || async {
            let lines = server.process.err.from(lines);
            lines.into_iter().find(|line| line.contains("the system clock was set"))
        });
        let warning = warned.await;
        assert!(warning.contains(word) && warning.contains("WARN"), "{ahead}: {warning}");
        assert!(warning.contains("jump_ms="), "{warning}");
        last = fires_again(&server, &last, "a run after the clock was set").await;
        let job = server.client.get(&format!("/api/v1/jobs/{long}")).await;
        assert_eq!((&job["state"], &job["attempt"]), (&json!("running"), &json!(1)), "{ahead}");
        let job = server.client.get(&format!("/api/v1/jobs/{retried}")).await;
        assert_eq!((&job["state"], &job["attempt"]), (&json!("retryable"), &json!(1)), "{ahead}");
    }
    // The stop gives back the long attempt, so it had kept its lease.
    server.client.post(&format!("/api/v1/jobs/{long}/cancel"), None).await;
    server.client.job_in(&long, "cancelled").await;
    let job = server.client.get(&format!("/api/v1/jobs/{long}")).await;
    assert_eq!(job["attempts"].as_array().unwrap().len(), 1, "{job}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ran_with_a_clock_years_ahead_works_after_the_correction() {
    let (dir, clock) = (Dir::new(), TestClock::ahead_by(YEARS));
    let server = clock.serve(&dir, "LANG=C").await;
    schedule(&server, "every 1s", "UTC").await;
    let last = fires_again(&server, &Value::Null, "a run with the wrong clock").await;
    let backoff = json!({ "base_ms": 4_000, "cap_ms": 4_000 });
    let fails = json!({ "kind": "fail", "payload": { "times": 1 }, "backoff": backoff });
    let retried = server.client.submit(&fails).await;
    server.client.job_in(&retried, "retryable").await;
    let delayed = server.client.submit(&json!({ "kind": "echo", "delay_ms": 4_000 })).await;
    server.kill().await;

    clock.set_ahead_by(0);
    let server = clock.serve(&dir, "LANG=C").await;
    fires_again(&server, &last, "a run with the right clock").await;
    for id in [&retried, &delayed] {
        server.client.job_in(id, "completed").await;
    }
    let lines = server.stop().await.join("\n");
    assert!(lines.contains("the clock shows a time before the newest event"), "{lines}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_expires_by_the_clock_of_the_server() {
    let (dir, clock) = (Dir::new(), TestClock::ahead_by(YEARS));
    let server = clock.serve(&dir, "LANG=C").await;
    let url = format!("http://{}", server.address);
    let args = ["token", "create", "ci", "--role", "viewer", "--expires", "1h", "--server", &url];
    let mut create = Command::run(&args);
    assert!(create.exit().await.success(), "{:?}", create.err.so_far());
    let list = server.client.get("/api/v1/tokens").await;
    let at = |name: &str| {
        let text = list["tokens"][0][name].as_str().unwrap();
        text.parse::<cortado::internal::job::Time>().unwrap()
    };
    let lifetime = at("expires_at").since(at("created_at")).as_millis();
    assert!((3_540_000..=3_600_000).contains(&lifetime), "{lifetime} ms");
    server.stop().await;
}

/// A directory of time zones with this one, copied from the machine's.
fn zones(dir: &Path, name: &str) {
    let target = dir.join(name);
    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
    std::fs::copy(Path::new("/usr/share/zoneinfo").join(name), target).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_whose_time_zone_is_not_known_any_more_says_so_and_runs_once_it_is() {
    let (dir, clock) = (Dir::new(), TestClock::ahead_by(0));
    let known = tempfile::tempdir().unwrap();
    zones(known.path(), "Europe/Berlin");
    zones(known.path(), "Asia/Tokyo");
    let without = tempfile::tempdir().unwrap();
    zones(without.path(), "Asia/Tokyo");
    let of = |zones: &TempDir| format!("TZDIR='{}'", zones.path().to_str().unwrap());

    let server = clock.serve(&dir, &of(&known)).await;
    schedule(&server, "* * * * * *", "Europe/Berlin").await;
    let view = server.client.get("/api/v1/schedules/often").await;
    assert_eq!(view["problem"], json!(null), "{view}");
    fires_again(&server, &Value::Null, "a run").await;
    server.stop().await;

    let server = clock.serve(&dir, &of(&without)).await;
    let warning = server.process.err.line_with("does not know the time zone").await.unwrap();
    assert!(warning.contains("WARN") && warning.contains("often"), "{warning}");
    let view = server.client.get("/api/v1/schedules/often").await;
    assert_eq!(view["problem"]["code"], "unknown_zone", "{view}");
    let text = view["problem"]["message"].as_str().unwrap();
    assert!(text.contains("Europe/Berlin") && text.contains("tzdata"), "{text}");
    let list = server.client.get("/api/v1/schedules").await;
    assert_eq!(list["schedules"][0]["problem"]["code"], "unknown_zone", "{list}");
    let page = server.client.text("/schedules/of/often").await;
    assert!(page.contains("This machine does not know the time zone"), "{page}");
    assert!(server.client.text("/schedules").await.contains("unknown time zone"));
    let metrics = server.client.text("/metrics").await;
    assert!(metrics.contains("cortado_schedules_unknown_zone 1"), "{metrics}");
    // It runs for the time that was known before, and then not again, while other schedules do.
    eventually("no next time", || async {
        let view = server.client.get("/api/v1/schedules/often").await;
        view["next_at"].is_null().then_some(())
    })
    .await;
    let before = last(&server).await;
    let other = json!({ "cron": "* * * * * *", "zone": "Asia/Tokyo", "kind": "echo" });
    let put = server.client.try_send(Method::PUT, "/api/v1/schedules/other", Some(&other));
    assert_eq!(put.await.unwrap().0, 200);
    for run in [0, 1] {
        eventually("a run of another schedule", || async {
            let tagged = server.client.get("/api/v1/jobs?tag=schedule:other").await;
            (tagged["jobs"].as_array().unwrap().len() > run).then_some(())
        })
        .await;
    }
    assert_eq!(last(&server).await, before, "it does not run in another zone");
    server.stop().await;

    let server = clock.serve(&dir, &of(&known)).await;
    fires_again(&server, &before, "a run once the zone is known").await;
    let view = server.client.get("/api/v1/schedules/often").await;
    assert_eq!(view["problem"], json!(null), "{view}");
    server.stop().await;
}
