//! Descriptions of patterns, one of each form.

use super::super::read;
use super::*;

/// The description of a pattern as it is written in a crontab.
fn words(pattern: &str) -> String {
    describe(&read(pattern).unwrap()).unwrap()
}

#[test]
fn a_pattern_is_described_as_people_would_say_it() {
    let table = [
        // Minutes
        ("* * * * *", "Every minute"),
        ("*/5 * * * *", "Every 5 minutes"),
        ("0-59/15 * * * *", "Every 15 minutes"),
        ("0,30 * * * *", "Every 30 minutes"),
        ("0,15,30,45 * * * *", "Every 15 minutes"),
        ("*/90 * * * *", "Every hour"),
        ("*/7 * * * *", "Every 7 minutes from :00 to :56 of every hour"),
        ("5-59/15 * * * *", "Every 15 minutes from :05 to :50 of every hour"),
        ("0-29 * * * *", "Every minute from :00 to :29 of every hour"),
        ("0,17,40 * * * *", "At :00, :17 and :40 of every hour"),
        ("*/5 8-18 * * mon-fri", "Every 5 minutes, 08:00–18:59, Mon–Fri"),
        ("* 9 * * *", "Every minute, 09:00–09:59"),
        ("*/10 8-11,14-17 * * *", "Every 10 minutes, 08:00–11:59 and 14:00–17:59"),
        ("*/15 */2 * * *", "Every 15 minutes, in the hours 0, 2, 4, …, 22"),
        ("0-29 8-18 * * *", "Every minute from :00 to :29, 08:00–18:59"),
        ("*/20 22-23,0-4 * * *", "Every 20 minutes, 00:00–04:59 and 22:00–23:59"),
        // Hours
        ("0 * * * *", "Every hour"),
        ("@hourly", "Every hour"),
        ("15 * * * *", "Every hour at :15"),
        ("0 */6 * * *", "Every 6 hours"),
        ("20 */4 * * *", "Every 4 hours at :20"),
        ("0 */48 * * *", "At 00:00 every day"),
        ("0 8-18 * * 1-5", "Every hour, 08:00–18:00, Mon–Fri"),
        ("30 1-23/2 * * *", "Every 2 hours, 01:30–23:30"),
        ("0 */5 * * *", "At 00:00, 05:00, 10:00, 15:00 and 20:00 every day"),
        ("0 0,12 * * *", "At 00:00 and 12:00 every day"),
        (
            "0 1,2,4,8,9,15,16,23 * * *",
            "At 01:00, 02:00, 04:00, 08:00, 09:00, 15:00, 16:00 and 23:00 every day",
        ),
        // Times of day
        ("30 2 * * *", "At 02:30 every day"),
        ("@daily", "At 00:00 every day"),
        ("0 8,12,18 * * *", "At 08:00, 12:00 and 18:00 every day"),
        ("0,30 9 * * *", "At 09:00 and 09:30 every day"),
        ("30 2 * * mon-fri", "At 02:30, Mon–Fri"),
        // Weekdays
        ("0 9 * * mon", "At 09:00 on Mondays"),
        ("@weekly", "At 00:00 on Sundays"),
        ("0 9 * * 7", "At 09:00 on Sundays"),
        ("0 9 * * mon,wed,fri", "At 09:00, Mon, Wed and Fri"),
        ("0 9 * * 0,6", "At 09:00, Sat and Sun"),
        ("0 9 * * fri-sun", "At 09:00, Fri–Sun"),
        ("0 9 * * 0-6", "At 09:00 every day"),
        ("0 9 * * mon#1", "At 09:00 on the first Monday of the month"),
        ("0 9 * * fri#L", "At 09:00 on the last Friday of the month"),
        ("*/5 * * * sat", "Every 5 minutes on Saturdays"),
        // Days of the month
        ("0 0 1 * *", "At 00:00 on day 1 of the month"),
        ("@monthly", "At 00:00 on day 1 of the month"),
        ("0 0 1,15 * *", "At 00:00 on days 1 and 15 of the month"),
        ("0 0 1-7 * *", "At 00:00 on days 1–7 of the month"),
        ("0 0 */2 * *", "At 00:00 on days 1, 3, 5, …, 31 of the month"),
        ("0 0 1-31 * *", "At 00:00 every day"),
        ("0 0 L * *", "At 00:00 on the last day of the month"),
        ("0 0 LW * *", "At 00:00 on the last weekday of the month"),
        ("0 0 15W * *", "At 00:00 on the weekday nearest to day 15 of the month"),
        ("0 0 13 * fri", "At 00:00 on day 13 of the month or on Fridays"),
        ("0 0 13 * +fri", "At 00:00 on day 13 of the month, but only on Fridays"),
        ("0 0 1-31 * mon", "At 00:00 every day"),
        // Months
        ("@yearly", "At 00:00 on 1 January"),
        ("0 0 29 2 *", "At 00:00 on 29 February"),
        ("0 0 1 jan,apr,jul,oct *", "At 00:00 on day 1 of Jan, Apr, Jul and Oct"),
        ("0 6 * 6-8 *", "At 06:00 every day in Jun–Aug"),
        ("0 6 * 1 *", "At 06:00 every day in January"),
        ("0 6,18 1-31 1 *", "At 06:00 and 18:00 every day in January"),
        ("*/5 * * 1 *", "Every 5 minutes in January"),
        // Days that some months do not have
        ("0 0 31 9,10 *", "At 00:00 on 31 October"),
        ("0 0 31 9-12 *", "At 00:00 on day 31 of Oct and Dec"),
        ("0 0 30,31 2,4,5 *", "At 00:00 on 30 April and on days 30 and 31 of May"),
        ("0 0 28-31 2 *", "At 00:00 on days 28 and 29 of February"),
        ("0 0 31W 9,10 *", "At 00:00 on the weekday nearest to day 31 of October"),
        ("0 0 30 2 mon", "At 00:00 on Mondays in February"),
        ("0 0 31 * *", "At 00:00 on day 31 of the month"),
        ("0 6 * dec mon-fri", "At 06:00, Mon–Fri in December"),
        ("0 6 * 5 mon#2", "At 06:00 on the second Monday of May"),
        ("*/30 8-9 * * *", "At 08:00, 08:30, 09:00 and 09:30 every day"),
        // Seconds
        ("* * * * * *", "Every second"),
        ("*/20 * * * * *", "Every 20 seconds"),
        ("0 */5 * * * *", "Every 5 minutes"),
        ("15 * * * * *", "Every minute at second 15"),
        ("15 30 2 * * *", "At 02:30:15 every day"),
        ("30 0 * * * *", "Every hour at :00:30"),
        ("10,40 * * * * *", "At seconds 10 and 40 of every minute"),
        ("*/10 0 * * * *", "Every 10 seconds in minute 0 of every hour"),
        ("*/10 0-4 8 * * *", "Every 10 seconds in minutes 0–4, 08:00–08:59"),
    ];
    let wrong = table.iter().filter(|(pattern, expected)| words(pattern) != *expected);
    let wrong: Vec<String> = wrong
        .map(|(pattern, expected)| format!("{pattern}: {} is not {expected}", words(pattern)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_interval_is_described_in_its_largest_units() {
    for (seconds, expected) in [
        (1, "Every second"),
        (90, "Every 1 minute 30 seconds"),
        (900, "Every 15 minutes"),
        (3_600, "Every hour"),
        (5_400, "Every 1 hour 30 minutes"),
        (172_800, "Every 2 days"),
    ] {
        assert_eq!(every(Duration::from_secs(seconds)), expected);
    }
}

#[test]
fn a_pattern_that_never_matches_has_no_description() {
    for pattern in
        [", * * * * *", "* , * * * *", "0 0 , * *", "0 0 * * L", "0 0 31 9 *", "0 0 30 2 *"]
    {
        assert_eq!(describe(&read(pattern).unwrap()), None, "{pattern}");
    }
}
