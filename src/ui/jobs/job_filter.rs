//! The filter of a job list as its URL encodes it, and the URLs of related lists. Every condition is part of
//! the URL, so a list can be bookmarked, shared and revisited.

use std::fmt::Display;

use url::form_urlencoded::Serializer;

use crate::job::shorten::MAX_ERRORS;
use crate::job::{FilterValue, Invalid, JobQuery, PageCursor, State, Time, add_names, moment};

use super::row_order::RowOrder;
use crate::ui::layout::error::sentence;
use crate::ui::parts::unknown_parameters::note_unknown;
use crate::ui::submit::form_value::cut_list;

/// The parameters of a list.
pub const NAMES: [&str; 13] = [
    "state",
    "queue",
    "kind",
    "tag",
    "since",
    "until",
    "ended_since",
    "ended_until",
    "of",
    "q",
    "sort",
    "after",
    "seen",
];
/// The most conditions shown as chips. Each chip repeats the whole URL of the list, so their number is bounded.
const MAX_CHIPS: usize = 40;

/// The filter of a job list, as read from a URL or a form.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    /// Which jobs the list holds, and where the page begins.
    pub query: JobQuery,
    /// The conditions that could not be parsed. When there are any, the query must not run.
    pub problems: Vec<String>,
    /// The parameters that are none of the page. The page names them, because one may be a misspelled condition.
    pub unknown: Vec<String>,
    /// The order of the rows of a page, if it is not that of the list: newest first.
    pub order: Option<RowOrder>,
    /// How many jobs the earlier pages of this search have examined.
    pub seen: u64,
    /// Whether `since` and `until` are about the ends of jobs. Addresses of lists say so in the names of the parameters.
    is_of_ends: bool,
    /// The fields as they were typed, so that an invalid value can be shown again.
    typed: Vec<(String, String)>,
}

/// One active condition, with the URL of the list without it.
pub struct Chip {
    /// The field that the condition filters on.
    pub name: &'static str,
    /// The value that the field must have.
    pub value: String,
    /// The URL of the list without this condition.
    pub without: String,
}

