//! Schemas as schemars 1.2 generates them from Rust types: definitions, references, optional and tagged types.

use super::super::*;

/// The schema of a struct with nested structs, enums, optional values, lists, a map and recursive types.
const PARCEL: &str = include_str!("parcel.json");

const FITS: &str = r#"{"to": {"street": "High St", "zip": 1}, "speed": "express", "copies": 1, "tags": ["a"],
    "stops": [{"street": "Low St", "zip": 2}], "extras": ["paper"], "weights": {"kg": 1.5},
    "insurance": {"type": "fixed", "amount": 9}, "wrapping": null, "from": null,
    "contents": {"name": "box", "parts": [{"name": "ball", "parts": []}], "inside": {"name": "pen", "parts": []}},
    "filter": {"any": ["all", {"not": {"size": {"least": 1}}}]}}"#;

fn wrong(changes: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut payload: serde_json::Value = serde_json::from_str(FITS).unwrap();
    for (name, value) in changes {
        payload[*name] = serde_json::from_str(value).unwrap();
    }
    let payload = Json::parse(&payload.to_string()).unwrap();
    let wrong = Schema::parse(PARCEL).unwrap().check(&payload);
    wrong.into_iter().map(|wrong| (wrong.field, wrong.message)).collect()
}

#[test]
fn a_schema_with_definitions_is_checked() {
    assert_eq!(wrong(&[]), []);
    for (name, value, field, message) in [
        ("to", r#"{"street": "High St"}"#, "to.zip", "a value is required"),
        ("to", r#"{"street": 7, "zip": 1}"#, "to.street", "expected a string"),
        ("from", r#"{"street": "x", "zip": -1}"#, "from.zip", "expected at least 0"),
        ("from", "7", "from", "expected an object"),
        ("speed", r#""slow""#, "speed", r#"expected one of "express", "normal""#),
        ("speed", "null", "speed", "null is not accepted"),
        ("wrapping", r#""foil""#, "wrapping", r#"expected one of "paper", "box""#),
        ("extras", r#"["foil"]"#, "extras", r#"entry 1: expected one of "paper", "box""#),
        (
            "stops",
            r#"[{"street": "a", "zip": 1}, {"street": "b"}]"#,
            "stops",
            "entry 2: zip: a value is required",
        ),
        ("weights", r#"{"kg": "1"}"#, "weights.kg", "expected a number"),
        ("insurance", "{}", "insurance.type", "a value is required"),
        (
            "insurance",
            r#"{"type": "half"}"#,
            "insurance.type",
            r#"expected one of "none", "fixed", "full""#,
        ),
        ("insurance", r#"{"type": "fixed"}"#, "insurance.amount", "a value is required"),
        (
            "contents",
            r#"{"name": "a", "parts": [], "inside": {"name": "b", "parts": [{"name": 7, "parts": []}]}}"#,
            "contents.inside.parts",
            "entry 1: name: expected a string",
        ),
        (
            "filter",
            r#"{"not": {"size": {"least": "1"}}}"#,
            "filter.not.size.least",
            "expected a whole number",
        ),
        ("filter", r#"{"nor": "all"}"#, "filter", "it matches none of the 4 accepted forms"),
    ] {
        assert_eq!(wrong(&[(name, value)]), [(field.into(), message.into())], "{name}: {value}");
    }
}

#[test]
fn all_that_is_wrong_is_listed_in_the_order_of_the_schema() {
    let found = wrong(&[("to", r#"{"zip": "1"}"#), ("copies", "256"), ("bcc", "1"), ("tags", "1")]);
    let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["copies", "tags", "to.street", "to.zip", "bcc"]);
    assert!(found[4].1.starts_with("unknown property; known properties: contents, copies,"));
}

#[test]
fn a_schema_with_definitions_has_inputs() {
    let schema = Schema::parse(PARCEL).unwrap();
    let fields = schema.fields().unwrap();
    let field = |name: &str| fields.iter().find(|field| field.name == name).unwrap();
    let choices = |name: &str| match &field(name).shape {
        Shape::Choice(choices) => choices.iter().map(|it| it.as_str().to_owned()).collect(),
        other => vec![format!("{other:?}")],
    };
    assert_eq!(choices("speed"), [r#""express""#, r#""normal""#]);
    assert_eq!(field("speed").description, "How fast it goes.");
    assert!(field("speed").required && !field("speed").nullable);
    assert_eq!(choices("wrapping"), [r#""paper""#, r#""box""#]);
    assert!(field("wrapping").nullable && !field("wrapping").required);
    assert!(
        matches!(&field("extras").shape, Shape::Texts { each, .. } if matches!(**each, Shape::Choice(_)))
    );
    assert!(matches!(field("tags").shape, Shape::Texts { .. }));
    assert!(matches!(field("note").shape, Shape::Text(_)) && field("note").nullable);
    assert!(matches!(field("copies").shape, Shape::Integer(Bounds { most: Some(255.0), .. })));
    for name in ["to", "from", "stops", "weights", "insurance", "contents", "filter"] {
        assert!(matches!(field(name).shape, Shape::Any), "{name}");
    }
    assert!(schema.unknown_keywords().is_empty());
}

#[test]
fn references_are_followed_only_as_far_as_they_lead_somewhere() {
    let schema = r##"{"$ref": "#/definitions/root", "definitions": {
        "root": {"type": "object", "properties": {
            "one": {"allOf": [{"$ref": "#/definitions/one"}], "title": "One", "default": "x"},
            "self": {"$ref": "#"}, "slash": {"$ref": "#/definitions/a~1b"},
            "deep": {"$ref": "#/definitions/root/properties/one"}}},
        "one": {"type": "string", "title": "hidden", "maxLength": 3},
        "a/b": {"type": "boolean"}}}"##;
    let schema = Schema::parse(schema).unwrap();
    let fields = schema.fields().unwrap();
    assert!(matches!(fields[0].shape, Shape::Text(_)) && fields[0].title == "One");
    assert!(matches!(fields[1].shape, Shape::Any) && matches!(fields[2].shape, Shape::Boolean));
    assert!(matches!(fields[3].shape, Shape::Any));
    let payload = Json::parse(r#"{"self": {"self": {"deep": "long"}}}"#).unwrap();
    assert_eq!(schema.check(&payload)[0].field, "self.self.deep");
    let cycle = r##"{"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}},
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}"##;
    let cycle = Schema::parse(cycle).unwrap();
    assert!(matches!(cycle.fields().unwrap()[0].shape, Shape::Any));
    assert_eq!(cycle.check(&Json::parse(r#"{"a": 1}"#).unwrap()), []);
}
