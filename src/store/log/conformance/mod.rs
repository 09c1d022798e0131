//! The rules of [`Log`], each of them a test whose name is a sentence. A log provides a [`LogHarness`] and the line
//! `log_conformance_suite!(ItsHarness);`, which runs all of them, and a shared log also the line
//! `shared_log_conformance_suite!(ItsHarness);`.

use std::thread;
use std::time::Duration;

use super::{Log, WriteBatch};

pub(crate) mod contract;
pub(crate) mod nodes;
pub(crate) mod shared;

/// Opens the log that a rule is about.
pub(crate) trait LogHarness {
    /// Creates a harness for an empty log.
    fn new() -> Self;

    /// Opens the log, as another process would. Only a shared log is opened while it is open.
    fn open(&self) -> Box<dyn Log>;
}

/// Opens a log that several processes share.
pub(crate) trait SharedLogHarness: LogHarness {
    /// Opens the log as a node with this name.
    fn open_as(&self, node: &str) -> Box<dyn Log>;
}

/// The key of a chunk.
pub(crate) fn chunk(number: u64) -> Vec<u8> {
    [&b"j"[..], &number.to_be_bytes()].concat()
}

/// A batch that puts these values.
pub(crate) fn puts(rows: &[(&[u8], &[u8])]) -> WriteBatch {
    let mut batch = WriteBatch::default();
    rows.iter().for_each(|(key, value)| batch.put(*key, value.to_vec()));
    batch
}

/// The keys and values of a scan, which must not fail.
pub(crate) fn scanned(log: &dyn Log, prefix: &[u8], from: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    log.scan_from(prefix, from).map(Result::unwrap).collect()
}

/// The keys of a scan, which must not fail.
pub(crate) fn keys(log: &dyn Log, prefix: &[u8], from: &[u8]) -> Vec<Vec<u8>> {
    scanned(log, prefix, from).into_iter().map(|(key, _)| key).collect()
}

/// Runs a rule, which must end in time.
pub(crate) fn within_bound(rule: impl FnOnce() + Send + 'static) {
    let (done, ended) = std::sync::mpsc::channel();
    let running = thread::spawn(move || {
        let _dropped_at_the_end: std::sync::mpsc::Sender<()> = done;
        rule();
    });
    let waited = ended.recv_timeout(Duration::from_secs(120));
    let in_time = waited == Err(std::sync::mpsc::RecvTimeoutError::Disconnected);
    assert!(in_time, "the rule does not finish in time");
    if let Err(panic) = running.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Generates one test per rule for a log: `log_conformance_suite!(ItsHarness);`
macro_rules! log_conformance_suite {
    ($harness:ty) => {
        $crate::store::log::conformance::log_rules! { $harness: contract
            a_batch_is_there_when_it_was_applied
            nobody_sees_half_of_a_batch
            the_last_change_of_a_key_counts
            what_is_not_there_can_be_removed
            an_empty_log_has_nothing
            a_scan_has_all_keys_in_their_order
            a_scan_has_exactly_the_keys_with_its_prefix
            a_scan_from_a_key_begins_there
            a_long_scan_is_complete
            the_keys_of_a_log_are_those_of_its_rows
            a_scan_goes_on_while_the_log_changes
            values_of_any_length_come_back
            a_value_can_be_replaced_by_a_shorter_one
            the_oldest_chunks_can_be_removed
            what_was_written_is_measured
            a_log_that_is_shut_refuses_every_call
            a_scan_ends_when_the_log_is_shut
            a_log_that_was_reopened_has_everything_and_goes_on
            the_next_process_finds_everything
        }
    };
}

/// Generates one test per rule for a log that several processes share.
macro_rules! shared_log_conformance_suite {
    ($harness:ty) => {
        $crate::store::log::conformance::log_rules! { $harness: shared
            one_of_two_batches_with_the_same_chunk_is_written
            nothing_of_a_lost_batch_is_written
            many_appenders_make_a_dense_sequence
            a_batch_follows_only_the_chunk_before_it
            a_batch_without_a_chunk_is_always_written
            a_chunk_of_another_log_ends_a_wait
            a_log_knows_whether_a_chunk_is_there
            a_wait_ends_when_its_time_is_over
            a_wait_fails_when_the_log_is_shut
        }
        $crate::store::log::conformance::log_rules! { $harness: nodes
            every_node_is_known_to_all
            what_a_node_says_about_itself_is_known_to_all
            a_node_that_has_read_the_whole_log_has_no_lag
            a_node_that_sends_no_heartbeat_falls_silent
            a_node_that_has_signed_off_is_not_shown
            a_process_replaces_an_earlier_one_of_its_name
        }
    };
}

/// Generates the tests that the suites list.
macro_rules! log_rules {
    ($harness:ty: $topic:ident $($rule:ident)*) => {
        mod $topic {
            use super::*;
            $(
                #[test]
                fn $rule() {
                    let rule = || {
                        let harness =
                            <$harness as $crate::store::log::conformance::LogHarness>::new();
                        $crate::store::log::conformance::$topic::$rule(&harness);
                    };
                    $crate::store::log::conformance::within_bound(rule);
                }
            )*
        }
    };
}

pub(crate) use {log_conformance_suite, log_rules, shared_log_conformance_suite};
