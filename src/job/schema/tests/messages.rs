//! The words for each keyword.

use super::super::*;

#[test]
fn each_keyword_says_in_plain_words_what_is_accepted() {
    for (schema, value, message) in [
        (r#"{"type": "null"}"#, "1", "null is expected"),
        (r#"{"type": ["object", "null"]}"#, "1", "an object is expected"),
        (r#"{"type": "integer"}"#, "1.0", "a whole number is expected"),
        (r#"{"type": "integer"}"#, "1e2", "a whole number is expected"),
        (r#"{"type": "number"}"#, r#""1""#, "a number is expected"),
        (r#"{"enum": [1.50, "b"]}"#, "2", r#"one of 1.50, "b" is expected"#),
        (r#"{"const": {"a": 1.0}}"#, "2", r#"{"a": 1.0} is expected"#),
        (r#"{"minimum": 1}"#, "0", "at least 1 is expected"),
        (r#"{"minimum": 1, "maximum": 9}"#, "10", "1 to 9 is expected"),
        (r#"{"exclusiveMinimum": 1}"#, "1", "more than 1 is expected"),
        (r#"{"exclusiveMaximum": 1}"#, "1", "less than 1 is expected"),
        (r#"{"multipleOf": 5}"#, "7", "a multiple of 5 is expected"),
        (r#"{"minLength": 2}"#, r#""a""#, "at least 2 characters is expected"),
        (r#"{"minLength": 2, "maxLength": 3}"#, r#""abcd""#, "2 to 3 characters is expected"),
        (r#"{"pattern": "^\\d$"}"#, r#""ab""#, r"it does not match the pattern ^\d$"),
        (r#"{"format": "date"}"#, r#""a""#, "a date such as 2026-11-23 is expected"),
        (r#"{"format": "time"}"#, r#""a""#, "a time of day such as 08:00:00Z is expected"),
        (r#"{"format": "duration"}"#, r#""a""#, "a duration such as PT1H30M is expected"),
        (r#"{"format": "uuid"}"#, r#""a""#, "a UUID is expected"),
        (r#"{"format": "ipv4"}"#, r#""a""#, "an IPv4 address is expected"),
        (r#"{"format": "ipv6"}"#, r#""a""#, "an IPv6 address is expected"),
        (r#"{"format": "hostname"}"#, r#""-""#, "a host name is expected"),
        (
            r#"{"format": "json-pointer"}"#,
            r#""a""#,
            "a text in the format json-pointer is expected",
        ),
        (r#"{"minItems": 1}"#, "[]", "at least 1 entry is expected"),
        (r#"{"items": {"type": "null"}}"#, "[1]", "entry 1: null is expected"),
        (
            r#"{"prefixItems": [true], "items": false}"#,
            "[1, 2]",
            "entry 2: this value is not accepted",
        ),
        (r#"{"uniqueItems": true}"#, "[1, 1.0]", "it has two equal entries"),
        (
            r#"{"contains": {"const": 1}}"#,
            "[]",
            "it has too few or too many entries of the kind that is required",
        ),
        (
            r#"{"prefixItems": [true], "unevaluatedItems": false}"#,
            "[1, 2]",
            "it has entries that are not accepted",
        ),
        (r#"{"minProperties": 1}"#, "{}", "at least 1 property is expected"),
        (r#"{"maxProperties": 0}"#, r#"{"b": 1}"#, "at most 0 properties is expected"),
        (
            r#"{"propertyNames": {"maxLength": 1}}"#,
            r#"{"bc": 1}"#,
            r#"the name "bc" is not accepted: at most 1 character is expected"#,
        ),
        (r#"{"not": {"type": "string"}}"#, r#""a""#, "this value is not accepted"),
        (
            r#"{"anyOf": [{"type": "string"}, {"type": "array"}]}"#,
            "1",
            "an array or a text is expected",
        ),
        (
            r#"{"anyOf": [{"const": 1}, {"type": "array"}]}"#,
            "2",
            "one of 1 or an array is expected",
        ),
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
            "at least 2 characters is expected",
        ),
        (r#"{"allOf": [{"type": "string"}]}"#, "1", "a text is expected"),
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
            "there is no such property; known: b",
        ),
        (r#"{"additionalProperties": false}"#, r#"{"a":1}"#, "a", "there is no such property"),
        (r#"{"properties": {"a": false}}"#, r#"{"a":1}"#, "a", "this value is not accepted"),
        (
            r#"{"patternProperties": {"^a": {"type": "null"}}}"#,
            r#"{"a/~":1}"#,
            "a/~",
            "null is expected",
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
    assert_eq!(check(r#"{"b": 1e999}"#)[0].message, "at most 1000000000 is expected");
    assert_eq!(check(r#"{"c": -1e999}"#)[0].message, "at least 0 is expected");
}
