//! A check of the escapes in the address of every request. Decoders replace or keep what is not valid, so without the
//! check an endpoint could act on something else than what was sent.

use axum::http::Uri;

use crate::http::Problem;

/// Refuses an address whose path or query has an incomplete escape, or escapes that are not UTF-8.
///
/// # Errors
/// Says which part of the address is not valid.
pub fn check(uri: &Uri) -> Result<(), Problem> {
    for (part, text) in [("path", uri.path()), ("query", uri.query().unwrap_or_default())] {
        if let Err(why) = decode(text) {
            let detail = format!("the {part} of the address {why}");
            return Err(Problem::invalid_parameter(part, detail));
        }
    }
    Ok(())
}

fn decode(text: &str) -> Result<(), &'static str> {
    if !text.contains('%') {
        return Ok(());
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    let digit =
        |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            decoded.push(*first);
            continue;
        }
        let [high, low, after @ ..] = rest else { return Err(INCOMPLETE) };
        let (Some(high), Some(low)) = (digit(high), digit(low)) else { return Err(INCOMPLETE) };
        decoded.push(high * 16 + low);
        rest = after;
    }
    std::str::from_utf8(&decoded).map(drop).map_err(|_| "has escapes that are not valid UTF-8")
}

const INCOMPLETE: &str =
    "has a % that two hexadecimal digits do not follow; write %25 for a percent sign";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_complete_and_utf_8() {
        for good in ["/", "/jobs?q=a+b", "/jobs?q=%C3%A4%25&x=%e2%82%ac", "/queues/a%20b", "/%00"] {
            assert!(check(&good.parse().unwrap()).is_ok(), "{good}");
        }
        for bad in [
            "/%",
            "/%a",
            "/%zz",
            "/%c3",
            "/%c3/%a4",
            "/%ff",
            "/%ed%a0%80",
            "/%c0%ae",
            "/?q=%",
            "/?q=100%&x",
            "/?q=%f",
            "/?%gg=1",
            "/?q=%ff",
            "/?q=%c3&x=%a4",
            "/?%80",
        ] {
            let problem = check(&bad.parse().unwrap()).unwrap_err();
            assert_eq!(
                (problem.status().as_u16(), problem.code()),
                (400, "invalid_parameter"),
                "{bad}"
            );
        }
    }
}
