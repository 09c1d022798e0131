//! How deep a JSON text is nested and how many values it has, found out before any parser looks at it: one
//! pass over the bytes, without recursion and without memory of its own.

/// The most that a JSON text may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonLimits {
    /// Arrays and objects within each other.
    pub depth: usize,
    /// Values in all: each object, array, text, number, boolean and `null` is one; a key is none.
    pub values: usize,
}

impl JsonLimits {
    /// The deepest nesting that a configuration may allow: recursive parsers and writers are safe up to here.
    pub const MAX_DEPTH: usize = 128;
    /// No limit at all, for what is only measured.
    pub const NONE: JsonLimits = JsonLimits { depth: usize::MAX, values: usize::MAX };

    /// Refuses a text that holds more.
    ///
    /// # Errors
    /// What there is too much of. A text that is no JSON may pass: the parser refuses it.
    pub fn check(self, text: &str) -> Result<(), TooComplex> {
        Scan::new(self).feed(text.as_bytes())
    }

    /// Refuses a request body whose payloads would be refused, before it is parsed. The fields around a
    /// payload are allowed for, and each element of an array at the top has the limits for itself.
    ///
    /// # Errors
    /// What there is too much of, and in which element of the array.
    pub fn check_body(self, body: &[u8]) -> Result<(), (Option<usize>, TooComplex)> {
        let mut scan = Scan::new(JsonLimits {
            depth: self.depth.saturating_add(Self::AROUND_DEPTH),
            values: self.values.saturating_add(Self::AROUND_VALUES),
        });
        scan.is_each = true;
        scan.feed(body).map_err(|error| (scan.element(), error.within(self)))
    }

    /// Levels of a batch above a payload: the array and the job.
    const AROUND_DEPTH: usize = 2;
    /// Values of a job besides its payload: its fields and tags.
    const AROUND_VALUES: usize = 100;
}

impl Default for JsonLimits {
    fn default() -> Self {
        JsonLimits { depth: Self::MAX_DEPTH, values: 20_000 }
    }
}

/// Why a JSON text is not accepted although it may be valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooComplex {
    /// It is nested too deep.
    #[error(
        "arrays and objects are nested more than {limit} levels deep; at most {limit} are accepted"
    )]
    Deep {
        /// Levels accepted.
        limit: usize,
    },
    /// It has too many values.
    #[error("there are more than {limit} JSON values; at most {limit} are accepted")]
    Many {
        /// Values accepted.
        limit: usize,
    },
}

impl TooComplex {
    /// The stable name of the error, the same at every interface.
    pub fn code(self) -> &'static str {
        match self {
            TooComplex::Deep { .. } => "json_too_deep",
            TooComplex::Many { .. } => "json_too_many_values",
        }
    }

    /// The same error in terms of other limits.
    fn within(self, limits: JsonLimits) -> Self {
        match self {
            TooComplex::Deep { .. } => TooComplex::Deep { limit: limits.depth },
            TooComplex::Many { .. } => TooComplex::Many { limit: limits.values },
        }
    }
}

/// How many elements the array at the top of a text has; 0 when there is none.
pub fn elements(text: &[u8]) -> usize {
    let mut scan = Scan::new(JsonLimits::NONE);
    scan.is_each = true;
    // Without limits nothing is refused.
    let _never = scan.feed(text);
    scan.element().map_or(0, |last| last + usize::from(scan.values > 1))
}

/// What stands at the end of the bytes seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Structure or white space.
    Between,
    /// A number or a word.
    Word,
    /// A text, or a key.
    Text,
    /// The backslash of an escape in a text.
    Escape,
}

/// A pass over one JSON text, which may come in pieces.
#[derive(Debug)]
pub struct Scan {
    limits: JsonLimits,
    at: At,
    /// Arrays and objects that are open.
    depth: usize,
    /// Values that have begun.
    values: usize,
    /// Whether the value at the top is an array, once it has begun.
    is_array: Option<bool>,
    /// Whether values are counted for each element of an array at the top.
    is_each: bool,
    /// Commas between those elements.
    commas: usize,
}

impl Scan {
    /// A pass that ends at the first byte beyond the limits.
    pub fn new(limits: JsonLimits) -> Scan {
        let (at, is_each) = (At::Between, false);
        Scan { limits, at, depth: 0, values: 0, is_array: None, is_each, commas: 0 }
    }

    /// Arrays and objects that are open after the bytes seen so far.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Values that have begun in the bytes seen so far.
    pub fn values(&self) -> usize {
        self.values
    }

