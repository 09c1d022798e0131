//! The test command: `./test` documents itself, and `tests/tools.sh`, which it runs first, lists everything that a
//! machine lacks, with versions and variables, and never fails on a missing program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The programs that the script itself uses; every Unix machine has them.
const BASICS: [&str; 15] = [
    "bash", "cat", "chmod", "dirname", "grep", "head", "mkdir", "mv", "readlink", "rm", "sed",
    "sleep", "sort", "tail", "tr",
];

/// A directory that stands for a machine with the basics and the programs of a test; its path has spaces.
struct Machine(TempDir);

impl Machine {
    fn new() -> Machine {
        let machine = Machine(tempfile::Builder::new().prefix("a machine ").tempdir().unwrap());
        fs::create_dir(machine.programs()).unwrap();
        for name in BASICS {
            let path = std::env::var_os("PATH").unwrap();
            let mut places = std::env::split_paths(&path).map(|place| place.join(name));
            let place = places.find(|place| place.exists()).unwrap_or_else(|| panic!("no {name}"));
            std::os::unix::fs::symlink(place, machine.programs().join(name)).unwrap();
        }
        let rust = Machine::rust_version();
        machine.program("rustc", &format!("echo 'rustc {rust} (hash 2030-01-01)'"));
        machine.program("cargo", "echo 1.0");
        machine.program("cc", "exit 0");
        machine
    }

    /// The Rust version that `Cargo.toml` requires.
    fn rust_version() -> String {
        let manifest = include_str!("../../Cargo.toml");
        let line = manifest.lines().find(|line| line.starts_with("rust-version")).unwrap();
        line.split('"').nth(1).unwrap().to_owned()
    }

    fn programs(&self) -> PathBuf {
        self.0.path().join("the programs")
    }

    /// Adds or replaces a program.
    fn program(&self, name: &str, script: &str) -> PathBuf {
        let place = self.programs().join(name);
        // A separate process writes the file. If this process did, a child of another test could inherit the open file,
        // and a file that is open for writing cannot be run.
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" >"$0" && chmod 755 "$0""#;
        let written = Command::new("sh").args(["-c", write]).arg(&place).arg(script).status();
        assert!(written.unwrap().success());
        place
    }

    /// The script, which sees only the programs of this machine.
    fn script(&self) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools.sh");
        let mut bash = Command::new(self.programs().join("bash"));
        bash.arg(script).env_clear().env("PATH", self.programs());
        bash
    }

    /// The output of the script with these variables; the script must fail.
    fn refuses(&self, variables: &[(&str, &Path)]) -> String {
        let mut script = self.script();
        script.arg(self.0.path().join("the tools")).envs(variables.iter().copied());
        let (code, text) = finish(script);
        assert_eq!(code, Some(1), "{text}");
        text
    }

    /// The exit code and the output of the check with which `./test fast` begins.
    fn check_only_compilers(&self) -> (Option<i32>, String) {
        let mut script = self.script();
        script.arg("--compilers").arg(self.0.path().join("the tools"));
        finish(script)
    }
}

/// The exit code and the standard output of a script that must not write to standard error.
fn finish(mut script: Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = script.output().unwrap();
    let text = String::from_utf8(stdout).unwrap();
    assert_eq!(String::from_utf8(stderr).unwrap(), "", "{text}");
    (status.code(), text)
}

/// The line of the list of missing programs that begins with these words.
fn missing<'a>(text: &'a str, begin: &str) -> &'a str {
    let (_, list) = text.split_once("The tests cannot run here. Missing:").expect(text);
    let mut lines = list.lines().filter_map(|line| line.trim().strip_prefix("- "));
    lines.find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("no {begin}: {text}"))
}

#[test]
fn the_test_command_documents_itself() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let test = |args: &[&str]| {
        let Output { status, stdout, stderr } =
            Command::new(root.join("test")).args(args).current_dir("/").output().unwrap();
        (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    };
    let (code, help, _) = test(&["--help"]);
    assert_eq!(code, Some(0));
    let contributing = include_str!("../../CONTRIBUTING.md");
    for command in ["", " fast", " it [NAME]", " browser [NAME]", " soak"] {
        assert!(help.contains(&format!("\n  ./test{command}  ")), "{command}: {help}");
        assert!(contributing.contains(&format!("\n| `./test{command}` |")), "{command}");
    }
    for wrong in [&["fats"][..], &["fast", "jobs"], &["it", "stream", "jobs"]] {
        let (code, _, usage) = test(wrong);
        assert_eq!((code, usage), (Some(64), help.clone()), "{wrong:?}");
    }
    let (code, _, names) = test(&["browser", "no-such-file"]);
    assert!(code == Some(64) && names.contains(" jobs "), "{names}");
    let ci = include_str!("../../.ci/run");
    assert_eq!(ci.lines().last(), Some("exec ./test"));
}

#[test]
fn the_fast_tests_need_only_what_builds_cortado() {
    let machine = Machine::new();
    let (code, text) = machine.check_only_compilers();
    assert_eq!(code, Some(0), "{text}");
    machine.program("cc", "echo 'cannot find -lc' >&2; exit 1");
    let (code, text) = machine.check_only_compilers();
    assert_eq!(code, Some(1), "{text}");
    missing(&text, "a C compiler");
}

