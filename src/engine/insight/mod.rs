//! What the engine knows about its recent past: rates, latencies, failures, and why jobs wait.

pub mod attempt_sample;
pub mod checkpoint;
pub mod coverage;
pub mod enqueue_times;
pub mod failures;
pub mod histogram;
pub mod history;
pub mod history_keeper;
pub mod history_range;
pub mod latency_totals;
pub mod live_stats;
pub mod meter;
pub mod observer;
pub mod overview;
pub mod rollup;
pub mod run_times;
pub mod schedule_runs;
pub mod series_table;
pub mod system_samples;
pub mod wait_map;
pub mod wait_reason;
