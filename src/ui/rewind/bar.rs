//! The bar of a page of an earlier moment: which moment it is, how far back the log reaches, and links to other moments.

use std::time::Duration;

use crate::engine::{Past, Reach};
use crate::job::{Cursor, Event, Time};

use super::links::with_moment;
use super::moment_text::{time_in_address, time_in_field};
use crate::ui::access::words::{EventText, event_text};
use crate::ui::parts::filters::count;
use crate::ui::parts::time_format::TimeText;

/// The bar, for `templates/partials/_rewind.html`.
pub struct RewindBar {
    /// The moment as the links of the page have it.
    pub at: String,
    /// The cursor of the last event that had happened.
    pub cursor: Cursor,
    /// The time of the moment.
    pub when: TimeText,
    /// The event; `None` when the reader may not see it.
    pub event: Option<EventText>,
    /// The oldest and the newest moment.
    pub reach: Reach,
    /// The time of the oldest moment.
    pub oldest: TimeText,
    /// The address of the same page with the cursor of the event, which always shows the same.
    pub exact: String,
    /// The address of the page as it is now.
    pub present: String,
    /// The links to moments before and after this one.
    pub steps: [Vec<StepLink>; 2],
    /// The path of the page, for the form that chooses another time.
    pub action: String,
    /// The other parameters of the page.
    pub fields: Vec<(String, String)>,
    /// The value of the field for the time.
    pub field: String,
}

/// A link to another moment.
pub struct StepLink {
    /// What identifies it for scripts.
    pub name: &'static str,
    /// What it says.
    pub words: &'static str,
    /// The whole name, for screen readers.
    pub label: &'static str,
    /// The address; `None` at the end of the log.
    pub href: Option<String>,
}

/// The page of a bar.
pub struct BarPage<'a> {
    /// The path, relative to the base; `./` for the home page.
    pub path: &'a str,
    /// Its query without the moment.
    pub query: &'a str,
}

impl BarPage<'_> {
    /// The address of the page as it is now.
    pub fn address(&self) -> String {
        if self.query.is_empty() {
            self.path.to_owned()
        } else {
            format!("{}?{}", self.path, self.query)
        }
    }

    /// The parameters of the query.
    pub fn fields(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(self.query.as_bytes()).into_owned().collect()
    }
}

impl RewindBar {
    /// The bar of a page at a moment. `at` is the moment in addresses, `event` the last one that had happened, and `now`
    /// the present.
    pub fn of(
        page: &BarPage<'_>,
        at: &str,
        past: &Past,
        reach: Reach,
        event: Option<&Event>,
        now: Time,
    ) -> RewindBar {
        let present = page.address();
        let link = |at: &str| with_moment(&present, at);
        let of_event = |seq: Option<u64>| {
            let seq = seq
                .filter(|seq| (reach.oldest.cursor.seq..=reach.newest.cursor.seq).contains(seq))?;
            Some(link(&Cursor { seq, ..past.cursor }.to_string()))
        };
        let back = |minutes: u64| {
            let at = past.at.before(Duration::from_secs(60 * minutes)).max(reach.oldest.at);
            (past.at > reach.oldest.at).then(|| link(&time_in_address(at)))
        };
        let forward = |minutes: u64| {
            let at = past.at.after(Duration::from_secs(60 * minutes));
            (at <= now).then(|| link(&time_in_address(at)))
        };
        let step = |name, words, label, href| StepLink { name, words, label, href };
        let seq = past.cursor.seq;
        let steps = [
            vec![
                step("back-10", "−10 min", "10 minutes back", back(10)),
                step("back-1", "−1 min", "One minute back", back(1)),
                step("back", "← Event", "Previous event", of_event(seq.checked_sub(1))),
            ],
            vec![
                step("forward", "Event →", "Next event", of_event(seq.checked_add(1))),
                step("forward-1", "+1 min", "One minute forward", forward(1)),
                step("forward-10", "+10 min", "10 minutes forward", forward(10)),
            ],
        ];
        RewindBar {
            at: at.to_owned(),
            cursor: past.cursor,
            when: TimeText::new(past.at, past.at),
            event: event.map(|event| event_text(&event.fact, past.at)),
            reach,
            oldest: TimeText::new(reach.oldest.at, past.at),
            exact: link(&past.cursor.to_string()),
            action: page.path.to_owned(),
            fields: page.fields(),
            field: time_in_field(past.at),
            present,
            steps,
        }
    }

    /// The number of the event, for people.
    pub fn number(&self) -> String {
        count(self.cursor.seq)
    }

    /// The epoch of the log, as cursors have it.
    pub fn epoch(&self) -> String {
        let cursor = self.cursor.to_string();
        cursor.split(':').next().unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Epoch;

    fn bar(seq: u64, at: i64, now: i64) -> RewindBar {
        let moment = |seq, at| Past {
            cursor: Cursor { epoch: Epoch(0x5f3a_9c01), seq },
            at: Time::from_millis(at),
        };
        let reach = Reach { oldest: moment(3, 10_000), newest: moment(9, 900_000) };
        let page = BarPage { path: "jobs", query: "state=running&q=a+b" };
        RewindBar::of(&page, "x", &moment(seq, at), reach, None, Time::from_millis(now))
    }

    fn hrefs(bar: &RewindBar) -> Vec<Option<&str>> {
        bar.steps.iter().flatten().map(|step| step.href.as_deref()).collect()
    }

    #[test]
    fn steps_keep_the_filter_and_end_with_the_log() {
        let link = |at: &str| format!("jobs?state=running&q=a+b&at={at}");
        let middle = bar(5, 130_000, 2_000_000);
        let expected = [
            "1970-01-01T00:00:10Z",
            "1970-01-01T00:01:10Z",
            "5f3a9c01:4",
            "5f3a9c01:6",
            "1970-01-01T00:03:10Z",
            "1970-01-01T00:12:10Z",
        ]
        .map(link);
        assert_eq!(hrefs(&middle), expected.iter().map(|it| Some(it.as_str())).collect::<Vec<_>>());
        assert_eq!(middle.exact, link("5f3a9c01:5"));
        assert_eq!(middle.present, "jobs?state=running&q=a+b");
        let fields = [("state", "running"), ("q", "a b")];
        assert_eq!(middle.fields, fields.map(|(name, value)| (name.into(), value.into())));
        let is_open = |bar: &RewindBar| hrefs(bar).iter().map(Option::is_some).collect::<Vec<_>>();
        assert_eq!(is_open(&bar(3, 10_000, 60_000)), [false, false, false, true, false, false]);
        assert_eq!(is_open(&bar(9, 900_000, 960_000)), [true, true, true, false, true, false]);
    }
}
