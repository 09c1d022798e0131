//! A list or a search, turn by turn: the committer says where records are, a reader reads them and looks into
//! them for a while, then others have their turn.

use super::list;
use super::pool::Class;
use crate::job::{Job, JobId, JobQuery, Matcher, Reading};
use crate::store::log_store::LogStore;
use crate::store::log_store::commit::shared::Shared;
use crate::store::search::Budget;
use crate::store::{Page, Store, StoreError};

impl LogStore {
    /// A page, turn by turn: see [`Store::list`].
    pub async fn search(&self, query: JobQuery) -> Result<Page, StoreError> {
        let (limit, step) = (query.rows(), self.shared.limits.search_step as u64);
        let (budget, _caller) =
            Budget::new(&self.shared.clock, &self.shared.limits, &self.shared.searches);
        let mut page = Page::begin(self.head());
        let mut is_first = true;
        let mut bytes = 0;
        // A list without terms is read like anything else while it finds what it lists; a search waits its turn.
        let mut class = if query.terms.is_empty() { Class::Short } else { Class::Search };
        loop {
            let left = step.saturating_sub(page.examined);
            let wanted = JobQuery {
                after: page.next.or(query.after),
                limit: limit - page.jobs.len(),
                ..query.clone()
            };
            let asked = wanted.clone();
            let (rows, head) =
                self.look(move |index, head| (list::rows(index, &asked, left), head)).await?;
            if std::mem::take(&mut is_first) {
                page.cursor = head; // the place that the rows of the first look were read at
            }
            let turn = budget.clone();
            let read = move |shared: &Shared| {
                if turn.is_in_vain() {
                    return Err(StoreError::Closed); // nobody hears it
                }
                list::page(shared, &wanted, &rows, left, bytes, &turn)
            };
            let part = self.read_as(class, read).await?;
            if part.rows.is_empty() {
                class = Class::Search;
            }
            page.examined += part.examined;
            page.next = part.next;
            bytes = part.bytes;
            for row in part.rows {
                match row {
                    list::Row::Read(job) => page.jobs.push(*job),
                    // Its chunks went meanwhile: ask for it by itself.
                    list::Row::Moved(id) => {
                        let job = self.moved(id, &query, &budget).await?;
                        bytes += job.as_ref().map_or(0, Job::bytes);
                        page.jobs.extend(job.map(Job::without_content));
                    }
                }
            }
            let is_full = part.is_full || page.jobs.len() >= limit || page.examined >= step;
            if page.next.is_none() || is_full || budget.is_spent() {
                return Ok(page);
            }
        }
    }

    /// A job that a search finds and that moved while it was read; `None` when it is not wanted any more.
    async fn moved(
        &self,
        id: JobId,
        query: &JobQuery,
        budget: &Budget,
    ) -> Result<Option<Job>, StoreError> {
        let Some(job) = self.get(id).await?.0 else { return Ok(None) };
        let (query, budget) = (query.clone(), budget.clone());
        let look = move |_: &Shared| {
            // It is looked at to its end, for the page goes on behind it.
            let goes_on = || !budget.is_in_vain();
            let found = Matcher::new(&query).finds(&job, &mut Reading::new(&goes_on));
            found.map(|is_wanted| is_wanted.then_some(job)).map_err(|_| StoreError::Closed)
        };
        self.read_as(Class::Search, look).await
    }
}
