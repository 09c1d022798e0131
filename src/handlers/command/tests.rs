//! The `command` kind with real processes: what they are given, what becomes of their output and of
//! them. `sh` appears as the declared program of a test only; the handler never uses one.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;
use crate::handlers::testing::{context, discarded, next_attempt, result, retried, run};
use crate::job::Stream;

/// Settings that declare one program, `it`.
fn declare(program: &str, args: &[&str]) -> CommandSettings {
    let program = Program {
        program: program.to_owned(),
        args: args.iter().map(|text| text.parse().unwrap()).collect(),
        env: BTreeMap::new(),
        cwd: None,
        stdin: Stdin::Empty,
        discard_codes: vec![65],
        max_output_lines: 1_000,
        dashes: Dashes::Refuse,
    };
    let programs = BTreeMap::from([("it".to_owned(), program)]);
    CommandSettings { programs, ..CommandSettings::default() }
}

/// `sh -c SCRIPT`; braces of the script are doubled by the caller.
fn script(text: &str) -> CommandSettings {
    declare("sh", &["-c", text])
}

fn lines(context: &AttemptContext) -> Vec<(Stream, String)> {
    let notes = context.take_notes();
    notes.lines.into_iter().map(|line| (line.stream, line.text.into())).collect()
}

async fn run_it(settings: CommandSettings) -> (Outcome, Vec<(Stream, String)>) {
    let context = context(r#"{"name":"it"}"#, 1);
    let outcome = run(&CommandHandler::new(settings), &context).await;
    (outcome, lines(&context))
}

/// Resolves when the attempt has logged a line, and answers it.
async fn first_line(context: &AttemptContext) -> String {
    loop {
        context.notes_changed().await;
        if let Some(line) = context.take_notes().lines.into_iter().next() {
            return line.text.into();
        }
    }
}

/// Whether a process still runs; a zombie does not.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start().chars().next();
    !matches!(state, None | Some('Z' | 'X'))
}

