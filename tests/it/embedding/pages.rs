//! The programs of a page: its fenced Rust blocks, each with the output that the page promises.

/// A fenced block of a page.
struct Fenced {
    language: String,
    text: String,
    /// The last line before the block that is not empty.
    before: String,
    /// The last heading before the block.
    heading: String,
}

/// A complete program.
#[derive(Clone)]
pub struct Program {
    /// Its file in a package, which is the first line of its block: `src/bin/typed.rs` or `tests/handlers.rs`.
    pub file: String,
    pub text: String,
    /// What it prints; `…` stands for anything within a line.
    pub output: String,
}

/// A task of the comparison, in one of the libraries.
pub struct Solution {
    pub task: String,
    pub library: String,
    pub text: String,
}

impl Program {
    /// The name of the file without its extension.
    pub fn name(&self) -> &str {
        let file = self.file.rsplit('/').next().unwrap_or_default();
        file.strip_suffix(".rs").unwrap_or_else(|| panic!("{} is not a Rust file", self.file))
    }

    /// Whether it is a test and not a program with a `main`.
    pub fn is_test(&self) -> bool {
        self.file.starts_with("tests/")
    }
}

/// The programs of a page, in order. Each must have the name of its file and its output.
pub fn programs(page: &str) -> Vec<Program> {
    let mut programs: Vec<Program> = Vec::new();
    let mut waiting: Option<(String, String)> = None;
    for block in fenced(page) {
        match &*block.language {
            "rust" => {
                let first = block.text.lines().next().unwrap_or_default();
                let file = first.strip_prefix("// ").filter(|file| file.ends_with(".rs"));
                let file = file.unwrap_or_else(|| panic!("a program without a file: {first:?}"));
                if let Some((earlier, _)) = waiting.replace((file.to_owned(), block.text.clone())) {
                    panic!("{earlier} has no output");
                }
            }
            "text" => {
                let program = waiting.take().map(|(file, text)| Program {
                    file,
                    text,
                    output: block.text.clone(),
                });
                programs.extend(program);
            }
            _ => {}
        }
    }
    if let Some((file, _)) = waiting {
        panic!("{file} has no output");
    }
    programs
}

/// The blocks of a page that compares libraries, each below a heading of its task and a line with the name of the library
/// in bold letters.
pub fn solutions(page: &str) -> Vec<Solution> {
    let rust = fenced(page).into_iter().filter(|block| block.language == "rust");
    rust.map(|block| {
        let bold = block.before.strip_prefix("**").and_then(|rest| rest.split_once("**"));
        let (library, _) = bold.unwrap_or_else(|| panic!("no library before {:?}", block.text));
        Solution { task: block.heading, library: library.to_owned(), text: block.text }
    })
    .collect()
}

fn fenced(page: &str) -> Vec<Fenced> {
    let (mut blocks, mut open): (Vec<Fenced>, Option<Fenced>) = (Vec::new(), None);
    let (mut before, mut heading) = (String::new(), String::new());
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, Some(language)) => {
                open = Some(Fenced {
                    language: language.to_owned(),
                    text: String::new(),
                    before: before.clone(),
                    heading: heading.clone(),
                });
            }
            (None, None) if line.trim().is_empty() => {}
            (None, None) => {
                if let Some(title) = line.strip_prefix('#') {
                    heading = title.trim_start_matches('#').trim().to_owned();
                }
                before = line.to_owned();
            }
        }
    }
    blocks
}

/// Whether the output of a program is the one that its page shows.
pub fn is_output(shown: &str, printed: &str) -> bool {
    let (shown, printed): (Vec<_>, Vec<_>) = (shown.lines().collect(), printed.lines().collect());
    shown.len() == printed.len()
        && shown.iter().zip(&printed).all(|(shown, line)| fits(shown, line))
}

/// Whether a line fits a pattern, in which each `…` stands for any text.
fn fits(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[test]
fn an_ellipsis_stands_for_any_text() {
    assert!(fits("a … c …", "a b c d"));
    assert!(fits("…", ""));
    assert!(fits("same", "same"));
    for (pattern, line) in [("same", "same "), ("a … c", "a b d"), ("a…a", "a"), ("b…", "ab")]
    {
        assert!(!fits(pattern, line), "{pattern} fits {line}");
    }
    assert!(!is_output("one\n", "one\ntwo\n"));
}
