//! Values of the file that are JSON for the server. Dates and times become strings.

use serde_json::value::{RawValue, Value};

use crate::job::{JsonLimits, TooComplex};

/// Converts TOML to the text of JSON.
///
/// # Errors
/// Which limit it exceeds, or which number JSON does not have.
pub fn to_json(value: &toml::Value, limits: JsonLimits) -> Result<Box<RawValue>, String> {
    let text = json(value, limits, 0)?.to_string();
    limits.check(&text).map_err(refused)?;
    RawValue::from_string(text).map_err(|error| error.to_string())
}

fn refused(why: TooComplex) -> String {
    format!("{why} ({})", why.code())
}

/// serde alone would write dates as tables with a private key, and infinities and NaN as null. `level` counts the arrays
/// and tables around the value.
fn json(value: &toml::Value, limits: JsonLimits, level: usize) -> Result<Value, String> {
    let limit = limits.depth;
    let below = || match level < limit {
        true => Ok(level + 1),
        false => Err(refused(TooComplex::Deep { limit })),
    };
    Ok(match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) if number.is_finite() => (*number).into(),
        toml::Value::Float(number) => return Err(format!("JSON has no number {number}")),
        toml::Value::Boolean(is) => (*is).into(),
        toml::Value::Datetime(at) => at.to_string().into(),
        toml::Value::Array(values) => {
            let below = below()?;
            values.iter().map(|value| json(value, limits, below)).collect::<Result<Value, _>>()?
        }
        toml::Value::Table(table) => {
            let below = below()?;
            let pairs =
                table.iter().map(|(key, value)| Ok((key.clone(), json(value, limits, below)?)));
            pairs.collect::<Result<serde_json::Map<_, _>, String>>()?.into()
        }
    })
}
