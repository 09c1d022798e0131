//! The walk against a plain, recursive one that follows the rules word by word, and what it reads of the inputs that
//! a plain one cannot bear.

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;

const PAYLOAD: &str = r#"{"user":{"id":42,"name":"Ada \"L\"","on":true,"no":null},
    "big":12345678901234567890,"price":1.50,"whole":1.0,"small":25e-2,"city":"M\u00fcller",
    "half":"\ud83e M\u00fc","gr\u00f6\u00dfe":{"a\/\"b\"":"\ud83e\udd80"},"ids":[1,{"sku":"a-7"},[3]],"odd.key":"x","\u0061b":1,
    "twice":1,"twice":{"x":2},"empty":[],"none":{},"0":"zero"}"#;

fn path(keys: &[&str]) -> Vec<Box<str>> {
    keys.iter().map(|key| (*key).into()).collect()
}

/// `'42` is the text, anything else the bare word.
fn value(text: &str) -> Value {
    match text.strip_prefix('\'') {
        Some(quoted) => Value::Quoted(quoted.into()),
        None => Value::Bare(text.into()),
    }
}

/// Whether the payload has it, and how many bytes were read.
fn look(payload: &str, keys: &[&str], wanted: &str) -> (bool, u64) {
    let (path, value) = (path(keys), value(wanted));
    let mut reading = Reading::new(&|| true);
    let found = PathMatcher::new(&path, &value).is_in(payload, &mut reading);
    (found.unwrap(), reading.bytes())
}

/// The rules, one after the other.
fn plainly(json: &str, path: &[Box<str>], wanted: &Value) -> bool {
    let json = json.trim();
    match (json.as_bytes()[0], path.split_first()) {
        (b'[', step) => {
            let elements: Vec<&RawValue> = serde_json::from_str(json).unwrap();
            elements.iter().enumerate().any(|(index, element)| {
                let named = step.filter(|(key, _)| key.parse() == Ok(index));
                named.is_some_and(|(_, rest)| plainly(element.get(), rest, wanted))
                    || plainly(element.get(), path, wanted)
            })
        }
        (b'{', Some((key, rest))) => {
            // Of equal keys serde_json keeps the last.
            let members: std::collections::HashMap<String, &RawValue> =
                serde_json::from_str(json).unwrap();
            members.get(&**key).is_some_and(|member| plainly(member.get(), rest, wanted))
        }
        (b'{', None) | (_, Some(_)) => false,
        (b'"', None) => serde_json::from_str::<String>(json).unwrap() == wanted.text(),
        (_, None) => match wanted {
            Value::Quoted(_) => false,
            Value::Bare(text) => {
                let same = || Some(json.parse::<f64>().ok()? == text.parse::<f64>().ok()?);
                **text == *json || (json.contains('.') && same() == Some(true))
            }
        },
    }
}

#[test]
fn a_value_is_found_at_its_path_and_nowhere_else() {
    for (path, value) in [
        (&["user", "id"][..], "42"),
        (&["user", "name"], "'Ada \"L\""),
        (&["user", "on"], "true"),
        (&["user", "no"], "null"),
        (&["big"], "12345678901234567890"),
        (&["price"], "1.5"),
        (&["price"], "15e-1"),
        (&["whole"], "1"),
        (&["whole"], "1e0"),
        (&["small"], "0.25"),
        (&["big"], "1234567890123456789e1"),
        (&["city"], "Müller"),
        (&["city"], "'Müller"),
        (&["half"], r"\ud83e Mü"),
        (&["größe", "a/\"b\""], "🦀"),
        (&["ids"], "1"),
        (&["ids", "0"], "1"),
        (&["ids", "sku"], "a-7"),
        (&["ids", "1", "sku"], "a-7"),
        (&["ids"], "3"),
        (&["odd.key"], "x"),
        (&["ab"], "1"),
        (&["twice", "x"], "2"),
        (&["0"], "zero"),
    ] {
        assert!(look(PAYLOAD, path, value).0, "{path:?} {value}");
    }
    for (path, value) in [
        (&["user", "id"][..], "4"),
        (&["user", "id"], "'42"),
        (&["id"], "42"),
        (&["user"], "42"),
        (&["user", "on"], "'true"),
        (&["whole"], "'1.0"),
        (&["whole"], "1.00000000000000000001"),
        (&["big"], "12345678901234567891.0"),
        (&["city"], "müller"),
        (&["city"], r"M\u00fcller"),
        (&["big"], "12345678901234567891"),
        (&["ids", "1"], "1"),
        (&["user", "id", "x"], "42"),
        (&["odd", "key"], "x"),
        (&["twice"], "1"),
        (&["empty"], "null"),
        (&["none"], "null"),
    ] {
        assert!(!look(PAYLOAD, path, value).0, "{path:?} {value}");
    }
}

