//! How the file, the arguments and the defaults are merged, and what is refused.

use std::path::Path;
use std::time::Duration;

use clap::Parser as _;

use super::*;
use crate::engine::EngineConfig;
use crate::handlers::command::{Dashes, Stdin};
use crate::job::{Concurrency, QueueName};
use crate::store;

const EXAMPLE: &str = include_str!("../../docs/cortado.example.toml");

fn build(toml: &str) -> Result<Config, ConfigError> {
    Config::build(FileConfig::parse(toml).unwrap(), &ServeArgs::default())
}

fn problems(toml: &str) -> Vec<InvalidSetting> {
    match build(toml) {
        Err(ConfigError::Invalid(problems)) => problems,
        other => panic!("problems were expected, not {other:?}"),
    }
}

#[test]
fn the_example_file_says_the_defaults() {
    assert_eq!(FileConfig::parse(EXAMPLE).unwrap(), FileConfig::default());
}

#[test]
fn the_example_file_names_every_setting() {
    // Settings that are commented out have no default; they must be accepted when they are set.
    let mut text = String::new();
    for line in EXAMPLE.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let setting = bare.starts_with('[')
            || bare.split_once(" = ").is_some_and(|(key, _)| {
                key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            });
        let hidden = ["signing_secret", "token", "client_secret_file", "url = \"postgres"];
        let secret = hidden.iter().any(|start| bare.starts_with(start));
        if setting && !secret {
            text.push_str(bare);
            text.push('\n');
        }
    }
    let text = text.replace("trusted_proxies = []", "trusted_proxies = ['127.0.0.1']");
    let config = build(&text).unwrap();
    assert_eq!(config.base_url.unwrap().as_str(), "https://jobs.example.com/");
    assert_eq!(config.engine.queues.len(), 1);
    let program = &config.handlers.command.programs["resize"];
    assert_eq!((program.stdin, program.dashes), (Stdin::Empty, Dashes::Refuse));
    assert_eq!((program.max_output_lines, &program.discard_codes[..]), (10_000, &[65][..]));
    assert_eq!(program.env.len(), 1);

    // The file has every field name of the structs.
    let debug = format!("{:?}", FileConfig::default());
    let names = debug.split([' ', '{', ',']).filter_map(|word| word.strip_suffix(':'));
    for name in names.filter(|name| !["secs", "nanos", "kind", "start", "end"].contains(name)) {
        assert!(EXAMPLE.contains(name), "{name} is missing in the example");
    }
}

#[test]
fn the_defaults_are_those_of_the_layers() {
    let config = build("").unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.data_dir, Path::new("data"));
    let (engine, default) = (config.engine, EngineConfig::default());
    assert_eq!(format!("{engine:?}"), format!("{default:?}"));
    assert_eq!(format!("{:?}", config.limits), format!("{:?}", store::StoreLimits::default()));
    assert_eq!(config.stop.grace, Duration::from_secs(25));
    assert!(config.http.max_body > engine.max_payload);
    assert!(config.auth.is_none() && !config.demo);
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let file = "listen = 'localhost:1'\ndata_dir = 'elsewhere'\n[stop]\ngrace = '1m 5s'\n\
         [engine]\nconcurrency = 5\n[log]\nformat = 'json'\nfilter = 'warn'\n\
         [queues.mail]\nweight = 3\n[queues.images]\nconcurrency = 3";
    let config = build(file).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:1");
    assert_eq!(config.stop.grace, Duration::from_secs(65));
    assert_eq!(config.log.format, LogFormat::Json);

    let args = ServeArgs {
        listen: vec!["127.0.0.1:2".parse().unwrap()],
        demo: true,
        grace: Some(Duration::ZERO),
        concurrency: Some(Concurrency::clamped(7)),
        auth_token: Some("0123456789abcdef".into()),
        log: Some("debug".to_owned()),
        ..ServeArgs::default()
    };
    let config = Config::build(FileConfig::parse(file).unwrap(), &args).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:2");
    assert_eq!(config.data_dir, Path::new("elsewhere"));
    assert_eq!((config.stop.grace, config.demo), (Duration::ZERO, true));
    assert_eq!((config.log.format, config.log.filter.as_str()), (LogFormat::Json, "debug"));
    assert_eq!(config.auth.unwrap().token.expose(), "0123456789abcdef");
    assert_eq!(config.engine.default_queue.concurrency.get(), 7);
    // For a queue that the file does not configure, the demo sets its own concurrency.
    let queues: Vec<_> = config.engine.queues.iter().map(|(name, q)| (name.as_str(), *q)).collect();
    let queue = |concurrency, limit, weight| crate::engine::QueueConfig {
        concurrency: Concurrency::clamped(concurrency),
        limit,
        weight,
        rate_limit: None,
    };
    let own = |name, limit| (name, queue(limit, Some(Concurrency::clamped(limit)), 1));
    let (tenant, mail) = (own("images.northwind", 2), ("mail", queue(7, None, 3)));
    assert_eq!(queues, [own("images", 3), tenant, mail, own("reports", 2)]);
}

