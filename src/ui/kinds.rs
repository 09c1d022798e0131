//! The page of one kind: its throughput, run times and failures over a range, its failure groups, queues, schedules and
//! newest jobs.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::{Path, Query, State as Has};
use axum::http::StatusCode;
use axum::response::Response;

use crate::engine::{Engine, History, KindSource, KnownKind, RunTimes, Stats};
use crate::http::api::extract::without_escape;
use crate::job::{JobQuery, Kind, QueueName, Time};

use super::failures::GroupRow;
use super::home::StateCard;
use super::kind_list::all_kinds;
use super::layout::error::UiError;
use super::layout::page::{Layout, Section, page};
use super::layout::visit::Visit;
use super::parts::chart::{WIDTH, pace};
use super::parts::chart_section::{ChartParams, ChartSection};
use super::parts::duration_chart::DurationChart;
use super::parts::filters::{self, count, escaped_segment, percent};
use super::parts::job_row::JobCells;
use super::parts::value_scale::HEIGHT;

/// The number of newest jobs of a kind that its page shows.
const NEWEST: usize = 10;
/// The number of newest jobs whose queues the page names.
const EXAMINED: usize = 50;
/// The most failure groups of all kinds among which those of this kind are found.
const GROUPS: usize = 1_000;
/// The most failure groups that the page shows.
const MAX_GROUPS: usize = 5;
/// The most schedules that the page names.
const MAX_SCHEDULES: usize = 20;

#[derive(Template)]
#[template(path = "kind.html")]
struct KindPage {
    layout: Layout,
    kind: String,
    /// What it does; empty when nobody has said.
    about: String,
    source: &'static str,
    /// Whether jobs of this kind can be submitted.
    is_known: bool,
    counts: Vec<StateCard>,
    /// Whether the history of the last five minutes is kept.
    has_history: bool,
    figures: Figures,
    charts: ChartSection,
    durations: Option<DurationChart>,
    failing: Vec<GroupRow>,
    /// How many failure groups of this kind there are.
    failing_total: usize,
    /// The queues of its newest jobs, and the one that its jobs get by default.
    queues: BTreeSet<QueueName>,
    /// How many jobs were examined for the queues.
    examined: usize,
    schedules: Vec<String>,
    newest: Vec<JobCells>,
    width: f64,
    height: f64,
}

/// What the charts say, in figures.
struct Figures {
    completed: String,
    throughput: String,
    failed: String,
    failure_rate: String,
    /// The percentiles of the run time: their names and values.
    run_times: Vec<(&'static str, String)>,
}

impl Figures {
    fn of(history: &History, durations: Option<&DurationChart>) -> Figures {
        let sum = |count: fn(&crate::engine::IntervalCounts) -> u32| -> u64 {
            history.points.iter().map(|point| u64::from(count(&point.counts))).sum()
        };
        let (completed, failed) = (sum(|counts| counts.completed), sum(|counts| counts.failed));
        let seconds = known_seconds(history);
        let run_time = |(index, name): (usize, &'static str)| {
            let text = durations.map(|chart: &DurationChart| chart.percentiles[index].text.clone());
            (name, text.unwrap_or_else(|| "–".to_owned()))
        };
        Figures {
            completed: count(completed),
            throughput: pace(completed as f64 / seconds.max(1.0)),
            failed: count(failed),
            failure_rate: percent(failed, completed + failed),
            run_times: ["p50", "p95", "p99"].into_iter().enumerate().map(run_time).collect(),
        }
    }
}

/// The seconds of the range for which there is data, so that the time before the first start does not lower the throughput.
fn known_seconds(history: &History) -> f64 {
    let from = Time::from_millis(history.now.millis() - history.range.seconds() * 1_000);
    let known = history.periods.iter().map(|period| {
        let (from, until) = (period.from.max(from), period.until.min(history.now));
        if until > from { until.since(from).as_secs_f64() } else { 0.0 }
    });
    known.sum()
}

/// `GET /kinds/{kind}`, with the parameters of the home page for its charts
pub async fn show(
    Has(engine): Has<Engine>,
    visit: Visit,
    Path(name): Path<String>,
    Query(params): Query<ChartParams>,
) -> Result<Response, UiError> {
    let options = params.options()?;
    let stats = engine.stats().await?;
    let kind = known_kind(&engine, &stats, &name)?;
    let known = engine.kinds().find(&kind);
    let query = JobQuery { kinds: vec![kind.clone()], limit: EXAMINED, ..JobQuery::default() };
    let jobs = engine.jobs(query).await?;
    let now = engine.now();
    let layout = Layout::live(&visit, format!("Kind {kind}"), Section::Kind, jobs.cursor, now);
    let address = format!("kinds/{}", escaped_segment(kind.as_str()));
    let history = engine.kind_history(&kind, options.range()).await?;
    let runs: RunTimes = engine.run_times(&kind, options.range()).await?;
    let durations = DurationChart::of(&runs);
    let mut groups = engine.failures(GROUPS).groups;
    groups.retain(|group| group.kind == kind);
    let failing_total = groups.len();
    let groups = groups.into_iter().take(MAX_GROUPS);
    let (schedules, _) = engine.schedules().await?;
    let schedules = schedules.into_iter().filter(|schedule| schedule.spec.labels.kind == kind);
    let default_queue = known.as_ref().and_then(|known| known.defaults.queue.clone());
    let queues = jobs.jobs.iter().map(|job| job.labels.queue.clone()).chain(default_queue);
    let view = KindPage {
        about: known.as_ref().map(|known| known.info.about.clone()).unwrap_or_default(),
        source: source_words(known.as_ref()),
        is_known: known.is_some(),
        counts: StateCard::all_of_kind(&kind, &stats),
        has_history: engine.recent_of_kind(&kind).is_some(),
        figures: Figures::of(&history, durations.as_ref()),
        charts: ChartSection::of_kind(&history, &kind, options, &address),
        durations,
        failing: groups.map(|group| GroupRow::of(group, now)).collect(),
        failing_total,
        queues: queues.collect(),
        examined: jobs.jobs.len(),
        schedules: schedules
            .take(MAX_SCHEDULES)
            .map(|schedule| schedule.name.to_string())
            .collect(),
        newest: jobs.jobs.iter().take(NEWEST).map(|job| JobCells::of(job, now)).collect(),
        width: WIDTH,
        height: HEIGHT,
        kind: kind.to_string(),
        layout,
    };
    Ok(page(StatusCode::OK, &view))
}

/// Who has declared the kind, as a sentence.
fn source_words(known: Option<&KnownKind>) -> &'static str {
    match known.map(|known| known.source) {
        Some(KindSource::BuiltIn) => "Built into this server.",
        Some(KindSource::Config) => "Declared in the configuration.",
        Some(KindSource::Api) => "Declared over the API.",
        Some(KindSource::Worker) => "Declared by a worker.",
        None => {
            "Nobody declares this kind any more. Its jobs stay, and no new ones can be submitted."
        }
    }
}

/// Looks up a kind that is known or that jobs have.
fn known_kind(engine: &Engine, stats: &Stats, name: &str) -> Result<Kind, UiError> {
    let name = without_escape(name);
    let known = Kind::stored(name).ok().filter(|kind| all_kinds(engine, stats).contains(kind));
    known.ok_or_else(|| match Kind::parse(name) {
        Ok(_) => UiError {
            advice: "Check the address, or find the kind in the list of kinds.",
            ..UiError::not_found("Kind not found")
        },
        Err(invalid) => UiError::invalid_name(&invalid),
    })
}