/// Resolves when a process is gone. There is no event for somebody else's child, so it looks again and
/// again; the bound turns a process that stays into a failure.
async fn gone(pid: &str) {
    assert!(pid.parse::<u32>().is_ok(), "{pid:?} is not a process id");
    let look = async {
        while runs(pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let end = tokio::time::timeout(Duration::from_secs(10), look).await;
    assert!(end.is_ok(), "process {pid} still runs");
}

#[tokio::test]
async fn success_is_exit_code_zero_and_output_is_the_log() {
    let (outcome, lines) =
        run_it(script("echo one; echo two; echo oops >&2; printf 'no end'")).await;
    let result = result(outcome);
    assert_eq!(result["exit_code"], 0);
    assert!(result["duration_ms"].is_u64());
    let on = |stream| lines.iter().filter(move |line| line.0 == stream).map(|line| line.1.as_str());
    assert_eq!(on(Stream::Stdout).collect::<Vec<_>>(), ["one", "two", "no end"]);
    assert_eq!(on(Stream::Stderr).collect::<Vec<_>>(), ["oops"]);
}

#[tokio::test]
async fn the_exit_decides_what_becomes_of_the_job() {
    let (error, _) = retried(run_it(script("echo first >&2; echo last >&2; exit 3")).await.0);
    assert_eq!(error, "exited with status 3: last");
    let error = discarded(run_it(script("exit 65")).await.0);
    assert_eq!(error, "exited with status 65");
    let (error, _) = retried(run_it(script("kill -SEGV $$")).await.0);
    assert_eq!(error, "killed by signal 11 (SIGSEGV)");
    let (error, _) = retried(run_it(declare("/no/such/program", &[])).await.0);
    assert!(error.contains("cannot run /no/such/program"), "{error}");
}

#[tokio::test]
async fn values_stay_literal_whatever_their_characters() {
    let settings = declare("printf", &[r"%s\n", "{value}", "a b={value}"]);
    let handler = CommandHandler::new(settings);
    for value in
        ["two words", "it's \"quoted\"", "$(touch /tmp/x)", "`id`; exit 9 & | > *", "ä\\n$HOME", ""]
    {
        let payload = json!({ "name": "it", "args": { "value": value } }).to_string();
        let context = context(&payload, 1);
        result(run(&handler, &context).await);
        let texts: Vec<String> = lines(&context).into_iter().map(|line| line.1).collect();
        assert_eq!(texts, [value.to_owned(), format!("a b={value}")]);
    }
}

#[tokio::test]
async fn a_payload_that_does_not_fit_is_discarded_and_nothing_runs() {
    let settings = declare("printf", &["{value}"]);
    for (payload, says) in [
        (json!({ "name": "other" }), "\"other\" is not declared; known commands: it"),
        (json!({ "name": "it" }), "\"value\" is missing"),
        (json!({ "name": "it", "args": { "value": "x", "more": 1 } }), "\"more\""),
        (json!({ "name": "it", "args": { "value": ["x"] } }), "string"),
        (json!({ "name": "it", "args": { "value": "--help" } }), "dashes"),
        (json!({ "name": "it", "shell": true }), "shell"),
        (json!({ "name": "../it" }), "not declared"),
    ] {
        let context = context(&payload.to_string(), 1);
        let error = discarded(run(&CommandHandler::new(settings.clone()), &context).await);
        assert!(error.contains(says), "{payload}: {error}");
        assert!(lines(&context).is_empty());
    }
    let nothing = CommandHandler::new(CommandSettings::default());
    let error = discarded(run(&nothing, &context(r#"{"name":"it"}"#, 1)).await);
    assert!(error.contains("[commands.NAME]"), "{error}");
}

#[tokio::test]
async fn the_environment_holds_only_what_was_meant() {
    let mut settings = declare("env", &[]);
    let program = settings.programs.get_mut("it").unwrap();
    program.env = BTreeMap::from([("GREETING".to_owned(), "hello".into())]);
    let context = context(r#"{"name":"it"}"#, 7);
    result(run(&CommandHandler::new(settings), &context).await);
    let lines = lines(&context);
    let mut names = Vec::new();
    for (_, line) in &lines {
        let (name, value) = line.split_once('=').unwrap();
        match name {
            "CORTADO_JOB_ID" => assert_eq!(value, context.id().to_string()),
            "CORTADO_ATTEMPT" => assert_eq!(value, "7"),
            "CORTADO_QUEUE" => assert_eq!(value, "q1"),
            "CORTADO_KIND" => assert_eq!(value, "tested"),
            "GREETING" => assert_eq!(value, "hello"),
            "CORTADO_SERVER_PROCESS" => {
                assert!(value.starts_with(&format!("{}:", std::process::id())));
            }
            "PATH" | "HOME" | "LANG" => continue,
            other => panic!("{other} should not be passed on"),
        }
        names.push(name);
    }
    assert_eq!(names.len(), 6, "{names:?}");
}

#[tokio::test]
async fn it_runs_where_it_is_declared_to_and_reads_what_it_is_given() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = script("pwd; cat");
    let program = settings.programs.get_mut("it").unwrap();
    program.cwd = Some(directory.path().canonicalize().unwrap());
    program.stdin = Stdin::Payload;
    let payload = r#"{"name":"it","args":{"n": 12345678901234567890123}}"#;
    let context = context(payload, 1);
    result(run(&CommandHandler::new(settings.clone()), &context).await);
    let lines = lines(&context);
    assert_eq!(Path::new(&lines[0].1), directory.path().canonicalize().unwrap());
    assert_eq!(lines[1].1, payload);

    settings.programs.get_mut("it").unwrap().stdin = Stdin::Empty;
    assert_eq!(run_it(settings).await.1.len(), 1);
}

#[tokio::test]
async fn a_program_that_does_not_read_its_input_succeeds() {
    let mut settings = declare("true", &[]);
    settings.programs.get_mut("it").unwrap().stdin = Stdin::Payload;
    let filler = "x".repeat(1_000_000);
    let payload = json!({ "name": "it", "args": { "filler": filler } }).to_string();
    result(run(&CommandHandler::new(settings), &context(&payload, 1)).await);
}

/// Scripts that log the id of one process that they have started, and wait for it.
const WITH_CHILD: [&str; 4] = [
    "sleep 1000 & echo $!; wait",
    "setsid --wait sh -c 'echo $$; exec sleep 1000'",
    "setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.05; done'; sleep 1000",
    "setsid sh -c 'env -i sleep 1000 & echo $!; wait' & wait",
];

#[tokio::test]
async fn a_cancel_ends_everything_that_the_program_has_started() {
    for script in WITH_CHILD {
        let kill_grace = Duration::from_millis(200);
        let settings = CommandSettings { kill_grace, ..self::script(script) };
        let handler = CommandHandler::new(settings);
        let context = context(r#"{"name":"it"}"#, 1);
        let cancel = async {
            let pid = first_line(&context).await;
            assert!(runs(&pid), "the child of {script} should run");
            context.cancellation().cancel();
            pid
        };
        let (outcome, pid) = tokio::join!(run(&handler, &context), cancel);
        assert_eq!(outcome, Outcome::Cancel);
        assert!(!runs(&pid), "the child of {script} has outlived the attempt");
    }
}

#[tokio::test]
async fn a_child_that_left_the_group_survives_an_exit_and_attempts_of_other_numbers() {
    let handler = CommandHandler::new(script("setsid sh -c 'echo $$; exec sleep 1000' & exit 3"));
    let first = context(r#"{"name":"it"}"#, 1);
    retried(run(&handler, &first).await);
    let pid = lines(&first).remove(0).1;
    let handler = CommandHandler::new(script("echo ready; exec sleep 1000"));
    let second = next_attempt(&first);
    let cancel = async {
        first_line(&second).await;
        second.cancellation().cancel();
    };
    assert_eq!(tokio::join!(run(&handler, &second), cancel).0, Outcome::Cancel);
    assert!(runs(&pid), "it belongs to the first attempt");
    kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn a_process_that_ignores_sigterm_is_killed_after_the_grace() {
    let text = "trap '' TERM; echo $$; while true; do sleep 0.05; done";
    let settings = CommandSettings { kill_grace: Duration::from_millis(150), ..script(text) };
    let handler = CommandHandler::new(settings);
    let context = context(r#"{"name":"it"}"#, 1);
    let cancel = async {
        let pid = first_line(&context).await;
        context.cancellation().cancel();
        (pid, Instant::now())
    };
    let (outcome, (pid, asked)) = tokio::join!(run(&handler, &context), cancel);
    assert_eq!(outcome, Outcome::Cancel);
    assert!(asked.elapsed() >= Duration::from_millis(150), "the grace was not given");
    gone(&pid).await;
}

#[tokio::test]
async fn a_process_may_clean_up_when_it_is_told_to_end() {
    let text = "trap 'echo cleaned; exit 0' TERM; echo ready; while true; do sleep 0.02; done";
    let handler = CommandHandler::new(script(text));
    let context = context(r#"{"name":"it"}"#, 1);
    let cancel = async {
        assert_eq!(first_line(&context).await, "ready");
        context.cancellation().cancel();
    };
    let (outcome, ()) = tokio::join!(run(&handler, &context), cancel);
    assert_eq!(outcome, Outcome::Cancel);
    // The shell may also say that the `sleep` it was waiting for was terminated.
    assert!(lines(&context).contains(&(Stream::Stdout, "cleaned".to_owned())));
}

#[tokio::test]
async fn a_grandchild_that_holds_the_pipes_does_not_hold_the_attempt() {
    let begin = Instant::now();
    let (outcome, lines) = run_it(script("sleep 1000 & echo $!")).await;
    assert_eq!(result(outcome)["exit_code"], 0);
    assert!(begin.elapsed() < Duration::from_secs(20));
    gone(&lines[0].1).await;
}

#[tokio::test]
async fn a_child_that_left_the_group_does_not_hold_the_attempt_either() {
    let begin = Instant::now();
    // It ends by itself; nobody could end it through the group.
    let (outcome, _) = run_it(script("setsid sleep 8 & exit 0")).await;
    assert_eq!(result(outcome)["exit_code"], 0);
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_dropped_attempt_leaves_no_process_behind() {
    for script in WITH_CHILD {
        let handler = CommandHandler::new(self::script(script));
        let context = context(r#"{"name":"it"}"#, 1);
        let pid = tokio::select! {
            outcome = run(&handler, &context) => panic!("it should still run, not {outcome:?}"),
            pid = first_line(&context) => pid,
        };
        gone(&pid).await;
    }
}

#[tokio::test]
async fn a_flood_of_output_is_bounded() {
    let mut settings = script("yes | head -n 100000; echo the end");
    settings.programs.get_mut("it").unwrap().max_output_lines = 10;
    let (outcome, lines) = run_it(settings).await;
    assert_eq!(result(outcome)["exit_code"], 0);
    assert_eq!((lines.len(), lines[111 - 1].1.as_str()), (111, "the end"));
    assert_eq!(lines[10].1, "99891 lines of output were dropped");
}

#[test]
fn the_example_fits_the_first_declared_program() {
    let example = CommandHandler::new(declare("x", &["{a}", "--b={b}"])).example();
    let payload: Payload = serde_json::from_str(&example).unwrap();
    assert_eq!((payload.name.as_str(), payload.args.len()), ("it", 2));
}