#[test]
fn only_the_own_limits_of_a_queue_hold_over_all_workers() {
    let config = build(
        "[engine]\nconcurrency = 7\n[queues.mail]\nconcurrency = 2\n[queues.api]\nrate_limit = '9/1m'\n\
         [queues.heavy]\nweight = 3",
    );
    let config = config.unwrap();
    let limits = &config.limits.queues;
    let names: Vec<&str> = limits.keys().map(QueueName::as_str).collect();
    assert_eq!(names, ["api", "mail"]);
    let [api, mail] = [0, 1].map(|n| limits.values().nth(n).unwrap());
    assert_eq!((api.concurrency, api.rate_limit), (None, Some("9/1m".parse().unwrap())));
    assert_eq!((mail.concurrency, mail.rate_limit), (Some(Concurrency::clamped(2)), None));
}

#[test]
fn several_addresses_are_one_list_in_a_file_and_in_arguments() {
    let config = build(
        "listen = ['127.0.0.1:1', 'http://localhost:2', 'unix:/run/cortado.sock']\nsocket_mode = '660'",
    );
    let config = config.unwrap();
    let expected = "127.0.0.1:1, http://127.0.0.1:2, unix:/run/cortado.sock";
    assert_eq!(
        (config.listen.to_string().as_str(), config.socket_mode.to_string()),
        (expected, "0660".into())
    );
    let line = ["cortado", "--listen", "127.0.0.1:3,unix:/a", "--listen", "[::1]:4"];
    let CliCommand::Serve(args) = Cli::try_parse_from(line).unwrap().into_command() else {
        panic!("serve was expected");
    };
    let config = Config::build(FileConfig::default(), &args).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:3, unix:/a, [::1]:4");
    for (bad, why) in [
        ("listen = []", "at least one"),
        ("listen = ['127.0.0.1:1', '127.0.0.1:1']", "twice"),
        ("listen = ['unix:cortado.sock']", "absolute path"),
        ("listen = 8080", "an address such as"),
        ("socket_mode = '0888'", "octal"),
        ("socket_mode = 600", "a string"),
        ("http.trusted_proxies = ['proxy.local']", "\"unix\""),
    ] {
        let refused = FileConfig::parse(bad).unwrap_err();
        assert!(refused.contains(why), "{bad}: {refused}");
    }
    let twice = ServeArgs { listen: vec!["unix:/a".parse().unwrap(); 2], ..ServeArgs::default() };
    let refused = Config::build(FileConfig::default(), &twice).unwrap_err().to_string();
    assert!(refused.contains("listen: unix:/a is listed twice"), "{refused}");
}