#[test]
fn an_old_rust_is_the_first_thing_that_is_said() {
    let machine = Machine::new();
    machine.program("rustc", "echo 'rustc 1.63.0 (4b91a6ea7 2022-08-08)'");
    let text = machine.refuses(&[]);
    let needed = Machine::rust_version();
    let first = text.lines().next().unwrap();
    assert!(first.contains(&format!("rustc 1.63.0 is too old: Cortado needs {needed}")), "{text}");
    assert!(missing(&text, "rustc").ends_with("here is 1.63.0: rustup update stable"), "{text}");
}

#[test]
fn what_builds_cortado_is_checked_by_using_it() {
    let machine = Machine::new();
    machine.program("rustc", "echo 'no toolchain is chosen' >&2; exit 1");
    machine.program("cc", "echo 'cannot find -lc' >&2; exit 1");
    let text = machine.refuses(&[]);
    assert!(text.contains("does not run here: no toolchain is chosen"), "{text}");
    assert!(text.contains("cc does not make a program: cannot find -lc"), "{text}");
    missing(&text, "rustc");
    missing(&text, "a C compiler");

    fs::remove_file(machine.programs().join("cc")).unwrap();
    machine.program("rustc", "echo 'rustc 99.0.0'");
    machine.program("cargo", "exit 1");
    let text = machine.refuses(&[]);
    missing(&text, "a C compiler");
    assert!(missing(&text, "cargo clippy").ends_with("rustup component add clippy"), "{text}");
    assert!(missing(&text, "cargo fmt").ends_with("rustup component add rustfmt"), "{text}");
}

#[test]
fn without_a_package_manager_everything_that_is_missing_is_named_with_its_variable() {
    let text = Machine::new().refuses(&[]);
    for (program, variable) in [
        ("python3 3.10 or newer", "PYTHON"),
        ("node 20.0 or newer", "NODE"),
        ("npm 9.0 or newer", "NPM"),
        ("chromium", "CHROMIUM"),
        ("nginx 1.19.5 or newer", "NGINX"),
        ("caddy 2.5 or newer", "CADDY"),
        ("curl", "CURL"),
        ("openssl 1.1.1 or newer", "OPENSSL"),
        ("jq", "JQ"),
        ("promtool 2.20 or newer", "PROMTOOL"),
        ("initdb 15.0 or newer", "INITDB"),
        ("pg_ctl 15.0 or newer", "PG_CTL"),
        ("psql 15.0 or newer", "PSQL"),
        ("pgbouncer", "PGBOUNCER"),
    ] {
        let line = missing(&text, program);
        let why = if variable == "NPM" { "it needs node" } else { "it is not there" };
        assert!(line.ends_with(&format!(": {why}; {variable} names another")), "{line}");
    }
    assert!(text.contains("there is no apt-get"), "{text}");
}

#[test]
fn a_version_that_is_too_old_is_as_good_as_none() {
    let machine = Machine::new();
    machine.program("node", "echo v18.20.4");
    machine.program("python3", "echo 'Python 3.11.2'");
    machine.program("nginx", "echo 'nginx version: nginx/1.18.0' >&2");
    machine.program("caddy", "echo nothing");
    machine.program("curl", "echo 'libcurl.so.4 is not there' >&2; exit 127");
    machine.program("jq", "echo jq-1.6");
    let text = machine.refuses(&[]);
    assert!(missing(&text, "node 20.0 or newer").contains("the programs/node is version 18.20.4"));
    assert!(missing(&text, "nginx").contains("the programs/nginx is version 1.18.0"), "{text}");
    assert!(missing(&text, "caddy").contains("does not tell its version"), "{text}");
    assert!(missing(&text, "curl").contains("does not run: libcurl.so.4 is not there"), "{text}");
    for found in ["python3 3.11.2: ", "jq 1.6: "] {
        assert!(text.contains(found) && !text.contains(&format!("- {found}")), "{text}");
    }
}

#[test]
fn what_a_variable_names_is_taken_or_refused_but_never_passed_over() {
    let machine = Machine::new();
    machine.program("node", "echo v22.0.0");
    let old = machine.program("old node", "echo v16.1.0");
    let text = machine.refuses(&[("NODE", &old), ("JQ", Path::new("no-such-jq"))]);
    assert!(missing(&text, "node").contains("the programs/old node is version 16.1.0"), "{text}");
    assert!(missing(&text, "jq").contains("no-such-jq does not run"), "{text}");
    assert!(!text.contains("fetching") && !text.contains("- chromium"), "{text}");

    let new = machine.program("it's node", "echo v21.0.0");
    let text = machine.refuses(&[("NODE", &new)]);
    assert!(text.contains("node 21.0.0: ") && text.contains("/it's node\n"), "{text}");
}

#[test]
fn a_browser_that_shows_nothing_is_found_out_before_the_tests_begin() {
    let machine = Machine::new();
    machine.program("timeout", "shift; exec \"$@\"");
    let browser = |page: &str| {
        let version = "if [ \"$1\" = --version ]; then echo Chromium 150.0.1; exit; fi";
        machine.program("chromium", &format!("{version}\n{page}"));
        machine.refuses(&[])
    };
    let text = browser("echo 'no usable sandbox' >&2; exit 1");
    assert!(missing(&text, "chromium").contains("shows no page: no usable sandbox"), "{text}");
    let text = browser("echo '<title>false</title><p>it runs</p>'");
    assert!(missing(&text, "chromium").contains("finds no font"), "{text}");
    let text = browser("echo '<title>true</title><p>it runs</p>'");
    assert!(text.contains("chromium 150.0.1: "), "{text}");
}
