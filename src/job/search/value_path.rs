//! The search for a value at a path of a payload. It walks along the JSON text once with a stack of its own, builds no
//! values, and follows all interpretations of the path at the same time.

use std::borrow::Cow;

use memchr::memmem::Finder;
use memchr::{memchr, memchr2};

use super::reading::{Interrupted, Reading};
use super::term::Value;
use crate::job::decimal::Decimal;
use crate::job::escapes::decoded;

/// The most steps of a path. [`Steps`] has one bit for each and one for the end.
pub const MAX_STEPS: usize = 20;

/// How far the path has been followed when a value begins: bit `n` is set when its first `n` steps lead there. Several
/// bits can be set, because a list passes every step on to its elements.
type Steps = u32;

/// A prepared path with the value expected at its end.
pub struct PathMatcher<'q> {
    /// Each key of the path once, with the steps before which it occurs.
    keys: Vec<(&'q str, Steps)>,
    /// The same for indexes of lists.
    indexes: Vec<(u64, Steps)>,
    /// The bit of the end of the path.
    end: Steps,
    scalar: Scalar<'q>,
    /// A key that every payload with this path contains.
    hint: Option<Finder<'q>>,
}

/// The value at the end of a path.
struct Scalar<'q> {
    value: &'q Value,
    /// The value as a number, when it is one.
    number: Option<Decimal<'q>>,
}

/// A list or an object that is open during the walk.
enum Open {
    List {
        steps: Steps,
        /// The index of the next element.
        next: u32,
        found: bool,
    },
    Object {
        steps: Steps,
        /// The steps of the current member.
        taken: Steps,
        /// The steps whose member has the value. A duplicate key replaces the earlier one.
        found: Steps,
    },
}

impl<'q> PathMatcher<'q> {
    pub fn new(path: &'q [Box<str>], value: &'q Value) -> PathMatcher<'q> {
        let mut wanted = PathMatcher {
            keys: Vec::new(),
            indexes: Vec::new(),
            // A path that is too long never reaches its end.
            end: if path.len() <= MAX_STEPS { 1 << path.len() } else { 0 },
            scalar: Scalar { value, number: Decimal::parse(value.text()) },
            hint: None,
        };
        for (n, key) in path.iter().take(MAX_STEPS).enumerate() {
            add(&mut wanted.keys, key, 1 << n);
            match key.parse() {
                Ok(index) => add(&mut wanted.indexes, index, 1 << n),
                Err(_) => wanted.hint = Some(Finder::new(key.as_bytes())),
            }
        }
        wanted
    }

    /// Whether the payload has the value at the path.
    pub fn is_in(&self, payload: &str, reading: &mut Reading<'_>) -> Result<bool, Interrupted> {
        let json = payload.as_bytes();
        // The hint misses only keys that are written with escapes.
        if let Some(hint) = &self.hint {
            reading.count(json.len())?;
            if hint.find(json).is_none() && memchr(b'\\', json).is_none() {
                return Ok(false);
            }
        }
        self.walk(json, reading)
    }

    fn walk(&self, json: &[u8], reading: &mut Reading<'_>) -> Result<bool, Interrupted> {
        let (mut open, mut at): (Vec<Open>, usize) = (Vec::new(), 0);
        loop {
            let begun = at;
            at = after_blanks(json, at);
            let Some(byte) = json.get(at) else { return Ok(false) };
            let found = if matches!(byte, b']' | b'}') {
                at += 1;
                reading.count(at - begun)?;
                open.pop().is_some_and(|closed| closed.has_it())
            } else {
                let steps = self.next_value(&mut open, json, &mut at);
                match json.get(at) {
                    Some(b'[') if steps != 0 => {
                        open.push(Open::List { steps, next: 0, found: false });
                        at += 1;
                        reading.count(at - begun)?;
                        continue;
                    }
                    Some(b'{') if steps & !self.end != 0 => {
                        open.push(Open::Object { steps, taken: 0, found: 0 });
                        at += 1;
                        reading.count(at - begun)?;
                        continue;
                    }
                    Some(b'[' | b'{') => {
                        reading.count(at - begun)?;
                        at = pass_over(json, at, reading)?;
                        false
                    }
                    Some(_) | None => {
                        let end = scalar_end(json, at);
                        let scalar = &json[at..end];
                        let found = steps & self.end != 0 && self.scalar.is(scalar);
                        reading.count(end - begun)?;
                        at = end;
                        found
                    }
                }
            };
            match open.last_mut() {
                Some(around) => around.has(found),
                None => return Ok(found),
            }
        }
    }

    /// The steps that lead to the value that begins here or after this key.
    fn next_value(&self, open: &mut [Open], json: &[u8], at: &mut usize) -> Steps {
        match open.last_mut() {
            None => 1,
            Some(Open::List { steps, next, .. }) => {
                let index = u64::from(*next);
                *next = next.saturating_add(1);
                let named = self.indexes.iter().find(|(wanted, _)| *wanted == index);
                *steps | (named.map_or(0, |(_, before)| *before & *steps) << 1)
            }
            Some(Open::Object { steps, taken, .. }) => {
                let end = scalar_end(json, *at);
                *taken = self.before(&json[*at..end]) & *steps;
                *at = after_blanks(json, end);
                *taken << 1
            }
        }
    }

    /// The steps before which a key occurs.
    fn before(&self, key: &[u8]) -> Steps {
        let key = text(key);
        let named = self.keys.iter().find(|(wanted, _)| key.as_deref() == Some(*wanted));
        named.map_or(0, |(_, before)| *before)
    }
}

