//! The document is complete and sound: its routes, codes, references and examples.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{document, faults, members, operations, resolved};
use crate::engine::submission::MAX_ATTEMPTS;
use crate::http::access::routes::ROUTES;
use crate::http::openapi::errors::{CODES, ELSEWHERE};
use crate::job::EventType;

/// Whether a path is of the API, and not one of a page.
fn is_for_programs(path: &str) -> bool {
    let probes = ["/metrics", "/healthz", "/readyz"];
    path.starts_with("/api/") || path.starts_with("/shared/{link}/") || probes.contains(&path)
}

#[test]
fn every_route_and_method_is_in_the_document_and_nothing_else() {
    let rules = ROUTES.iter().filter(|rule| rule.method != "*" && is_for_programs(rule.path));
    let routes: BTreeSet<(String, String)> =
        rules.map(|rule| (rule.method.to_owned(), rule.path.to_owned())).collect();
    let described: BTreeSet<(String, String)> =
        operations(&document()).into_iter().map(|(method, path, _)| (method, path)).collect();
    assert!(routes.len() > 60, "{routes:?}");
    assert_eq!(routes, described);
}

/// The codes of an operation.
fn codes(document: &Value, operation: &Value) -> BTreeSet<String> {
    let of_answer = |(_, answer): (&str, &Value)| {
        let answer = resolved(document, answer);
        let schema = &answer["content"]["application/problem+json"]["schema"]["allOf"][1];
        let codes = schema["properties"]["code"]["enum"].as_array().cloned().unwrap_or_default();
        codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    members(&operation["responses"]).flat_map(of_answer).collect()
}

#[test]
fn every_error_code_of_its_page_is_in_the_document_with_its_statuses_and_meaning() {
    let page = include_str!("../../../../docs/errors.md");
    let (_, table) = page.split_once("| code | status | meaning |\n|---|---|---|\n").unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let mut documented = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.splitn(4, '|').map(str::trim).collect();
        let statuses: Vec<u16> = cells[2].split(", ").filter_map(|one| one.parse().ok()).collect();
        let meaning = cells[3].trim_end_matches('|').trim();
        let meaning = meaning.split('(').next().unwrap().replace('[', "").trim().to_owned();
        documented.insert(cells[1].trim_matches('`').to_owned(), (statuses, meaning));
    }
    let known: BTreeMap<String, (Vec<u16>, String)> = CODES
        .iter()
        .map(|known| {
            let meaning =
                known.meaning.split('(').next().unwrap().replace('[', "").trim().to_owned();
            (known.code.to_owned(), (known.statuses.to_vec(), meaning))
        })
        .collect();
    for (code, row) in &documented {
        assert_eq!(known.get(code), Some(row), "{code}");
    }
    assert_eq!(known.len(), documented.len());
    let document = document();
    let mut used: BTreeSet<String> = BTreeSet::new();
    for (_, _, operation) in operations(&document) {
        used.extend(codes(&document, &operation));
    }
    let unknown: Vec<&String> = used.iter().filter(|code| !known.contains_key(*code)).collect();
    assert!(unknown.is_empty(), "these are no codes: {unknown:?}");
    let unused: Vec<&str> =
        CODES.iter().map(|known| known.code).filter(|code| !used.contains(*code)).collect();
    assert_eq!(unused, ELSEWHERE);
    let listed = &document["components"]["schemas"]["ErrorCode"]["enum"];
    assert_eq!(listed.as_array().unwrap().len(), CODES.len());
}

