//! Lets the validator read a payload, and stops it after a number of steps. Without this, a schema that refers to
//! itself in several alternatives would make it collect errors without end, and each with a path as long as the payload.

use std::borrow::Cow;
use std::cell::Cell;

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, JsonNumber, Node, NodeIdentity, Object, cmp};
use serde_json::{Map, Number, Value, map};

use super::order;
use crate::job::shorten::{MAX_NAME, shorten};

/// Payloads, as the validator reads them.
#[derive(Debug)]
pub struct PayloadReader;

/// How far the validator may still go.
pub struct Allowance {
    /// The accesses to values.
    steps: Cell<u64>,
    /// The errors.
    errors: Cell<u32>,
}

impl Allowance {
    /// An allowance of steps and errors.
    pub fn new(steps: u64, errors: u32) -> Self {
        Allowance { steps: Cell::new(steps), errors: Cell::new(errors) }
    }

    /// Whether the validator was stopped. What it reports after that means nothing.
    pub fn is_spent(&self) -> bool {
        self.steps.get() == 0
    }

    fn spend(&self, steps: u64) -> bool {
        self.steps.set(self.steps.get().saturating_sub(steps));
        !self.is_spent()
    }

    /// Counts an error and returns whether it was found before the validator was stopped.
    fn count_error(&self) -> bool {
        match self.errors.get() {
            0 => self.steps.set(0),
            left => self.errors.set(left - 1),
        }
        !self.is_spent()
    }
}

/// A value of a payload.
#[derive(Clone, Copy)]
pub struct PayloadValue<'a> {
    value: &'a Value,
    /// `None` for the name of a property, which is read as a text.
    allowance: Option<&'a Allowance>,
}

impl<'a> PayloadValue<'a> {
    /// The whole payload.
    pub fn root(value: &'a Value, allowance: &'a Allowance) -> Self {
        PayloadValue { value, allowance: Some(allowance) }
    }

    fn spend(&self, steps: usize) -> bool {
        self.allowance.is_none_or(|allowance| allowance.spend(steps as u64))
    }
}

impl Json for PayloadReader {
    type Node<'a> = PayloadValue<'a>;
    type PreparedKey = String;
    type StringBuffer = ();

    const KEYS_PER_LOOKUP: usize = 2;
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>((): &mut (), string: &str, f: impl FnOnce(PayloadValue<'_>) -> T) -> T {
        f(PayloadValue { value: &Value::from(string), allowance: None })
    }
}

impl<'a> Node<'a, PayloadReader> for PayloadValue<'a> {
    type Object = Properties<'a>;
    type Array = Elements<'a>;
    type Number = Digits<'a>;

    fn as_object(&self) -> Option<Properties<'a>> {
        let map = self.value.as_object().filter(|_| self.spend(1))?;
        Some(Properties { map, part: *self })
    }

    fn as_array(&self) -> Option<Elements<'a>> {
        let elements = self.value.as_array().filter(|_| self.spend(1))?;
        Some(Elements { elements, part: *self })
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        /// The bytes of a text that cost one step.
        const BYTES_PER_STEP: usize = 64;
        let text = self.value.as_str()?;
        self.spend(1 + text.len() / BYTES_PER_STEP).then_some(Cow::Borrowed(text))
    }

    fn as_number(&self) -> Option<Digits<'a>> {
        self.value.as_number().filter(|_| self.spend(1)).map(Digits)
    }

    fn as_boolean(&self) -> Option<bool> {
        self.value.as_bool()
    }

    fn is_null(&self) -> bool {
        self.value.is_null()
    }

    fn json_type(&self) -> JsonType {
        match self.value {
            Value::Null => JsonType::Null,
            Value::Bool(_) => JsonType::Boolean,
            Value::Number(_) => JsonType::Number,
            Value::String(_) => JsonType::String,
            Value::Array(_) => JsonType::Array,
            Value::Object(_) => JsonType::Object,
        }
    }

    fn equals_value(&self, expected: &Value) -> bool {
        self.spend(1) && cmp::equal(self.value, expected)
    }

    /// The validator copies this into each error. It is not the value, which is found again by its path, but whether
    /// the error counts; for the name of a property it is the name.
    fn to_value(&self) -> Cow<'a, Value> {
        Cow::Owned(match self.allowance {
            Some(allowance) => Value::Bool(allowance.count_error()),
            None => shorten(self.value.as_str().unwrap_or_default(), MAX_NAME).into(),
        })
    }

    fn identity(&self) -> Option<NodeIdentity> {
        // The value of a name exists only while it is validated, and the next one may have its address.
        self.allowance.map(|_| NodeIdentity::new(std::ptr::from_ref(self.value).addr()))
    }
}

