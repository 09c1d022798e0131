//! The workers page: who runs jobs, in this process and in others, what each of them runs and since when, and the actions
//! that tell a worker to be quiet, to stop or to resume.

use askama::Template;
use axum::extract::{Path, RawQuery, State as Has};
use axum::http::StatusCode;
use axum::response::Response;

use crate::engine::{Engine, WorkerCommand, WorkerReport, WorkerState, Workers};
use crate::http::access::Acting;
use crate::http::api::extract::without_escape;
use crate::job::{Kind, Time, WorkerName};

use super::layout::error::UiError;
use super::layout::flash::Done;
use super::layout::form_fields::{OnlyFrom, PostedForm};
use super::layout::page::{Layout, Section, SeeOther, page, see_other};
use super::layout::visit::Visit;
use super::parts::filters;
use super::parts::time_format::length;
use super::parts::worker_filter::{SHOWN, WorkerFilter};
use super::parts::worker_row::{AttemptRow, JOBS, WorkerRow, own_kinds};

/// The most workers on one page.
const WORKERS_PER_PAGE: usize = 100;
/// From this many remote workers on, the page shows the fields that filter them.
const MAX_UNFILTERED: usize = 10;
/// The most attempts on the page. It shows those that have run longest, because these may be stuck.
const LIST: usize = 100;

#[derive(Template)]
#[template(path = "workers.html")]
struct WorkersPage {
    layout: Layout,
    filter: WorkerFilter,
    totals: WorkerTotals,
    workers: Vec<WorkerRow>,
    /// The workers that match the filter.
    matching: usize,
    /// The position of the first row among the matching workers, from 1.
    first: usize,
    /// The attempts that have run longest, unless the workers are filtered.
    attempts: Vec<AttemptRow>,
    lingering: usize,
    lease: String,
}

