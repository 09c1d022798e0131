//! JSON as a page shows it, with parts that can be folded, the path of each value, and links from values to the jobs
//! that have the same value. The text comes from `json_text`, line by line, so every digit stays as it was sent.

use url::form_urlencoded::Serializer;

use super::json_text::{JsonToken, LEFT_OUT, ShownText, TextLine};
use crate::job::secret::NOT_SHOWN;
use crate::job::{JobQuery, Kind, Term, Time, Value};

/// The most values with a link. Each link is a stop of the Tab key.
const MAX_LINKS: usize = 100;
/// The longest path of a line in bytes. Every line repeats the keys around it, so without a limit a long key with many
/// values below it would make a page that is much larger than the payload.
const MAX_PATH: usize = 256;

/// A text in lines.
#[derive(Debug, Default)]
pub struct JsonView {
    /// The lines in order.
    pub lines: Vec<ViewLine>,
    /// How many objects and arrays have no closing line because the text was cut.
    pub unclosed: usize,
    /// Whether something was left out.
    pub is_cut: bool,
    /// Whether a string has escapes that were decoded.
    pub is_decoded: bool,
}

/// A line of the text.
#[derive(Debug)]
pub struct ViewLine {
    /// The level of its indent.
    pub level: usize,
    /// What the line begins or ends.
    pub role: LineRole,
    /// The path of the value that begins on the line, as a search has it: `payload.user.id`. Empty when it is too long.
    pub path: String,
    /// The tokens before the value: the indent and the key.
    pub before: Vec<JsonToken>,
    /// The tokens of the value.
    pub value: Vec<JsonToken>,
    /// The tokens after the value.
    pub after: Vec<JsonToken>,
    /// The search for jobs with the same value: its words, and the URL of its list.
    pub search: Option<ValueSearch>,
}

/// What a line begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineRole {
    /// It has a whole value.
    Whole,
    /// An object or array begins on it, and continues on the next lines.
    Opens,
    /// An object or array ends on it.
    Closes,
}

/// A search for the jobs that have a value.
#[derive(Debug)]
pub struct ValueSearch {
    /// The term: `payload.user.id:42`.
    pub term: String,
    /// The URL of the list.
    pub link: String,
}

/// An object or array that is still open.
enum Container {
    Object,
    /// An array, with the position of its next element.
    Array(usize),
}

impl JsonView {
    /// The view of a payload, whose values lead to the jobs of the kind that have them.
    pub fn of_payload(text: &ShownText, kind: &Kind) -> JsonView {
        ViewBuilder::new("payload", Some(kind)).run(text)
    }

    /// The view of a text without links. `root` is the first word of its paths.
    pub fn without_links(text: &ShownText, root: &'static str) -> JsonView {
        ViewBuilder::new(root, None).run(text)
    }
}

impl ViewLine {
    fn bare(level: usize, role: LineRole, tokens: Vec<JsonToken>) -> ViewLine {
        let (value, after) = (Vec::new(), Vec::new());
        ViewLine { level, role, path: String::new(), before: tokens, value, after, search: None }
    }

    /// Whether an object or array begins here.
    pub fn opens(&self) -> bool {
        self.role == LineRole::Opens
    }

    /// Whether an object or array ends here.
    pub fn closes(&self) -> bool {
        self.role == LineRole::Closes
    }
}

struct ViewBuilder<'a> {
    root: &'static str,
    /// The kind of the jobs that the links list; `None` for a text without links.
    kind: Option<&'a Kind>,
    open: Vec<Container>,
    /// The steps from the root to the innermost open object or array.
    steps: Vec<Box<str>>,
    links: usize,
}

impl<'a> ViewBuilder<'a> {
    fn new(root: &'static str, kind: Option<&'a Kind>) -> Self {
        ViewBuilder { root, kind, open: Vec::new(), steps: Vec::new(), links: 0 }
    }

    fn run(mut self, text: &ShownText) -> JsonView {
        let lines = text.lines().into_iter().map(|line| self.line(line)).collect();
        JsonView {
            lines,
            unclosed: self.open.len(),
            is_cut: text.is_cut,
            is_decoded: text.is_decoded,
        }
    }