impl ListFilter {
    /// Parses the pairs of a query string or a form body. Empty values are ignored: browsers send them for the empty
    /// fields of a form.
    pub fn read(text: &str, now: Time) -> ListFilter {
        let mut filter = ListFilter::default();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            let value = value.trim();
            if !value.is_empty() {
                filter.take(&name, value, now);
            } else if !NAMES.contains(&name.as_ref()) {
                note_unknown(&mut filter.unknown, &name);
            }
            if filter.problems.len() >= MAX_ERRORS {
                filter.problems.truncate(MAX_ERRORS);
                break;
            }
        }
        if filter.is_of_ends {
            filter.mean_ends();
        }
        filter
    }

    /// Turns the times of submission into times of ends, as the form below the charts asks for.
    fn mean_ends(&mut self) {
        let query = &mut self.query;
        query.ended_since = query.since.take().or(query.ended_since);
        query.ended_until = query.until.take().or(query.ended_until);
        for (name, _) in &mut self.typed {
            match name.as_str() {
                "since" => *name = "ended_since".into(),
                "until" => *name = "ended_until".into(),
                _ => {}
            }
        }
    }

    /// The filter that runs a given query.
    pub fn of(query: JobQuery) -> ListFilter {
        ListFilter { query, ..ListFilter::default() }
    }

    fn take(&mut self, name: &str, value: &str, now: Time) {
        let query = &mut self.query;
        let taken = match name {
            "state" => many(&mut query.states, value),
            "queue" => many(&mut query.queues, value),
            "kind" => many(&mut query.kinds, value),
            "tag" => many(&mut query.tags, value),
            "since" => moment("since", value, now).map(|at| query.since = Some(at)).map_err(one),
            "until" => moment("until", value, now).map(|at| query.until = Some(at)).map_err(one),
            "ended_since" => moment("ended_since", value, now)
                .map(|at| query.ended_since = Some(at))
                .map_err(one),
            "ended_until" => moment("ended_until", value, now)
                .map(|at| query.ended_until = Some(at))
                .map_err(one),
            "of" => match value {
                "submitted" | "ended" => {
                    self.is_of_ends = value == "ended";
                    return;
                }
                _ => Err(one(Invalid::new("of", value, "use submitted or ended"))),
            },
            "q" => query.narrow(value, now),
            "after" => {
                match value.parse::<PageCursor>() {
                    Ok(after) => query.after = Some(after),
                    Err(error) => self.problems.push(sentence(&error)),
                }
                return;
            }
            "sort" => {
                match value.parse::<RowOrder>() {
                    Ok(order) => self.order = Some(order),
                    Err(error) => self.problems.push(sentence(&error)),
                }
                return;
            }
            "seen" => {
                self.seen = value.parse().unwrap_or(0);
                return;
            }
            other => {
                note_unknown(&mut self.unknown, other);
                return;
            }
        };
        let mut typed = value.to_owned();
        if taken.is_err() {
            cut_list(&mut typed);
        }
        self.typed.push((name.to_owned(), typed));
        let wrong = taken.err().into_iter().flatten();
        self.problems.extend(wrong.map(|invalid| sentence(&invalid.to_string())));
    }

    /// The filter as pairs for a URL or a form, without the page cursor.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let query = &self.query;
        let terms: Vec<String> = query.terms.iter().map(ToString::to_string).collect();
        let fields = [
            ("state", joined(&query.states)),
            ("queue", joined(&query.queues)),
            ("kind", joined(&query.kinds)),
            ("tag", joined(&query.tags)),
            ("since", self.time("since", query.since)),
            ("until", self.time("until", query.until)),
            ("ended_since", self.time("ended_since", query.ended_since)),
            ("ended_until", self.time("ended_until", query.ended_until)),
            ("q", terms.join(" ")),
        ];
        fields.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }

    /// A relative time stays as it was typed: a bookmarked list of the last hour (`1h`) still means that tomorrow.
    fn time(&self, name: &str, at: Option<Time>) -> String {
        let typed = self.typed.iter().rfind(|(typed, _)| typed == name);
        match (at, typed) {
            (Some(_), Some((_, typed))) => typed.clone(),
            (Some(at), None) => at.to_string(),
            (None, _) => String::new(),
        }
    }

    /// The text of a form field: the active value, or the typed text when it is invalid.
    pub fn field(&self, name: &str) -> String {
        if !self.problems.is_empty() {
            let typed = self.typed.iter().filter(|(typed, _)| typed == name);
            return typed.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" ");
        }
        let fields = self.fields();
        fields.into_iter().find(|(field, _)| *field == name).map_or(String::new(), |(_, v)| v)
    }

    /// The URL of the first page of the list.
    pub fn link(&self) -> String {
        self.address(Vec::new())
    }

    /// The URL of the page after a cursor; `seen` is how many jobs the search has examined so far.
    pub fn further(&self, after: PageCursor, seen: Option<u64>) -> String {
        let mut fields = vec![("after", after.to_string())];
        fields.extend(seen.map(|seen| ("seen", seen.to_string())));
        self.address(fields)
    }

    /// The URL of this page with its rows in another order.
    pub fn in_order(&self, order: Option<RowOrder>) -> String {
        let other = ListFilter { order, ..self.clone() };
        match self.query.after {
            Some(after) => other.further(after, (self.seen > 0).then_some(self.seen)),
            None => other.link(),
        }
    }

    fn address(&self, more: Vec<(&'static str, String)>) -> String {
        let mut fields = self.fields();
        fields.extend(self.order.map(|order| ("sort", order.to_string())));
        fields.extend(more);
        address(&fields)
    }

    /// The URL of the same list in one state, or in all states.
    pub fn in_state(&self, state: Option<State>) -> String {
        self.with(|query| query.states = state.into_iter().collect())
    }

    /// The URL of this list with its states as the only condition.
    pub fn cleared(&self) -> String {
        let states = self.query.states.clone();
        let query = JobQuery { states, ..JobQuery::default() };
        ListFilter { order: self.order, ..ListFilter::of(query) }.link()
    }

    /// Whether the list has any condition besides a single state.
    pub fn is_filtered(&self) -> bool {
        let query = &self.query;
        query.states.len() > 1
            || !JobQuery { states: Vec::new(), ..query.clone() }.is_everything()
            || !self.problems.is_empty()
    }

    /// The state whose tab is active; `None` when the filter names no state or several.
    pub fn state(&self) -> Option<State> {
        match self.query.states.as_slice() {
            [state] => Some(*state),
            [] | [_, _, ..] => None,
        }
    }

    /// The scope of the counters on the tabs, as the script names it; empty when the server keeps no such counters.
    pub fn scope(&self) -> String {
        let query = &self.query;
        let only =
            JobQuery { states: Vec::new(), queues: Vec::new(), kinds: Vec::new(), ..query.clone() };
        match (query.queues.as_slice(), query.kinds.as_slice()) {
            (_, _) if !only.is_everything() => String::new(),
            ([], []) => "all".into(),
            ([queue], []) => format!("queue:{queue}"),
            ([], [kind]) => format!("kind:{kind}"),
            (_, _) => String::new(),
        }
    }

    /// The active conditions, each with the URL of the list without it.
    pub fn chips(&self) -> Vec<Chip> {
        let query = &self.query;
        let conditions = query.queues.len() + query.kinds.len() + query.tags.len();
        if conditions > MAX_CHIPS {
            let value = format!("{conditions} queues, kinds and tags");
            return vec![Chip { name: "", value, without: self.cleared() }];
        }
        let mut chips = Vec::new();
        if query.states.len() > 1 {
            for state in &query.states {
                let without = self.with(|query| query.states.retain(|one| one != state));
                chips.push(Chip { name: "state", value: state.to_string(), without });
            }
        }
        for queue in &query.queues {
            let without = self.with(|query| query.queues.retain(|one| one != queue));
            chips.push(Chip { name: "queue", value: queue.to_string(), without });
        }
        for kind in &query.kinds {
            let without = self.with(|query| query.kinds.retain(|one| one != kind));
            chips.push(Chip { name: "kind", value: kind.to_string(), without });
        }
        for tag in &query.tags {
            let without = self.with(|query| query.tags.retain(|one| one != tag));
            chips.push(Chip { name: "tag", value: tag.to_string(), without });
        }
        if query.since.is_some() {
            let without = self.with(|query| query.since = None);
            chips.push(Chip {
                name: "since",
                value: ago(&self.time("since", query.since)),
                without,
            });
        }
        if query.until.is_some() {
            let without = self.with(|query| query.until = None);
            chips.push(Chip {
                name: "until",
                value: ago(&self.time("until", query.until)),
                without,
            });
        }
        if query.ended_since.is_some() {
            let without = self.with(|query| query.ended_since = None);
            let value = ago(&self.time("ended_since", query.ended_since));
            chips.push(Chip { name: "ended since", value, without });
        }
        if query.ended_until.is_some() {
            let without = self.with(|query| query.ended_until = None);
            let value = ago(&self.time("ended_until", query.ended_until));
            chips.push(Chip { name: "ended until", value, without });
        }
        for (index, term) in query.terms.iter().enumerate() {
            let without = self.with(|query| drop(query.terms.remove(index)));
            chips.push(Chip { name: "", value: term.to_string(), without });
        }
        chips
    }

    fn with(&self, change: impl FnOnce(&mut JobQuery)) -> String {
        let mut other = self.clone();
        change(&mut other.query);
        other.link()
    }
}

