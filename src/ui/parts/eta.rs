//! Estimates the time that a running attempt still needs from the progress it reports. `static/job.js` formats
//! the estimate in the same way.

use std::time::Duration;

/// An attempt that has run for less than this gives no useful estimate.
const TOO_EARLY: Duration = Duration::from_secs(2);

/// The time left at the average speed since the attempt started, rounded and in words; `None` when there is no
/// basis for an estimate. The estimate of an attempt that stalls grows.
pub fn left(elapsed: Duration, done: u64, total: Option<u64>) -> Option<String> {
    let total = total?;
    if done == 0 || done >= total || elapsed < TOO_EARLY {
        return None;
    }
    let left = elapsed.as_secs_f64() * (total - done) as f64 / done as f64;
    Some(match left.ceil() as u64 {
        0..5 => "a few seconds left".into(),
        seconds @ 5..90 => format!("about {} s left", seconds.div_ceil(5) * 5),
        seconds @ 90..5_400 => format!("about {} min left", seconds.div_ceil(60)),
        seconds @ 5_400..172_800 => {
            format!("about {} h left", seconds.div_ceil(3_600))
        }
        seconds => format!("about {} d left", seconds.div_ceil(86_400)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_told_only_when_there_is_a_pace() {
        let shown = |seconds: u64, done: u64, total: Option<u64>| {
            left(Duration::from_secs(seconds), done, total).unwrap_or_default()
        };
        for (seconds, done, total, text) in [
            (10, 5, None, ""),
            (10, 0, Some(9), ""),
            (10, 9, Some(9), ""),
            (10, 12, Some(9), ""),
            (1, 1, Some(9), ""),
            (10, 0, Some(0), ""),
            (10, 8, Some(10), "a few seconds left"),
            (10, 5, Some(10), "about 10 s left"),
            (11, 5, Some(10), "about 15 s left"),
            (100, 50, Some(100), "about 2 min left"),
            (3_600, 1, Some(3), "about 2 h left"),
            (86_400, 1, Some(11), "about 10 d left"),
            (u64::MAX, 1, Some(u64::MAX), "about 213503982334602 d left"),
        ] {
            assert_eq!(shown(seconds, done, total), text, "{seconds} s, {done} of {total:?}");
        }
    }
}
