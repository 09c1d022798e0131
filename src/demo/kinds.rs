//! The kinds of the demo. They wait instead of doing work, and log and report as real handlers would.

use std::ops::{ControlFlow, RangeInclusive};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::outages::PaymentGateway;
use crate::engine::handler::done;
use crate::engine::{AttemptContext, KindInfo, Registry, example};
use crate::job::schema::{Schema, SchemaError};
use crate::job::{Invalid, Kind, Outcome};

/// Why the kinds of the demo cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum DemoKindError {
    /// The name of a kind is invalid, which is a bug in this file.
    #[error(transparent)]
    Name(#[from] Invalid),
    /// The schema of a kind is invalid, which is a bug in this file.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// The text of a kind: its name, what it does, a payload, and the schema of payloads.
struct DemoKind {
    name: &'static str,
    about: &'static str,
    example: &'static str,
    schema: &'static str,
}

const CHARGE_CARD: DemoKind = DemoKind {
    name: "charge-card",
    about: "Demo: charges the card of an order; the payment gateway is sometimes unavailable.",
    example: r#"{"order": 4711, "tenant": "acme", "cents": 4290, "card": "visa 4242"}"#,
    schema: r#"{
  "type": "object",
  "additionalProperties": false,
  "required": ["order", "tenant", "cents", "card"],
  "properties": {
    "order": {"type": "integer", "title": "Order", "minimum": 1},
    "tenant": {"type": "string", "title": "Tenant"},
    "cents": {"type": "integer", "title": "Amount in cents", "minimum": 1, "maximum": 10000000},
    "card": {"type": "string", "title": "Card",
      "description": "Network and last digits. A card that ends in 0002 is declined."}
  }
}"#,
};

const SEND_RECEIPT: DemoKind = DemoKind {
    name: "send-receipt",
    about: "Demo: sends the receipt of an order by email.",
    example: r#"{"order": 4711, "tenant": "acme", "to": "ada@example.com"}"#,
    schema: r#"{
  "type": "object",
  "additionalProperties": false,
  "required": ["order", "tenant", "to"],
  "properties": {
    "order": {"type": "integer", "title": "Order", "minimum": 1},
    "tenant": {"type": "string", "title": "Tenant"},
    "to": {"type": "string", "title": "Recipient",
      "description": "Mailboxes at busy.example.com accept a message on the second attempt."}
  }
}"#,
};

const RESIZE_IMAGE: DemoKind = DemoKind {
    name: "resize-image",
    about: "Demo: creates smaller versions of a product image.",
    example: r#"{"image": "catalog/cup-12.jpg", "tenant": "acme", "widths": [320, 640, 1280]}"#,
    schema: r#"{
  "type": "object",
  "additionalProperties": false,
  "required": ["image", "tenant", "widths"],
  "properties": {
    "image": {"type": "string", "title": "Image",
      "description": "The path of the image. Those in missing/ cannot be read."},
    "tenant": {"type": "string", "title": "Tenant"},
    "widths": {"type": "array", "title": "Widths", "items": {"type": "integer", "minimum": 1, "maximum": 8192},
      "minItems": 1, "maxItems": 8}
  }
}"#,
};

const NIGHTLY_REPORT: DemoKind = DemoKind {
    name: "nightly-report",
    about: "Demo: computes a report over all orders of a day and reports its progress.",
    example: r#"{"report": "revenue", "tenant": "acme"}"#,
    schema: r#"{
  "type": "object",
  "additionalProperties": false,
  "required": ["report", "tenant"],
  "properties": {
    "report": {"type": "string", "title": "Report"},
    "tenant": {"type": "string", "title": "Tenant"}
  }
}"#,
};

const SYNC_INVENTORY: DemoKind = DemoKind {
    name: "sync-inventory",
    about: "Demo: compares the stock of a warehouse with the catalog.",
    example: r#"{"warehouse": "rotterdam"}"#,
    schema: r#"{
  "type": "object",
  "additionalProperties": false,
  "required": ["warehouse"],
  "properties": {"warehouse": {"type": "string", "title": "Warehouse"}}
}"#,
};

/// Registers the kinds of the demo.
///
/// # Errors
/// A name or a schema in this file is invalid.
pub fn register(registry: &mut Registry) -> Result<(), DemoKindError> {
    let gateway = PaymentGateway::starting_now();
    let charge =
        move |context: AttemptContext, order: ChargePayload| charge_card(context, order, gateway);
    registry.add(CHARGE_CARD.info()?, charge);
    registry.add(SEND_RECEIPT.info()?, send_receipt);
    registry.add(RESIZE_IMAGE.info()?, resize_image);
    registry.add(NIGHTLY_REPORT.info()?, nightly_report);
    registry.add(SYNC_INVENTORY.info()?, sync_inventory);
    Ok(())
}