#[test]
fn a_certificate_needs_both_files_and_its_limits_are_checked() {
    for (bad, key) in [
        ("[tls]\ncert = 'a'", "tls.key"),
        ("[tls]\nkey = 'a'", "tls.cert"),
        ("listen = 'https://127.0.0.1:1'", "listen"),
        ("listen = ['127.0.0.1:1', 'https://127.0.0.1:2']", "listen"),
        ("[tls]\nreload = '0s'", "tls.reload"),
        ("[tls]\nhandshake_timeout = '0s'", "tls.handshake_timeout"),
        ("[tls]\nmax_handshakes = 0", "tls.max_handshakes"),
    ] {
        let [problem] = &problems(bad)[..] else { panic!("one problem: {bad}") };
        assert_eq!(problem.key, key, "{bad}: {problem:?}");
    }
    let tls = build("[tls]\ncert = 'a.crt'\nkey = 'a.key'").unwrap().tls.unwrap();
    assert_eq!((tls.files.cert, tls.files.key), ("a.crt".into(), "a.key".into()));
    // The files are checked when the server starts.
    let dir = tempfile::tempdir().unwrap();
    let [missing, empty] = ["missing", "empty"].map(|name| dir.path().join(name));
    std::fs::write(&empty, "").unwrap();
    for (cert, ca, key) in [
        (Some(&missing), None, "tls.cert"),
        (Some(&empty), None, "tls.cert"),
        (None, Some(&missing), "handlers.http.ca_files"),
        (None, Some(&empty), "handlers.http.ca_files"),
    ] {
        let mut file = FileConfig::default();
        (file.tls.cert, file.tls.key) = (cert.cloned(), cert.map(|_| empty.clone()));
        file.handlers.http.ca_files = ca.into_iter().cloned().collect();
        let config = Config::build(file, &ServeArgs::default()).unwrap();
        let Err(ConfigError::Invalid(wrong)) = config.check_environment() else {
            panic!("{key} was to be refused");
        };
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert_eq!(wrong[0].key, key, "{wrong:?}");
        assert!(wrong[0].message.contains(dir.path().to_str().unwrap()), "{wrong:?}");
    }
}

#[test]
fn a_server_that_others_can_reach_needs_no_token_in_its_configuration() {
    for listen in ["0.0.0.0:8080", "[::]:8080", "192.168.1.5:80"] {
        let config = build(&format!("listen = '{listen}'")).unwrap();
        assert!(config.auth.is_none(), "its first start creates an admin");
        let token = format!("listen = '{listen}'\n[auth]\ntoken = '0123456789abcdef'");
        assert!(build(&token).unwrap().auth.is_some());
    }
    for (listen, is_reachable) in [
        ("127.0.0.1:8080", false),
        ("[::1]:8080", false),
        ("127.8.8.8:80", false),
        ("[::ffff:127.0.0.1]:80", false),
        ("0.0.0.0:8080", true),
        ("192.168.1.5:80", true),
    ] {
        let config = build(&format!("listen = '{listen}'")).unwrap();
        assert_eq!(config.listen.reachable_by_others().is_some(), is_reachable, "{listen}");
    }
}

#[test]
fn every_problem_is_named_with_its_key() {
    let problems = problems(
        "base_url = 'jobs.example.com'\nbase_path = 'cortado'\nlog.filter = 'loud,,=x'\nauth.token = 'short'\n\
         [engine]\nconcurrency = 0\nlease = '10ms'\nworker = ''\nmax_payload = '8MiB'\n\
         [queues.'two words']\nweight = 0\n[store]\nmax_waiting = 0\n[http]\nsubscriber_mark = '0s'\nmax_subscribers = 20000\nconnections_per_address = 12000\nmin_rate_window = '0s'\n\
         [handlers.http]\nallow = ['10.0.0.0/8', 'everything']\nsigning_secret = 'secret'\n\
         [handlers.command]\nkill_grace = '1600ms'\n\
         [commands.x]\nprogram = './x'\nargs = ['{a b}']\nenv = { 'A=B' = '1' }\ncwd = ''\ndiscard_codes = [0, 65, 256]",
    );
    let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    for key in [
        "base_url",
        "base_path",
        "log.filter",
        "auth.token",
        "engine.concurrency",
        "engine.lease",
        "engine.worker",
        "http.max_body",
        "http.max_subscribers",
        "http.connections_per_address",
        "http.min_rate_window",
        "queues.two words",
        "queues.two words.weight",
        "store.max_waiting",
        "http.subscriber_mark",
        "handlers.http.allow",
        "handlers.http.signing_secret",
        "handlers.command.kill_grace",
        "commands.x.program",
        "commands.x.args[0]",
        "commands.x.env",
        "commands.x.cwd",
        "commands.x.discard_codes[0]",
        "commands.x.discard_codes[2]",
    ] {
        assert_eq!(keys.iter().filter(|found| **found == key).count(), 1, "{key}: {problems:?}");
    }
    assert_eq!(keys.len(), 24, "{problems:?}");
    let text = ConfigError::Invalid(problems).to_string();
    assert!(!text.contains("kind \""), "{text}");
    assert!(text.contains("\n  engine.concurrency: must be an integer from 1 to 1000000, but is 0; pause a queue to stop it"), "{text}");
    assert!(
        !text.contains("'secret'") && !text.contains("\"short\""),
        "secrets stay secret: {text}"
    );
}

