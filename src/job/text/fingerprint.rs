//! Fingerprints of error messages: the first line of a message without the parts that differ from job to job, so that
//! errors with the same cause are grouped. The table in the tests shows examples.

use crate::job::stable_hash;

/// The most characters of a message that are examined.
const MAX_CHARS: usize = 300;
/// Words after which a number describes the error and not the job.
const MEANINGFUL: [&str; 7] = ["status", "code", "http", "answered", "exit", "errno", "signal"];

/// Returns the first line of a message without its numbers, ids, quoted words and paths.
pub fn pattern(message: &str) -> String {
    let line = message.trim().lines().next().unwrap_or_default().trim_end();
    let chars: Vec<char> = line.chars().take(MAX_CHARS).collect();
    let mut out = String::with_capacity(line.len().min(MAX_CHARS));
    let mut before = String::new(); // the word before, which may give a number its meaning
    let mut at = 0;
    while let Some(&first) = chars.get(at) {
        if let Some(end) = quoted(&chars, at) {
            out.push('…');
            before.clear();
            at = end;
        } else if first.is_whitespace() {
            if !out.ends_with(' ') {
                out.push(' ');
            }
            at += 1;
        } else if is_bracket(first) {
            out.push(first);
            at += 1;
        } else {
            let word = word(&chars[at..]);
            at += word.chars().count();
            let bare = word.trim_end_matches(['.', ':', '!', '?']);
            if bare.is_empty() {
                out.push_str(&word);
                continue;
            }
            let keeps = MEANINGFUL.contains(&before.as_str()) && is_number(bare);
            out.push_str(&if keeps { bare.to_owned() } else { general(bare) });
            out.push_str(&word[bare.len()..]);
            before = bare.to_lowercase();
        }
    }
    out
}

/// The end of the quoted text that begins here. An apostrophe within a word does not begin one.
fn quoted(chars: &[char], at: usize) -> Option<usize> {
    let quote = chars[at];
    let within_word = at > 0 && chars[at - 1].is_alphanumeric();
    if !matches!(quote, '"' | '\'' | '`') || within_word {
        return None;
    }
    let closes = |index: usize| {
        chars[index] == quote && chars.get(index + 1).is_none_or(|next| !next.is_alphanumeric())
    };
    (at + 1..chars.len()).find(|index| closes(*index)).map(|index| index + 1)
}

/// The characters up to a space or a bracket; a URL continues across characters such as `=`.
fn word(chars: &[char]) -> String {
    let whole = chars.split(|c| c.is_whitespace()).next().unwrap_or_default();
    let end = whole.iter().position(|c| is_bracket(*c)).unwrap_or(whole.len());
    let is_address = whole[..end].windows(3).any(|three| three == [':', '/', '/']);
    let end = if is_address { whole.len() } else { end };
    whole[..end].iter().collect()
}