/// The properties of an object.
#[derive(Clone, Copy)]
pub struct Properties<'a> {
    map: &'a Map<String, Value>,
    part: PayloadValue<'a>,
}

impl<'a> Object<'a, PayloadReader> for Properties<'a> {
    type Node = PayloadValue<'a>;
    type MemberName = &'a str;
    type MembersIter = Members<'a>;

    fn len(&self) -> usize {
        self.map.len()
    }

    fn get(&self, key: &String) -> Option<PayloadValue<'a>> {
        self.map.get(key).map(|value| PayloadValue { value, ..self.part })
    }

    fn members(&self) -> Members<'a> {
        Members { all: self.map.iter(), part: self.part }
    }
}

/// An iterator over the properties of an object.
pub struct Members<'a> {
    all: map::Iter<'a>,
    part: PayloadValue<'a>,
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, PayloadValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.all.next().filter(|_| self.part.spend(1))?;
        Some((name.as_str(), PayloadValue { value, ..self.part }))
    }
}

/// The elements of an array.
#[derive(Clone, Copy)]
pub struct Elements<'a> {
    elements: &'a [Value],
    part: PayloadValue<'a>,
}

impl<'a> Array<'a, PayloadReader> for Elements<'a> {
    type Node = PayloadValue<'a>;
    type ElementsIter = ElementsIter<'a>;

    fn len(&self) -> usize {
        self.elements.len()
    }

    fn elements(&self) -> ElementsIter<'a> {
        ElementsIter { all: self.elements.iter(), part: self.part }
    }

    fn is_unique(&self) -> bool {
        order::are_unique(self.elements)
    }
}

/// An iterator over the elements of an array.
pub struct ElementsIter<'a> {
    all: std::slice::Iter<'a, Value>,
    part: PayloadValue<'a>,
}

impl<'a> Iterator for ElementsIter<'a> {
    type Item = PayloadValue<'a>;

    fn next(&mut self) -> Option<PayloadValue<'a>> {
        let value = self.all.next().filter(|_| self.part.spend(1))?;
        Some(PayloadValue { value, ..self.part })
    }
}

/// A number.
#[derive(Clone, Copy)]
pub struct Digits<'a>(&'a Number);

impl JsonNumber for Digits<'_> {
    fn as_u64(&self) -> Option<u64> {
        self.0.as_u64()
    }

    fn as_i64(&self) -> Option<i64> {
        self.0.as_i64()
    }

    fn as_f64(&self) -> Option<f64> {
        self.0.as_f64()
    }

    fn as_str(&self) -> Cow<'_, str> {
        Cow::Owned(self.0.to_string())
    }

    fn to_number(&self) -> Cow<'_, Number> {
        Cow::Borrowed(self.0)
    }

    /// `1.0` is not a whole number here, because serde does not read it as one.
    fn is_integer(&self) -> bool {
        /// Whole numbers beyond this are read as `f64`, however they are written.
        const BEYOND: f64 = 9.2e18;
        !self.0.is_f64() || self.0.as_f64().is_some_and(|number| number.abs() >= BEYOND)
    }
}