#[test]
fn a_payload_without_containers_and_one_that_is_none_are_looked_at() {
    assert!(look(" 7 ", &[], "7").0);
    assert!(look("[[7]]", &["0", "0"], "7").0 && look("[[7]]", &[], "7").0);
    for broken in ["", "[", "{\"a\"", "\"open", "[7", "]", "{\"a\":\"b\\", "[\"\\"] {
        for steps in [&[][..], &["a"], &["0"]] {
            let _any_answer_will_do = look(broken, steps, "7");
        }
    }
}

/// Texts of JSON: equal keys, escapes and blanks too.
fn json() -> impl Strategy<Value = String> {
    let scalar = prop::sample::select(vec![
        "1",
        "2",
        "1.50",
        "-0",
        "true",
        "null",
        "\"1\"",
        "\"a\"",
        "\"\\u0061\"",
        "\"]}\\\"[\"",
    ]);
    let key = prop::sample::select(vec!["a", "b", "0", "1", "\\u0061"]);
    scalar.prop_map(str::to_owned).prop_recursive(6, 40, 4, move |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4);
        let object = prop::collection::vec((key.clone(), inner), 0..4);
        let member = |(key, value): &(&str, String)| format!("\"{key}\" : {value}");
        prop_oneof![
            list.prop_map(|all| format!("[{}]", all.join(" ,"))),
            object.prop_map(move |all| {
                format!("{{{}}}", all.iter().map(member).collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn the_walk_finds_what_the_rules_say(
        json in json(),
        keys in prop::collection::vec(prop::sample::select(vec!["a", "b", "0", "1", "2"]), 0..5),
        wanted in prop::sample::select(vec!["1", "1.5", "'1", "a", "true", "null", "]}\"["]),
    ) {
        let rules = plainly(&json, &path(&keys), &value(wanted));
        let (found, read) = look(&json, &keys, wanted);
        prop_assert_eq!(found, rules);
        prop_assert!(read <= 2 * json.len() as u64, "{} bytes were read", read);
    }
}

/// The inputs that a search that follows each way by itself cannot bear, `size` bytes or a little more each.
fn hostile(size: usize) -> Vec<(&'static str, String)> {
    let nested = |open: &str, close: &str| {
        let times = size / (open.len() + close.len());
        format!("{}9{}", open.repeat(times), close.repeat(times))
    };
    let wide = |one: &str| format!("[{}1]", one.repeat(size / one.len()));
    let keys = |one: &str| format!("{{{}\"a\":1}}", one.repeat(size / one.len()));
    vec![
        ("nested lists", nested("[", "]")),
        ("nested lists in first places", nested("[[", ",0],0]")),
        ("nested objects", nested("{\"0\":", "}")),
        ("both in turn", nested("[{\"a\":", "}]")),
        ("many elements", wide("1,")),
        ("many lists", wide("[],")),
        ("many equal keys", keys("\"0\":[1],")),
        ("many escaped keys", keys("\"\\u0030\":[1],")),
        ("one long text", format!("\"{}\"", "a".repeat(size))),
        ("one text of escapes", format!("\"{}\"", "\\\\".repeat(size / 2))),
        ("one long number", format!("1.{}", "0".repeat(size))),
        ("blanks", format!("[{}1]", " ".repeat(size))),
    ]
}

#[test]
fn twice_the_payload_is_read_twice_as_long_and_no_longer() {
    let long: Vec<&str> = ["0"; MAX_STEPS].to_vec();
    let texts: Vec<String> = (0..MAX_STEPS).map(|n| n.to_string()).collect();
    let many: Vec<&str> = texts.iter().map(String::as_str).collect();
    for keys in [&long[..5], &long, &many, &["9"], &["a", "0", "a", "0"], &["nowhere"]] {
        for ((what, once), (_, twice)) in hostile(100_000).into_iter().zip(hostile(200_000)) {
            let (_, read) = look(&once, keys, "2");
            let (_, read_twice) = look(&twice, keys, "2");
            assert!(read <= 2 * once.len() as u64, "{what}, {keys:?}: {read} bytes were read");
            assert!(read_twice <= 2 * read + 100, "{what}, {keys:?}: {read} and {read_twice}");
        }
    }
}

#[test]
fn a_value_is_found_below_a_hundred_thousand_brackets_on_a_small_stack() {
    let look_around = || {
        let json = format!("{}9{}", "[".repeat(100_000), "]".repeat(100_000));
        let keys = ["0"; MAX_STEPS];
        assert!(look(&json, &keys, "9").0 && look(&json, &[], "9").0);
        assert!(!look(&json, &["1"], "9").0 && !look(&json, &["a"], "9").0);
    };
    let small = std::thread::Builder::new().stack_size(128 * 1_024);
    small.spawn(look_around).unwrap().join().unwrap();
}

#[test]
fn a_walk_that_is_interrupted_ends_within_one_payload() {
    let json = format!("[{}1]", "[1],".repeat(1_000_000));
    let (path, value) = (path(&["0", "0"]), value("2"));
    let mut reading = Reading::new(&|| false);
    let found = PathMatcher::new(&path, &value).is_in(&json, &mut reading);
    assert_eq!(found, Err(Interrupted));
    assert!(reading.bytes() < 100_000, "{} bytes were read", reading.bytes());
}
