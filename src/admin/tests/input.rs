//! Imports of what no version of the program wrote, although every line is well-formed: an import refuses what the API
//! refuses, in the same words, and accepts everything that older versions could store.

use super::*;

/// An export of the first format, whose lines have no checksums, so that they can be changed.
const OLD: &str = include_str!("../../../tests/fixtures/store-v1.jsonl");

/// The number of the first line with a text, and the whole export with this text replaced in that line.
fn changed(from: &str, to: &str) -> (usize, String) {
    let is_schedule = |line: &str| line.starts_with("{\"schedule\"");
    let of_others = OLD.lines().position(|line| line.contains(from) && !is_schedule(line));
    let at = of_others.or_else(|| OLD.lines().position(|line| line.contains(from)));
    let at = at.unwrap_or_else(|| panic!("{from}"));
    let lines = OLD.lines().enumerate().map(|(number, line)| {
        if number == at { line.replacen(from, to, 1) + "\n" } else { line.to_owned() + "\n" }
    });
    (at + 1, lines.collect())
}

fn imported(dirs: &tempfile::TempDir, name: &str, text: &str) -> Result<(), String> {
    let file = place(dirs, "import.jsonl");
    std::fs::write(&file, text).unwrap();
    let args = ImportArgs { file, data_dir: place(dirs, name), store: None };
    import(&args, &mut Vec::new()).map_err(|error| error.to_string())
}

