//! The house rules that the compiler cannot check, checked by reading the sources: layers, the length and first line of
//! files, registration, spawning, and that everything named in the documents exists. These tests use only the standard
//! library, so that `./test fast` can compile this folder alone, without building the crate.

mod facts;
mod imports;
mod layers;
mod results;
mod tokens;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules in `src/handlers` that are not job kinds.
const NO_KINDS: [&str; 4] = ["mod", "guard", "outcome", "testing"];
const LONGEST: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Rust file below a directory: its path from the root, and its text.
pub fn rust_files(dir: &str) -> Vec<(String, String)> {
    let (mut dirs, mut files) = (vec![PathBuf::from(dir)], Vec::new());
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(root().join(&dir)).unwrap() {
            let entry = entry.unwrap();
            let path = dir.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let path = path.to_str().unwrap().to_owned();
                files.push((path.clone(), read(&path)));
            }
        }
    }
    assert!(!files.is_empty(), "no Rust files in {dir}");
    files.sort();
    files
}

/// The lines of a file that are neither comments nor tests, with their numbers.
fn code(path: &str, text: &str) -> Vec<(usize, String)> {
    let is_test = |part: &str| {
        matches!(part, "tests" | "tests.rs" | "testing.rs" | "conformance" | "model" | "fuzzing")
    };
    if path.split('/').any(is_test) {
        return Vec::new();
    }
    let (mut code, mut in_test, mut marked) = (Vec::new(), false, false);
    for (number, line) in text.lines().enumerate() {
        if in_test {
            in_test = line != "}";
        } else if marked && line.contains("mod ") && line.ends_with('{') {
            in_test = true;
        } else if !line.trim_start().starts_with("//") {
            code.push((number + 1, line.to_owned()));
        }
        marked = line == "#[cfg(test)]";
    }
    code
}

