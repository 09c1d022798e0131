//! Converting payloads to the inputs of a form and back.

use proptest::prelude::*;

use super::*;
use crate::engine::{KindInfo, Registry};
use crate::handlers::{HandlerSettings, register};

const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "required": ["to", "copies", "sure", "lines"],
  "properties": {
    "to": {"type": "string", "format": "email"},
    "copies": {"type": "integer", "minimum": 1, "maximum": 9},
    "sure": {"type": "boolean"},
    "lines": {"type": "array", "items": {"type": "string"}},
    "scale": {"type": "number"},
    "urgent": {"type": "boolean", "default": true},
    "size": {"enum": ["a4", "a5", 3, "3"]},
    "note": {"type": "string"},
    "at": {"type": "string", "format": "date-time"},
    "tags": {"type": "array", "items": {"enum": ["red", "green"]}, "maxItems": 2},
    "more": {"type": "object"}
  }
}"#;

fn schema() -> Schema {
    Schema::parse(SCHEMA).unwrap()
}

fn typed(pairs: &[(&str, &str)]) -> InputTexts {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn what_is_typed_becomes_the_payload_digit_by_digit() {
    let made = parse_inputs(
        &schema(),
        &typed(&[
            ("to", " a@b.example "),
            ("copies", "3"),
            ("sure", "false"),
            ("lines", "one\r\n\r\n two \r\n"),
            ("scale", "-1.50e400"),
            ("urgent", ""),
            ("size", "a5"),
            ("note", "it's \"so\"\r\nand so"),
            ("at", ""),
            ("tags", "green\nred"),
            ("more", "{ \"n\": 12345678901234567890 }"),
        ]),
    );
    assert_eq!(made.wrong, []);
    assert_eq!(
        made.payload,
        r#"{"to":"a@b.example","copies":3,"sure":false,"lines":["one"," two "],"scale":-1.50e400,"size":"a5","note":"it's \"so\"\nand so","tags":["green","red"],"more":{ "n": 12345678901234567890 }}"#
    );
}

#[test]
fn every_wrong_input_is_named_with_what_is_expected() {
    for (name, text, message) in [
        ("copies", "12a", "expected a whole number"),
        ("copies", "1.5", "expected a whole number"),
        ("copies", "007", "expected a whole number"),
        ("copies", "10", "expected 1 to 9"),
        ("copies", " ", "a value is required"),
        ("scale", "much", "expected a number"),
        ("scale", "NaN", "expected a number"),
        ("to", "nobody", "expected an address such as somebody@example.com"),
        ("to", "", "a value is required"),
        ("sure", "perhaps", "expected true or false"),
        ("sure", "", "a value is required"),
        ("size", "a6", "expected one of \"a4\", \"a5\", 3, \"3\""),
        ("tags", "red\nblue", "entry 2: expected one of \"red\", \"green\""),
        ("tags", "red\nred\nred", "expected at most 2 entries"),
        ("at", "noon", "expected a time such as 2026-11-23T08:00:00Z"),
    ] {
        let mut all =
            typed(&[("to", "a@b"), ("copies", "1"), ("sure", "true"), ("lines", ""), (name, text)]);
        all.insert(name.into(), text.into());
        let wrong = parse_inputs(&schema(), &all).wrong;
        assert_eq!(wrong, [(name.to_owned(), message.to_owned())], "{name}: {text:?}");
    }
    let json = parse_inputs(&schema(), &typed(&[("more", "hello")])).wrong;
    assert!(json.iter().any(|(name, why)| name == "more" && why.contains("a string needs quotes")));
}

#[test]
fn a_payload_fills_the_inputs_that_make_it() {
    for payload in [
        r#"{"to":"a@b","copies":1,"sure":true,"lines":[]}"#,
        r#"{"lines":["b","a"],"sure":false,"copies":9,"to":"a@b","urgent":true,"size":3}"#,
        r#"{"to":"a@b","copies":1,"sure":true,"lines":["x"],"urgent":false,"size":"3"}"#,
        r#"{"to":"\u0061@b","copies":1,"sure":true,"lines":["ü"],"note":"two\nlines\tand more"}"#,
        r#"{"to":"a@b","copies":1,"sure":true,"lines":[],"more":{"a":[1.0,{"b":null}]},"scale":1e3}"#,
    ] {
        let schema = schema();
        let fields = schema.fields().unwrap();
        let filled = fill(fields, payload).unwrap_or_else(|| panic!("{payload} does not fit"));
        let made = parse_inputs(&schema, &filled);
        assert!(same(&made.payload, payload), "{payload} became {}", made.payload);
        assert_eq!(made.wrong, [], "{payload}");
    }
}

#[test]
fn what_inputs_cannot_make_again_is_left_to_json() {
    for payload in [
        "[]",
        "null",
        r#"{"other":1}"#,
        r#"{"note":null}"#,
        r#"{"note":""}"#,
        r#"{"note":"a\r\nb"}"#,
        r#"{"note":"\u0000"}"#,
        r#"{"note":7}"#,
        r#"{"to":" a@b"}"#,
        r#"{"copies":"1"}"#,
        r#"{"copies":1,"copies":2}"#,
        r#"{"lines":["a\nb"]}"#,
        r#"{"lines":[" "]}"#,
        r#"{"lines":[1]}"#,
        r#"{"tags":[]}"#,
        r#"{"sure":"yes"}"#,
        r#"{"size":"a6"}"#,
    ] {
        let with = |rest: &str| match payload.strip_prefix('{') {
            Some(own) => format!("{{{rest}{own}"),
            None => payload.to_owned(),
        };
        // A missing required property is not the reason: its input would be empty.
        let schema = schema();
        let fields = schema.fields().unwrap();
        let lines = if payload.contains("lines") { "" } else { r#""lines":[],"# };
        assert_eq!(fill(fields, &with(lines)), None, "{payload}");
    }
}

#[test]
fn an_error_in_a_nested_object_is_shown_at_the_input_that_holds_it() {
    let schema = r##"{"type": "object", "required": ["to"], "properties": {
        "to": {"$ref": "#/$defs/address"}, "a.b": {"$ref": "#/$defs/address"}},
        "minProperties": 3, "$defs": {"address": {"type": "object", "required": ["zip"]}}}"##;
    let schema = Schema::parse(schema).unwrap();
    let wrong = parse_inputs(&schema, &typed(&[("to", "{}"), ("a.b", "{}")])).wrong;
    let expected = [
        ("", "expected at least 3 properties"),
        ("to", "zip: a value is required"),
        ("a.b", "zip: a value is required"),
    ];
    assert_eq!(wrong, expected.map(|(field, message)| (field.into(), message.into())));
}

