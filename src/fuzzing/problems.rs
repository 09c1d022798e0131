//! What holds for every refusal of a request or message.

use crate::http::Problem;
use crate::http::openapi::errors::CODES;
use crate::job::shorten::MAX_MESSAGE;

/// Checks that a refusal has a documented code and status, says what is wrong, and is not as long as the request.
pub fn check_refusal(problem: &Problem) {
    let code = CODES.iter().find(|known| known.code == problem.code());
    let code = code.unwrap_or_else(|| panic!("{} is not documented", problem.code()));
    let status = problem.status().as_u16();
    let is_documented = code.statuses.is_empty() || code.statuses.contains(&status);
    assert!(is_documented, "{} has the status {status}", code.code);
    let detail = problem.detail();
    assert!(!detail.trim().is_empty(), "{} says nothing", code.code);
    // A text that was shortened says how much was left out.
    assert!(detail.chars().count() <= MAX_MESSAGE + 40, "{detail}");
    assert!(problem.first_field().is_none_or(|field| field.len() <= 2 * MAX_MESSAGE));
}
