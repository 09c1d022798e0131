//! The arguments of a program: the declared ones, filled with the values of the payload.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::settings::{Program, Stdin};
use super::template::Template;

/// Fills the declared arguments.
///
/// # Errors
/// Which value is missing, unknown or of the wrong type.
pub(super) fn fill(
    program: &Program,
    values: &BTreeMap<String, Box<RawValue>>,
) -> Result<Vec<String>, String> {
    let known: Vec<&str> = program.args.iter().flat_map(Template::keys).collect();
    let unknown = values.keys().find(|key| !known.contains(&key.as_str()));
    match (unknown, program.stdin) {
        (Some(key), Stdin::Empty) => {
            return Err(format!(
                "args: {key:?} is not a placeholder of this command; it has: {}",
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            ));
        }
        // The program reads the whole payload, which may have more values than there are placeholders.
        (Some(_), Stdin::Payload) | (None, Stdin::Empty | Stdin::Payload) => {}
    }
    program.args.iter().map(|template| template.fill(values, program.dashes)).collect()
}