#[test]
fn a_required_input_begins_with_its_default_and_others_begin_empty() {
    let schema = r#"{"type": "object", "required": ["a", "b"], "properties": {
        "a": {"type": "integer", "default": 3}, "b": {"type": "string"},
        "c": {"type": "integer", "default": 4}}}"#;
    let schema = Schema::parse(schema).unwrap();
    assert_eq!(blank(schema.fields().unwrap()), typed(&[("a", "3")]));
}

#[test]
fn what_cannot_be_read_stays_in_the_draft_as_a_text() {
    let schema = schema();
    let draft =
        draft(schema.fields().unwrap(), &typed(&[("copies", "12a"), ("more", "{"), ("note", "x")]));
    assert_eq!(
        draft.split_whitespace().collect::<String>(),
        r#"{"copies":"12a","lines":[],"note":"x","more":"{"}"#
    );
}

#[test]
fn sameness_ignores_space_order_and_escapes_and_nothing_else() {
    for (a, b) in [
        ("{\"a\":1,\"b\":[2]}", "{ \"b\" : [ 2 ], \"a\":1 }"),
        ("\"\\u00e4\"", "\"ä\""),
        ("1", " 1 "),
    ] {
        assert!(same(a, b) && same(b, a), "{a} {b}");
    }
    for (a, b) in [
        ("1", "1.0"),
        ("12345678901234567890", "12345678901234567891"),
        ("[1,2]", "[2,1]"),
        ("{\"a\":1}", "{\"a\":1,\"b\":2}"),
        ("{\"a\":1,\"a\":1}", "{\"a\":1,\"a\":1}"),
        ("\"1\"", "1"),
        ("null", "{}"),
    ] {
        assert!(!same(a, b), "{a} {b}");
    }
}

