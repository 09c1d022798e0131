//! How long a running attempt still needs, as far as its own reports tell. The script `job.js` speaks the
//! same words.

use std::time::Duration;

/// Earlier than this a pace says nothing.
const TOO_EARLY: Duration = Duration::from_secs(2);

/// The time left at the average pace since the attempt started, in rounded words; `None` when there is
/// nothing to judge by. An attempt that stalls sees its time grow, as is true.
pub fn left(elapsed: Duration, done: u64, total: Option<u64>) -> Option<String> {
    let total = total?;
    if done == 0 || done >= total || elapsed < TOO_EARLY {
        return None;
    }
    let left = elapsed.as_secs_f64() * (total - done) as f64 / done as f64;
    Some(match left.ceil() as u64 {
        0..5 => "a few seconds left at this pace".into(),
        seconds @ 5..90 => format!("about {} s left at this pace", seconds.div_ceil(5) * 5),
        seconds @ 90..5_400 => format!("about {} min left at this pace", seconds.div_ceil(60)),
        seconds @ 5_400..172_800 => {
            format!("about {} h left at this pace", seconds.div_ceil(3_600))
        }
        seconds => format!("about {} d left at this pace", seconds.div_ceil(86_400)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_told_only_when_there_is_a_pace() {
        let told = |seconds: u64, done: u64, total: Option<u64>| {
            left(Duration::from_secs(seconds), done, total).unwrap_or_default()
        };
        for (seconds, done, total, text) in [
            (10, 5, None, ""),
            (10, 0, Some(9), ""),
            (10, 9, Some(9), ""),
            (10, 12, Some(9), ""),
            (1, 1, Some(9), ""),
            (10, 0, Some(0), ""),
            (10, 8, Some(10), "a few seconds left at this pace"),
            (10, 5, Some(10), "about 10 s left at this pace"),
            (11, 5, Some(10), "about 15 s left at this pace"),
            (100, 50, Some(100), "about 2 min left at this pace"),
            (3_600, 1, Some(3), "about 2 h left at this pace"),
            (86_400, 1, Some(11), "about 10 d left at this pace"),
            (u64::MAX, 1, Some(u64::MAX), "about 213503982334602 d left at this pace"),
        ] {
            assert_eq!(told(seconds, done, total), text, "{seconds} s, {done} of {total:?}");
        }
    }
}