#[test]
fn an_address_that_may_have_many_subscribers_may_have_as_many_connections() {
    let connections = |toml: &str| build(toml).unwrap().http.connections_from_one_address();
    assert_eq!(connections(""), crate::http::HttpLimits::default().connections_from_one_address());
    assert_eq!(connections("[http]\nsubscribers_per_address = 5000"), 5_064);
    assert_eq!(
        connections("[http]\nsubscribers_per_address = 5000\nconnections_per_address = 7"),
        7
    );
}

#[test]
fn one_token_cannot_connect_all_workers_unless_it_is_allowed_to() {
    let per_token = |toml: &str| build(toml).unwrap().engine.worker_limits().per_token;
    assert_eq!(per_token(""), 10_000);
    assert_eq!(per_token("[engine]\nmax_workers = 9"), 5);
    assert_eq!(per_token("[engine]\nmax_workers = 9\nworkers_per_token = 9"), 9);
    let none = problems("[engine]\nworkers_per_token = 0");
    assert_eq!(none[0].key, "engine.workers_per_token");
}

#[test]
fn a_file_that_is_wrong_is_named_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cortado.toml");
    for (text, says) in [
        ("listen = '127.0.0.1:80'\n[stop]\ngrase = '5s'", ["line 3", "grase"]),
        ("[stop]\ngrace = 25", ["line 2", "stop.grace: must be a duration such as \"25s\""]),
        ("[stop]\ngrace = '25'", ["line 2", "25s"]),
        ("listen = 'localhost'", ["line 1", "127.0.0.1:8080"]),
        ("[http]\n\nmax_body = '2 TB'", ["line 3", "2MiB"]),
        ("[http]\nmax_body = -1", ["line 2", "2MiB"]),
        ("[log]\nformat = 'xml'", ["line 2", "json"]),
        ("[http]\ntrusted_proxies = ['proxy.local']", ["line 2", "10.0.0.0/8"]),
        ("[http]\nmin_rate = 'fast'", ["line 2", "64kB"]),
        ("[retention]\nevents = { age = '1 day' }", ["line 2", "count"]),
        ("[commands.x]\nargs = []", ["line 1", "program"]),
        ("listen = ", ["line 1", "column 10"]),
    ] {
        std::fs::write(&path, text).unwrap();
        let args = ServeArgs { config: Some(path.clone()), ..ServeArgs::default() };
        let error = Config::load(&args).unwrap_err().to_string();
        assert!(error.contains("cortado.toml"), "{error}");
        assert!(says.iter().all(|word| error.contains(word)), "{text}: {error}");
    }
    let args = ServeArgs { config: Some("/no/such/file.toml".into()), ..ServeArgs::default() };
    let error = Config::load(&args).unwrap_err();
    assert!(error.to_string().contains("/no/such/file.toml"), "{error}");
}

