//! The limits on the depth and the number of values of a JSON text. They are checked before any parser sees the text, in
//! one pass over the bytes without recursion or allocation.

/// The limits of a JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonLimits {
    /// The maximum nesting of arrays and objects.
    pub depth: usize,
    /// The maximum number of values. Each object, array, string, number, boolean and `null` counts as one; keys do not.
    pub values: usize,
}

impl JsonLimits {
    /// The deepest nesting that a configuration may allow. Recursive parsers and serializers are safe up to here.
    pub const MAX_DEPTH: usize = 128;
    /// No limits, for texts that are only measured.
    pub const NONE: JsonLimits = JsonLimits { depth: usize::MAX, values: usize::MAX };

    /// Checks a text against the limits.
    ///
    /// # Errors
    /// The limit that is exceeded. An invalid text may pass, because the parser refuses it.
    pub fn check(self, text: &str) -> Result<(), TooComplex> {
        Scan::new(self).feed(text.as_bytes())
    }

    /// Checks the payloads of a request body before it is parsed. The fields around a payload are allowed for, and
    /// the limits apply to each element of a top-level array.
    ///
    /// # Errors
    /// The limit that is exceeded, and the index of the element.
    pub fn check_body(self, body: &[u8]) -> Result<(), (Option<usize>, TooComplex)> {
        let mut scan = Scan::new(JsonLimits {
            depth: self.depth.saturating_add(Self::AROUND_DEPTH),
            values: self.values.saturating_add(Self::AROUND_VALUES),
        });
        scan.is_each = true;
        scan.feed(body).map_err(|error| (scan.element(), error.within(self)))
    }

    /// The levels of a batch above a payload: the array and the job.
    const AROUND_DEPTH: usize = 2;
    /// The values of a job besides its payload: its fields and tags.
    const AROUND_VALUES: usize = 100;
}

impl Default for JsonLimits {
    fn default() -> Self {
        JsonLimits { depth: Self::MAX_DEPTH, values: 20_000 }
    }
}

/// Why a JSON text is refused although it may be valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooComplex {
    /// The text is nested too deeply.
    #[error(
        "arrays and objects are nested more than {limit} levels deep; at most {limit} are accepted"
    )]
    Deep {
        /// The accepted number of levels.
        limit: usize,
    },
    /// The text has too many values.
    #[error("there are more than {limit} JSON values; at most {limit} are accepted")]
    Many {
        /// The accepted number of values.
        limit: usize,
    },
}

impl TooComplex {
    /// The stable code of the error, which is the same at every interface.
    pub fn code(self) -> &'static str {
        match self {
            TooComplex::Deep { .. } => "json_too_deep",
            TooComplex::Many { .. } => "json_too_many_values",
        }
    }

    /// The same error with other limits.
    fn within(self, limits: JsonLimits) -> Self {
        match self {
            TooComplex::Deep { .. } => TooComplex::Deep { limit: limits.depth },
            TooComplex::Many { .. } => TooComplex::Many { limit: limits.values },
        }
    }
}

/// The number of elements of a top-level array; 0 when there is none.
pub fn elements(text: &[u8]) -> usize {
    let mut scan = Scan::new(JsonLimits::NONE);
    scan.is_each = true;
    // A scan without limits never fails.
    let _never = scan.feed(text);
    scan.element().map_or(0, |last| last + usize::from(scan.values > 1))
}

/// The token at the end of the bytes seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// A bracket, a separator or white space.
    Between,
    /// A number or a literal such as `true`.
    Word,
    /// A string, which may be a key.
    Text,
    /// The backslash of an escape in a string.
    Escape,
}

/// A scan of one JSON text, which may come in pieces.
#[derive(Debug)]
pub struct Scan {
    limits: JsonLimits,
    at: At,
    /// The number of open arrays and objects.
    depth: usize,
    /// The number of values that have begun.
    values: usize,
    /// Whether the top-level value is an array, once it has begun.
    is_array: Option<bool>,
    /// Whether values are counted for each element of a top-level array.
    is_each: bool,
    /// The number of commas between those elements.
    commas: usize,
}

impl Scan {
    /// Starts a scan that ends at the first byte beyond the limits.
    pub fn new(limits: JsonLimits) -> Scan {
        let (at, is_each) = (At::Between, false);
        Scan { limits, at, depth: 0, values: 0, is_array: None, is_each, commas: 0 }
    }

    /// The number of arrays and objects that are open after the bytes seen so far.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The number of values that have begun in the bytes seen so far.
    pub fn values(&self) -> usize {
        self.values
    }

    /// Scans the next piece of the text.
    ///
    /// # Errors
    /// The limit that is exceeded.
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
                    // The string before it was a key.
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
        if self.values > self.limits.values {
            Err(TooComplex::Many { limit: self.limits.values })
        } else {
            Ok(())
        }
    }

    /// The index of the current element.
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
            // The result is the same when the text comes in two pieces.
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
