//! Lists of jobs: the filter, and the pages in which the server returns them.

use serde::Deserialize;

use super::api_time::ApiTime;
use super::error::ClientError;
use super::http::{ApiRequest, ServerApi};
use super::job::JobInfo;

/// Which jobs are listed. Several values of one field mean "any of"; a job must match all fields that are given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    pairs: Vec<(&'static str, String)>,
}

impl JobFilter {
    /// Every job is listed.
    pub fn all() -> JobFilter {
        JobFilter::default()
    }

    /// Jobs in this state: `scheduled`, `available`, `running`, `retryable`, `completed`, `discarded` or `cancelled`.
    #[must_use]
    pub fn state(self, state: impl Into<String>) -> JobFilter {
        self.with("state", state.into())
    }

    /// Jobs of this queue.
    #[must_use]
    pub fn queue(self, queue: impl Into<String>) -> JobFilter {
        self.with("queue", queue.into())
    }

    /// Jobs of this kind.
    #[must_use]
    pub fn kind(self, kind: impl Into<String>) -> JobFilter {
        self.with("kind", kind.into())
    }

    /// Jobs with this tag.
    #[must_use]
    pub fn tag(self, tag: impl Into<String>) -> JobFilter {
        self.with("tag", tag.into())
    }

    /// Jobs that match a search as the dashboard takes it, such as `payload.user:7`.
    #[must_use]
    pub fn search(self, search: impl Into<String>) -> JobFilter {
        self.with("q", search.into())
    }

    /// Jobs that were submitted at this time or later.
    #[must_use]
    pub fn since(self, time: impl Into<ApiTime>) -> JobFilter {
        self.with("since", time.into().into_text())
    }

    /// Jobs that were submitted before this time.
    #[must_use]
    pub fn until(self, time: impl Into<ApiTime>) -> JobFilter {
        self.with("until", time.into().into_text())
    }

    /// Jobs that ended at this time or later.
    #[must_use]
    pub fn ended_since(self, time: impl Into<ApiTime>) -> JobFilter {
        self.with("ended_since", time.into().into_text())
    }

    /// Jobs that ended before this time.
    #[must_use]
    pub fn ended_until(self, time: impl Into<ApiTime>) -> JobFilter {
        self.with("ended_until", time.into().into_text())
    }

    fn with(mut self, name: &'static str, value: String) -> JobFilter {
        self.pairs.push((name, value));
        self
    }
}

/// A page of a list.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct ListedJobs {
    /// The jobs, the newest first, without their payloads and results.
    pub jobs: Vec<JobInfo>,
    /// Where the next page begins; none after the last one.
    #[serde(default)]
    pub next: Option<String>,
    /// The position of the log at which the page was read: [`EventTail::after`](super::EventTail::after) follows the
    /// changes from there.
    pub cursor: String,
}

/// The pages of a list of jobs. They are read when they are asked for.
#[derive(Debug)]
#[must_use = "pages are read by `next_page`"]
pub struct JobPages {
    api: ServerApi,
    filter: JobFilter,
    page_size: Option<usize>,
    place: ListPlace,
}

#[derive(Debug)]
enum ListPlace {
    Begin,
    After(String),
    End,
}

impl JobPages {
    pub(super) fn new(api: ServerApi, filter: JobFilter) -> JobPages {
        JobPages { api, filter, page_size: None, place: ListPlace::Begin }
    }

    /// Sets how many jobs a page has at most; 50 by default.
    pub fn page_size(mut self, jobs: usize) -> JobPages {
        self.page_size = Some(jobs);
        self
    }

    /// Begins at [`ListedJobs::next`] of an earlier list with the same filter.
    pub fn after(mut self, next: impl Into<String>) -> JobPages {
        self.place = ListPlace::After(next.into());
        self
    }

    /// Reads the next page; none after the last one. After an error, the same page can be read again. A page may have fewer
    /// jobs than it could have, or none, although others follow: the server examines a limited number of jobs for each.
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn next_page(&mut self) -> Result<Option<ListedJobs>, ClientError> {
        let after = match &self.place {
            ListPlace::Begin => None,
            ListPlace::After(next) => Some(next.as_str()),
            ListPlace::End => return Ok(None),
        };
        let path = path(&self.filter, self.page_size, after);
        let page: ListedJobs = self.api.json(ApiRequest::get(path)).await?;
        self.place = page.next.clone().map_or(ListPlace::End, ListPlace::After);
        Ok(Some(page))
    }
}

fn path(filter: &JobFilter, page_size: Option<usize>, after: Option<&str>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in &filter.pairs {
        query.append_pair(name, value);
    }
    if let Some(jobs) = page_size {
        query.append_pair("limit", &jobs.to_string());
    }
    if let Some(after) = after {
        query.append_pair("after", after);
    }
    let query = query.finish();
    if query.is_empty() { "/api/v1/jobs".to_owned() } else { format!("/api/v1/jobs?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_asked_for_with_its_filter_and_its_place() {
        assert_eq!(path(&JobFilter::all(), None, None), "/api/v1/jobs");
        let filter = JobFilter::all().state("completed").queue("a").queue("b:c").search("blue sky");
        assert_eq!(
            path(&filter.since(std::time::UNIX_EPOCH), Some(7), Some("x+y")),
            "/api/v1/jobs?state=completed&queue=a&queue=b%3Ac&q=blue+sky&since=1970-01-01T00%3A00%3A00.000Z&limit=7&after=x%2By"
        );
    }
}