#[test]
fn every_value_of_the_wrong_type_is_named_with_its_key_and_in_our_words() {
    let text = "demo = 'yes'\nlisten = 80\ncolour = 'red'\nbase_path = []\n\
         [log]\nformat = 'xml'\nqueue = -1\n\
         [stop]\ngrace = 25\nclose = 2027-01-01\n\
         [engine]\nmax_running = -1\nconcurrency = 'many'\nweight = 1.5\nmax_json_depth = true\nlease = ''\n\
         [queues.mail]\nweight = -2\nconcurrency = 0\nrate_limit = 7\n\
         [store]\nreaders = 'two'\ngroup_access = 1\n\
         [retention]\nevents = { age = '1 day' }\ncompleted = { age = 1, count = -1 }\n\
         [http]\nmax_batch = 0\nsocket_rate = 4294967296\ntrusted_proxies = ['10.0.0.0/8', 'x']\n\
         [handlers.http]\nallow = 'all'\ntimeout = {}\n\
         [commands.x]\nargs = []\n\
         [commands.y]\nprogram = 'true'\ndiscard_codes = ['a']\nstdin = 'pipe'\n\
         [schedules.s]\ncron = 5\nkind = 'echo'\npriority = 'high'\n\
         [schedules.t]\ncron = '@daily'\nkind = 'echo'\nmax_attempts = -1\ntimeout = 5\n";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cortado.toml");
    std::fs::write(&path, text).unwrap();
    let args = ServeArgs { config: Some(path), ..ServeArgs::default() };
    let error = Config::load(&args).unwrap_err().to_string();
    for line in [
        "demo: must be true or false, but is a string (line 1)",
        "listen: must be an address such as \"127.0.0.1:8080\" or \"unix:/run/cortado.sock\", or a list of them, but is 80 (line 2)",
        "colour: is not known; expected one of listen, ",
        "base_path: must be a string, but is an array (line 4)",
        "log.format: must be text or json, but is \"xml\" (line 6)",
        "log.queue: must be a size such as 4096, \"64kB\" or \"2MiB\", but is -1 (line 7)",
        "stop.grace: must be a duration such as \"25s\" or \"1m 30s\", but is 25 (line 9)",
        "stop.close: must be a duration such as \"25s\" or \"1m 30s\", but is a date or time (line 10)",
        "engine.max_running: must be an integer of at least 1, but is -1 (line 12)",
        "engine.concurrency: must be an integer from 1 to 1000000, but is a string (line 13)",
        "engine.weight: must be an integer from 1 to 4294967295, but is 1.5 (line 14)",
        "engine.max_json_depth: must be an integer from 1 to 128, but is true (line 15)",
        "engine.lease: \"\" is not a duration",
        "queues.mail.weight: must be an integer from 1 to 4294967295, but is -2 (line 18)",
        "queues.mail.concurrency: must be an integer from 1 to 1000000, but is 0; pause a queue to stop it",
        "queues.mail.rate_limit: must be a string, but is 7 (line 20)",
        "store.readers: must be an integer of at least 1, but is a string (line 22)",
        "store.group_access: ",
        "retention.events.count: is required (line 25)",
        "retention.completed.age: must be a duration",
        "http.max_batch: must be an integer of at least 1, but is 0",
        "http.socket_rate: must be an integer from 1 to 4294967295, but is 4294967296 (line 29)",
        "http.trusted_proxies[1]: ",
        "handlers.http.allow: must be an array, but is a string (line 32)",
        "handlers.http.timeout: must be a duration such as \"25s\" or \"1m 30s\", but is a table (line 33)",
        "commands.x.program: is required",
        "commands.y.discard_codes[0]: must be an integer from 1 to 255, but is a string (line 38)",
        "commands.y.stdin: must be ",
        "schedules.s.cron: must be a string, but is 5 (line 41)",
        "schedules.t.max_attempts: must be an integer from 1 to 1000, but is -1",
        "schedules.t.timeout: must be a duration",
    ] {
        assert!(error.contains(&format!("\n  {line}")), "{line}\n{error}");
    }
    assert!(error.contains("cortado.toml"), "{error}");
    for foreign in
        ["invalid type", "invalid value", "missing field", "unknown field", "variant", "usize"]
    {
        assert!(!error.contains(foreign), "{foreign}: {error}");
    }
}

#[test]
fn a_value_that_comes_from_a_flag_or_a_variable_is_blamed_on_it() {
    let args = ServeArgs {
        data_dir: Some("".into()),
        base_path: Some("x".into()),
        auth_token: Some("short".into()),
        log: Some("loud,,=x".into()),
        ..ServeArgs::default()
    };
    let error = Config::build(FileConfig::default(), &args).unwrap_err().to_string();
    for (key, source) in [
        ("data_dir", "--data-dir or CORTADO_DATA_DIR"),
        ("base_path", "--base-path or CORTADO_BASE_PATH"),
        ("auth.token", "--auth-token or CORTADO_AUTH_TOKEN"),
        ("log.filter", "--log or CORTADO_LOG"),
    ] {
        let line = error.lines().find(|line| line.trim_start().starts_with(key)).unwrap();
        assert!(line.ends_with(&format!("(set by {source})")), "{line}");
    }
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let token = "0123456789abcdef";
    let secret = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let toml = format!("auth.token = '{token}'\nhandlers.http.signing_secret = '{secret}'");
    let shown = format!("{:?}", build(&toml).unwrap());
    assert!(!shown.contains(token) && !shown.contains(secret), "{shown}");
    let more = "base_url = 'https://me:do-not-tell-1@jobs.example.com'\n\
        [commands.x]\nprogram = 'true'\nargs = ['--password=do-not-tell-2']\nenv = { KEY = 'do-not-tell-3' }\n\
        [schedules.s]\ncron = '@daily'\nkind = 'http'\n\
        payload = { url = 'https://x/', headers = { authorization = 'do-not-tell-4' } }\n";
    let file = FileConfig::parse(more).unwrap();
    let args = ServeArgs { auth_token: Some("do-not-tell-0123".into()), ..ServeArgs::default() };
    let whole = format!("{file:?} {args:?} {:?}", Config::build(file.clone(), &args).unwrap());
    assert!(!whole.contains("do-not-tell") && whole.contains("jobs.example.com"), "{whole}");
}