/// A relative time as people read it: `15m` becomes `15m ago`; an absolute time stays as it is.
pub fn ago(text: &str) -> String {
    if text.len() < 10 && !text.contains('-') { format!("{text} ago") } else { text.to_owned() }
}

fn one(invalid: Invalid) -> Vec<Invalid> {
    vec![invalid]
}

fn many<T: FilterValue>(list: &mut Vec<T>, text: &str) -> Result<(), Vec<Invalid>> {
    add_names(T::FIELD, list, text, |name| T::read(name).map(Some))
}

fn joined<T: Display>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn address(fields: &[(&'static str, String)]) -> String {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(fields);
    match query.finish() {
        query if query.is_empty() => "jobs".into(),
        query => format!("jobs?{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::MAX_NAMES;

    fn read(text: &str) -> ListFilter {
        ListFilter::read(text, Time::from_millis(1_800_000_000_000))
    }

    #[test]
    fn a_list_is_its_address() {
        for (text, link) in [
            ("", "jobs"),
            ("queue=mail&tag=a%26b+c", "jobs?queue=mail&tag=a%26b+c"),
            ("state=&queue=&q=", "jobs"),
            (
                "q=queue:a+payload.x:1+boom&state=running",
                "jobs?state=running&queue=a&q=payload.x%3A1+boom",
            ),
            ("since=1h&q=%22two+words%22", "jobs?since=1h&q=%22two+words%22"),
            ("queue=a&queue=b,a", "jobs?queue=a%2Cb"),
            ("sort=-duration&queue=a", "jobs?queue=a&sort=-duration"),
            ("since=2h&of=ended&until=1h", "jobs?ended_since=2h&ended_until=1h"),
            ("of=submitted&since=2h", "jobs?since=2h"),
            ("q=ended_until:2026-11-23", "jobs?ended_until=2026-11-23T00%3A00%3A00.000Z"),
        ] {
            let filter = read(text);
            assert_eq!((filter.link(), &filter.problems), (link.to_owned(), &vec![]), "{text}");
            assert_eq!(read(link.trim_start_matches("jobs").trim_start_matches('?')).link(), link);
        }
    }

    #[test]
    fn a_parameter_that_is_no_condition_is_noted_unless_it_is_a_link_tracker_s() {
        let filter = read("stat=running&utm_source=mail&queue=a&gclid=1&Queue=&stat=x");
        assert_eq!(
            (filter.unknown.as_slice(), filter.query.queues.len()),
            (&["stat".into(), "Queue".into()][..], 1)
        );
        assert!(read("state=&queue=a&seen=3").unknown.is_empty());
        let many: String = (0..50_000).map(|n| format!("x{n}=1&")).collect();
        assert!(read(&many).unknown.len() <= MAX_ERRORS);
    }

    #[test]
    fn every_condition_has_a_chip_that_takes_it_away() {
        let filter =
            read("state=running,available&queue=a&tag=t&since=2h&ended_since=1h&q=boom+error:x");
        let chips: Vec<(&str, String)> =
            filter.chips().into_iter().map(|chip| (chip.name, chip.value)).collect();
        let shown = [
            ("state", "running"),
            ("state", "available"),
            ("queue", "a"),
            ("tag", "t"),
            ("since", "2h ago"),
            ("ended since", "1h ago"),
            ("", "boom"),
            ("", "error:x"),
        ];
        assert_eq!(chips, shown.map(|(name, value)| (name, value.to_owned())));
        let without = filter.chips().pop().unwrap().without;
        assert_eq!(
            without,
            "jobs?state=running%2Cavailable&queue=a&tag=t&since=2h&ended_since=1h&q=boom"
        );
        assert!(read("state=running").chips().is_empty());
    }

    #[test]
    fn a_list_of_very_many_names_is_refused_in_few_words_and_one_of_many_is_shown_in_one() {
        let names =
            |count: usize| (0..count).map(|n| format!("n{n}")).collect::<Vec<_>>().join(",");
        let bad = "queue=%21&".repeat(30_000);
        for text in [
            format!("queue={}", names(30_000)),
            format!("q=queue:{}", names(150)),
            format!("tag={}", "\u{1},".repeat(30_000)),
            bad,
        ] {
            let filter = read(&text);
            assert!((1..=MAX_ERRORS).contains(&filter.problems.len()), "{:?}", filter.problems);
            assert!(filter.query.queues.len() <= MAX_NAMES && filter.query.tags.is_empty());
            assert!(filter.problems.iter().map(String::len).sum::<usize>() < 10_000);
        }
        let filter = read(&format!("queue={0}&kind={0}&tag={0}", names(100)));
        assert!(filter.problems.is_empty());
        let shown: usize = filter.chips().iter().map(|chip| chip.without.len()).sum();
        assert!(shown <= 3 * filter.link().len(), "{shown} bytes of addresses");
    }

    #[test]
    fn counters_reach_as_far_as_they_are_kept() {
        for (text, scope) in [
            ("state=running", "all"),
            ("queue=a", "queue:a"),
            ("kind=k&state=running", "kind:k"),
            ("queue=a&kind=k", ""),
            ("queue=a,b", ""),
            ("q=x", ""),
            ("since=1h", ""),
        ] {
            assert_eq!(read(text).scope(), scope, "{text}");
        }
    }

    #[test]
    fn every_field_that_cannot_be_read_is_named_and_kept() {
        let filter = read("state=done&after=x&q=colour:red&queue=two+words&sort=size");
        assert_eq!(filter.problems.len(), 5, "{:?}", filter.problems);
        assert!(filter.problems[0].contains("completed"), "{:?}", filter.problems);
        assert_eq!(
            (filter.field("queue"), filter.field("q")),
            ("two words".into(), "colour:red".into())
        );
    }

    #[test]
    fn an_address_with_very_many_conditions_or_mistakes_is_read_in_part() {
        let tags: Vec<String> = (0..100_000).map(|n| format!("t{n}")).collect();
        for text in [
            format!("tag={}", tags.join(",")),
            format!("tag={}", tags.join("&tag=")),
            format!("q=tag:{}", tags[..5_000].join("&q=tag:")),
            format!("q=tag:{}", tags[..120].join(",")),
            "q=colour:red&".repeat(20_000),
            "state=no&".repeat(20_000),
            format!("queue={}", ", ,a b".repeat(20_000)),
        ] {
            let filter = read(&text);
            assert!(!filter.problems.is_empty() && filter.problems.len() < 50, "{text:.50}");
            let chips = filter.chips();
            let size: usize = chips.iter().map(|chip| chip.without.len()).sum();
            assert!(size < 50_000, "{text:.50}: {size} bytes of addresses");
        }
        assert_eq!(read(&format!("tag={}", tags[..20].join(","))).problems, [""; 0]);
    }
}
