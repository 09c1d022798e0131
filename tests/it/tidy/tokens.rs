//! Extracts the paths that a Rust source names outside comments, strings and tests. It knows just enough of the grammar
//! to follow imports.

/// The segments of a path as written.
pub type Path = Vec<String>;

/// A path that a source names, in a `use` or in its code.
#[derive(Debug, PartialEq)]
pub struct Import {
    pub path: Path,
    /// The name that a `use` gives the path in this module.
    pub name: Option<String>,
    /// Whether this is a re-export (`pub use`), which is not a dependency on the other file by itself.
    pub is_public: bool,
}

/// Every path that a source names, except in code that is compiled only for tests.
pub fn imports(text: &str) -> Vec<Import> {
    let tokens = without_tests(&tokens(text));
    let (mut imports, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let token = tokens[at];
        // `impl Trait + use<'_>` is not an import.
        if token == "use" && tokens.get(at + 1) != Some(&"<") {
            let length = tokens[at..].iter().position(|token| *token == ";").unwrap_or(0);
            let is_public = is_public(&tokens[..at]);
            for (path, name) in use_tree(&tokens[at + 1..at + length]) {
                imports.push(Import { path, name, is_public });
            }
            at += length + 1;
        } else if is_identifier(token) {
            let end = end_of_path(&tokens, at);
            let follows =
                at.checked_sub(1).is_some_and(|before| ["::", "."].contains(&tokens[before]));
            let begins_low = token.starts_with(|c: char| c.is_lowercase() || c == '_');
            if end > at + 1 && !follows && begins_low {
                let segments = tokens[at..end].iter().filter(|token| **token != "::");
                let path = segments.map(|segment| (*segment).to_owned()).collect();
                imports.push(Import { path, name: None, is_public: false });
            }
            at = end;
        } else {
            at += 1;
        }
    }
    imports
}

/// The end of the path that begins at a token: `a::b::<T>` ends after `b`.
fn end_of_path(tokens: &[&str], begin: usize) -> usize {
    let mut end = begin + 1;
    while tokens.get(end) == Some(&"::")
        && tokens.get(end + 1).is_some_and(|next| is_identifier(next))
    {
        end += 2;
    }
    end
}

/// Whether the tokens end with `pub` or `pub(...)`.
fn is_public(before: &[&str]) -> bool {
    match before {
        [.., "pub"] => true,
        [rest @ .., ")"] => {
            let open = rest.iter().rposition(|token| *token == "(");
            open.is_some_and(|open| rest[..open].last() == Some(&"pub"))
        }
        _ => false,
    }
}

/// The paths of a `use`, with the name of each in the module; `a::{self, b as c, d::*}` has three.
fn use_tree(tokens: &[&str]) -> Vec<(Path, Option<String>)> {
    let Some(open) = tokens.iter().position(|token| *token == "{") else {
        let (path, alias) = match tokens {
            [path @ .., "as", alias] => (path, Some(*alias)),
            path => (path, None),
        };
        let mut segments: Vec<&str> = path.iter().copied().filter(|it| *it != "::").collect();
        let is_glob = segments.pop_if(|last| *last == "*").is_some();
        if segments.len() > 1 {
            segments.pop_if(|last| *last == "self");
        }
        let name = alias.or(segments.last().copied()).filter(|_| !is_glob).map(str::to_owned);
        return vec![(segments.into_iter().map(str::to_owned).collect(), name)];
    };
    let prefix: Path =
        tokens[..open].iter().filter(|it| **it != "::").map(|it| (*it).to_owned()).collect();
    let close = tokens.iter().rposition(|token| *token == "}").unwrap_or(tokens.len());
    let (mut paths, mut depth, mut begin) = (Vec::new(), 0, open + 1);
    for at in open + 1..=close {
        match tokens.get(at) {
            Some(&"{") => depth += 1,
            Some(&"}") if at != close => depth -= 1,
            Some(&",") if depth > 0 => {}
            Some(&("," | "}")) | None => {
                if begin < at {
                    let inner = use_tree(&tokens[begin..at]);
                    paths.extend(inner.into_iter().map(|(path, name)| {
                        let is_self = path == ["self"];
                        let tail = if is_self { &[][..] } else { &path[..] };
                        let path = [&prefix, tail].concat();
                        let name = if is_self && name.as_deref() == Some("self") {
                            path.last().cloned()
                        } else {
                            name
                        };
                        (path, name)
                    }));
                }
                begin = at + 1;
            }
            Some(_) => {}
        }
    }
    paths
}