    fn line(&mut self, line: TextLine) -> ViewLine {
        let TextLine { level, tokens } = line;
        let first = tokens.iter().find(|token| !token.text.trim().is_empty());
        let is_plain = |token: &&JsonToken| token.class == "plain";
        if first.filter(is_plain).is_some_and(|token| token.text.trim().starts_with(['}', ']'])) {
            self.open.pop();
            if !self.open.is_empty() {
                self.steps.pop();
            }
            return ViewLine::bare(level, LineRole::Closes, tokens);
        }
        if first.is_none_or(|token| token.text == LEFT_OUT) {
            return ViewLine::bare(level, LineRole::Whole, tokens);
        }
        let opens = tokens.last().filter(is_plain).is_some_and(|token| {
            token.text.ends_with('\n') && token.text.trim_end().ends_with(['{', '['])
        });
        let array = tokens.last().is_some_and(|token| token.text.trim_end().ends_with('['));
        let (before, value, mut after) = parts(tokens);
        if let Some(last) = after.last_mut().filter(|_| opens) {
            last.text.truncate(last.text.trim_end().len()); // the page adds the line break
        }
        let step = self.step(&before);
        let length: usize = self.steps.iter().chain(&step).map(|step| step.len() + 1).sum();
        let (mut path, mut search) = (String::new(), None);
        if length <= MAX_PATH {
            let steps: Vec<Box<str>> = self.steps.iter().chain(&step).cloned().collect();
            path = self.path(&steps);
            search = if opens { None } else { self.search(&steps, &value) };
        }
        let role = if opens { LineRole::Opens } else { LineRole::Whole };
        if opens {
            self.open.push(if array { Container::Array(0) } else { Container::Object });
            self.steps.extend(step);
        }
        ViewLine { level, role, path, before, value, after, search }
    }

    /// The step from the innermost open object or array to the value of the line: its key or its position.
    fn step(&mut self, before: &[JsonToken]) -> Option<Box<str>> {
        match self.open.last_mut()? {
            Container::Array(next) => {
                *next += 1;
                Some((*next - 1).to_string().into())
            }
            Container::Object => {
                let key = before.iter().filter(|token| token.class != "plain");
                let key = key.map(|token| token.text.as_str()).collect::<String>();
                Some(unquoted(&key).unwrap_or(key).into())
            }
        }
    }

    /// The path as a search has it.
    fn path(&self, steps: &[Box<str>]) -> String {
        let term = Term::At { path: steps.into(), value: Value::Bare("x".into()) }.to_string();
        let path = term.strip_prefix("payload").and_then(|path| path.strip_suffix(":x"));
        format!("{}{}", self.root, path.unwrap_or_default())
    }

    /// The search for a string, a number or a word; `None` where no search would find the job.
    fn search(&mut self, steps: &[Box<str>], value: &[JsonToken]) -> Option<ValueSearch> {
        let kind = self.kind.filter(|_| !steps.is_empty() && self.links < MAX_LINKS)?;
        let text: String = value.iter().map(|token| token.text.as_str()).collect();
        let value = match value.first()?.class {
            "number" | "word" => Value::Bare(text.into()),
            "string" | "mark" => Value::Quoted(unquoted(&text)?.into()),
            _ => return None,
        };
        if value.text() == NOT_SHOWN || value.text().contains("***") {
            return None;
        }
        let term = Term::At { path: steps.into(), value }.to_string();
        JobQuery::default().narrow(&term, Time::default()).ok()?;
        self.links += 1;
        let mut query = Serializer::new(String::new());
        query.extend_pairs([("kind", kind.as_str()), ("q", &term)]);
        Some(ValueSearch { link: format!("jobs?{}", query.finish()), term })
    }
}

/// The text of a complete JSON string.
fn unquoted(text: &str) -> Option<String> {
    serde_json::from_str(text).ok()
}