/// Asserts that no line of the crate's code breaks a rule.
fn refuse(rule: &str, mut is_wrong: impl FnMut(&str, &str) -> bool) {
    let mut wrong = Vec::new();
    for (path, text) in rust_files("src") {
        for (number, line) in code(&path, &text) {
            if is_wrong(&path, &line) {
                wrong.push(format!("  {path}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{rule}:\n{}", wrong.join("\n"));
}

#[test]
fn no_two_types_of_the_library_have_the_same_name() {
    let mut files_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    // A binary below `src/bin` is a crate of its own, and what stands in for a module in a build without a feature has its names.
    let of_library =
        |(path, _): &(String, String)| !path.starts_with("src/bin") && !path.contains("/without_");
    for (path, text) in rust_files("src").into_iter().filter(of_library) {
        for (_, line) in code(&path, &text) {
            let declaration = match line.split_once(") ") {
                Some((visibility, declaration)) if visibility.starts_with("pub(") => declaration,
                _ => line.strip_prefix("pub ").unwrap_or(&line),
            };
            let mut words = declaration.split(|c: char| !c.is_alphanumeric() && c != '_');
            if matches!(words.next(), Some("struct" | "enum" | "trait" | "type")) {
                files_of.entry(words.next().unwrap().to_owned()).or_default().push(path.clone());
            }
        }
    }
    assert!(files_of.len() > 300, "only {} types were found", files_of.len());
    // `cortado::State` is an argument of handlers, named as in axum, which its users know. The state of a job is not public.
    assert_eq!(files_of.remove("State").map(|files| files.len()), Some(2));
    files_of.retain(|_, files| files.len() > 1);
    assert!(files_of.is_empty(), "types with the same name: {files_of:#?}");
}

/// The rules of the store work with any log; each log is a folder beside `src/store/log_store`.
#[test]
fn the_rules_of_the_store_know_no_log_and_the_log_no_rules() {
    refuse("src/store/log_store names sled: use the trait of src/store/log", |path, line| {
        path.starts_with("src/store/log_store") && line.to_lowercase().contains("sled")
    });
    refuse("src/store/log_store names postgres: use the trait of src/store/log", |path, line| {
        path.starts_with("src/store/log_store") && line.to_lowercase().contains("postgres")
    });
    refuse("a log names the rules: it implements the trait of src/store/log", |path, line| {
        let logs = ["src/store/sled", "src/store/postgres"];
        logs.iter().any(|log| path.starts_with(log)) && line.contains("log_store")
    });
    refuse("only src/store/postgres knows the driver of PostgreSQL", |path, line| {
        !path.starts_with("src/store/postgres/") && line.contains("tokio_postgres")
    });
    refuse("one log names another", |path, line| {
        let names = |log: &str, other: &str| {
            path.starts_with(&format!("src/store/{log}/")) && line.contains(&format!("{other}::"))
        };
        names("sled", "postgres") || names("postgres", "sled")
    });
    refuse("only two files know the sled crate", |path, line| {
        let may = ["src/store/sled/files.rs", "src/store/sled/pieces.rs"];
        let is_module = path == "src/store/data_dir.rs"; // there `sled::` is `store::sled`
        !may.contains(&path) && !is_module && line.replace("::sled::", "").contains("sled::")
    });
}

#[test]
fn handlers_never_name_the_machine_interface() {
    // `handlers::http` hides this from the rule above.
    refuse("src/handlers names crate::http", |path, line| {
        path.starts_with("src/handlers") && line.contains("crate::http")
    });
}

#[test]
fn files_are_short_and_say_what_they_are() {
    for dir in ["src", "tests/it", "examples"] {
        for (path, text) in rust_files(dir) {
            assert!(text.starts_with("//! "), "{path} does not begin with a //! comment");
            let lines = text.lines().count();
            assert!(lines <= LONGEST, "{path} has {lines} lines; split it");
        }
    }
}

#[test]
fn nobody_spawns_and_forgets() {
    refuse("spawn on a tracker of the shutdown", |path, line| {
        let server = !path.starts_with("src/bin/");
        let words = ["tokio::spawn(", "task::spawn(", "use tokio::spawn", "tokio::{spawn"];
        server && words.iter().any(|it| line.contains(it))
    });
}

#[test]
fn threads_are_supervised() {
    refuse("a thread that no `Part` stands for", |path, line| {
        let may = path.starts_with("src/bin/") || path == "src/supervise.rs";
        // Its thread writes a text to standard output, and nothing waits for it.
        let may = may || path == "src/logging.rs";
        !may && ["thread::Builder", "thread::spawn", "thread::scope"]
            .iter()
            .any(|it| line.contains(it))
    });
}

#[test]
fn nobody_prints_beside_the_log() {
    refuse("an output that panics or blocks when nobody reads it", |path, line| {
        let may = path.starts_with("src/bin/") || path.starts_with("src/logging");
        let may = may || path == "src/cli/output.rs";
        let words = ["println!", "print!(", "io::stderr", "io::stdout", "stderr()", "stdout()"];
        let own = [".stdout().take", ".stderr().take"]; // the pipes of a child process
        !may && words.iter().any(|it| line.contains(it)) && !own.iter().any(|it| line.contains(it))
    });
}

#[test]
fn durations_have_one_grammar() {
    refuse("only src/job/time.rs reads durations: call parse_duration", |path, line| {
        let reads = ["<jiff::SignedDuration>", "<jiff::Span>", ": jiff::Span ="];
        path != "src/job/time.rs" && reads.iter().any(|read| line.contains(read))
    });
}

#[test]
fn what_proxies_report_is_read_in_one_place() {
    refuse(
        "take the scheme from `ConnectionScheme`, the client from `ConnectInfo`",
        |path, line| {
            let line = line.to_lowercase();
            path != "src/http/server/forwarded.rs"
                && (line.contains("x-forwarded-") || line.contains("header::forwarded"))
        },
    );
}

/// There is one helper for each of these; copies could diverge.
#[test]
fn helpers_are_there_once() {
    for (what, home) in [
        ("cbf2_9ce4", "src/job/text/stable_hash.rs"),
        ("char_boundary(", "src/job/text/shorten.rs"),
        // Release builds ignore the variable unless its feature is enabled.
        ("env::var(VARIABLE)", "src/supervise/kill.rs"),
    ] {
        refuse(&format!("{what} only in {home}"), |path, line| path != home && line.contains(what));
    }
    refuse("a list with commas is read by one of five", |path, line| {
        let homes = [
            "src/job/text/comma_list.rs",
            "src/http/layers/header_list.rs",
            // A field of a cron pattern, of which one element is to blame.
            "src/job/schedule/cron/explain.rs",
            // The hosts in the URL of a database, as libpq reads them.
            "src/store/postgres/settings.rs",
        ];
        // The tags of a form are checked on submission.
        let is_form = path.starts_with("src/ui") && line.contains("self.tags");
        !homes.contains(&path) && !is_form && line.contains("split(',')")
    });
}

#[test]
fn what_is_tried_again_is_logged_in_one_way() {
    refuse("log failures that are retried through RetryLog", |_, line| {
        line.contains("mem::replace(&mut refused") || line.contains("mem::replace(&mut failing")
    });
}

#[test]
fn pages_tell_the_time_by_the_clock_of_the_engine() {
    refuse("a page asks Engine::now, never a clock of its own", |path, line| {
        let clocks = ["SystemTime::now", "Instant::now", "SystemClock"];
        path.starts_with("src/ui") && clocks.iter().any(|clock| line.contains(clock))
    });
}

#[test]
fn nothing_is_unsafe_and_nothing_unwraps() {
    refuse("unsafe code", |_, line| {
        ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|it| line.contains(it))
    });
    assert!(read("Cargo.toml").contains("unsafe_code = \"forbid\""));
    refuse("a panic outside tests", |path, line| {
        let library = !path.starts_with("src/bin/");
        let words = [".unwrap()", ".expect(\"", "panic!(", "todo!(", "unimplemented!(", "dbg!("];
        library && words.iter().any(|it| line.contains(it))
    });
}

#[test]
fn every_kind_is_registered() {
    let list = read("src/handlers/mod.rs");
    let mut kinds = 0;
    for entry in fs::read_dir(root().join("src/handlers")).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        if NO_KINDS.contains(&&*name) {
            continue;
        }
        kinds += 1;
        assert!(list.contains(&format!("mod {name};")), "src/handlers/{name} is not a module");
        let added = list.lines().any(|line| {
            line.contains("registry.add(") && line.contains(&format!("info(\"{name}\""))
        });
        assert!(added, "src/handlers/{name} is not registered in src/handlers/mod.rs");
    }
    assert!(kinds >= 5);
}

#[test]
fn every_dependency_says_why_it_is_here() {
    let manifest = read("Cargo.toml");
    let (mut section, mut before) = ("", "");
    let mut seen = 0;
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section.ends_with("dependencies]") && line.contains(" = ") {
            seen += 1;
            // Dependencies with the same purpose share a comment.
            let explained = before.starts_with('#') || before.contains(" = ");
            assert!(explained, "no comment above {line}");
        }
        before = line;
    }
    assert!(seen > 20, "dependencies were not found");
}

/// The inline code and the lines of code blocks in a document.
pub fn spans(text: &str) -> Vec<String> {
    let (mut spans, mut in_block) = (Vec::new(), false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            spans.push(line.trim().to_owned());
        } else {
            spans.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    spans
}

/// The path from the root of every Markdown document for readers.
pub fn documents() -> Vec<String> {
    let mut documents = Vec::new();
    for dir in [".", "docs", "docs/decisions"] {
        for entry in fs::read_dir(root().join(dir)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                documents.push(format!("{dir}/{name}").trim_start_matches("./").to_owned());
            }
        }
    }
    for known in ["README.md", "docs/README.md", "docs/decisions/0002-sled-is-the-store.md"] {
        assert!(documents.iter().any(|it| it == known), "{known} was not found");
    }
    documents
}

/// The files that a document links to, as paths from the root, without web addresses.
fn links(document: &str) -> Vec<PathBuf> {
    let text = read(document);
    // Skip code blocks, in which brackets and parentheses are not links.
    let prose: String = text.split("\n```").step_by(2).collect();
    let targets = prose.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap());
    let ours = targets.filter(|target| !target.is_empty() && !target.contains("://"));
    let dir = Path::new(document).parent().unwrap();
    ours.map(|target| dir.join(target)).collect()
}