/// Calls `see` with each object in a value.
fn walk(value: &Value, see: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(object) => {
            see(value);
            object.values().for_each(|value| walk(value, see));
        }
        Value::Array(items) => items.iter().for_each(|value| walk(value, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_document_has_the_structure_of_openapi_3_1() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let mut used = BTreeSet::new();
    walk(&document, &mut |object| {
        if let Some(target) = object["$ref"].as_str() {
            resolved(&document, object);
            used.insert(target.rsplit('/').next().unwrap().to_owned());
        }
    });
    for (name, _) in members(&document["components"]["schemas"]) {
        assert!(used.contains(name), "nothing refers to {name}");
    }
    let tags: BTreeSet<&str> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["name"].as_str().unwrap())
        .collect();
    let schemes: BTreeSet<&str> =
        members(&document["components"]["securitySchemes"]).map(|(name, _)| name).collect();
    for way in document["security"].as_array().unwrap() {
        assert!(members(way).all(|(name, _)| schemes.contains(name)), "{way}");
    }
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let at = format!("{method} {path}");
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{at}: {id} is used twice");
        assert!(!operation["summary"].as_str().unwrap().ends_with('.'), "{at}");
        assert!(
            operation["description"].as_str().unwrap().contains("eed")
                || path.starts_with("/shared"),
            "{at}"
        );
        assert!(operation["x-role"].is_string(), "{at}");
        assert!(tags.contains(operation["tags"][0].as_str().unwrap()), "{at}");
        let in_path: BTreeSet<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        let mut declared = BTreeSet::new();
        let mut names = BTreeSet::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let (name, place) =
                (parameter["name"].as_str().unwrap(), parameter["in"].as_str().unwrap());
            assert!(names.insert((place.to_owned(), name.to_owned())), "{at}: {name} comes twice");
            assert!(parameter["schema"].is_object(), "{at}: {name}");
            if place == "path" {
                assert_eq!(parameter["required"], true, "{at}: {name}");
                declared.insert(name);
                let example = &parameter["example"];
                let wrong = faults(&document, &parameter["schema"], example);
                assert!(wrong.is_empty(), "{at}: {name}: {wrong:?}");
            }
        }
        assert_eq!(declared, in_path, "{at}");
        let statuses: Vec<u16> =
            members(&operation["responses"]).map(|(status, _)| status.parse().unwrap()).collect();
        assert!(statuses.iter().any(|status| *status < 300), "{at} cannot succeed");
        for (status, answer) in members(&operation["responses"]) {
            let answer = resolved(&document, answer);
            for (_, link) in members(&answer["links"]) {
                let (_, path, _) = operations(&document)
                    .into_iter()
                    .find(|(_, _, operation)| operation["operationId"] == link["operationId"])
                    .unwrap_or_else(|| panic!("{at}: {link}"));
                let mut names = members(&link["parameters"]).map(|(name, _)| name);
                assert!(names.all(|name| path.contains(&format!("{{{name}}}"))), "{at}: {link}");
            }
            assert!(!answer["description"].as_str().unwrap().is_empty(), "{at}: {status}");
        }
        let body = &operation["requestBody"]["content"]["application/json"];
        assert!(body.is_null() || !body["examples"].as_object().unwrap().is_empty(), "{at}");
        for (name, example) in members(&body["examples"]) {
            let wrong = faults(&document, &body["schema"], &example["value"]);
            assert!(wrong.is_empty(), "{at}: {name}: {wrong:?}");
        }
    }
}

#[test]
fn the_document_has_the_ranges_and_names_of_the_code() {
    let schemas = document()["components"]["schemas"].clone();
    let attempts = &schemas["JobSubmission"]["properties"]["max_attempts"];
    assert_eq!((&attempts["minimum"], &attempts["maximum"]), (&1.into(), &MAX_ATTEMPTS.into()));
    assert_eq!(schemas["JobSubmission"]["additionalProperties"], false);
    let types = schemas["Event"]["properties"]["type"]["description"].as_str().unwrap();
    for known in EventType::ALL {
        assert!(types.contains(&format!("`{}`", known.as_str())), "{types}");
    }
}

#[tokio::test]
async fn the_served_document_has_the_address_of_the_server() {
    let server = super::Server::start().await;
    let served = server.get("/api/openapi.json").await.json();
    assert_eq!(served["servers"][0]["url"], "/");
    assert_eq!(served["paths"], document()["paths"]);
    server.get("/api/openapi.json?x=1").await.is_problem(400, "invalid_parameter");
}
