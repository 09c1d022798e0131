//! Every command line in the documents and in the help is accepted by the program.

use clap::Parser;
use clap::error::ErrorKind;
use cortado::internal::config::Cli;

use crate::support::{Command, Dir, eventually, within};
use crate::tidy::{documents, read};

/// The words of the command lines of `cortado` in a line of a document: behind other commands, pipes, and the runner of
/// the package, and without comments and redirections.
fn command_lines(line: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars().chain([' ', '\n']).peekable();
    while let Some(char) = chars.next() {
        match (quote, char) {
            (Some(open), _) if char == open => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(char),
            (None, '\'' | '"') => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, ' ' | '\n' | '|' | '>' | '<' | ';' | '&' | '(' | ')') => {
                words.extend(word.take());
                if !matches!(char, ' ' | '\n') {
                    found.push(std::mem::take(&mut words));
                }
            }
            (None, _) => word.get_or_insert_default().push(char),
        }
    }
    found.push(words);
    found.into_iter().filter_map(ours).collect()
}

/// The command line from `cortado` on, if there is one.
fn ours(words: Vec<String>) -> Option<Vec<String>> {
    let is_setting =
        |word: &String| word.split_once('=').is_some_and(|(name, _)| name.starts_with("CORTADO_"));
    let words: Vec<String> = words
        .into_iter()
        .skip_while(|word| word == "$" || word == "sudo" || is_setting(word))
        .collect();
    let first = words.first()?;
    if first == "cortado" || first.ends_with("/cortado") {
        return Some([vec!["cortado".to_owned()], words[1..].to_vec()].concat());
    }
    let own = words
        .iter()
        .position(|word| word == "--")
        .filter(|_| first == "cargo" && words[1] == "run")?;
    let is_other = words[..own].iter().any(|word| word == "--bin" || word == "--example");
    (!is_other).then(|| [vec!["cortado".to_owned()], words[own + 1..].to_vec()].concat())
}

/// The lines of code blocks for a shell, and the text between backquotes elsewhere.
fn code(text: &str) -> Vec<String> {
    let mut code = Vec::new();
    for (n, part) in text.split("```").enumerate() {
        if n % 2 == 1 {
            let is_shell = part.starts_with("sh\n") || part.starts_with("console\n");
            code.extend(part.lines().skip(1).filter(|_| is_shell).map(str::to_owned));
        } else {
            code.extend(part.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " ")));
        }
    }
    code
}

#[test]
fn the_program_accepts_every_command_line_that_the_documents_show() {
    let mut lines: Vec<(String, String)> = Vec::new();
    for document in documents() {
        if document == "CHANGELOG.md" || document.starts_with("docs/decisions/") {
            continue;
        }
        lines.extend(code(&read(&document)).into_iter().map(|line| (document.clone(), line)));
    }
    let settings = read("docs/cortado.example.toml");
    let settings = settings.lines().filter_map(|line| line.strip_prefix("#   "));
    lines.extend(settings.map(|line| ("docs/cortado.example.toml".to_owned(), line.to_owned())));
    let help = <Cli as clap::CommandFactory>::command().render_long_help().to_string();
    let (_, examples) = help.split_once("Examples:\n").unwrap();
    for line in examples.lines() {
        // Two blanks separate a command from what it does.
        let line = line.trim().split("   ").next().unwrap();
        lines.push(("--help".to_owned(), line.to_owned()));
    }
    let command = <Cli as clap::CommandFactory>::command();
    let commands: Vec<String> =
        command.get_subcommands().map(|it| it.get_name().to_owned()).collect();
    let mut seen = 0;
    for (document, line) in lines {
        for words in command_lines(&line) {
            seen += 1;
            if let [_, name] = &words[..]
                && commands.contains(name)
            {
                continue; // a sentence about a command, without its arguments
            }
            if let Err(error) = Cli::try_parse_from(&words) {
                let is_help =
                    matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
                assert!(is_help, "{document} shows {words:?}: {error}");
            }
        }
    }
    assert!(seen > 25, "hardly any command lines were found: {seen}");
}

#[test]
fn command_lines_are_found_wherever_they_stand() {
    for (line, found) in [
        ("cortado watch --type 'job.*' # all", vec![vec!["cortado", "watch", "--type", "job.*"]]),
        (
            "echo '{\"a b\": 1}' | cortado submit sleep - --queue slow",
            vec![vec!["cortado", "submit", "sleep", "-", "--queue", "slow"]],
        ),
        ("CORTADO_LOG=info ./target/release/cortado > log", vec![vec!["cortado"]]),
        ("cargo run --release -- --demo", vec![vec!["cortado", "--demo"]]),
        ("cargo run --features bench --bin cortado-bench -- all", vec![]),
        ("cortado-bench all", vec![]),
    ] {
        assert_eq!(command_lines(line), found, "{line}");
    }
}