impl DemoKind {
    fn info(&self) -> Result<KindInfo, DemoKindError> {
        let schema = Some(Schema::parse(self.schema)?);
        let (about, example) = (self.about.to_owned(), example(self.example));
        Ok(KindInfo { kind: Kind::parse(self.name)?, about, example, schema })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChargePayload {
    order: u64,
    tenant: String,
    cents: u64,
    card: String,
}

pub(super) async fn charge_card(
    context: AttemptContext,
    charge: ChargePayload,
    gateway: PaymentGateway,
) -> Outcome {
    let ChargePayload { order, tenant, cents, card } = charge;
    let amount = format!("{}.{:02} EUR", cents / 100, cents % 100);
    context.log(format!("order {order} of {tenant}: authorizing {amount} on {card}"));
    if pause(&context, 150..=700).await.is_break() {
        return Outcome::Cancel;
    }
    if gateway.is_down() {
        context.log("POST /v1/charges: 503 Service Unavailable");
        let error = "the payment gateway answered 503 Service Unavailable".to_owned();
        return Outcome::Retry { error, after: None };
    }
    if card.ends_with("0002") {
        context.log("POST /v1/charges: 402 Payment Required");
        return Outcome::Discard { error: "the card was declined: insufficient funds".to_owned() };
    }
    context.log("authorized, capturing");
    if pause(&context, 100..=500).await.is_break() {
        return Outcome::Cancel;
    }
    context.log(format!("captured {amount}"));
    done(&json!({ "order": order, "captured": amount, "charge": format!("ch_{order:08x}") }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReceiptPayload {
    order: u64,
    tenant: String,
    to: String,
}

pub(super) async fn send_receipt(context: AttemptContext, receipt: ReceiptPayload) -> Outcome {
    let ReceiptPayload { order, tenant, to } = receipt;
    context.log(format!("rendering receipt {order} of {tenant} for {to}"));
    if pause(&context, 60..=280).await.is_break() {
        return Outcome::Cancel;
    }
    if to.ends_with("@busy.example.com") && context.attempt() == 1 {
        context.log("RCPT TO: 451 mailbox is busy");
        let error = "451 mailbox is busy, try again later".to_owned();
        return Outcome::Retry { error, after: None };
    }
    context.log("250 message accepted");
    done(&json!({ "to": to, "message": format!("receipt-{order}@{tenant}.example.com") }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResizePayload {
    image: String,
    tenant: String,
    widths: Vec<u64>,
}

pub(super) async fn resize_image(context: AttemptContext, resize: ResizePayload) -> Outcome {
    let ResizePayload { image, tenant, widths } = resize;
    context.log(format!("reading {tenant}/{image}"));
    if pause(&context, 80..=250).await.is_break() {
        return Outcome::Cancel;
    }
    if image.starts_with("missing/") {
        let error = format!("cannot read {image} from object storage: 404 Not Found");
        return Outcome::Retry { error, after: None };
    }
    let total = widths.len() as u64;
    let mut files = Vec::new();
    for (number, width) in (1..).zip(widths) {
        if pause(&context, 120..=380).await.is_break() {
            return Outcome::Cancel;
        }
        let bytes = width * fastrand::u64(70..=110);
        context.log(format!("wrote {width} px, {} kB", bytes / 1_000));
        context.progress(number, Some(total), Some(&format!("{width} px")));
        files.push(json!({ "width": width, "bytes": bytes }));
    }
    done(&json!({ "image": image, "files": files }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportPayload {
    report: String,
    tenant: String,
}

/// The steps of a report; with the pauses between them, it takes about five seconds, so that a stop is not long.
const REPORT_STEPS: u64 = 12;

pub(super) async fn nightly_report(context: AttemptContext, report: ReportPayload) -> Outcome {
    let ReportPayload { report, tenant } = report;
    context.log(format!("computing the {report} report of {tenant}"));
    let mut orders = 0;
    for step in 1..=REPORT_STEPS {
        if pause(&context, 300..=500).await.is_break() {
            context.log(format!("cancelled after {orders} orders"));
            return Outcome::Cancel;
        }
        orders += fastrand::u64(900..=1_600);
        let message = format!("{orders} orders read");
        context.log(format!("hours {}–{}: {message}", (step - 1) * 2, step * 2));
        context.progress(step, Some(REPORT_STEPS), Some(&message));
    }
    done(&json!({ "report": report, "tenant": tenant, "orders": orders }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SyncPayload {
    warehouse: String,
}

pub(super) async fn sync_inventory(context: AttemptContext, sync: SyncPayload) -> Outcome {
    context.log(format!("reading the stock of {}", sync.warehouse));
    if pause(&context, 600..=1_800).await.is_break() {
        return Outcome::Cancel;
    }
    let changed = fastrand::u64(0..=40);
    context.log(format!("compared 2380 products, {changed} have changed"));
    done(&json!({ "warehouse": sync.warehouse, "changed": changed }))
}

/// Waits a random number of milliseconds, as work would take them. `Break` means that the attempt should end.
async fn pause(context: &AttemptContext, ms: RangeInclusive<u64>) -> ControlFlow<()> {
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(fastrand::u64(ms))) => ControlFlow::Continue(()),
        () = context.cancelled() => ControlFlow::Break(()),
    }
}
