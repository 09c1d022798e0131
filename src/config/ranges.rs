//! The integers that settings accept. The check of the merged settings and the errors about values of the wrong type both
//! use this list, so that they say the same.

use crate::access::AccessLimits;
use crate::job::limits::{ATTEMPTS, PRIORITY};
use crate::job::{Concurrency, IntegerRange, JsonLimits};

/// Settings that are 32 bits wide.
const SMALL: IntegerRange = IntegerRange::new(1, u32::MAX as i64);
/// Settings that make no sense as 0.
const POSITIVE: IntegerRange = IntegerRange::at_least(1);
/// The shortest password that a setting can ask for.
const PASSWORD: IntegerRange =
    IntegerRange::new(AccessLimits::LEAST_PASSWORD as i64, AccessLimits::MAX_PASSWORD_BYTES as i64);

/// The settings that accept less than their type, by their keys; `*` stands for a name.
const RANGES: [(&str, IntegerRange); 50] = [
    ("engine.max_running", POSITIVE),
    ("engine.concurrency", Concurrency::RANGE),
    ("engine.weight", SMALL),
    ("engine.max_json_depth", IntegerRange::new(1, JsonLimits::MAX_DEPTH as i64)),
    ("engine.max_json_values", POSITIVE),
    ("engine.stream_capacity", IntegerRange::at_least(2)),
    ("engine.queue_histories", POSITIVE),
    ("engine.max_workers", POSITIVE),
    ("engine.workers_per_token", POSITIVE),
    ("queues.*.concurrency", Concurrency::RANGE),
    ("queues.*.weight", SMALL),
    ("store.read_connections", IntegerRange::new(1, 1_000)),
    ("store.max_waiting", POSITIVE),
    ("store.max_queues", POSITIVE),
    ("store.max_kinds", POSITIVE),
    ("store.tick_step", POSITIVE),
    ("store.archive_from", POSITIVE),
    ("store.pipeline_from", POSITIVE),
    ("store.readers", POSITIVE),
    ("store.search_step", POSITIVE),
    ("store.search_readers", POSITIVE),
    ("store.log_readers", POSITIVE),
    ("retention.events.count", POSITIVE),
    ("rewind.list_events", POSITIVE),
    ("rewind.list_records", POSITIVE),
    ("rewind.job_events", POSITIVE),
    ("rewind.counted_events", POSITIVE),
    ("rewind.pages", IntegerRange::new(1, 1_000)),
    ("access.max_users", POSITIVE),
    ("access.max_tokens", POSITIVE),
    ("access.max_sessions", POSITIVE),
    ("access.sessions_per_user", POSITIVE),
    ("access.max_links", POSITIVE),
    ("access.min_password", PASSWORD),
    ("tls.max_handshakes", POSITIVE),
    ("http.max_batch", POSITIVE),
    ("http.max_connections", IntegerRange::at_least(2)),
    ("http.connections_per_address", POSITIVE),
    ("http.max_subscribers", POSITIVE),
    ("http.login_failures", SMALL),
    ("http.login_failures_per_user", SMALL),
    ("http.login_failures_total", SMALL),
    ("http.socket_rate", SMALL),
    ("http.socket_subscriptions", POSITIVE),
    ("http.subscribers_per_address", POSITIVE),
    ("commands.*.discard_codes", DISCARD_CODES),
    ("kinds.*.max_attempts", ATTEMPTS),
    ("schedules.*.priority", PRIORITY),
    ("schedules.*.max_attempts", ATTEMPTS),
    ("commands.*.max_output_lines", IntegerRange::at_least(0)),
];

/// The exit codes of a program that can mean that no attempt will succeed. Code 0 means success, and others do not exist.
pub const DISCARD_CODES: IntegerRange = IntegerRange::new(1, 255);

/// The integers that a setting accepts, if they are less than those of its type. An index at the end is ignored.
pub fn of(key: &str) -> Option<IntegerRange> {
    let key = without_index(key);
    let is_of = |pattern: &str| match pattern.split_once(".*.") {
        Some((section, name)) => {
            let rest = key.strip_prefix(section).and_then(|rest| rest.strip_prefix('.'));
            rest.and_then(|rest| rest.strip_suffix(name)).is_some_and(|rest| rest.ends_with('.'))
        }
        None => pattern == key,
    };
    RANGES.iter().find(|(pattern, _)| is_of(pattern)).map(|(_, range)| *range)
}

/// A key without the index at its end. A name in it may have brackets, too.
fn without_index(key: &str) -> &str {
    match key.strip_suffix(']').and_then(|key| key.rsplit_once('[')) {
        Some((name, index)) if index.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_found_by_the_key() {
        assert_eq!(of("engine.max_running"), Some(POSITIVE));
        assert_eq!(of("queues.mail.weight"), Some(SMALL));
        assert_eq!(of("queues.two.words.weight"), Some(SMALL));
        assert_eq!(of("queues.odd[name.weight"), Some(SMALL));
        assert_eq!(of("commands.x.discard_codes[3]"), Some(DISCARD_CODES));
        for none in ["", "engine", "queues.weight", "queues..weigh", "queuesx.mail.weight"] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
