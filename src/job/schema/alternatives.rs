//! Finds what is wrong with a value that matches none of several alternatives (`anyOf`, `oneOf`), as generators write
//! them for optional values and for enums.

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{JsonType, JsonTypeSet, ValidationError};
use serde_json::Value;

use super::message;

/// Why a value matches no alternative.
pub enum MismatchCause<'e> {
    /// Only one alternative is meant, and these are its errors.
    Branch(&'e [ValidationError<'static>]),
    /// The value at this path is none that an alternative accepts.
    Value(&'e str, String),
    /// All alternatives require the property of this name.
    Missing(&'e str),
    /// Several alternatives may be meant.
    Unclear,
}

/// Finds the cause from the errors of each alternative for the value at `path`.
pub fn cause<'e>(
    branches: &'e [Vec<ValidationError<'static>>],
    path: &'e str,
) -> MismatchCause<'e> {
    let mut meant = branches.iter().filter(|branch| !is_excluded(branch, path));
    match (meant.next(), meant.next()) {
        (Some(one), None) => MismatchCause::Branch(one),
        (Some(_), Some(_)) => {
            missing(branches, path).map_or(MismatchCause::Unclear, MismatchCause::Missing)
        }
        (None, _) => unaccepted(branches, path).unwrap_or(MismatchCause::Unclear),
    }
}

/// Whether the value is obviously of another alternative: it has another type or tag, or the properties of another one.
fn is_excluded(branch: &[ValidationError], path: &str) -> bool {
    let here = |error: &&ValidationError| error.instance_path().as_str() == path;
    let has = |test: fn(&Kind) -> bool| branch.iter().filter(here).any(|error| test(error.kind()));
    let is_constant = |error: &ValidationError| constants(error).is_some();
    let other_tag = |error: &ValidationError| is_constant(error) && is_below(error, path);
    has(|kind| matches!(kind, Kind::Type { .. } | Kind::FalseSchema))
        || branch.iter().any(|error| here(&error) && is_constant(error))
        || branch.iter().any(other_tag)
        || (has(|kind| matches!(kind, Kind::Required { .. }))
            && has(|kind| matches!(kind, Kind::AdditionalProperties { .. })))
}

/// Whether the error is about a property of the value.
fn is_below(error: &ValidationError, path: &str) -> bool {
    let parent = error.instance_path().as_str().rsplit_once('/');
    parent.is_some_and(|(parent, _)| parent == path)
}

/// The accepted values of a failed `const` or `enum`.
fn constants<'e>(error: &'e ValidationError) -> Option<Vec<&'e Value>> {
    match error.kind() {
        Kind::Constant { expected_value } => Some(vec![expected_value]),
        Kind::Enum { options } => options.as_array().map(|options| options.iter().collect()),
        _ => None,
    }
}

/// The first property that every alternative requires and the value lacks.
fn missing<'e>(branches: &'e [Vec<ValidationError<'static>>], path: &str) -> Option<&'e str> {
    let names = |branch: &'e [ValidationError<'static>]| {
        let here = branch.iter().filter(|error| error.instance_path().as_str() == path);
        here.filter_map(|error| match error.kind() {
            Kind::Required { property } => property.as_str(),
            _ => None,
        })
    };
    let mut first = names(branches.first()?);
    first.find(|name| branches.iter().all(|branch| names(branch).any(|other| other == *name)))
}

/// Lists the values and types that the alternatives accept, for the value itself or for its tag.
fn unaccepted<'e>(
    branches: &'e [Vec<ValidationError<'static>>],
    path: &'e str,
) -> Option<MismatchCause<'e>> {
    let (mut at, mut values, mut types) = (None, Vec::new(), JsonTypeSet::empty());
    for branch in branches {
        let typed = branch.iter().find_map(|error| match error.kind() {
            Kind::Type { kind } if error.instance_path().as_str() == path => Some(kind),
            _ => None,
        });
        let constant = branch
            .iter()
            .find_map(|error| Some((error.instance_path().as_str(), constants(error)?)));
        match (constant, typed) {
            (Some((place, constants)), _) if at.is_none_or(|at| at == place) => {
                at = Some(place);
                values.extend(constants.into_iter().map(Value::to_string));
            }
            (None, Some(TypeKind::Single(one))) => types = types.insert(*one),
            (None, Some(TypeKind::Multiple(several))) => types = types.union(*several),
            (Some(_), _) | (None, None) => return None,
        }
    }
    let at = at.unwrap_or(path);
    // An optional value is described without `null`.
    let types = match types.remove(JsonType::Null) {
        none if none.is_empty() && values.is_empty() => types,
        others => others,
    };
    let mut accepted = Vec::new();
    if !values.is_empty() {
        accepted.push(message::one_of(values.iter()));
    }
    if !types.is_empty() && at == path {
        accepted.push(message::types(types));
    }
    Some(MismatchCause::Value(at, format!("expected {}", accepted.join(" or "))))
}