#[test]
fn every_path_that_a_document_names_exists() {
    let tops = ["src", "tests", "static", "templates", "docs", "examples", "data"];
    let mut seen = 0;
    for document in documents() {
        for span in spans(&read(&document)) {
            let is_path = span.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
            if is_path && tops.contains(&span.split('/').next().unwrap()) {
                seen += 1;
                assert!(root().join(&span).exists(), "{document} names {span}");
            }
        }
    }
    assert!(seen > 50, "hardly any paths were found in the documents: {seen}");
}

#[test]
fn every_file_that_a_document_links_to_exists() {
    let mut seen = 0;
    for document in documents() {
        for target in links(&document) {
            seen += 1;
            assert!(root().join(&target).exists(), "{document} links to {}", target.display());
        }
    }
    assert!(seen > 50, "hardly any links were found in the documents: {seen}");
}

#[test]
fn every_file_in_docs_is_listed_there() {
    let listed = links("docs/README.md");
    let mut dirs = vec![PathBuf::from("docs")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(root().join(&dir)).unwrap() {
            let path = dir.join(entry.unwrap().file_name());
            if root().join(&path).is_dir() {
                dirs.push(path);
            } else if path != Path::new("docs/README.md") {
                assert!(listed.contains(&path), "docs/README.md does not list {}", path.display());
            }
        }
    }
}

#[test]
fn the_readme_is_short_and_its_figures_are_those_of_the_benchmarks() {
    let (readme, benchmarks) = (read("README.md"), read("docs/benchmarks.md"));
    let lines = readme.lines().count();
    assert!(lines <= 170, "README.md has {lines} lines; move some of it to docs");
    let figures = readme.split_once("\n## Figures\n").unwrap().1.split("\n## ").next().unwrap();
    let rows: Vec<&str> = figures.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert_eq!(rows.len(), 10, "the ten best figures");
    for row in rows {
        let words = row.split([' ', '|', ':', ';']).map(|word| word.trim_end_matches(','));
        for word in words.filter(|word| word.contains(|c: char| c.is_ascii_digit())) {
            assert!(benchmarks.contains(word), "docs/benchmarks.md lacks {word:?} of {row:?}");
        }
    }
}
