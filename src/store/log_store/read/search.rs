//! Lists and searches. They run in turns: the committer says where records are, a reader reads and searches them for a
//! while, and then other reads have their turn.

use super::list;
use super::pool::ReadClass;
use crate::job::{Job, JobId, JobQuery, Matcher, Reading};
use crate::store::log_store::LogStore;
use crate::store::log_store::commit::shared::Shared;
use crate::store::search::Budget;
use crate::store::{Page, Store, StoreError};

impl LogStore {
    /// Reads a page in turns; see [`Store::list`].
    pub async fn search(&self, query: JobQuery) -> Result<Page, StoreError> {
        let (limit, step) = (query.rows(), query.step(self.shared.limits.search_step));
        let (budget, _caller) =
            Budget::new(&self.shared.clock, &self.shared.limits, &self.shared.searches);
        let mut page = Page::begin(self.head());
        let mut is_first = true;
        let mut bytes = 0;
        // A list without terms is a short read for as long as every turn finds rows. Everything else is a search.
        let mut class = if query.terms.is_empty() { ReadClass::Short } else { ReadClass::Search };
        loop {
            let left = step.saturating_sub(page.examined);
            let wanted = JobQuery {
                after: page.next.or(query.after),
                limit: limit - page.jobs.len(),
                ..query.clone()
            };
            let asked = wanted.clone();
            let (rows, head) = self
                .inspect_index(move |index, head| (list::rows(index, &asked, left), head))
                .await?;
            if std::mem::take(&mut is_first) {
                page.cursor = head; // the cursor at which the index was first inspected
            }
            let turn = budget.clone();
            let read = move |shared: &Shared| {
                if turn.is_abandoned() {
                    return Err(StoreError::Closed); // the caller has stopped waiting
                }
                list::page(shared, &wanted, &rows, left, bytes, &turn)
            };
            let part = self.read_as(class, read).await?;
            if part.rows.is_empty() {
                class = ReadClass::Search;
            }
            page.examined += part.examined;
            page.next = part.next;
            bytes = part.bytes;
            for row in part.rows {
                match row {
                    list::PageRow::Read(job) => page.jobs.push(*job),
                    // Its chunks were removed meanwhile, so it is read by itself.
                    list::PageRow::Moved(id) => {
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

    /// Reads a job that moved during a search. Returns `None` when it does not match any more.
    async fn moved(
        &self,
        id: JobId,
        query: &JobQuery,
        budget: &Budget,
    ) -> Result<Option<Job>, StoreError> {
        let Some(job) = self.get(id).await?.0 else { return Ok(None) };
        let (query, budget) = (query.clone(), budget.clone());
        let look = move |_: &Shared| {
            // It is searched to its end, because the page continues behind it.
            let goes_on = || !budget.is_abandoned();
            let found = Matcher::new(&query).finds(&job, &mut Reading::new(&goes_on));
            found.map(|is_wanted| is_wanted.then_some(job)).map_err(|_| StoreError::Closed)
        };
        self.read_as(ReadClass::Search, look).await
    }
}