#[test]
fn a_kind_with_very_many_properties_or_choices_is_edited_as_json() {
    let with = |count: usize, shape: &str| {
        let properties: Vec<String> = (0..count).map(|n| format!("\"p{n}\": {shape}")).collect();
        let text = format!(r#"{{"type": "object", "properties": {{{}}}}}"#, properties.join(","));
        Schema::parse(&text).unwrap()
    };
    let choice = |count: usize| {
        let choices: Vec<String> = (0..count).map(|n| format!("\"{n}\"")).collect();
        format!(r#"{{"enum": [{}]}}"#, choices.join(","))
    };
    let entries = format!(r#"{{"type": "array", "items": {}}}"#, choice(1_001));
    for schema in [with(101, "{}"), with(1, &choice(1_001)), with(1, &entries)] {
        assert!(input_fields(Some(&schema)).is_none());
        assert!(too_large(Some(&schema)).contains("edited as JSON"));
    }
    let schema = with(100, &choice(900));
    let fields = input_fields(Some(&schema)).unwrap();
    assert_eq!((fields.len(), too_large(Some(&schema)).as_str()), (100, ""));
    let payload = r#"{"p99":"7"}"#;
    assert_eq!(parse_inputs(&schema, &fill(fields, payload).unwrap()).payload, payload);
}

fn kinds() -> Vec<KindInfo> {
    let mut registry = Registry::default();
    register(&mut registry, &HandlerSettings::default()).unwrap();
    registry.kinds().into_iter().cloned().collect()
}

#[test]
fn the_examples_of_the_built_in_kinds_fill_their_inputs() {
    for info in kinds() {
        if let Some(fields) = input_fields(info.schema.as_ref()) {
            assert!(fill(fields, info.example.as_str()).is_some(), "{}", info.kind);
        }
    }
}

/// Small JSON values of any type.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,3})?(e[0-9]{1,3})?",
        any::<String>().prop_map(|text| quote(&text)),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::btree_map(any::<String>(), inner, 0..4).prop_map(|map| {
                let parts: Vec<String> =
                    map.iter().map(|(name, value)| format!("{}: {value}", quote(name))).collect();
                format!("{{{}}}", parts.join(","))
            }),
        ]
    })
}

/// Values that usually match this shape.
fn value_for(shape: &Shape) -> BoxedStrategy<String> {
    let own: BoxedStrategy<String> = match shape {
        Shape::Text(rules) if rules.format.is_some() => prop_oneof![
            Just("\"https://example.com/ü?q=1\"".to_owned()),
            Just("\" https://x.test/ \"".to_owned()),
            Just("\"a@b\"".to_owned()),
        ]
        .boxed(),
        Shape::Text(_) => prop_oneof!["[A-Z]{1,5}", ".*"].prop_map(|text| quote(&text)).boxed(),
        Shape::Integer(_) => "0|[1-9][0-9]{0,19}".boxed(),
        Shape::Number(_) => "-?(0|[1-9][0-9]{0,19})(\\.[0-9]{1,4})?".boxed(),
        Shape::Boolean => prop_oneof![Just("true".to_owned()), Just("false".to_owned())].boxed(),
        Shape::Choice(choices) => {
            let all: Vec<String> =
                choices.iter().map(|choice| choice.as_str().to_owned()).collect();
            prop::sample::select(all).boxed()
        }
        Shape::Texts { each, .. } => prop::collection::vec(value_for(each), 0..3)
            .prop_map(|items| format!("[{}]", items.join(",")))
            .boxed(),
        Shape::Any => json().boxed(),
    };
    prop_oneof![8 => own, 1 => Just("null".to_owned())].boxed()
}

fn payloads(schema: &Schema) -> BoxedStrategy<String> {
    let parts: Vec<_> = input_fields(Some(schema))
        .unwrap_or_default()
        .iter()
        .map(|field| {
            let name = quote(&field.name);
            let some = value_for(&field.shape).prop_map(move |value| format!("{name}:{value}"));
            let chance = if field.required { 0.99 } else { 0.6 };
            prop::option::weighted(chance, some)
        })
        .collect();
    parts
        .prop_map(|parts| {
            format!("{{{}}}", parts.into_iter().flatten().collect::<Vec<_>>().join(","))
        })
        .boxed()
}

/// The payload that a browser sends back: through the inputs if they can hold it, otherwise as JSON.
fn sent(schema: &Schema, payload: &str) -> String {
    let fields = input_fields(Some(schema)).unwrap_or_default();
    match fill(fields, payload) {
        Some(typed) => {
            let wire = |text: String| text.replace('\n', "\r\n");
            let typed = typed.into_iter().map(|(name, text)| (name, wire(text))).collect();
            let made = parse_inputs(schema, &typed);
            assert_eq!(made.wrong, [], "{payload}");
            made.payload
        }
        None => payload.to_owned(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_valid_payload_of_a_kind_survives_the_form(
        (schema, payload) in prop::sample::select(
            kinds().into_iter().filter_map(|info| info.schema).chain([schema()])
                .filter(|schema| input_fields(Some(schema)).is_some()).collect::<Vec<_>>(),
        ).prop_flat_map(|schema| (Just(schema.clone()), payloads(&schema)))
    ) {
        let given = Json::parse(&payload).unwrap();
        prop_assume!(schema.check(&given).is_empty());
        let sent = sent(&schema, &payload);
        prop_assert!(same(&sent, &payload), "{payload} was sent as {sent}");
    }
}