/// The tokens before, of and after the value of a line.
fn parts(tokens: Vec<JsonToken>) -> (Vec<JsonToken>, Vec<JsonToken>, Vec<JsonToken>) {
    let (mut before, mut value, mut after) = (Vec::new(), Vec::new(), Vec::new());
    // A mark has the class of a mark in keys and in values; a key ends at the colon.
    let colon = |token: &JsonToken| token.class == "plain" && token.text.starts_with(':');
    let has_key = tokens.iter().any(colon);
    let mut is_key_over = !has_key;
    for token in tokens {
        if !is_key_over && colon(&token) {
            // Brackets that follow the colon are in the same token.
            is_key_over = true;
            let (colon, rest) = token.text.split_at(token.text.len().min(2));
            let plain = |text: &str| JsonToken { class: "plain", text: text.to_owned() };
            before.push(plain(colon));
            after.extend((!rest.is_empty()).then(|| plain(rest)));
        } else if !is_key_over {
            before.push(token);
        } else if token.class != "plain" {
            value.push(token);
        } else if value.is_empty() && token.text.trim().is_empty() {
            before.push(token);
        } else {
            after.push(token);
        }
    }
    (before, value, after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Json;
    use crate::ui::parts::json_text::shown;
    use crate::ui::parts::visible_text::Escapes;

    fn view(text: &str) -> JsonView {
        let text = shown(&Json::parse(text).unwrap(), Escapes::Decoded);
        JsonView::of_payload(&text, &Kind::parse("echo").unwrap())
    }

    fn terms(text: &str) -> Vec<String> {
        let searches = view(text).lines.into_iter().filter_map(|line| line.search);
        searches.map(|search| search.term).collect()
    }

    #[test]
    fn a_long_key_is_not_repeated_on_every_line_below_it() {
        let members: Vec<String> = (0..900).map(|n| format!("\"m{n}\":{n}")).collect();
        let long = view(&format!("{{\"{}\":{{{}}}}}", "k".repeat(16_000), members.join(",")));
        let paths: usize = long.lines.iter().map(|line| line.path.len()).sum();
        assert!(
            paths < 1_000 && long.lines.len() > 800,
            "{paths} bytes, {} lines",
            long.lines.len()
        );
        assert!(long.lines.iter().all(|line| line.search.is_none()));
        // What is not below it has its path.
        let beside = view(&format!("{{\"{}\":{{\"a\":1}},\"b\":2}}", "k".repeat(16_000)));
        let paths: Vec<&str> = beside.lines.iter().map(|line| line.path.as_str()).collect();
        assert_eq!(paths, ["payload", "", "", "", "payload.b", ""]);
    }

    #[test]
    fn every_value_leads_to_the_search_that_finds_it() {
        let text = r#"{"user":{"id":42,"na.me":"A \"b\" \u00fc"},"list":[1.50,[true,{"x":null}],"a: b"],"":"","on":"42"}"#;
        assert_eq!(
            terms(text),
            [
                "payload.user.id:42",
                "payload.user.\"na.me\":\"A \\\"b\\\" ü\"",
                "payload.list.0:1.50",
                "payload.list.1.0:true",
                "payload.list.1.1.x:null",
                "payload.list.2:\"a: b\"",
                "payload.on:\"42\"",
            ]
        );
        let link = &view("{\"a\":\"x&y\"}").lines[1].search.as_ref().unwrap().link.clone();
        assert_eq!(link, "jobs?kind=echo&q=payload.a%3A%22x%26y%22");
    }

    #[test]
    fn what_cannot_be_searched_has_no_link() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(2_000));
        let deep = format!("{}1{}", "[".repeat(25), "]".repeat(25));
        for text in
            ["\"x\"", "1", "{}", "{\"a\":{},\"b\":[]}", "{\"h\":\"(not shown)\"}", &long, &deep]
        {
            assert_eq!(terms(text), [""; 0], "{text}");
        }
        let many: Vec<String> = (0..300).map(|n| n.to_string()).collect();
        assert_eq!(terms(&format!("[{}]", many.join(","))).len(), MAX_LINKS);
    }

    #[test]
    fn an_empty_object_is_no_part_of_the_key() {
        let view = view(r#"{"a":{},"b":{"c":1}}"#);
        let text = |tokens: &[JsonToken]| tokens.iter().map(|t| t.text.clone()).collect::<String>();
        let lines = view.lines.iter().map(|line| (text(&line.before), text(&line.after)));
        let lines: Vec<(String, String)> = lines.take(3).collect();
        assert_eq!(lines[0], (String::new(), "{".into()));
        assert_eq!(lines[1], ("  \"a\": ".into(), "{},\n".into()));
        assert_eq!(lines[2], ("  \"b\": ".into(), "{".into()));
    }

    #[test]
    fn objects_open_and_close_also_when_the_text_is_cut() {
        let view = |text: &str| {
            let view = view(text);
            let count = |role| view.lines.iter().filter(|line| line.role == role).count();
            (count(LineRole::Opens), count(LineRole::Closes), view.unclosed, view.is_cut)
        };
        assert_eq!(view(r#"{"a":[1,{"b":{}}],"c":[]}"#), (3, 3, 0, false));
        let many: Vec<String> = (0..3_000).map(|n| n.to_string()).collect();
        assert_eq!(view(&format!("{{\"a\":[{}]}}", many.join(","))), (2, 0, 2, true));
    }

    #[test]
    fn paths_are_those_of_a_search() {
        let paths: Vec<String> =
            view(r#"{"a":[{"b c":1}]}"#).lines.into_iter().map(|l| l.path).collect();
        assert_eq!(
            paths,
            ["payload", "payload.a", "payload.a.0", "payload.a.0.\"b c\"", "", "", ""]
        );
    }
}
