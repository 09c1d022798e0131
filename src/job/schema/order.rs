//! Finds equal elements of an array in n log n comparisons, whatever they are. A set of hashes would be slower for
//! elements that were chosen to have the same hash.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// Whether all elements differ. `1` and `1.0` are equal, as JSON Schema defines it.
pub fn are_unique(elements: &[Value]) -> bool {
    let mut sorted: Vec<&Value> = elements.iter().collect();
    sorted.sort_unstable_by(|a, b| compare(a, b));
    sorted.windows(2).all(|pair| compare(pair[0], pair[1]) != Ordering::Equal)
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let mut each = a.iter().zip(b).map(|(a, b)| compare(a, b));
            each.find(|it| it.is_ne()).unwrap_or(a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => {
            let both = a.iter().zip(b);
            let mut each = both.map(|(a, b)| a.0.cmp(b.0).then_with(|| compare(a.1, b.1)));
            each.find(|it| it.is_ne()).unwrap_or(a.len().cmp(&b.len()))
        }
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

/// Whole numbers are compared exactly, all others as `f64`. A fraction is always below 2^53, where both agree.
fn compare_numbers(a: &Number, b: &Number) -> Ordering {
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) | (None, Some(_)) | (None, None) => {
            let float = |number: &Number| number.as_f64().unwrap_or_default();
            float(a).total_cmp(&float(b))
        }
    }
}

fn whole(number: &Number) -> Option<i128> {
    /// Every whole `f64` below this is exact as an `i128`.
    const EXACT: f64 = 1e38;
    if let Some(whole) = number.as_i128() {
        return Some(whole);
    }
    let float = number.as_f64().filter(|it| it.fract() == 0.0 && it.abs() < EXACT)?;
    Some(float as i128)
}
