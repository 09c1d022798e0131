//! Every example of a request in the document is sent to a server.

use serde_json::Value;

use super::{Described, members, operations};
use crate::http::openapi::examples::{JOB, KIND, LEASE};

/// A job that waits, so that everything can be done to it.
const WAITING: &str = r#"{"kind":"echo","delay_ms":3600000}"#;

#[tokio::test]
async fn every_example_is_accepted_and_answered_as_the_document_says() {
    let described = Described::start().await;
    let kind = ("/api/v1/kinds/{kind}", "/api/v1/kinds/resize");
    described.call("PUT", kind.0, kind.1, KIND[0].body).await;
    let mut sent = 0;
    for (method, route, operation) in operations(&described.document) {
        let mut path = route.clone();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            if let (Some(name), Some(example)) =
                (parameter["name"].as_str(), parameter["example"].as_str())
            {
                path = path.replace(&format!("{{{name}}}"), example);
            }
        }
        let body = &operation["requestBody"]["content"]["application/json"];
        for (name, example) in members(&body["examples"]) {
            let text = example["value"].to_string();
            let (mut path, mut text) = (path.clone(), text);
            if path.contains(JOB) || text.contains(JOB) {
                let id = described.job(WAITING).await;
                (path, text) = (path.replace(JOB, &id), text.replace(JOB, &id));
            }
            if path.contains(LEASE) || text.contains(LEASE) {
                let lease = described.lease().await;
                (path, text) = (path.replace(LEASE, &lease), text.replace(LEASE, &lease));
            }
            let answer = described.call(&method, &route, &path, &text).await;
            assert!(answer.status < 300, "{method} {path}, {name}: {text}: {answer:?}");
            for status in ["stale", "gone", "invalid", "lost"] {
                let word = Value::from(status);
                assert!(!answer.body.contains(&format!("\"status\":{word}")), "{answer:?}");
            }
            sent += 1;
        }
    }
    assert!(sent > 30, "{sent}");
}
