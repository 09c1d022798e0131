//! The filter of the list of workers, as its URL has it.

use url::form_urlencoded::Serializer;

use crate::engine::{WorkerReport, WorkerState};
use crate::job::{Kind, QueueName};
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

    /// Whether a worker in another process passes.
    pub fn passes(&self, worker: &WorkerReport) -> bool {
        let about = &worker.about;
        let texts = [about.host.as_deref(), about.client.as_deref()];
        self.has_text([Some(worker.name.as_str())].into_iter().chain(texts).flatten())
            && self.has_state(worker.state, worker.running)
            && self.wants(&self.kind, worker.interest.kinds.iter().map(Kind::as_str))
            && self.wants(&self.queue, worker.interest.queues.iter().map(QueueName::as_str))
    }

    /// Whether the worker of this process passes, which takes jobs from every queue.
    pub fn passes_own<'a>(
        &self,
        name: &'a str,
        mut kinds: impl Iterator<Item = &'a str>,
        running: usize,
    ) -> bool {
        self.has_text([name].into_iter())
            && self.has_state(WorkerState::Active, running)
            && (self.kind.is_empty() || kinds.any(|kind| kind == self.kind))
    }

    fn has_text<'a>(&self, mut texts: impl Iterator<Item = &'a str>) -> bool {
        let wanted = self.q.to_lowercase();
        wanted.is_empty() || texts.any(|text| text.to_lowercase().contains(&wanted))
    }

    fn has_state(&self, state: WorkerState, running: usize) -> bool {
        match self.show.as_str() {
            "running" => running > 0,
            "active" | "quiet" | "stopping" | "silent" => state.as_str() == self.show,
            _ => true,
        }
    }

    fn wants<'a>(&self, wanted: &str, mut names: impl Iterator<Item = &'a str>) -> bool {
        wanted.is_empty() || names.any(|name| name == wanted)
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