/// Runs the program with one variable in its environment.
fn with_variable(name: &str, value: &str, args: &[&str]) -> Command {
    let setting = format!("{name}={value}");
    Command::of("env", &[&[&*setting, env!("CARGO_BIN_EXE_cortado")], args].concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistake_in_the_environment_is_blamed_on_the_variable() {
    let range = "must be an integer from 1 to 1000000, but is";
    for (name, value, says) in [
        ("CORTADO_PAUSED", "", "for 'CORTADO_PAUSED'".to_owned()),
        ("CORTADO_PAUSED", "maybe", "invalid value 'maybe' for 'CORTADO_PAUSED'".into()),
        ("CORTADO_DEMO", "2", "for 'CORTADO_DEMO'".into()),
        ("CORTADO_CONCURRENCY", "0", format!("'0' for 'CORTADO_CONCURRENCY': {range} 0")),
        ("CORTADO_CONCURRENCY", "", "'CORTADO_CONCURRENCY'".into()),
        ("CORTADO_LISTEN", "8080", "for 'CORTADO_LISTEN': \"8080\" is not an address".into()),
        ("CORTADO_GRACE", "5", "for 'CORTADO_GRACE'".into()),
        ("CORTADO_LOG_FORMAT", "xml", "for 'CORTADO_LOG_FORMAT'".into()),
        ("CORTADO_DATA_DIR", "", "CORTADO_DATA_DIR".into()),
        ("CORTADO_BASE_PATH", "x", "(set by --base-path or CORTADO_BASE_PATH)".into()),
        ("CORTADO_LOG", "loud,,=x", "(set by --log or CORTADO_LOG)".into()),
        ("CORTADO_AUTH_TOKEN", "short", "(set by --auth-token or CORTADO_AUTH_TOKEN)".into()),
    ] {
        // Each of these is refused before anything is created.
        let mut command = with_variable(name, value, &["serve"]);
        assert_eq!(command.exit().await.code(), Some(2), "{name}={value}");
        let said = command.err.so_far().join("\n");
        assert!(said.contains(&says) && !said.contains("for '--"), "{name}={value}: {said}");
    }
    let mut typed = with_variable("CORTADO_CONCURRENCY", "5", &["serve", "--concurrency", "0"]);
    assert_eq!(typed.exit().await.code(), Some(2));
    let said = typed.err.so_far().join("\n");
    assert!(said.contains("for '--concurrency <N>'"), "{said}");
    let mut client = with_variable("CORTADO_SERVER", "ftp://x", &["stats"]);
    assert_eq!(client.exit().await.code(), Some(2));
    let said = client.err.so_far().join("\n");
    assert!(said.contains("for 'CORTADO_SERVER'"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_wrong_variables_are_reported_at_once() {
    let program = env!("CARGO_BIN_EXE_cortado");
    let variables =
        ["CORTADO_GRACE=5", "CORTADO_CONCURRENCY=0", "CORTADO_DEMO=maybe", "CORTADO_LISTEN=8080"];
    for args in [&["serve"][..], &[]] {
        let mut command = Command::of("env", &[&variables[..], &[program], args].concat());
        assert_eq!(command.exit().await.code(), Some(2), "{args:?}");
        let said = command.err.so_far().join("\n");
        for variable in variables {
            let (name, value) = variable.split_once('=').unwrap();
            assert!(said.contains(&format!("invalid value '{value}' for '{name}'")), "{said}");
        }
        assert_eq!(said.matches("For more information").count(), 1, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_misspelt_variable_is_reported_by_every_command() {
    let says =
        "unknown environment variable CORTADO_LISTN is ignored; did you mean CORTADO_LISTEN?";
    let mut verify = with_variable("CORTADO_LISTN", "x", &["verify", "--data-dir", "/nowhere"]);
    verify.exit().await;
    let said = verify.err.so_far().join("\n");
    assert!(said.contains(&format!("cortado: warning: {says}")), "{said}");
    let dir = Dir::new();
    let data = dir.data();
    let args = ["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()];
    let mut serve = with_variable("CORTADO_LISTN", "x", &args);
    eventually("the warning in the log", || async {
        serve
            .err
            .so_far()
            .iter()
            .any(|line| line.contains("WARN") && line.contains(says))
            .then_some(())
    })
    .await;
    // Before it listens, the signal may still end it at once.
    within("a server that listens", serve.out.line_with("listening on")).await.unwrap();
    serve.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(serve.exit().await.success());
}

/// Variables that tests and documents name are known, so that nobody is warned about them.
#[test]
fn every_variable_that_is_named_anywhere_is_known() {
    let mut seen = 0;
    let sources =
        crate::tidy::rust_files("src").into_iter().chain(crate::tidy::rust_files("tests"));
    let documents = documents().into_iter().map(|path| (path.clone(), read(&path)));
    for (path, text) in sources.chain(documents) {
        if path.ends_with("command_lines.rs") || path.ends_with("variables.rs") {
            continue; // these name misspelt ones
        }
        let is_of_name = |c: char| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit();
        for (at, _) in text.match_indices("CORTADO_") {
            let rest = &text[at..];
            let name = &rest[..rest.find(|c| !is_of_name(c)).unwrap_or(rest.len())];
            if name.ends_with('_') {
                continue; // the beginning of several names
            }
            seen += 1;
            let unknown = cortado::internal::config::variables::unknown([name.into()]);
            assert!(unknown.is_empty(), "{path} names {name}, which is not known");
        }
    }
    assert!(seen > 50, "hardly any variables were found: {seen}");
}