#[test]
fn an_import_refuses_what_the_api_refuses_in_the_same_words() {
    let dirs = tempfile::tempdir().unwrap();
    let enqueued = "event.fact.job.change.enqueued.spec";
    let attempts = "must be an integer from 1 to 1000, but is";
    let retry = r#""max_attempts":10,"backoff":{"base_ms":1000,"cap_ms":3600000}"#;
    let with = |attempts: &str, base: &str, cap: &str| {
        format!(r#""max_attempts":{attempts},"backoff":{{"base_ms":{base},"cap_ms":{cap}}}"#)
    };
    for (from, to, words) in [
        (retry, with("0", "1000", "3600000"), format!("{enqueued}.retry.max_attempts: {attempts} 0")),
        (retry, with("1001", "1000", "3600000"), format!("{enqueued}.retry.max_attempts: {attempts} 1001")),
        (
            retry,
            with("\"x\"", "1000", "3600000"),
            format!("{enqueued}.retry.max_attempts: must be an integer from 0 to 65535, but is a string"),
        ),
        (
            retry,
            with("10", "5000", "1000"),
            format!("{enqueued}.retry.backoff.base_ms: the initial backoff (5000 ms) must not exceed the maximum backoff (1000 ms)"),
        ),
        (
            retry,
            with("10", "1000", "604800001"),
            format!("{enqueued}.retry.backoff.cap_ms: must be an integer from 0 to 604800000, but is 604800001"),
        ),
        (
            retry,
            with("10", "-1", "1000"),
            format!("{enqueued}.retry.backoff.base_ms: must be an integer of at least 0, but is -1"),
        ),
        (
            r#""timeout_ms":null"#,
            r#""timeout_ms":0"#.into(),
            format!("{enqueued}.timeout_ms: must be an integer from 1 to 604800000, but is 0"),
        ),
        (
            r#""priority":0"#,
            r#""priority":40000"#.into(),
            format!("{enqueued}.priority: must be an integer from -32768 to 32767, but is 40000"),
        ),
        (
            r#""priority":0"#,
            r#""priority":0,"colour":"red""#.into(),
            format!("{enqueued}.colour: is not known; expected one of payload, priority, retry, timeout_ms, idempotency_key"),
        ),
        (r#""priority":0,"#, String::new(), format!("{enqueued}.priority: is required")),
        (
            r#""kind":"echo","tags":[]"#,
            r#""kind":"two words","tags":["a,b"]"#.into(),
            "kind \"two words\" is not valid: use 1 to 64 of the characters a-z A-Z 0-9 _ . : -".into(),
        ),
        (
            r#""kind":"echo","tags":[]"#,
            r#""kind":"echo","tags":["fine","a,b"]"#.into(),
            "event.fact.job.labels.tags[1]: tag \"a,b\" is not valid".into(),
        ),
        (r#""id":"01a2"#, r#""id":"x1a2"#.into(), "event.fact.job.id: job id \"x1a2".into()),
        (
            r#""pattern":"every 1m""#,
            r#""pattern":"at night""#.into(),
            "schedule.spec.cron.pattern: \"at night\" has 2 fields: use five fields".into(),
        ),
        (
            r#""pattern":"every 1m""#,
            r#""pattern":"61 * * * *""#.into(),
            "schedule.spec.cron.pattern: \"61\" is not a valid minute (0 to 59)".into(),
        ),
        (
            r#""pattern":"every 1m""#,
            r#""pattern":"every 1ms""#.into(),
            "schedule.spec.cron.pattern: \"every 1ms\" is not a valid interval".into(),
        ),
        (
            r#""zone":"UTC""#,
            r#""zone":"mars or so""#.into(),
            "schedule.spec.cron.zone: unknown time zone \"mars or so\"; use UTC, an offset".into(),
        ),
        (r#""zone":"UTC""#, r#""zone":"""#.into(), "schedule.spec.cron.zone: unknown time zone \"\"".into()),
        (
            r#""zone":"UTC""#,
            r#""zone":"UTC","every":1"#.into(),
            "schedule.spec.cron.every: is not known; expected one of pattern, zone".into(),
        ),
        (
            r#""timeout_ms":1500,"idempotency_key":null},"overlap""#,
            r#""timeout_ms":1500,"idempotency_key":"k"},"overlap""#.into(),
            "schedule.spec.spec.idempotency_key: must be null in a schedule".into(),
        ),
        (
            r#""overlap":"skip""#,
            r#""overlap":"maybe""#.into(),
            "schedule.spec.overlap: must be allow or skip, but is \"maybe\"".into(),
        ),
        (
            r#"{"concurrency":["held",2]}"#,
            r#"{"concurrency":["held",0]}"#.into(),
            "must be an integer from 1 to 1000000, but is 0; pause a queue to stop it".into(),
        ),
        (
            r#""status":{"state":"completed","attempt":1,"max_attempts":10"#,
            r#""status":{"state":"completed","attempt":1,"max_attempts":0"#.into(),
            "job.status.max_attempts: must be an integer from 1 to 65535, but is 0".into(),
        ),
        (
            r#""status":{"state":"completed""#,
            r#""status":{"state":"done""#.into(),
            "job.status.state: must be one of scheduled, available, running, retryable, completed, discarded, cancelled, but is \"done\"".into(),
        ),
    ] {
        let (line, text) = changed(from, &to);
        let why = imported(&dirs, "refused", &text).expect_err(&to);
        assert!(why.contains(&format!("line {line}: ")) && why.contains(&words), "{to}: {why}");
        for foreign in ["invalid type", "invalid value", "missing field", "unknown field", "column"] {
            assert!(!why.contains(foreign), "{to}: {why}");
        }
    }
}

#[test]
fn an_import_accepts_everything_that_an_older_version_could_store() {
    let dirs = tempfile::tempdir().unwrap();
    let retry = r#""max_attempts":10,"backoff":{"base_ms":1000,"cap_ms":3600000}"#;
    for (number, (from, to)) in [
        // Before backoffs had a lower bound, and lists of cron had no empty elements.
        (retry, r#""max_attempts":10,"backoff":{"base_ms":0,"cap_ms":0}"#),
        (r#""pattern":"every 1m""#, r#""pattern":"1,,2 * * * *""#),
        (r#""pattern":"every 1m""#, r#""pattern":"0 0 30 2 *""#),
        // A machine with other time zones.
        (r#""zone":"UTC""#, r#""zone":"Mars/Olympus_Mons""#),
        (r#""zone":"UTC""#, r#""zone":"-03:30""#),
        (r#""queue":"scheduled""#, r#""queue":"..""#),
        (r#""max_late_ms":null"#, r#""max_late_ms":0"#),
    ]
    .into_iter()
    .enumerate()
    {
        // The schedule's own events say the same of the queue.
        let text = if from.contains("scheduled") {
            OLD.replace(from, to)
        } else {
            changed_schedule(from, to)
        };
        imported(&dirs, &number.to_string(), &text).unwrap_or_else(|why| panic!("{to}: {why}"));
    }
}

/// The export with a text replaced in the line of the schedule.
fn changed_schedule(from: &str, to: &str) -> String {
    let lines = OLD.lines().map(|line| match line.strip_prefix("{\"schedule\"") {
        Some(_) => line.replacen(from, to, 1) + "\n",
        None => line.to_owned() + "\n",
    });
    lines.collect()
}
