//! The list of kinds: those that are known, and those that only jobs have, filtered by name and divided into pages.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::{RawQuery, State as Has};
use axum::http::StatusCode;
use axum::response::Response;
use url::form_urlencoded::Serializer;

use crate::engine::{Engine, IntervalCounts, Stats};
use crate::job::{Kind, State, Time};

use super::layout::error::UiError;
use super::layout::page::{Layout, Section, page};
use super::layout::visit::Visit;
use super::parts::filters::{self, percent};
use super::parts::spark::{Spark, spark};
use super::parts::unknown_parameters::{ignored, note_unknown};
use super::submit::form_value::cut;

/// The most kinds on one page.
const KINDS_PER_PAGE: usize = 40;
/// With more kinds than this, which fit on a screen, the page shows the field that filters them.
const MAX_UNFILTERED: usize = 10;

#[derive(Template)]
#[template(path = "kinds.html")]
struct KindsPage {
    layout: Layout,
    q: String,
    page: usize,
    kinds: Vec<KindRow>,
    /// The kinds that exist.
    total: usize,
    /// The kinds that match the filter.
    matching: usize,
    /// The position of the first row among the matching kinds, from 1.
    first: usize,
    ignored: Option<String>,
}

/// A kind as a row.
struct KindRow {
    name: String,
    /// What it does; empty when nobody has said.
    about: String,
    available: u64,
    running: u64,
    /// The completed jobs of the last five minutes; a dash when no history is kept.
    completed: String,
    /// The share of attempts that failed in the last five minutes; a dash when no history is kept.
    failing: String,
    /// The sparkline of the last five minutes; `None` when no history of this kind is kept.
    spark: Option<Spark>,
}

impl KindRow {
    fn of(kind: &Kind, stats: &Stats, engine: &Engine, now: Time) -> KindRow {
        let states = stats.kinds.get(kind);
        let jobs = |state| states.and_then(|states| states.get(&state)).copied().unwrap_or(0);
        let recent = engine.recent_of_kind(kind);
        let sum = |count: fn(&IntervalCounts) -> u32| -> Option<u64> {
            let points = recent.as_ref()?.iter();
            Some(points.map(|point| u64::from(count(&point.counts))).sum())
        };
        let (completed, failed) = (sum(|counts| counts.completed), sum(|counts| counts.failed));
        let known = engine.kinds().find(kind);
        KindRow {
            name: kind.to_string(),
            about: known.map(|known| known.info.about).unwrap_or_default(),
            available: jobs(State::Available),
            running: jobs(State::Running),
            completed: completed.map_or_else(|| "–".to_owned(), filters::count),
            failing: match (completed, failed) {
                (Some(completed), Some(failed)) => percent(failed, completed + failed),
                (Some(_), None) | (None, _) => "–".to_owned(),
            },
            spark: recent.map(|points| spark(&points, &engine.history_periods(), now)),
        }
    }
}

/// All kinds that are known or that jobs have, by name.
pub fn all_kinds(engine: &Engine, stats: &Stats) -> BTreeSet<Kind> {
    let mut all = engine.kinds().names();
    all.extend(stats.kinds.keys().cloned());
    all
}

/// `GET /kinds`; `?q=` filters the list by name, and `?page=` chooses a page.
pub async fn show(
    Has(engine): Has<Engine>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, UiError> {
    let (mut q, mut number, mut unknown) = (String::new(), 1_usize, Vec::new());
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match name.as_ref() {
            "q" => q = value.trim().to_owned(),
            "page" => number = value.parse().unwrap_or(1),
            other => note_unknown(&mut unknown, other),
        }
    }
    cut([&mut q]);
    let stats = engine.stats().await?;
    let now = engine.now();
    let layout = Layout::live(&visit, "Kinds", Section::Kinds, stats.cursor, now);
    let all = all_kinds(&engine, &stats);
    let text = q.to_lowercase();
    let has_name = |kind: &&Kind| kind.as_str().to_lowercase().contains(&text);
    let matching: Vec<&Kind> = all.iter().filter(has_name).collect();
    let number = number.clamp(1, matching.len().div_ceil(KINDS_PER_PAGE).max(1));
    let skipped = (number - 1) * KINDS_PER_PAGE;
    let rows = matching.iter().skip(skipped).take(KINDS_PER_PAGE);
    let view = KindsPage {
        kinds: rows.map(|kind| KindRow::of(kind, &stats, &engine, now)).collect(),
        total: all.len(),
        matching: matching.len(),
        first: skipped + 1,
        ignored: ignored(&unknown),
        page: number,
        q,
        layout,
    };
    Ok(page(StatusCode::OK, &view))
}

impl KindsPage {
    fn has_filter(&self) -> bool {
        !self.q.is_empty() || self.total > MAX_UNFILTERED
    }

    /// The URL of another page of the list, relative to the base.
    fn link(&self, page: usize) -> String {
        let mut query = Serializer::new(String::new());
        if !self.q.is_empty() {
            query.append_pair("q", &self.q);
        }
        query.append_pair("page", &page.to_string());
        format!("kinds?{}", query.finish())
    }

    /// The URL of the page before this one.
    fn previous(&self) -> Option<String> {
        (self.page > 1).then(|| self.link(self.page - 1))
    }

    /// The URL of the page after this one.
    fn next(&self) -> Option<String> {
        (self.last() < self.matching).then(|| self.link(self.page + 1))
    }

    /// The position of the last row among the matching kinds.
    fn last(&self) -> usize {
        self.first + self.kinds.len() - 1
    }
}
