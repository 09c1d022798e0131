//! Makes a thread or loop panic on request, for tests only: every part calls [`pass`] in each of its rounds, and a
//! request in the environment makes it panic there. Without a request, a call costs one check of an `Option`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Part;

/// The environment variable with the request, for example `kill:timer:3`: the part, and the round in which it panics.
/// The variable can also hold a request for the store's disk.
pub const VARIABLE: &str = "CORTADO_FAULT";

/// The request for a fault. Release builds have none, unless they are built with the feature `fault-injection`.
pub fn fault_request() -> Option<String> {
    if cfg!(any(debug_assertions, feature = "fault-injection")) {
        std::env::var(VARIABLE).ok()
    } else {
        None
    }
}

struct KillRequest {
    part: Part,
    nth: u64,
    passed: AtomicU64,
}

/// The request, if there is one.
fn kill_request() -> Option<&'static KillRequest> {
    static REQUEST: OnceLock<Option<KillRequest>> = OnceLock::new();
    REQUEST.get_or_init(|| parse(&fault_request()?)).as_ref()
}

/// Whether a text is a valid request.
pub fn is_kill_request(text: &str) -> bool {
    parse(text).is_some()
}

/// Panics when the request names this part and this round.
pub fn pass(part: Part) {
    let Some(request) = kill_request().filter(|request| request.part == part) else { return };
    if request.passed.fetch_add(1, Ordering::Relaxed) + 1 == request.nth {
        std::panic::panic_any(format!("killed as requested by {VARIABLE}"));
    }
}

fn parse(request: &str) -> Option<KillRequest> {
    let (name, nth) = request.strip_prefix("kill:")?.split_once(':')?;
    let part = Part::ALL.into_iter().find(|part| part.name() == name)?;
    Some(KillRequest { part, nth: nth.parse().ok()?, passed: AtomicU64::new(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_a_part_and_a_round() {
        for part in Part::ALL {
            assert_eq!(parse(&format!("kill:{}:3", part.name())).unwrap().part, part);
        }
        for nonsense in ["", "kill", "kill:timer", "kill:nobody:1", "kill:timer:x", "eio:sync:1"] {
            assert!(!is_kill_request(nonsense), "{nonsense}");
        }
    }
}
