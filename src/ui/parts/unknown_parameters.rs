//! Parameters of a URL that are none of a page. A link may have foreign ones, so they do not break the page; but the page
//! names them, because a misspelled filter must not silently show everything.

use crate::job::shorten::{MAX_ERRORS, MAX_NAME, shorten};

/// Parameters that mail programs and social networks add to links, and prefixes of such parameters.
const FOREIGN: [&str; 10] =
    ["fbclid", "gclid", "dclid", "msclkid", "yclid", "igshid", "mc_cid", "mc_eid", "_ga", "_gl"];
const FOREIGN_PREFIX: &str = "utm_";

/// Adds an unknown parameter to a list, once, unless it is known to come from elsewhere.
pub fn note_unknown(unknown: &mut Vec<String>, name: &str) {
    if FOREIGN.contains(&name) || name.starts_with(FOREIGN_PREFIX) || unknown.len() >= MAX_ERRORS {
        return;
    }
    let name = shorten(name, MAX_NAME);
    if !unknown.contains(&name) {
        unknown.push(name);
    }
}

/// The sentence that names them; `None` when there are none.
pub fn ignored(unknown: &[String]) -> Option<String> {
    let names: Vec<String> = unknown.iter().map(|name| format!("“{name}”")).collect();
    match names.as_slice() {
        [] => None,
        [name] => Some(format!("The unknown parameter {name} was ignored.")),
        names => Some(format!("The unknown parameters {} were ignored.", names.join(", "))),
    }
}