fn is_bracket(c: char) -> bool {
    matches!(c, '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | ',' | ';' | '=' | '|')
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_uuid(word: &str) -> bool {
    let is_digit = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    word.len() == 36 && word.bytes().enumerate().all(is_digit)
}

/// Replaces the variable parts of a word.
fn general(word: &str) -> String {
    if let Some((scheme, rest)) = word.split_once("://") {
        let host = rest.split(['/', '?', '#', ':']).next().unwrap_or_default();
        let host = if host.bytes().all(|b| b.is_ascii_digit() || b == b'.') { "N" } else { host };
        return format!("{scheme}://{host}/…");
    }
    if is_uuid(word) {
        return "N".into();
    }
    let slashes = word.matches('/').count();
    let is_path =
        slashes > 1 || word.starts_with(['/', '~']) || (slashes == 1 && word.contains('.'));
    if is_path || word.contains(":\\") {
        return "PATH".into();
    }
    let parts = word.split_inclusive(['-', '_', '.', ':', '#', '@', '/', '+', '%', '&']);
    let mut out = String::with_capacity(word.len());
    for part in parts {
        let text = part.trim_end_matches(['-', '_', '.', ':', '#', '@', '/', '+', '%', '&']);
        out.push_str(&general_part(text));
        out.push_str(&part[text.len()..]);
    }
    // Dates, IP addresses and UUIDs are numbers in several parts.
    let is_letter = |c: char| c.is_alphanumeric() && !matches!(c, 'N' | 'T' | 'Z');
    if out.matches('N').count() > 1 && !out.contains(is_letter) { "N".into() } else { out }
}

/// Replaces a part of a word: numbers and random ids become `N`.
fn general_part(text: &str) -> String {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits == 0 {
        return if is_hex && text.len() >= 16 { "N".into() } else { text.into() };
    }
    let letters = |text: &str| text.chars().all(char::is_alphabetic);
    let tail = text.trim_start_matches(|c: char| c.is_ascii_digit());
    if tail.len() < text.len() {
        let is_unit = letters(tail) && tail.len() <= 3;
        return if is_unit { format!("N{tail}") } else { "N".into() };
    }
    let head = text.trim_end_matches(|c: char| c.is_ascii_digit());
    match letters(head) {
        true if is_hex && text.len() >= 6 => "N".into(),
        true if digits == 1 => text.into(), // utf8, http2, ipv4
        true => format!("{head}N"),
        false if text.len() >= 6 => "N".into(),
        false => text.into(),
    }
}

/// A short id that distinguishes the patterns of one kind. It is part of URLs, so it must never change.
pub fn fingerprint(kind: &str, class: &str, pattern: &str) -> u64 {
    stable_hash([kind, class, pattern])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// URLs of failure groups contain it, and a bookmark must still work after an update.
    #[test]
    fn a_fingerprint_stays_the_same_in_every_version() {
        assert_eq!(fingerprint("mail", "error", "no such N"), 0x71ea_b3b7_c7fb_7d40);
    }

    #[test]
    fn what_differs_from_job_to_job_is_left_out() {
        let table = [
            ("", ""),
            ("connection refused", "connection refused"),
            ("  timed out after 30s \n at main.rs:3", "timed out after Ns"),
            ("took 1.5 s, limit 2", "took N s, limit N"),
            ("user 42 has no address", "user N has no address"),
            ("user user_4711 not found", "user user_N not found"),
            ("no row with id 7c9e6679-7425-40de-944b-e07fc1f90ae7", "no row with id N"),
            ("object 0x7f3a9c01 is gone", "object N is gone"),
            ("commit e4d909c2 is unknown", "commit N is unknown"),
            ("commit 8f3Kd92x is unknown", "commit N is unknown"),
            ("unknown field `nmae` at line 3 column 14", "unknown field … at line N column N"),
            ("cannot open \"/tmp/a b\"", "cannot open …"),
            ("can't find 'it' and don't care", "can't find … and don't care"),
            ("an 'unfinished quote", "an 'unfinished quote"),
            ("cannot open /var/lib/x/1.txt: denied", "cannot open PATH: denied"),
            ("src/main.rs:12:5 panicked", "PATH panicked"),
            ("C:\\temp\\x.log is locked", "PATH is locked"),
            ("read and/or write", "read and/or write"),
            (
                "https://api.example.com/u/42?x=1 answered 503",
                "https://api.example.com/… answered 503",
            ),
            ("http://10.0.0.7:8080/ answered 404", "http://N/… answered 404"),
            ("exit status 1", "exit status 1"),
            ("the program ended with signal 9", "the program ended with signal 9"),
            ("10.0.0.7:8080 refused", "N refused"),
            ("at 2026-11-23T08:00:00.250Z it broke", "at N it broke"),
            ("invalid utf8 in http2 frame", "invalid utf8 in http2 frame"),
            ("worker-12 lost node17", "worker-N lost nodeN"),
            ("a=1;b=22", "a=N;b=N"),
            ("panicked at 'index 7 of 3'", "panicked at …"),
            ("ungültig: „größe“ 7", "ungültig: „größe“ N"),
            ("the facade was added", "the facade was added"),
            ("...", "..."),
        ];
        for (message, expected) in table {
            assert_eq!(pattern(message), expected, "{message:?}");
        }
    }

    #[test]
    fn a_pattern_is_its_own_pattern_for_plain_words_and_never_long() {
        let long = "wort ".repeat(1_000);
        assert_eq!(pattern(&long).chars().count(), MAX_CHARS);
        assert_eq!(pattern(&pattern("user 42 failed")), "user N failed");
    }

    #[test]
    fn kinds_and_classes_have_separate_fingerprints() {
        let one = fingerprint("mail", "error", "no answer");
        assert_eq!(one, fingerprint("mail", "error", "no answer"));
        assert_ne!(one, fingerprint("mail", "timeout", "no answer"));
        assert_ne!(one, fingerprint("maile", "rror", "no answer"));
    }
}
