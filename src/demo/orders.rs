//! The jobs that the demo submits: what happens in the shop at each step.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::job::{
    Backoff, Invalid, JobId, Json, Kind, Labels, NewJob, OmittedOptions, QueueName, RetryPolicy,
    Spec, Start, Tag,
};

/// The queue of payments.
const PAYMENTS: &str = "payments";
/// The queue of emails.
const EMAIL: &str = "email";
/// The queue of the images of all tenants but one.
pub(super) const IMAGES: &str = "images";
/// The queue of the busy tenant, which keeps its images from delaying those of the others.
pub(super) const TENANT_IMAGES: &str = "images.northwind";
/// The queue of long jobs.
pub(super) const REPORTS: &str = "reports";
/// The queue of the inventory.
pub(super) const INVENTORY: &str = "inventory";

/// The tenants whose orders arrive one by one.
const TENANTS: [&str; 3] = ["acme", "globex", "initech"];
/// The tenant that imports many images at once.
const BUSY_TENANT: &str = "northwind";
/// The interval between two imports of the busy tenant, in steps.
const IMPORT_EVERY: u64 = 36;
/// The number of images of one import: enough that some of them wait until the next one.
const IMPORT: u64 = 40;

/// A job to submit.
pub(super) struct Planned {
    pub(super) job: NewJob,
    pub(super) fate: Fate,
}

/// What the demo does with a job later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It lets the job run.
    Runs,
    /// It cancels the job while it runs.
    Cancelled,
}

/// The options that differ between the demo's jobs.
struct Options {
    priority: i16,
    max_attempts: u16,
    backoff_ms: u64,
    start: Start,
}

impl Default for Options {
    fn default() -> Options {
        Options { priority: 0, max_attempts: 10, backoff_ms: 1_000, start: Start::Now }
    }
}

/// The jobs of a step: an order, and at times images, a report, and an import of the busy tenant.
pub(super) fn step(step: u64) -> Result<Vec<Planned>, Invalid> {
    let mut jobs = order(step)?;
    let tenant = pick(&TENANTS, step);
    if step.is_multiple_of(2) {
        jobs.push(image(IMAGES, tenant, step)?);
    }
    if step % 12 == 1 {
        jobs.push(report(tenant, step)?);
    }
    if step.is_multiple_of(IMPORT_EVERY) {
        for number in 0..IMPORT {
            jobs.push(image(TENANT_IMAGES, BUSY_TENANT, step * IMPORT + number)?);
        }
    }
    Ok(jobs)
}

/// Whether the step contains an import of the busy tenant.
pub(super) fn has_import(step: u64) -> bool {
    step.is_multiple_of(IMPORT_EVERY)
}

fn order(step: u64) -> Result<Vec<Planned>, Invalid> {
    let (number, tenant) = (4_711 + step, pick(&TENANTS, step));
    let card = if step % 23 == 5 {
        "mastercard 0002"
    } else {
        pick(&["visa 4242", "mastercard 5100", "amex 8431"], step / 2)
    };
    let payload = json!({
        "order": number, "tenant": tenant, "cents": fastrand::u64(690..=18_900), "card": card,
    });
    let options = Options { priority: 5, ..Options::default() };
    let charge = planned((PAYMENTS, "charge-card", tenant), &payload, options)?;

    let name = pick(&["ada", "grace", "linus", "edsger", "barbara"], step);
    let domain = if step % 16 == 3 { "busy.example.com" } else { "example.com" };
    let to = format!("{name}@{domain}");
    let payload = json!({ "order": number, "tenant": tenant, "to": to });
    let start = if step.is_multiple_of(3) {
        Start::After(Duration::from_millis(fastrand::u64(3_000..=9_000)))
    } else {
        Start::Now
    };
    let options = Options { backoff_ms: 4_000, start, ..Options::default() };
    let receipt = planned((EMAIL, "send-receipt", tenant), &payload, options)?;
    Ok(vec![charge, receipt])
}

fn image(queue: &str, tenant: &str, number: u64) -> Result<Planned, Invalid> {
    let folder = if number % 50 == 4 { "missing" } else { "catalog" };
    let product = pick(&["cup", "grinder", "kettle", "scale"], number / 2);
    let image = format!("{folder}/{product}-{}.jpg", number % 100);
    let payload = json!({ "image": image, "tenant": tenant, "widths": [320, 640, 1280] });
    let options = Options { max_attempts: 3, backoff_ms: 1_500, ..Options::default() };
    planned((queue, "resize-image", tenant), &payload, options)
}

fn report(tenant: &str, step: u64) -> Result<Planned, Invalid> {
    let report = pick(&["revenue", "refunds", "shipping"], step / 12);
    let payload = json!({ "report": report, "tenant": tenant });
    let report = planned((REPORTS, "nightly-report", tenant), &payload, Options::default())?;
    let fate = if step % 36 == 13 { Fate::Cancelled } else { Fate::Runs };
    Ok(Planned { fate, ..report })
}

fn planned(
    (queue, kind, tenant): (&str, &str, &str),
    payload: &Value,
    options: Options,
) -> Result<Planned, Invalid> {
    let Options { priority, max_attempts, backoff_ms, start } = options;
    let labels = Labels {
        queue: QueueName::parse(queue)?,
        kind: Kind::parse(kind)?,
        tags: Box::new([Tag::parse("demo")?, Tag::parse(tenant)?]),
    };
    let spec = Spec {
        payload: Json::of(payload).unwrap_or_else(|_| Json::null()),
        priority,
        retry: RetryPolicy {
            max_attempts,
            backoff: Backoff { base_ms: backoff_ms, cap_ms: 6_000 },
        },
        timeout_ms: None,
        idempotency_key: None,
    };
    let job = NewJob {
        id: JobId::generate(),
        labels: labels.into(),
        spec: Arc::new(spec),
        start,
        by: None,
        omitted: OmittedOptions::default(),
    };
    Ok(Planned { job, fate: Fate::Runs })
}

fn pick<'a>(of: &[&'a str], number: u64) -> &'a str {
    let index = usize::try_from(number % of.len() as u64).unwrap_or(0);
    of[index]
}
