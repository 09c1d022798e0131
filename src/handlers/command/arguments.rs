//! The arguments of a program: the declared ones, filled with the values of the payload.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::settings::{Program, Stdin};
use super::template::Template;

/// The values of a payload by their placeholder.
type ArgumentValues = BTreeMap<String, Box<RawValue>>;

/// Fills the declared arguments.
///
/// # Errors
/// Which value is missing, unknown or of the wrong type.
pub(super) fn fill(program: &Program, values: &ArgumentValues) -> Result<Vec<String>, String> {
    let filled = match unknown(program, values).next() {
        Some(message) => Err(message),
        None => program.args.iter().map(|it| it.fill(values, program.dashes)).collect(),
    };
    filled.map_err(|message| format!("args: {message}"))
}

/// Everything that is wrong with the values.
pub(super) fn check(program: &Program, values: &ArgumentValues) -> Vec<String> {
    let filled = program.args.iter().map(|template| template.fill(values, program.dashes));
    unknown(program, values).chain(filled.filter_map(Result::err)).collect()
}

/// The errors about values that are no placeholders. A program that reads the whole payload may get more values than
/// there are placeholders.
fn unknown<'a>(
    program: &'a Program,
    values: &'a ArgumentValues,
) -> impl Iterator<Item = String> + 'a {
    let known: Vec<&str> = program.args.iter().flat_map(Template::keys).collect();
    let accepts_any = match program.stdin {
        Stdin::Payload => true,
        Stdin::Empty => false,
    };
    let unknown = values.keys().filter(move |_| !accepts_any);
    unknown.filter(move |key| !known.contains(&key.as_str())).map(move |key| {
        let known: Vec<&str> = program.args.iter().flat_map(Template::keys).collect();
        format!(
            "{key:?} is not a placeholder of this command; it has: {}",
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        )
    })
}
