//! The keywords of JSON Schema: which of them the validator knows, and where schemas contain schemas.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::job::shorten::{MAX_NAME, shorten};

/// Keywords that describe a value and refuse none.
const ANNOTATIONS: [&str; 18] = [
    "$anchor",
    "$comment",
    "$defs",
    "$dynamicAnchor",
    "$id",
    "$recursiveAnchor",
    "$schema",
    "$vocabulary",
    "contentSchema",
    "default",
    "definitions",
    "deprecated",
    "description",
    "examples",
    "id",
    "readOnly",
    "title",
    "writeOnly",
];

/// Keywords whose value is a schema, or (in older drafts) may be.
const SCHEMA: [&str; 12] = [
    "additionalItems",
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Keywords whose value is an array of schemas.
const LIST: [&str; 5] = ["allOf", "anyOf", "items", "oneOf", "prefixItems"];

/// Keywords whose value is an object of schemas.
const MAP: [&str; 6] =
    ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];

/// All other keywords, which refuse values.
const ASSERTIONS: [&str; 26] = [
    "$dynamicRef",
    "$recursiveRef",
    "$ref",
    "const",
    "contentEncoding",
    "contentMediaType",
    "dependentRequired",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "required",
    "type",
    "uniqueItems",
    "format",
];

/// The most unknown keywords that one schema reports.
const MAX_REPORTED: usize = 20;

/// Whether a keyword describes a value and refuses none. Keywords that JSON Schema does not define are annotations, too.
pub fn is_annotation(keyword: &str) -> bool {
    ANNOTATIONS.contains(&keyword) || !is_known(keyword)
}

fn is_known(keyword: &str) -> bool {
    [&ANNOTATIONS[..], &SCHEMA, &LIST, &MAP, &ASSERTIONS].iter().any(|all| all.contains(&keyword))
}

/// The JSON pointers of the keywords that no draft of JSON Schema defines. They have no effect, so each may be a typing
/// error. Keywords that begin with `x-` are extensions by convention.
pub fn unknown(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    visit(schema, "", &mut found);
    found
}

fn visit(schema: &Value, at: &str, found: &mut Vec<String>) {
    let Value::Object(keywords) = schema else { return };
    for (keyword, value) in keywords {
        if found.len() == MAX_REPORTED {
            return;
        }
        let at = || format!("{at}/{}", escaped(keyword));
        let name = keyword.as_str();
        if !is_known(name) && !name.starts_with("x-") {
            found.push(shorten(&at(), MAX_NAME));
        }
        match value {
            Value::Object(schemas) if MAP.contains(&name) => visit_map(schemas, &at(), found),
            Value::Object(_) if SCHEMA.contains(&name) => visit(value, &at(), found),
            Value::Array(schemas) if LIST.contains(&name) => {
                let at = at();
                for (index, schema) in schemas.iter().enumerate() {
                    visit(schema, &format!("{at}/{index}"), found);
                }
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => {}
        }
    }
}

fn visit_map(schemas: &Map<String, Value>, at: &str, found: &mut Vec<String>) {
    for (name, schema) in schemas {
        visit(schema, &format!("{at}/{}", escaped(name)), found);
    }
}

/// A segment of a JSON pointer.
fn escaped(name: &str) -> Cow<'_, str> {
    if name.contains(['~', '/']) {
        Cow::Owned(name.replace('~', "~0").replace('/', "~1"))
    } else {
        Cow::Borrowed(name)
    }
}