/// The tokens without items marked `#[cfg(test)]`.
fn without_tests<'a>(tokens: &[&'a str]) -> Vec<&'a str> {
    const TEST_ONLY: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if tokens[at..].starts_with(&TEST_ONLY) {
            at = end_of_item(tokens, at + TEST_ONLY.len());
        } else {
            kept.push(tokens[at]);
            at += 1;
        }
    }
    kept
}

/// The end of the item that begins at a token: after its block or, without one, after its semicolon or comma.
fn end_of_item(tokens: &[&str], begin: usize) -> usize {
    let is_use = tokens[begin..].iter().take(5).any(|token| *token == "use");
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(begin) {
        match *token {
            "{" | "(" | "[" => depth += 1,
            "}" if depth == 1 && !is_use => return at + 1,
            // The end of the enclosing block.
            "}" if depth == 0 => return at,
            "}" | ")" | "]" => depth -= 1,
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

fn is_identifier(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Splits a text into identifiers, `::`, and single other characters, without comments and literals.
pub fn tokens(text: &str) -> Vec<&str> {
    let (mut tokens, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => string_length(rest),
            'r' | 'b' if raw_string_length(rest).is_some() => raw_string_length(rest).unwrap(),
            '\'' => quote_length(rest),
            c if c.is_alphanumeric() || c == '_' => {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
                let length = end.unwrap_or(rest.len());
                tokens.push(&rest[..length]);
                length
            }
            ':' if rest.starts_with("::") => {
                tokens.push("::");
                2
            }
            c => {
                if !c.is_whitespace() {
                    tokens.push(&rest[..c.len_utf8()]);
                }
                c.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    tokens
}

/// The length of the string literal at the start of a text.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the raw string at the start of a text (`r"..."`, `r#"..."#`, or their byte versions), if there is one.
fn raw_string_length(text: &str) -> Option<usize> {
    let after = text.strip_prefix('b').unwrap_or(text).strip_prefix('r')?;
    let marks = after.len() - after.trim_start_matches('#').len();
    let inner = after[marks..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(marks));
    let close = inner.find(&end)? + end.len();
    Some(text.len() - inner.len() + close)
}

/// The length of the character literal or the lifetime at the start of a text.
fn quote_length(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => text[3..].find('\'').map_or(text.len(), |end| end + 4),
        Some(_) => match chars.next() {
            Some((at, '\'')) => at + 1,
            _ => 1, // a lifetime: its name is read as an identifier, which starts no path
        },
        None => 1,
    }
}

#[cfg(test)]
fn named(text: &str) -> Vec<String> {
    let written = |import: Import| match import.name {
        Some(name) if import.path.last() != Some(&name) => {
            format!("{} as {name}", import.path.join("::"))
        }
        _ => import.path.join("::"),
    };
    imports(text).into_iter().map(written).collect()
}

#[test]
fn a_use_has_a_path_for_each_of_its_names() {
    let text = "use a::b; pub use c::{self, d as e, f::{G, h::*}}; use super::super::x::Y;";
    assert_eq!(named(text), ["a::b", "c", "c::d as e", "c::f::G", "c::f::h", "super::super::x::Y"]);
    let public: Vec<bool> = imports(text).iter().map(|import| import.is_public).collect();
    assert_eq!(public, [false, true, true, true, true, false]);
    assert!(imports("pub(in crate::a) use b::C;")[1].is_public);
}

#[test]
fn paths_in_code_are_found_and_those_of_values_and_types_are_not() {
    let text = "fn f() -> impl T + use<'_> { a::b::<u8>(x.y, Vec::new(), crate::c::D { e }) }";
    assert_eq!(named(text), ["a::b", "crate::c::D"]);
}

#[test]
fn comments_strings_characters_and_tests_name_nothing() {
    let text = r##"
        // use a::b;
        /* use a::c; */
        const S: &str = "a::d \" a::e"; const R: &str = r#"a::f " a::g"#; const B: &[u8] = b"a::h";
        const C: [char; 3] = ['"', '\'', '\\']; fn f<'a>(it: &'a str) -> g::H<'a> {}
        #[cfg(test)] mod tests { use a::i; fn j() { a::k() } }
        #[cfg(test)] use a::{l, m};
        #[cfg(test)] pub(crate) fn n(list: [u8; 2]) -> a::O { a::p() }
        use q::r;
    "##;
    assert_eq!(named(text), ["g::H", "q::r"]);
}
