//! The work for a payload is bounded by its bytes, whatever the schema.

use super::super::*;

/// Eight alternatives that each refer to the schema itself: as many paths as 8 to the power of the depth.
fn self_similar() -> Schema {
    let one = |n: usize| {
        format!(
            r##"{{"type": "object", "required": ["r{n}"], "properties": {{"x": {{"$ref": "#"}}}}}}"##
        )
    };
    let all: Vec<String> = (0..8).map(one).collect();
    Schema::parse(&format!(r#"{{"anyOf": [{{"type": "integer"}}, {}]}}"#, all.join(","))).unwrap()
}

#[test]
fn alternatives_within_alternatives_are_refused_in_bounded_time() {
    let nested = format!("{}true{}", r#"{"x":"#.repeat(126), "}".repeat(126));
    let wrong = self_similar().check(&Json::parse(&nested).unwrap());
    assert!(!wrong.is_empty() && wrong.len() <= 21, "{wrong:?}");
    let product = r##"{"allOf": [{"properties": {"x": {"$ref": "#"}}}, {"properties": {"x": {"$ref": "#"}}},
        {"patternProperties": {"x": {"$ref": "#"}}}], "type": ["object", "integer"]}"##;
    let product = Schema::parse(product).unwrap();
    assert!(!product.check(&Json::parse(&nested).unwrap()).is_empty());
    assert_eq!(product.check(&Json::parse(&nested.replace("true", "1")).unwrap()), []);
}

#[test]
fn a_recursive_payload_of_the_greatest_depth_fits_on_the_stack_of_a_worker() {
    let list = r##"{"$defs": {"node": {"anyOf": [{"allOf": [{"$ref": "#/$defs/pair"}]}, {"type": "null"}]},
        "pair": {"type": "object", "required": ["next"], "properties": {"next": {"oneOf": [
            {"$ref": "#/$defs/node"}, {"type": "integer"}]}}, "unevaluatedProperties": false}},
        "$ref": "#/$defs/node"}"##;
    let check = |end: &'static str| {
        // Workers of tokio have as much.
        let thread = std::thread::Builder::new().stack_size(2 << 20);
        let thread = thread.spawn(move || {
            let nested = format!("{}{end}{}", r#"{"next":"#.repeat(127), "}".repeat(127));
            Schema::parse(list).unwrap().check(&Json::parse(&nested).unwrap())
        });
        thread.unwrap().join().unwrap()
    };
    assert_eq!(check("1"), []);
    assert!(!check("true").is_empty());
}

#[test]
fn errors_do_not_repeat_a_long_path_for_each_value() {
    let schema = r#"{"additionalProperties": {"type": "array", "items": {"type": "string"}}}"#;
    let schema = Schema::parse(schema).unwrap();
    let zeros = vec!["0"; 100_000].join(",");
    let long = Json::parse(&format!("{{\"{}\":[{zeros}]}}", "k".repeat(1_000_000))).unwrap();
    let wrong = schema.check(&long);
    assert_eq!(wrong.len(), 21);
    assert!(wrong[0].message.starts_with("entry 1: expected a string"), "{wrong:?}");
    assert!(wrong[20].message.starts_with("and at least "), "{wrong:?}");
    assert!(wrong.iter().all(|it| it.field.len() < 200 && it.message.len() < 700), "{wrong:?}");
}

#[test]
fn equal_entries_are_found_without_comparing_all_pairs() {
    let schema = Schema::parse(r#"{"uniqueItems": true}"#).unwrap();
    // All trees of empty arrays, and all orders of nested numbers, have the same hash in the validator.
    let many: Vec<String> =
        (0..100_000).map(|n| format!("{}", 9_007_199_254_740_992_u64 + n)).collect();
    assert_eq!(schema.check(&Json::parse(&format!("[{}]", many.join(","))).unwrap()), []);
    for (array, fits) in [
        ("[]", true),
        ("[1, 1.0]", false),
        ("[0, -0.0]", false),
        ("[9007199254740993, 9007199254740992.0]", true),
        ("[1e300, 1e300]", false),
        ("[[[]], [[], []], []]", true),
        (r#"[{"a": 1, "b": 2}, {"b": 2, "a": 1.0}]"#, false),
        (r#"[{"a": 1}, {"a": 1, "b": 1}, {"b": 1}, null, true, false, "1", 1]"#, true),
    ] {
        assert_eq!(schema.check(&Json::parse(array).unwrap()).is_empty(), fits, "{array}");
    }
}

#[test]
fn a_pattern_takes_linear_time() {
    let schema = r#"{"pattern": "^(a+)+$", "format": "regex"}"#;
    let schema = Schema::parse(schema).unwrap();
    let text = Json::parse(&format!("\"{}!\"", "a".repeat(1_000_000))).unwrap();
    assert_eq!(schema.check(&text)[0].message, "it does not match the pattern ^(a+)+$");
}
