//! Every command line in the documents and in the help is accepted by the program.

use clap::Parser;
use clap::error::ErrorKind;
use cortado::internal::config::Cli;

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
        ("cargo run --bin cortado-bench -- all", vec![]),
        ("cortado-bench all", vec![]),
    ] {
        assert_eq!(command_lines(line), found, "{line}");
    }
}