impl Open {
    /// Records whether the value that has just ended matches.
    fn has(&mut self, it: bool) {
        match self {
            Open::List { found, .. } => *found |= it,
            Open::Object { taken, found, .. } => {
                *found &= !*taken;
                *found |= if it { *taken } else { 0 };
            }
        }
    }

    fn has_it(&self) -> bool {
        match self {
            Open::List { found, .. } => *found,
            Open::Object { found, .. } => *found != 0,
        }
    }
}

impl Scalar<'_> {
    fn is(&self, scalar: &[u8]) -> bool {
        if scalar.first() == Some(&b'"') {
            return text(scalar).is_some_and(|text| text == self.value.text());
        }
        let Ok(scalar) = str::from_utf8(scalar) else { return false };
        match self.value {
            Value::Quoted(_) => false,
            Value::Bare(wanted) => {
                *scalar == **wanted
                    || self.number.is_some() && self.number == Decimal::parse(scalar)
            }
        }
    }
}

/// Adds a step to those of the same key.
fn add<T: PartialEq>(named: &mut Vec<(T, Steps)>, name: T, step: Steps) {
    match named.iter_mut().find(|(known, _)| *known == name) {
        Some((_, steps)) => *steps |= step,
        None => named.push((name, step)),
    }
}

/// Decodes a JSON string; `None` when it is not one. Half of a surrogate pair stays an escape, as pages show it.
fn text(json: &[u8]) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    str::from_utf8(inner).ok().map(decoded)
}

/// Where the next value, key or bracket begins. In valid JSON, commas and colons can be skipped like white space.
fn after_blanks(json: &[u8], at: usize) -> usize {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':');
    json[at..].iter().position(|byte| !blank(byte)).map_or(json.len(), |more| at + more)
}

/// The end of the string, number or word that begins here; always greater than `from`, except at the end of the text.
fn scalar_end(json: &[u8], from: usize) -> usize {
    if json.get(from) != Some(&b'"') {
        let ends = |byte: &u8| b",:]} \t\n\r\"[{".contains(byte);
        let rest = json.get(from + 1..).unwrap_or_default();
        return rest.iter().position(ends).map_or(json.len(), |more| from + 1 + more);
    }
    let mut at = from + 1;
    while let Some(more) = memchr2(b'"', b'\\', json.get(at..).unwrap_or_default()) {
        at += more;
        if json[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    json.len()
}

/// The end of the list or object that begins here.
fn pass_over(json: &[u8], from: usize, reading: &mut Reading<'_>) -> Result<usize, Interrupted> {
    let (mut depth, mut at) = (0_u64, from);
    while let Some(byte) = json.get(at) {
        let begun = at;
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        at = if *byte == b'"' { scalar_end(json, at) } else { at + 1 };
        reading.count(at - begun)?;
        if depth == 0 {
            return Ok(at);
        }
    }
    Ok(json.len())
}

#[cfg(test)]
mod tests;
