//! Numbers beyond the range of `f64`, which are valid JSON but which `serde_json::Value` cannot hold.

/// Replaces each number of a JSON text that is beyond the range of `f64` by the nearest number within it. So they
/// compare with all bounds of a schema as they would by themselves.
pub fn within_range(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = if rest.starts_with('"') { string_length(rest) } else { number_length(rest) };
        let (token, after) = rest.split_at(length);
        match token.parse::<f64>() {
            Ok(number) if number.is_infinite() => {
                text.push_str(&format!("{:e}", number.clamp(f64::MIN, f64::MAX)));
            }
            Ok(_) | Err(_) => text.push_str(token),
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

/// The length of the string at the start of a JSON text.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

/// The length of the number at the start of a JSON text.
fn number_length(text: &str) -> usize {
    let is_part = |byte: u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    text.bytes().position(|byte| !is_part(byte)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_beyond_the_range_change() {
        let most = format!("{:e}", f64::MAX);
        for (text, expected) in [
            (
                r#"{"1e999": [1e999, -1e999, "1e999\"1e999", 1.50]}"#,
                "{\"1e999\": [M, -M, \"1e999\\\"1e999\", 1.50]}",
            ),
            ("1e999", "M"),
            ("\"\\\\\"", "\"\\\\\""),
            ("{\"ä\":null,\"b\":-1E+400}", "{\"ä\":null,\"b\":-M}"),
        ] {
            let clamped = within_range(text);
            assert_eq!(clamped, expected.replace('M', &most));
            assert!(serde_json::from_str::<serde_json::Value>(&clamped).is_ok());
        }
    }
}
