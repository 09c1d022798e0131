//! The workers page: who runs jobs, in this process and in others, what each of them runs and since when, and the actions
//! that tell a worker to be quiet, to stop or to resume.

use askama::Template;
use axum::extract::{Path, RawQuery, State as Has};
use axum::http::StatusCode;
use axum::response::Response;

use crate::engine::{Engine, WorkerCommand, WorkerState, Workers};
use crate::http::access::Acting;
use crate::http::api::extract::without_escape;
use crate::job::{Time, WorkerName};

use super::layout::error::UiError;
use super::layout::flash::Done;
use super::layout::form_fields::{OnlyFrom, PostedForm};
use super::layout::page::{Layout, Section, SeeOther, page, see_other};
use super::layout::visit::Visit;
use super::parts::filters;
use super::parts::node_row::NodeList;
use super::parts::time_format::length;
use super::parts::worker_filter::{SHOWN, WorkerFilter};
use super::parts::worker_row::{AttemptRow, JOBS, WorkerRow};

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
    nodes: NodeList,
    /// What this process is called: a server, or a node if there are several.
    process: &'static str,
}

/// The numbers in the first paragraph of the page.
struct WorkerTotals {
    /// The attempts of all workers.
    running: usize,
    /// Those of this process.
    running_here: usize,
    /// Those of workers in other processes.
    running_elsewhere: usize,
    /// How many this process runs at once.
    max_running: usize,
    /// The workers in other processes that are connected.
    connected: usize,
    /// All of them, with those that are silent.
    remote: usize,
    /// How many of them are in each state: those in which some are, and *active* only if that is not all of the connected.
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
        let (kinds, own) = (engine.own_kinds(), &engine.config().worker);
        let query = filter.query();
        // The worker of this process is the first one of the list.
        let has_own = query.passes_own(own.as_str(), kinds.iter(), here.total);
        let before = usize::from(has_own);
        let remote = engine.ranked_remote_workers(&query, |matching| {
            let pages = (before + matching).div_ceil(WORKERS_PER_PAGE).max(1);
            filter.page = filter.page.clamp(1, pages);
            let end = (filter.page * WORKERS_PER_PAGE).saturating_sub(before);
            let start = ((filter.page - 1) * WORKERS_PER_PAGE).saturating_sub(before);
            start..end.min(matching)
        });
        let totals = WorkerTotals::of(engine, &here, remote.states);
        let names: Vec<WorkerName> =
            remote.workers.iter().map(|worker| worker.name.clone()).collect();
        let held = engine.remote_attempts_of(&names, JOBS);
        let mut workers = Vec::with_capacity(names.len() + 1);
        if has_own && filter.page == 1 {
            let oldest = here.attempts.iter().take(JOBS);
            let jobs = oldest.map(|held| AttemptRow::of(held, own, now)).collect();
            workers.push(WorkerRow::of_this_process(engine, here.total, jobs));
        }
        workers.extend(remote.workers.iter().map(|worker| {
            let jobs = held.get(&worker.name).map(Vec::as_slice).unwrap_or_default();
            WorkerRow::of_remote(worker, jobs, now)
        }));
        let nodes = NodeList::of(engine, now);
        WorkersPage {
            process: if nodes.are_several() { "node" } else { "server" },
            nodes,
            workers,
            matching: before + remote.matching,
            first: (filter.page - 1) * WORKERS_PER_PAGE + 1,
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
    fn of(
        engine: &Engine,
        here: &Workers,
        states: [usize; WorkerState::ALL.len()],
    ) -> WorkerTotals {
        let (_, running_elsewhere) = engine.remote_attempts(0);
        let [active, quiet, stopping, silent] = states;
        let words = WorkerState::ALL.map(WorkerState::as_str);
        let connected = active + quiet + stopping;
        let are_all_active = active == connected;
        let counted = states.into_iter().zip(words).skip(usize::from(are_all_active));
        WorkerTotals {
            running: here.total + running_elsewhere,
            running_here: here.total,
            running_elsewhere,
            max_running: engine.config().max_running,
            connected,
            remote: connected + silent,
            states: counted.filter(|(count, _)| *count > 0).collect(),
        }
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