#[test]
fn an_error_in_the_configuration_quotes_no_secret() {
    let command = |more: &str| format!("[commands.x]\nprogram = 'true'\n{more}");
    for (text, says) in [
        ("auth.token = 's3cret'".into(), "auth.token"),
        ("auth.token = 's3cret".into(), "line 1, column 21"),
        (
            "auth.token = ['s3cret']".into(),
            "auth.token: must be a string, but is a value of another",
        ),
        ("auth.token = 53".into(), "auth.token: must be a string, but is a value of another type"),
        ("handlers.http.signing_secret = 's3cret'".into(), "signing_secret"),
        ("base_url = 'ftp://me:s3cret@example.com'".into(), "base_url"),
        ("base_url = 'me:s3cret@example.com'".into(), "base_url"),
        (command("args = ['ok', 's3cret{']"), "commands.x.args[1]: "),
        (
            command("args = 's3cret'"),
            "commands.x.args: must be an array, but is a value of another",
        ),
        (command("args = ['ok', { s3cret = 1 }]"), "commands.x.args[1]: must be a string"),
        (command("env = { KEY = 's3cret\\u0000' }").replace('\'', "\""), "commands.x.env"),
        (command("env = { KEY = ['s3cret'] }"), "commands.x.env.KEY: must be a string"),
        ("[schedules.s]\npayload = 's3cret'".into(), "schedules.s.cron: is required"),
        ("[schedules.s]\npayload = { a = 's3cret'".into(), "line 2"),
        (
            "[schedules.s]\ncron = '@daily'\nkind = 'a'\npayload = { s3cret = inf }".into(),
            "payload",
        ),
    ] {
        let error = match FileConfig::parse(&text) {
            Ok(file) => {
                let built = Config::build(file, &ServeArgs::default());
                built.map(drop).expect_err(&text).to_string()
            }
            Err(error) => error,
        };
        assert!(error.contains(says) && !error.contains("s3cret"), "{text}: {error}");
    }
}

#[test]
fn a_file_with_a_payload_that_is_too_complex_is_refused_in_a_few_words() {
    let nested = |open: &str, close: &str, count| open.repeat(count) + "1" + &close.repeat(count);
    let schedule = |more: &str| format!("[schedules.s]\ncron = '@daily'\nkind = 'echo'\n{more}\n");
    let payload = |text: &str| schedule(&format!("payload = {text}"));
    let long = "x".repeat(100_000);
    let dots = vec!["a"; 20_000].join(".");
    for (text, says) in [
        (payload(&nested("[", "]", 20_000)), "recurs"),
        (payload(&nested("{a = ", "}", 20_000)), "recurs"),
        (schedule(&format!("payload.{dots} = 1")), "recurs"),
        (schedule(&format!("[schedules.s.payload.{dots}]\nb = 1")), "recurs"),
        (payload(&format!("[{}]", "0,".repeat(30_000))), "json_too_many_values"),
        (format!("engine.max_json_depth = 9\n{}", payload(&nested("[", "]", 10))), "json_too_deep"),
        ("engine.max_json_depth = 129".into(), "1 to 128"),
        ("engine.max_json_values = 0".into(), "at least 1"),
        (format!("{long} = 1"), "is not known"),
        (format!("[queues.{long}]\nweight = 0"), "from 1 to 4294967295"),
        (format!("base_path = '{long}'"), "base_path"),
        ((0..5_000).map(|n| format!("[queues.q{n}]\nweight = 0\n")).collect(), "4900 more"),
    ] {
        let error = match FileConfig::parse(&text) {
            Ok(file) => {
                Config::build(file, &ServeArgs::default()).map(drop).unwrap_err().to_string()
            }
            Err(error) => error,
        };
        assert!(error.contains(says), "{text:.80}: {error:.3000}");
        assert!(error.len() < 20_000, "{text:.80}: {} bytes", error.len());
    }
    assert!(build(&payload(&nested("[", "]", 60))).is_ok());
}
