//! What is read of a schema, and what it lets through.

mod cost;
mod generated;
mod messages;

use super::*;

const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "required": ["to", "copies"],
  "properties": {
    "to": {"type": "string", "title": "To", "format": "email", "maxLength": 20},
    "copies": {"type": "integer", "minimum": 1, "maximum": 9, "default": 1},
    "scale": {"type": "number", "minimum": 0.5},
    "urgent": {"type": ["boolean", "null"], "description": "Goes first."},
    "size": {"enum": ["a4", "a5", 3]},
    "code": {"type": "string", "pattern": "^[A-Z]{2}\\d+$"},
    "at": {"type": "string", "format": "date-time"},
    "link": {"type": "string", "format": "uri"},
    "tags": {"type": "array", "items": {"type": "string", "minLength": 2}, "maxItems": 2},
    "more": {"type": "object"},
    "odd": {"oneOf": [{"type": "null"}, {"type": "object"}]}
  }
}"#;

fn wrong(payload: &str) -> Vec<(String, String)> {
    let wrong = Schema::parse(SCHEMA).unwrap().check(&Json::parse(payload).unwrap());
    wrong.into_iter().map(|wrong| (wrong.field, wrong.message)).collect()
}

#[test]
fn a_stored_schema_is_the_same_as_a_new_one_and_an_unknown_one_matches_nothing() {
    let schema = Schema::parse(SCHEMA).unwrap();
    let text = serde_json::to_string(&schema).unwrap();
    let stored: Schema = serde_json::from_str(&text).unwrap();
    assert_eq!(stored, schema);
    assert_eq!(stored.fields().unwrap().len(), schema.fields().unwrap().len());
    assert_eq!(stored.check(&Json::null()).len(), 1);
    let strange = Schema::stored(Json::parse(r#"{"type": "objekt"}"#).unwrap());
    assert!(strange.fields().is_none() && strange.unknown_keywords().is_empty());
    let wrong = strange.check(&Json::null());
    assert!(wrong[0].message.contains("the schema is not valid"), "{wrong:?}");
}

#[test]
fn properties_come_in_their_order_with_what_people_need_to_know() {
    let schema = Schema::parse(SCHEMA).unwrap();
    let fields = schema.fields().unwrap();
    let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    let order =
        ["to", "copies", "scale", "urgent", "size", "code", "at", "link", "tags", "more", "odd"];
    assert_eq!(names, order);
    assert_eq!((fields[0].title.as_str(), fields[0].required), ("To", true));
    assert_eq!(fields[1].default.as_ref().unwrap().as_str(), "1");
    assert_eq!((fields[3].description.as_str(), fields[3].nullable), ("Goes first.", true));
    assert!(matches!(fields[9].shape, Shape::Any) && matches!(fields[10].shape, Shape::Any));
    assert_eq!(schema.source().as_str(), SCHEMA);
}

#[test]
fn a_payload_that_fits_is_accepted() {
    for fits in [
        r#"{"to":"a@b","copies":1}"#,
        r#"{"copies":9,"to":"a@b","scale":0.5,"urgent":null,"size":"a5","code":"CH12",
            "at":"2026-11-23T08:00:00+01:00","link":"https://x.test/","tags":["ab","cd"],
            "more":{"x":[1]},"odd":null}"#,
        r#"{"to":"a@b","copies":2,"size":3,"urgent":true,"scale":1e3}"#,
        r#"{"to":"a@b","copies":2,"size":"\u00614"}"#,
    ] {
        assert_eq!(wrong(fits), [], "{fits}");
    }
}

#[test]
fn everything_that_does_not_fit_is_named_with_what_is_expected() {
    for (payload, field, message) in [
        ("[]", "", "expected an object"),
        ("null", "", "expected an object"),
        (r#"{"copies":1}"#, "to", "a value is required"),
        (r#"{"to":7,"copies":1}"#, "to", "expected a string"),
        (r#"{"to":"@b","copies":1}"#, "to", "expected an address such as somebody@example.com"),
        (r#"{"to":"a@bcdefghijklmnopqrst","copies":1}"#, "to", "expected at most 20 characters"),
        (r#"{"to":"a@b","copies":1.0}"#, "copies", "expected a whole number"),
        (r#"{"to":"a@b","copies":"1"}"#, "copies", "expected a whole number"),
        (r#"{"to":"a@b","copies":null}"#, "copies", "null is not accepted"),
        (r#"{"to":"a@b","copies":10}"#, "copies", "expected 1 to 9"),
        (r#"{"to":"a@b","copies":99999999999999999999999}"#, "copies", "expected 1 to 9"),
        (r#"{"to":"a@b","copies":1,"scale":0.4}"#, "scale", "expected at least 0.5"),
        (r#"{"to":"a@b","copies":1,"scale":true}"#, "scale", "expected a number"),
        (r#"{"to":"a@b","copies":1,"urgent":"yes"}"#, "urgent", "expected true or false"),
        (r#"{"to":"a@b","copies":1,"size":"a6"}"#, "size", "expected one of \"a4\", \"a5\", 3"),
        (
            r#"{"to":"a@b","copies":1,"code":"xCH1"}"#,
            "code",
            "it does not match the pattern ^[A-Z]{2}\\d+$",
        ),
        (
            r#"{"to":"a@b","copies":1,"at":"noon"}"#,
            "at",
            "expected a time such as 2026-11-23T08:00:00Z",
        ),
        (r#"{"to":"a@b","copies":1,"tags":"ab"}"#, "tags", "expected an array"),
        (
            r#"{"to":"a@b","copies":1,"tags":["ab","c"]}"#,
            "tags",
            "entry 2: expected at least 2 characters",
        ),
        (
            r#"{"to":"a@b","copies":1,"tags":["ab","cd","ef"]}"#,
            "tags",
            "expected at most 2 entries",
        ),
    ] {
        assert_eq!(wrong(payload), [(field.to_owned(), message.to_owned())], "{payload}");
    }
    let unknown = wrong(r#"{"to":"a@b","copies":1,"cc":1}"#);
    assert_eq!(unknown[0].0, "cc");
    assert!(unknown[0].1.starts_with("unknown property; known properties: to, copies,"));
    assert_eq!(wrong("{}").len(), 2);
}

#[test]
fn what_a_form_cannot_show_is_checked_all_the_same() {
    for (open, fits, unfit, message) in [
        (r#"{"type": "string"}"#, r#""a""#, "[1]", "expected a string"),
        (r#"{"type": "object"}"#, "{}", "[1]", "expected an object"),
        (
            r#"{"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [{"required": ["a"]}]}"#,
            r#"{"a":"x"}"#,
            "{}",
            "a value is required",
        ),
        ("false", "", "1", "this value is not accepted"),
    ] {
        let schema = Schema::parse(open).unwrap();
        assert!(schema.fields().is_none(), "{open}");
        if !fits.is_empty() {
            assert_eq!(schema.check(&Json::parse(fits).unwrap()), [], "{open}");
        }
        assert_eq!(schema.check(&Json::parse(unfit).unwrap())[0].message, message, "{open}");
    }
    let any = r#"{"type":"object","properties":{"a":{"type":["string","integer"]}}}"#;
    let any = Schema::parse(any).unwrap();
    assert!(matches!(any.fields().unwrap()[0].shape, Shape::Any));
    assert_eq!(any.check(&Json::parse(r#"{"a":7}"#).unwrap()), []);
    let wrong = any.check(&Json::parse(r#"{"a":[]}"#).unwrap());
    assert_eq!(wrong[0].message, "expected a string or a whole number");
}

#[test]
fn a_schema_without_conditions_accepts_everything_unread() {
    for open in ["{}", "true", r#"{"title": "Anything", "$defs": {"a": {"type": "string"}}}"#] {
        let schema = Schema::parse(open).unwrap();
        assert!(schema.compiled().unwrap().check.is_none() && schema.fields().is_none(), "{open}");
        assert_eq!(schema.check(&Json::parse("1e999").unwrap()), []);
    }
}

#[test]
fn an_invalid_schema_is_refused_with_the_place_of_the_mistake() {
    for (text, place) in [
        (r#"{"type": "objekt"}"#, "type: "),
        (r##"{"properties": {"a": {"$ref": "#/$defs/none"}}}"##, "/$defs/none"),
        (r#"{"properties": {"a": {"oneOf": []}}}"#, "a: oneOf: "),
        (r#"{"properties": {"a": {"minLength": -1}}}"#, "a: minLength: "),
        (r#"{"properties": {"a": {"pattern": "(?=x)y"}}}"#, "pattern"),
        ("7", "the schema: expected an object or true or false"),
    ] {
        let refused = Schema::parse(text).unwrap_err().to_string();
        assert!(refused.contains(place), "{text}: {refused}");
        assert!(refused.starts_with("this is not a usable JSON Schema: "), "{refused}");
    }
}

#[test]
fn a_reference_to_another_document_is_refused() {
    for reference in [
        "https://example.com/a.json",
        "http://127.0.0.1:9/a#/b",
        "file:///etc/passwd",
        "other.json",
    ] {
        for text in [
            format!(r#"{{"properties": {{"a": {{"$ref": "{reference}"}}}}}}"#),
            format!(r#"{{"$defs": {{"unused": {{"$ref": "{reference}"}}}}}}"#),
            format!(r#"{{"$dynamicRef": "{reference}"}}"#),
        ] {
            let refused = Schema::parse(&text).map(|_| ()).unwrap_err().to_string();
            assert!(refused.contains("only references within the schema"), "{text}: {refused}");
        }
    }
    let dialect = r#"{"$schema": "https://example.com/dialect", "type": "object"}"#;
    assert!(Schema::parse(dialect).is_err());
}

#[test]
fn keywords_that_have_no_effect_are_named() {
    let schema = r#"{"type": "object", "requird": ["a"], "x-order": 1, "properties": {
        "requird": {"type": "string", "examples": [{"typ": 1}], "default": {"typ": 1}},
        "a/b": {"items": {"minimun": 1}}},
        "anyOf": [true, {"nullable": true}], "$defs": {"c": {"enum": [{"typ": 1}], "id": "c"}}}"#;
    let schema = Schema::parse(schema).unwrap();
    let unknown =
        ["/anyOf/1/nullable", "/properties/a~1b/items/minimun", "/requird"].map(String::from);
    assert_eq!(schema.unknown_keywords(), unknown);
    assert_eq!(Schema::parse(SCHEMA).unwrap().unknown_keywords(), [""; 0]);
    let many: Vec<String> = (0..50).map(|n| format!("\"k{n}\": 1")).collect();
    let many = Schema::parse(&format!("{{{}}}", many.join(","))).unwrap();
    assert_eq!(many.unknown_keywords().len(), 20);
}

#[test]
fn what_is_no_schema_is_refused_with_its_place() {
    for (text, place) in [
        ("[]", "the schema: expected an object"),
        ("{", "EOF"),
        (r#"{"type":"object","properties":[]}"#, "properties: "),
        (r#"{"type":"object","properties":{"a":7}}"#, "a: expected an object"),
        (r#"{"type":"object","properties":{"a":{"type":"string","pattern":"("}}}"#, "a: pattern: "),
        (
            r#"{"type":"object","properties":{"a":{"type":"integer","minimum":"1"}}}"#,
            "a: minimum: ",
        ),
        (r#"{"type":"object","properties":{},"required":true}"#, "required: "),
    ] {
        let refused = Schema::parse(text).unwrap_err().to_string();
        assert!(refused.contains(place), "{text}: {refused}");
    }
}

#[test]
fn very_much_that_is_wrong_is_counted_and_not_listed() {
    let schema = r#"{"type": "object", "additionalProperties": false,
        "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", "y"]}}}"#;
    let schema = Schema::parse(schema).unwrap();
    let keys: Vec<String> = (0..90_000).map(|n| format!("\"k{n}\":1")).collect();
    let payload = Json::parse(&format!("{{\"a\":\"1\",{}}}", keys.join(","))).unwrap();
    let wrong = schema.check(&payload);
    assert_eq!((wrong.len(), wrong[0].field.as_str(), wrong[1].field.as_str()), (21, "a", "k0"));
    assert_eq!(wrong[20].message, "and 89981 more properties do not match");
    let long = Json::parse(&format!("{{\"{}\":1}}", "k".repeat(1_000_000))).unwrap();
    let wrong = schema.check(&long);
    assert!(wrong[0].field.len() < 200 && wrong[0].message.len() < 1_000, "{wrong:?}");
    let choices: Vec<String> = (0..90_000).map(|n| format!("\"{n}\"")).collect();
    let schema = format!(
        r#"{{"type": "object", "properties": {{"a": {{"enum": [{}]}}}}}}"#,
        choices.join(",")
    );
    let schema = Schema::parse(&schema).unwrap();
    let wrong = schema.check(&Json::parse(r#"{"a":"none"}"#).unwrap());
    assert!(wrong[0].message.contains("89980 more") && wrong[0].message.len() < 1_000);
    assert_eq!(schema.check(&Json::parse(r#"{"a":"89999"}"#).unwrap()), []);
    assert!(Schema::parse(&format!("{}1{}", "{\"a\":".repeat(500), "}".repeat(500))).is_err());
}
