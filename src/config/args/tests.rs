//! Command lines: what is read from them, and what is refused with which words.

use clap::CommandFactory;

use super::*;

fn command(line: &str) -> CliCommand {
    Cli::read(line.split_whitespace()).unwrap()
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn a_bare_cortado_serves() {
    let CliCommand::Serve(args) = command("cortado --demo --listen localhost:9000 --grace 5s")
    else {
        panic!("serve was expected");
    };
    assert!(args.demo);
    assert_eq!(args.listen[0].to_string(), "127.0.0.1:9000");
    assert_eq!(args.grace, Some(Duration::from_secs(5)));
    assert!(
        matches!(command("cortado serve --concurrency 3"), CliCommand::Serve(args) if args.concurrency == Some(Concurrency::clamped(3)))
    );
}

#[test]
fn the_help_of_submit_says_what_the_default_retries_amount_to() {
    let mut cli = Cli::command();
    let submit = cli.find_subcommand_mut("submit").unwrap();
    let help = submit.render_long_help().to_string();
    let help: Vec<&str> = help.split_whitespace().collect();
    let says =
        "default: 25, which is up to 25 attempts over about 20 days; 5 for echo, sleep and fail";
    assert!(help.join(" ").contains(says), "{help:?}");
}

#[test]
fn watch_takes_several_of_each_filter() {
    let line = "cortado watch --queue a --queue b --type job.completed --after 0000002a:7 --json";
    let CliCommand::Watch(args) = command(line) else { panic!("watch was expected") };
    assert_eq!(args.queue.len(), 2);
    assert_eq!(args.types, ["job.completed"]);
    assert_eq!(args.after.unwrap().seq, 7);
    assert!(args.json);
}

#[test]
fn watch_takes_every_filter_that_the_stream_takes() {
    for filter in [
        "--type job.*",
        "--type *",
        "--type *.completed,queue.*",
        "--type job.completed,job.discarded --type schedule.fired",
        "--queue mail,web --queue a",
        "--kind http,command",
        "--tag red,blue --after 0000002a:7",
        "--job 019ab001-7c3e-7d10-8a55-0242ac120002,019ab001-7c3e-7d10-8a55-0242ac120003",
    ] {
        let line = format!("cortado watch {filter}");
        assert!(matches!(command(&line), CliCommand::Watch(_)), "{line}");
    }
}

#[test]
fn submit_reads_every_field() {
    let line =
        "cortado submit echo -5 --priority -3 --delay 90s --timeout 5m --key k --tag x --wait";
    let CliCommand::Submit(args) = command(line) else { panic!("submit was expected") };
    assert_eq!((args.payload.as_deref(), args.priority), (Some("-5"), Some(-3)));
    assert_eq!(args.delay, Some(Duration::from_secs(90)));
    assert_eq!(args.wait, Some(None));
    let CliCommand::Submit(args) = command("cortado submit echo --wait=2s -") else { panic!() };
    assert_eq!(args.wait, Some(Some(Duration::from_secs(2))));
    let CliCommand::Submit(seconds) = command("cortado submit echo --wait=2") else { panic!() };
    assert_eq!(seconds.wait, args.wait, "the API takes a number of seconds, too");
    assert_eq!(args.payload.as_deref(), Some("-"));
}

#[test]
fn a_wrong_value_is_refused_with_what_is_accepted() {
    for (line, says) in [
        ("cortado --listen 8080", "127.0.0.1:8080"),
        ("cortado watch --type job.finish", "job.completed"),
        ("cortado watch --type job.finish*", "queue.*"),
        ("cortado watch --queue mail,two/words", "two/words"),
        ("cortado watch --server ftp://x", "http://"),
        ("cortado submit no/kind", "a-z"),
        ("cortado submit echo --delay 1s --run-at 2026-01-01T00:00:00Z", "cannot be used with"),
        ("cortado backup", "DIR"),
        ("cortado submit echo --max-attempts 0", "must be an integer from 1 to 1000, but is 0"),
        ("cortado submit echo --max-attempts x", "must be an integer from 1 to 1000, but is \"x\""),
        ("cortado submit echo --priority 40000", "an integer from -32768 to 32767, but is 40000"),
        ("cortado --concurrency 0", "must be an integer from 1 to 1000000, but is 0"),
        ("cortado --concurrency=-1", "must be an integer from 1 to 1000000, but is -1"),
        ("cortado --concurrency 1.5", "must be an integer from 1 to 1000000, but is 1.5"),
        ("cortado --concurrency 1000001", "from 1 to 1000000, but is 1000001"),
        ("cortado --concurrency NaN", "from 1 to 1000000, but is \"NaN\""),
        ("cortado export --data-dir d --server http://x", "cannot be used with '--server <URL>'"),
        ("cortado export --ca-file x --data-dir d", "cannot be used with '--ca-file <FILE>'"),
        ("cortado export --data-dir d --auth-token x", "cannot be used with '--auth-token"),
        (
            "cortado user list --data-dir d --server http://x",
            "cannot be used with '--server <URL>'",
        ),
        (
            "cortado user delete anna --server unix:/s --data-dir d",
            "either a directory or a server",
        ),
        (
            "cortado token revoke ci --data-dir d --auth-token x",
            "cannot be used with '--auth-token",
        ),
        (
            "cortado verify --data-dir d --store postgres://db/jobs",
            "'--data-dir <DIR>' cannot be used with '--store <URL>'",
        ),
        ("cortado export --data-dir d --store postgres://db/jobs", "a directory or a database"),
        ("cortado export --store postgres://db/jobs --server http://x", "a database or a server"),
        ("cortado backup --store postgres://db/jobs --ca-file x d", "'--store <URL>' cannot be"),
        ("cortado move --from d", "--to <PLACE>"),
        ("cortado session list --ca-file x --data-dir d", "cannot be used with '--ca-file <FILE>'"),
        ("cortado submit echo --queue ..", "without a dot at either end"),
        ("cortado submit ..", "without a dot at either end"),
    ] {
        let error = Cli::read(line.split_whitespace()).unwrap_err().to_string();
        assert!(error.contains(says), "{line}: {error}");
    }
}

#[test]
fn a_server_and_its_directory_are_set_together_by_serve_alone() {
    for line in [
        "cortado --data-dir d --auth-token 0123456789abcdef",
        "cortado serve --data-dir d --auth-token 0123456789abcdef",
        "cortado user list --data-dir d",
        "cortado user list --server http://x --auth-token x",
        "cortado verify --data-dir d",
    ] {
        assert!(Cli::read(line.split_whitespace()).is_ok(), "{line}");
    }
}