/// The numbers in the first paragraph of the page.
struct WorkerTotals {
    /// The attempts of all workers.
    running: usize,
    /// Those of this process.
    running_here: usize,
    /// How many this process runs at once.
    max_running: usize,
    /// The workers in other processes.
    remote: usize,
    /// How many of them are in each state, without the states in which none is.
    states: Vec<(usize, &'static str)>,
}

/// `GET /workers`; `?q=`, `?kind=`, `?queue=` and `?show=` filter the list, and `?page=` chooses a page.
pub async fn show(
    Has(engine): Has<Engine>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, UiError> {
    let filter = WorkerFilter::parse(&query.unwrap_or_default());
    let cursor = engine.head();
    let layout = Layout::live(&visit, "Workers", Section::Workers, cursor, engine.now());
    Ok(page(StatusCode::OK, &WorkersPage::of(&engine, filter, layout)))
}

/// `POST /workers/{name}/quiet`
pub async fn quiet(
    Acting(engine): Acting<Engine>,
    Path(name): Path<String>,
    form: PostedForm<OnlyFrom>,
) -> Result<SeeOther, UiError> {
    tell(&engine, &name, WorkerCommand::Quiet)?;
    Ok(return_to(form.value("from")).with(Done::WorkerQuieted, name))
}

/// `POST /workers/{name}/stop`
pub async fn stop(
    Acting(engine): Acting<Engine>,
    Path(name): Path<String>,
    form: PostedForm<OnlyFrom>,
) -> Result<SeeOther, UiError> {
    tell(&engine, &name, WorkerCommand::Stop)?;
    Ok(return_to(form.value("from")).with(Done::WorkerStopped, name))
}

/// `POST /workers/{name}/resume`
pub async fn resume(
    Acting(engine): Acting<Engine>,
    Path(name): Path<String>,
    form: PostedForm<OnlyFrom>,
) -> Result<SeeOther, UiError> {
    tell(&engine, &name, WorkerCommand::Resume)?;
    Ok(return_to(form.value("from")).with(Done::WorkerResumed, name))
}

/// `GET /workers/{name}/quiet` and the like: a worker has no page of its own.
pub async fn to_list() -> SeeOther {
    see_other("workers")
}

fn tell(engine: &Engine, name: &str, command: WorkerCommand) -> Result<(), UiError> {
    let worker = WorkerName::parse(without_escape(name));
    let worker = worker.map_err(|invalid| UiError::invalid_name(&invalid))?;
    engine.check_worker_name(&worker)?;
    Ok(engine.tell_worker(&worker, command)?)
}

/// Redirects to the list of workers with the filter that it had.
fn return_to(from: &str) -> SeeOther {
    let (_, query) = from.split_once('?').unwrap_or((from, ""));
    see_other(&WorkerFilter::parse(query).here())
}

impl WorkersPage {
    fn of(engine: &Engine, mut filter: WorkerFilter, layout: Layout) -> WorkersPage {
        let now = engine.now();
        let here = engine.workers(LIST);
        let remote = engine.remote_workers();
        let totals = WorkerTotals::of(engine, &here, &remote);

        let kinds = own_kinds(engine);
        let own = engine.config().worker.as_str();
        let has_own = filter.passes_own(own, kinds.iter().map(Kind::as_str), here.total);
        let mut matching: Vec<Option<&WorkerReport>> =
            remote.iter().filter(|worker| filter.passes(worker)).map(Some).collect();
        matching.sort_by_key(|worker| worker.map(rank));
        if has_own {
            matching.insert(0, None);
        }
        filter.page = filter.page.clamp(1, matching.len().div_ceil(WORKERS_PER_PAGE).max(1));
        let skipped = (filter.page - 1) * WORKERS_PER_PAGE;
        let shown: Vec<_> = matching.iter().skip(skipped).take(WORKERS_PER_PAGE).collect();
        let names: Vec<WorkerName> =
            shown.iter().filter_map(|worker| worker.map(|worker| worker.name.clone())).collect();
        let held = engine.remote_attempts_of(&names, JOBS);
        let row = |worker: &&Option<&WorkerReport>| match worker {
            Some(worker) => {
                let jobs = held.get(&worker.name).map(Vec::as_slice).unwrap_or_default();
                WorkerRow::of_remote(worker, jobs, now)
            }
            None => {
                let oldest = here.attempts.iter().take(JOBS);
                let worker = &engine.config().worker;
                let jobs = oldest.map(|held| AttemptRow::of(held, worker, now)).collect();
                WorkerRow::of_this_process(engine, here.total, jobs)
            }
        };
        WorkersPage {
            workers: shown.iter().map(row).collect(),
            matching: matching.len(),
            first: skipped + 1,
            attempts: oldest_attempts(engine, &here, now),
            lingering: here.lingering,
            lease: length(engine.config().lease_ttl),
            totals,
            filter,
            layout,
        }
    }

    fn has_filter(&self) -> bool {
        self.filter.is_filtered() || self.totals.remote >= MAX_UNFILTERED
    }

    /// Where the buttons of the rows lead back to.
    fn return_to(&self) -> String {
        self.filter.here()
    }

    /// The URL of the page before this one.
    fn previous(&self) -> Option<String> {
        (self.filter.page > 1).then(|| self.filter.link(self.filter.page - 1))
    }

    /// The URL of the page after this one.
    fn next(&self) -> Option<String> {
        (self.last() < self.matching).then(|| self.filter.link(self.filter.page + 1))
    }

    /// The position of the last row among the matching workers.
    fn last(&self) -> usize {
        self.first + self.workers.len() - 1
    }
}

impl WorkerTotals {
    fn of(engine: &Engine, here: &Workers, remote: &[WorkerReport]) -> WorkerTotals {
        let (_, running_elsewhere) = engine.remote_attempts(0);
        let states =
            [WorkerState::Active, WorkerState::Quiet, WorkerState::Stopping, WorkerState::Silent];
        let count = |state| remote.iter().filter(|worker| worker.state == state).count();
        let counts = states.map(|state| (count(state), state.as_str()));
        WorkerTotals {
            running: here.total + running_elsewhere,
            running_here: here.total,
            max_running: engine.config().max_running,
            remote: remote.len(),
            states: counts.into_iter().filter(|(count, _)| *count > 0).collect(),
        }
    }
}

/// Where a worker stands in the list: first those with which something is the matter. It does not depend on what they run,
/// so that rows stay where they are.
fn rank(worker: &WorkerReport) -> u8 {
    match worker.state {
        WorkerState::Silent if worker.running > 0 => 0,
        WorkerState::Stopping => 1,
        WorkerState::Quiet => 2,
        WorkerState::Active => 3,
        WorkerState::Silent => 4,
    }
}

/// The attempts that have run longest, in this process or in others.
fn oldest_attempts(engine: &Engine, here: &Workers, now: Time) -> Vec<AttemptRow> {
    let (elsewhere, _) = engine.remote_attempts(LIST);
    let worker = &engine.config().worker;
    let here = here.attempts.iter().map(|held| AttemptRow::of(held, worker, now));
    let elsewhere = elsewhere.iter().map(|held| AttemptRow::of_remote(held, now));
    let mut attempts: Vec<AttemptRow> = here.chain(elsewhere).collect();
    attempts.sort_by_key(|attempt| attempt.started_at);
    attempts.truncate(LIST);
    attempts
}
