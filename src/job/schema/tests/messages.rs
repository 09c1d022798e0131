//! The words for each keyword.

use super::super::*;

#[test]
fn each_keyword_says_in_plain_words_what_is_accepted() {
    for (schema, value, message) in [
        (r#"{"type": "null"}"#, "1", "expected null"),
        (r#"{"type": ["object", "null"]}"#, "1", "expected an object"),
        (r#"{"type": "integer"}"#, "1.0", "expected a whole number"),
        (r#"{"type": "integer"}"#, "1e2", "expected a whole number"),
        (r#"{"type": "number"}"#, r#""1""#, "expected a number"),
        (r#"{"enum": [1.50, "b"]}"#, "2", r#"expected one of 1.50, "b""#),
        (r#"{"const": {"a": 1.0}}"#, "2", r#"expected {"a": 1.0}"#),
        (r#"{"minimum": 1}"#, "0", "expected at least 1"),
        (r#"{"minimum": 1, "maximum": 9}"#, "10", "expected 1 to 9"),
        (r#"{"exclusiveMinimum": 1}"#, "1", "expected more than 1"),
        (r#"{"exclusiveMaximum": 1}"#, "1", "expected less than 1"),
        (r#"{"multipleOf": 5}"#, "7", "expected a multiple of 5"),
        (r#"{"minLength": 2}"#, r#""a""#, "expected at least 2 characters"),
        (r#"{"minLength": 2, "maxLength": 3}"#, r#""abcd""#, "expected 2 to 3 characters"),
        (r#"{"pattern": "^\\d$"}"#, r#""ab""#, r"it does not match the pattern ^\d$"),
        (r#"{"format": "date"}"#, r#""a""#, "expected a date such as 2026-11-23"),
        (r#"{"format": "time"}"#, r#""a""#, "expected a time of day such as 08:00:00Z"),
        (r#"{"format": "duration"}"#, r#""a""#, "expected a duration such as PT1H30M"),
        (r#"{"format": "uuid"}"#, r#""a""#, "expected a UUID"),
        (r#"{"format": "ipv4"}"#, r#""a""#, "expected an IPv4 address"),
        (r#"{"format": "ipv6"}"#, r#""a""#, "expected an IPv6 address"),
        (r#"{"format": "hostname"}"#, r#""-""#, "expected a host name"),
        (r#"{"format": "json-pointer"}"#, r#""a""#, "expected a string in the format json-pointer"),
        (r#"{"minItems": 1}"#, "[]", "expected at least 1 entry"),
        (r#"{"items": {"type": "null"}}"#, "[1]", "entry 1: expected null"),
        (
            r#"{"prefixItems": [true], "items": false}"#,
            "[1, 2]",
            "entry 2: this value is not accepted",
        ),
        (r#"{"uniqueItems": true}"#, "[1, 1.0]", "two entries are equal"),
        (
            r#"{"contains": {"const": 1}}"#,
            "[]",
            "too few or too many entries match the required schema",
        ),
        (
            r#"{"prefixItems": [true], "unevaluatedItems": false}"#,
            "[1, 2]",
            "it has entries that are not accepted",
        ),
        (r#"{"minProperties": 1}"#, "{}", "expected at least 1 property"),
        (r#"{"maxProperties": 0}"#, r#"{"b": 1}"#, "expected at most 0 properties"),
        (
            r#"{"propertyNames": {"maxLength": 1}}"#,
            r#"{"bc": 1}"#,
            r#"the name "bc" is not accepted: expected at most 1 character"#,
        ),
        (r#"{"not": {"type": "string"}}"#, r#""a""#, "this value is not accepted"),
        (
            r#"{"anyOf": [{"type": "string"}, {"type": "array"}]}"#,
            "1",
            "expected an array or a string",
        ),
        (r#"{"anyOf": [{"const": 1}, {"type": "array"}]}"#, "2", "expected one of 1 or an array"),
        (
            r#"{"anyOf": [{"minimum": 2}, {"multipleOf": 2}]}"#,
            "1",
            "it matches none of the 2 accepted forms",
        ),
        (
            r#"{"oneOf": [{"minimum": 2}, {"multipleOf": 2}]}"#,
            "4",
            "it matches more than one of the accepted forms",
        ),
        (
            r#"{"if": {"type": "string"}, "then": {"minLength": 2}}"#,
            r#""a""#,
            "expected at least 2 characters",
        ),
        (r#"{"allOf": [{"type": "string"}]}"#, "1", "expected a string"),
    ] {
        let schema = format!(r#"{{"type": "object", "properties": {{"a": {schema}}}}}"#);
        let payload = Json::parse(&format!(r#"{{"a": {value}}}"#)).unwrap();
        let wrong = Schema::parse(&schema).unwrap().check(&payload);
        let wrong: Vec<_> =
            wrong.iter().map(|it| (it.field.as_str(), it.message.as_str())).collect();
        assert_eq!(wrong, [("a", message)], "{schema} {value}");
    }
}

#[test]
fn a_property_that_is_missing_or_unknown_is_named() {
    for (schema, payload, field, message) in [
        (r#"{"dependentRequired": {"a": ["b"]}}"#, r#"{"a":1}"#, "b", "a value is required"),
        (
            r#"{"properties": {"b": true}, "unevaluatedProperties": false}"#,
            r#"{"a":1}"#,
            "a",
            "unknown property; known properties: b",
        ),
        (r#"{"additionalProperties": false}"#, r#"{"a":1}"#, "a", "unknown property"),
        (r#"{"properties": {"a": false}}"#, r#"{"a":1}"#, "a", "this value is not accepted"),
        (
            r#"{"patternProperties": {"^a": {"type": "null"}}}"#,
            r#"{"a/~":1}"#,
            "a/~",
            "expected null",
        ),
    ] {
        let wrong = Schema::parse(schema).unwrap().check(&Json::parse(payload).unwrap());
        let expected = Violation { field: field.into(), message: message.into() };
        assert_eq!(wrong, [expected], "{schema}");
    }
}

#[test]
fn numbers_beyond_the_range_of_floats_are_compared_with_bounds() {
    let schema =
        r#"{"properties": {"a": {"type": "integer"}, "b": {"maximum": 1e9}, "c": {"minimum": 0}}}"#;
    let schema = Schema::parse(schema).unwrap();
    let check = |payload: &str| schema.check(&Json::parse(payload).unwrap());
    assert_eq!(check(r#"{"a": 99999999999999999999999, "b": -1e999, "c": 1e999}"#), []);
    assert_eq!(check(r#"{"b": 1e999}"#)[0].message, "expected at most 1000000000");
    assert_eq!(check(r#"{"c": -1e999}"#)[0].message, "expected at least 0");
}
