//! Turns panics into log lines. The default hook writes to standard error itself and blocks when nobody reads
//! it.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

/// Replaces the default hook.
pub(super) fn log_them() {
    std::panic::set_hook(Box::new(log));
}

fn log(panic: &PanicHookInfo<'_>) {
    let text = panic.payload_as_str().unwrap_or("the panic has no text");
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    let current = std::thread::current();
    let thread = current.name().unwrap_or("unnamed");
    let backtrace = Backtrace::capture(); // only if RUST_BACKTRACE asks for it
    tracing::error!(thread, at, "panicked: {text}");
    if backtrace.status() == BacktraceStatus::Captured {
        for frame in backtrace.to_string().lines() {
            tracing::error!(thread, "{frame}");
        }
    }
}
