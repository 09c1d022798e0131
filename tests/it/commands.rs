//! Programs of the `command` kind and handlers that write a lot: nothing is lost but what the limits say, and that is
//! counted. And programs whose server is killed: none runs any more when its job runs again.

use cortado::{Context, Cortado};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::{Client, Command, Dir, Server, eventually};

/// `sh` runs a script from the payload.
const CONFIG: &str = r#"
[commands.sh]
program = "sh"
args = ["-c", "{script}", "sh", "{dir}"]
"#;

fn job(script: &str, dir: &str) -> Value {
    json!({ "kind": "command", "max_attempts": 2,
        "payload": { "name": "sh", "args": { "script": script, "dir": dir } } })
}

/// The lines of a job's log, and the number of those that the store has dropped.
async fn log(client: &Client, id: &str) -> (Vec<String>, usize) {
    let log = client.get(&format!("/api/v1/jobs/{id}/log")).await;
    let lines = log["lines"].as_array().unwrap().iter();
    let lines = lines.map(|line| line["text"].as_str().unwrap().to_owned()).collect();
    (lines, usize::try_from(log["dropped"].as_u64().unwrap()).unwrap())
}

/// The most memory that a process has used, in KiB.
fn peak_memory(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_line_of_a_quick_program_is_lost_without_being_counted() {
    let dir = Dir::new();
    let server = Server::start(&dir, &["--config", &dir.config(CONFIG)]).await;
    let long = "for i in $(seq 60); do printf '%8000s\\n' $i; done";
    let binary = "seq 1500 | tr '0-9' '\\200-\\211'";
    // The script, how many lines it writes, the first and the last that must be there, if any.
    for (script, expected, first, last) in [
        ("seq 1500", 1_500, Some("1"), Some("1500")),
        ("seq 1500 >&2", 1_500, Some("1"), Some("1500")),
        ("seq 2000", 2_000, Some("1"), Some("2000")),
        ("seq 900; seq 901 1800 >&2", 1_800, None, None),
        ("seq 5000", 5_000, None, Some("5000")),
        (long, 60, None, None),
        (binary, 1_500, None, None),
        ("seq 1500; printf 'no end'", 1_501, Some("1"), Some("no end")),
        // The first 10,000 lines, the number of the others, and the last 100.
        ("seq 20000", 10_101, None, Some("20000")),
        // One line of a gigabyte, without an end at first.
        ("head -c 1000000000 /dev/zero; echo; echo end", 2, None, Some("end")),
        ("yes | head -n 1000000; echo end", 10_101, None, Some("end")),
    ] {
        let id = server.client.submit(&job(script, "")).await;
        server.client.job_in(&id, "completed").await;
        let (lines, dropped) = log(&server.client, &id).await;
        assert_eq!(lines.len() + dropped, expected, "{script}: {dropped} dropped");
        if let Some(first) = first {
            assert_eq!((lines[0].as_str(), dropped), (first, 0), "{script}");
        }
        if let Some(last) = last {
            assert_eq!(lines.last().unwrap(), last, "{script}");
        }
        if let Some(more) = expected.checked_sub(101).filter(|more| *more == 10_000) {
            let said = lines.iter().find(|line| line.ends_with("lines of output were dropped"));
            let count: usize = said.unwrap().split(' ').next().unwrap().parse().unwrap();
            assert!(count == 9_900 || count == 989_901, "{more} lines of {script}: {said:?}");
        }
    }
    let peak = peak_memory(server.process.id());
    assert!(peak < 512 * 1_024, "the server has used {peak} KiB");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_a_rust_handler_are_kept_or_counted() {
    let quick = |context: Context, count: usize| async move {
        for n in 0..count {
            context.log(format!("line {n}"));
        }
        Ok::<_, String>(())
    };
    let patient = |context: Context, count: usize| async move {
        for n in 0..count {
            context.log_room().await;
            context.log(format!("line {n}"));
        }
        Ok::<_, String>(())
    };
    let server = Cortado::builder().in_memory().listen(([127, 0, 0, 1], 0));
    let server =
        server.handle_kind("quick", quick).handle_kind("patient", patient).start().await.unwrap();
    let client = Client::new(server.address());
    for (kind, count) in [("quick", 1_500), ("patient", 1_500), ("patient", 10_000)] {
        let id = client.submit(&json!({ "kind": kind, "payload": count })).await;
        client.job_in(&id, "completed").await;
        let (lines, dropped) = log(&client, &id).await;
        assert_eq!(lines.len() + dropped, count, "{kind}");
        assert_eq!(lines.last().unwrap(), &format!("line {}", count - 1));
    }
    // More than fit at once: the first and the last lines, and the number of those between them.
    let id = client.submit(&json!({ "kind": "quick", "payload": 100_000 })).await;
    client.job_in(&id, "completed").await;
    let (lines, _) = log(&client, &id).await;
    let said = lines.iter().find(|line| line.contains("log lines dropped")).unwrap();
    let dropped: usize = said.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(dropped > 90_000, "{said}");
    assert_eq!(lines.last().unwrap(), "line 99999");
    server.stop().await;
}

fn runs(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// How many processes have the variable with the id of this job.
fn processes_of(job: &str) -> usize {
    let variable = format!("CORTADO_JOB_ID={job}");
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let environments = entries.filter_map(|entry| std::fs::read(entry.path().join("environ")).ok());
    environments
        .filter(|all| all.split(|byte| *byte == 0).any(|it| it == variable.as_bytes()))
        .count()
}

/// The ids of processes that scripts have written to a file.
fn pids(file: &std::path::Path) -> Vec<i32> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_server_was_killed_no_program_of_it_runs_beside_the_next_attempt() {
    let dir = Dir::new();
    let place = tempfile::tempdir().unwrap();
    let config = dir.config(CONFIG);
    let server = Server::start(&dir, &["--config", &config]).await;
    // Each script notes its processes. In the second attempt it says which of them still run, and ends. It looks at each
    // once, because a dead one may be reaped at any moment.
    let again = "if [ -s $1/pids ]; then for p in $(cat $1/pids); do \
         grep -qs '^State:.[^ZX]' /proc/$p/status && echo still runs: $p; done; echo again; exit 0; fi;";
    let scripts = [
        "echo $$ >> $1/pids; exec sleep 1000",
        "echo $$ >> $1/pids; sleep 1000 & echo $! >> $1/pids; wait",
        "trap '' TERM; echo $$ >> $1/pids; (trap '' TERM; sleep 1000) & echo $! >> $1/pids; while :; do sleep 1; done",
        "setsid sh -c 'echo $$ >> $0/pids; exec sleep 1000' $1 & echo $$ >> $1/pids; wait",
        "nohup sh -c 'echo $$ >> $0/pids; sleep 1000' $1 & echo $$ >> $1/pids; wait",
        "env -i sleep 1000 & echo $! >> $1/pids; echo $$ >> $1/pids; wait",
        "echo $$ >> $1/pids; exec env -i sleep 1000",
    ];
    let mut jobs = Vec::new();
    for (n, script) in scripts.iter().enumerate() {
        let place = place.path().join(n.to_string());
        std::fs::create_dir(&place).unwrap();
        let job = job(&format!("{again} {script}"), place.to_str().unwrap());
        jobs.push((
            server.client.submit(&job).await,
            place.join("pids"),
            usize::from((1..6).contains(&n)) + 1,
        ));
    }
    // A process that a finished job has left on purpose is not part of it.
    let left = place.path().join("left");
    let leave = "setsid sh -c 'echo $$ > $0; exec sleep 1000' $1 >/dev/null 2>&1 & \
         while [ ! -s $1 ]; do sleep 0.01; done";
    let done = server.client.submit(&job(leave, left.to_str().unwrap())).await;
    server.client.job_in(&done, "completed").await;
    let mut all = Vec::new();
    for (_, file, count) in &jobs {
        let started = || async { Some(pids(file)).filter(|pids| pids.len() >= *count) };
        all.extend(eventually("the processes of a command", started).await);
    }
    let daemon = eventually("the process that stays", || async { pids(&left).pop() }).await;
    server.kill().await;
    assert!(all.iter().all(|pid| runs(*pid)), "they outlive the server");
    let marked = jobs.iter().map(|(id, ..)| processes_of(id)).sum::<usize>();

    let server = Server::start(&dir, &["--config", &config]).await;
    for (id, ..) in &jobs {
        server.client.job_in(id, "completed").await;
        let (lines, _) = log(&server.client, id).await;
        let last: Vec<_> = lines.iter().filter(|line| *line != "nohup: ignoring input").collect();
        assert_eq!(last, ["again"], "{id}");
    }
    assert!(all.iter().all(|pid| !runs(*pid)));
    assert!(runs(daemon), "it belongs to no job that was lost");
    kill(Pid::from_raw(daemon), Signal::SIGKILL).unwrap();
    let said = server.stop().await.join("\n");
    let line = said.lines().find(|line| line.contains("outlived the server")).unwrap();
    let count: usize = line.rsplit("processes=").next().unwrap().parse().unwrap();
    // The shell that runs `sleep 1` again and again may have one child or none.
    assert!(count.abs_diff(marked + 1) <= 1, "{marked} with variables, one without: {line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_an_attempt_is_ended_no_process_of_it_runs_any_more() {
    let place = tempfile::tempdir().unwrap();
    let dir = Dir::new();
    let config = dir.config(CONFIG);
    let scripts = [
        "setsid --wait sh -c 'echo $$ >> $0; exec sleep 1000' $1",
        "setsid sh -c 'echo $$ >> $0; exec sleep 1000' $1 >/dev/null 2>&1 & echo $$ >> $1; exec sleep 1000",
        "setsid sh -c 'trap \"\" TERM; echo $$ >> $0; while :; do sleep 0.1; done' $1; sleep 1000",
        "sleep 1000 & echo $! >> $1; wait",
    ];
    for (end, state) in [("cancel", "cancelled"), ("timeout", "discarded"), ("stop", "available")] {
        let server = Server::start(&dir, &["--config", &config]).await;
        let mut jobs = Vec::new();
        for (n, script) in scripts.iter().enumerate() {
            let file = place.path().join(format!("{end}-{n}"));
            let mut job = job(script, file.to_str().unwrap());
            job["max_attempts"] = json!(1);
            if end == "timeout" {
                job["timeout_ms"] = json!(1_500);
            }
            jobs.push((server.client.submit(&job).await, file));
        }
        let mut all = Vec::new();
        for (_, file) in &jobs {
            let started = || async { Some(pids(file)).filter(|pids| !pids.is_empty()) };
            all.extend(eventually("the processes of a command", started).await);
        }
        if end == "stop" {
            server.stop().await;
        } else {
            for (id, _) in &jobs {
                if end == "cancel" {
                    server.client.post(&format!("/api/v1/jobs/{id}/cancel"), None).await;
                }
                server.client.job_in(id, state).await;
            }
        }
        let left: Vec<&i32> = all.iter().filter(|pid| runs(**pid)).collect();
        assert!(left.is_empty(), "{end}: {left:?} of {all:?} still run");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_cannot_be_started_is_named_at_the_start_with_its_setting() {
    let dir = Dir::new();
    let file = dir.data().with_file_name("plain");
    std::fs::write(&file, "").unwrap();
    let plain = file.to_str().unwrap();
    for (settings, key, says) in [
        ("program = '/bin/echo'\ncwd = '/does/not/exist'", "commands.x.cwd", "/does/not/exist"),
        (&format!("program = '/bin/echo'\ncwd = '{plain}'"), "commands.x.cwd", "not a directory"),
        ("program = '/no/such/program'", "commands.x.program", "does not exist"),
        ("program = 'no-such-program'", "commands.x.program", "in no directory of PATH"),
        (&format!("program = '{plain}'"), "commands.x.program", "not executable"),
        ("program = '/bin'", "commands.x.program", "not a file"),
        ("program = 'sh'\nenv = { PATH = '/nowhere' }", "commands.x.program", "/nowhere"),
        ("program = 'sh'\nenv = { 'A=B' = 'x' }", "commands.x.env", "A=B"),
    ] {
        let config = dir.config(&format!("[commands.x]\n{settings}\n"));
        let data = dir.data();
        let data = data.to_str().unwrap();
        let args = ["--listen", "127.0.0.1:0", "--config", &config, "--data-dir", data];
        let mut process = Command::run(&args);
        assert_eq!(process.exit().await.code(), Some(2), "{settings}");
        let said = process.err.so_far().join("\n");
        assert!(said.contains(key) && said.contains(says), "{settings}: {said}");
        assert!(!said.contains("echo"), "the program is not to blame: {said}");
    }
    // What disappears while the server runs is named as well.
    let cwd = dir.data().with_file_name("cwd");
    std::fs::create_dir(&cwd).unwrap();
    let settings = format!("[commands.x]\nprogram = '/bin/echo'\ncwd = '{}'\n", cwd.display());
    let server = Server::start(&dir, &["--config", &dir.config(&settings)]).await;
    std::fs::remove_dir(&cwd).unwrap();
    let job = json!({ "kind": "command", "payload": { "name": "x" }, "max_attempts": 1 });
    let id = server.client.submit(&job).await;
    let job = server.client.job_in(&id, "discarded").await;
    let error = job["error"]["message"].as_str().unwrap();
    assert!(error.contains(cwd.to_str().unwrap()) && !error.contains("echo"), "{error}");
    server.stop().await;
}