    /// Looks at the next piece of the text.
    ///
    /// # Errors
    /// What there is too much of.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), TooComplex> {
        for byte in piece {
            match (self.at, byte) {
                (At::Escape, _) => self.at = At::Text,
                (At::Text, b'\\') => self.at = At::Escape,
                (At::Text, b'"') => self.at = At::Between,
                (At::Text, _) => {}
                (At::Between | At::Word, b'"') => {
                    self.at = At::Text;
                    self.begin()?;
                }
                (At::Between | At::Word, b'[' | b'{') => {
                    self.at = At::Between;
                    self.begin()?;
                    self.is_array.get_or_insert(*byte == b'[');
                    self.depth += 1;
                    if self.depth > self.limits.depth {
                        return Err(TooComplex::Deep { limit: self.limits.depth });
                    }
                }
                (At::Between | At::Word, b']' | b'}') => {
                    self.at = At::Between;
                    self.depth = self.depth.saturating_sub(1);
                }
                (At::Between | At::Word, b':') => {
                    self.at = At::Between;
                    // The text before it was a key.
                    self.values = self.values.saturating_sub(1);
                }
                (At::Between | At::Word, b',') => {
                    self.at = At::Between;
                    if self.depth == 1 && self.is_each && self.is_array == Some(true) {
                        self.values = 1;
                        self.commas += 1;
                    }
                }
                (At::Between | At::Word, b' ' | b'\t' | b'\r' | b'\n') => self.at = At::Between,
                (At::Word, _) => {}
                (At::Between, _) => {
                    self.at = At::Word;
                    self.begin()?;
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), TooComplex> {
        self.values += 1;
        match self.values > self.limits.values {
            true => Err(TooComplex::Many { limit: self.limits.values }),
            false => Ok(()),
        }
    }

    /// The place of the element that was being looked at.
    fn element(&self) -> Option<usize> {
        self.is_array.filter(|is_array| *is_array).map(|_| self.commas)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn deepest(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(deepest).max().unwrap_or(0),
            Value::Object(fields) => 1 + fields.values().map(deepest).max().unwrap_or(0),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
        }
    }

    fn count(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
            Value::Object(fields) => 1 + fields.values().map(count).sum::<usize>(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[\\[\\]{}:,\"\\\\a ü]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec(("[\\[\\]{}:,\"\\\\b]{0,5}", inner), 0..5)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_scan_counts_what_the_parser_finds(value in value(), is_pretty: bool, cut: usize) {
            let text = if is_pretty {
                serde_json::to_string_pretty(&value).unwrap()
            } else {
                value.to_string()
            };
            let (depth, values) = (deepest(&value), count(&value));
            prop_assert_eq!(JsonLimits { depth, values }.check(&text), Ok(()));
            let too_many = JsonLimits { depth, values: values - 1 }.check(&text);
            prop_assert_eq!(too_many, Err(TooComplex::Many { limit: values - 1 }));
            if depth > 0 {
                let too_deep = JsonLimits { depth: depth - 1, values }.check(&text);
                prop_assert_eq!(too_deep, Err(TooComplex::Deep { limit: depth - 1 }));
            }
            // In two pieces it is the same, wherever they are cut.
            let mut scan = Scan::new(JsonLimits { depth, values });
            let (head, tail) = text.as_bytes().split_at(cut % (text.len() + 1));
            prop_assert_eq!(scan.feed(head).and_then(|()| scan.feed(tail)), Ok(()));
            prop_assert_eq!((scan.depth(), scan.values()), (0, values));
            let expected = value.as_array().map_or(0, Vec::len);
            prop_assert_eq!(elements(text.as_bytes()), expected);
        }

        #[test]
        fn any_bytes_can_be_scanned(bytes: Vec<u8>) {
            let limits = JsonLimits { depth: 3, values: 10 };
            let _whatever = limits.check_body(&bytes);
        }
    }

    #[test]
    fn the_scan_ends_at_the_first_byte_that_is_too_much() {
        let limits = JsonLimits::default();
        let deep = format!("{}{}", "[".repeat(1_000_000), "\"".repeat(1_000));
        assert_eq!(limits.check(&deep), Err(TooComplex::Deep { limit: 128 }));
        let mut scan = Scan::new(limits);
        assert!(scan.feed(deep.as_bytes()).is_err());
        assert_eq!((scan.depth(), scan.values()), (129, 129));
        for exact in ["[".repeat(128) + &"]".repeat(128), "\"[[[\"".into(), "1".repeat(1 << 20)] {
            assert_eq!(limits.check(&exact), Ok(()));
        }
    }

    #[test]
    fn each_job_of_a_batch_has_the_limits_for_itself() {
        let limits = JsonLimits { depth: 4, values: 50 };
        let job = |payload: Value| json!({"kind": "echo", "tags": ["a", "b"], "payload": payload});
        let body = |jobs: Vec<Value>| Value::from(jobs).to_string();
        let good = job(json!([[[[1]]], 2, vec![0; 40]]));
        assert_eq!(limits.check_body(body(vec![good.clone(); 100]).as_bytes()), Ok(()));
        let wide = job(json!(vec![0; 200]));
        let refused = limits.check_body(body(vec![good.clone(), wide]).as_bytes());
        assert_eq!(refused, Err((Some(1), TooComplex::Many { limit: 50 })));
        let deep = job(json!([[[[[[[1]]]]]]]));
        assert_eq!(
            limits.check_body(deep.to_string().as_bytes()),
            Err((None, TooComplex::Deep { limit: 4 }))
        );
    }
}
