//! The filter of the list of workers, as its URL has it.

use url::form_urlencoded::Serializer;

use crate::engine::{WorkerQuery, WorkerState};
use crate::ui::submit::form_value::cut;

use super::unknown_parameters::{ignored, note_unknown};

/// The filter and the number of the page.
#[derive(Debug, Clone, Default)]
pub struct WorkerFilter {
    /// Text that the name, the host or the client contains.
    pub q: String,
    /// A kind that the worker runs; empty for all.
    pub kind: String,
    /// A queue from which the worker takes jobs; empty for all.
    pub queue: String,
    /// The state: empty for all workers, or a value of [`SHOWN`].
    pub show: String,
    /// The page, from 1; 0 is the first page, too.
    pub page: usize,
    /// The parameters that are none of the page.
    unknown: Vec<String>,
}

/// The states to choose from: their values in the URL, and their names.
pub const SHOWN: [(&str, &str); 6] = [
    ("", "All workers"),
    ("running", "With running jobs"),
    ("active", "Active"),
    ("quiet", "Quiet"),
    ("stopping", "Stopping"),
    ("silent", "Silent"),
];

impl WorkerFilter {
    /// Reads a filter from a query string. The page names other parameters.
    pub fn parse(query: &str) -> WorkerFilter {
        let mut filter = WorkerFilter::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "q" => filter.q = value.trim().to_owned(),
                "kind" => filter.kind = value.trim().to_owned(),
                "queue" => filter.queue = value.trim().to_owned(),
                "show" => filter.show = value.into_owned(),
                "page" => filter.page = value.parse().unwrap_or_default(),
                other => note_unknown(&mut filter.unknown, other),
            }
        }
        cut([&mut filter.q, &mut filter.kind, &mut filter.queue, &mut filter.show]);
        filter
    }

    /// Whether some workers are left out.
    pub fn is_filtered(&self) -> bool {
        [&self.q, &self.kind, &self.queue, &self.show].into_iter().any(|field| !field.is_empty())
    }

    /// The sentence about parameters that were ignored.
    pub fn ignored(&self) -> Option<String> {
        let mut unknown = self.unknown.clone();
        if !SHOWN.iter().any(|(value, _)| *value == self.show) {
            unknown.push(format!("show={}", self.show));
        }
        ignored(&unknown)
    }

    /// The workers that the list has.
    pub fn query(&self) -> WorkerQuery {
        let list = |name: &String| Some(name.clone()).filter(|name| !name.is_empty());
        WorkerQuery {
            text: self.q.clone(),
            kinds: list(&self.kind).into_iter().collect(),
            queues: list(&self.queue).into_iter().collect(),
            states: WorkerState::from_name(&self.show).into_iter().collect(),
            is_running: self.show == "running",
        }
    }

    /// The URL of a page of the list, relative to the base.
    pub fn link(&self, page: usize) -> String {
        let mut query = Serializer::new(String::new());
        let fields =
            [("q", &self.q), ("kind", &self.kind), ("queue", &self.queue), ("show", &self.show)];
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            query.append_pair(name, value);
        }
        if page > 1 {
            query.append_pair("page", &page.to_string());
        }
        match query.finish() {
            query if query.is_empty() => "workers".to_owned(),
            query => format!("workers?{query}"),
        }
    }

    /// The URL of this page of the list.
    pub fn here(&self) -> String {
        self.link(self.page)
    }
}
