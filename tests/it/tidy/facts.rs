//! Facts in the documents that the sources confirm: settings and their defaults, addresses, metrics, variables, exit
//! codes and commands.

use std::collections::{BTreeMap, BTreeSet};

use super::{documents, read, rust_files, spans};

/// Whether a document describes the past, so that its facts may be outdated.
fn is_history(document: &str) -> bool {
    document == "CHANGELOG.md" || document.starts_with("docs/decisions/")
}

fn current_documents() -> Vec<(String, String)> {
    let documents = documents().into_iter().filter(|document| !is_history(document));
    documents.map(|document| (document.clone(), read(&document))).collect()
}

/// Every setting of the example, as `section.key`, with its default.
fn settings() -> BTreeMap<String, String> {
    let text = read("docs/cortado.example.toml");
    let (mut section, mut settings) = (String::new(), BTreeMap::new());
    for line in text.lines() {
        let line = line.trim_start_matches(['#', ' ']);
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = format!("{name}.");
        } else if let Some((key, value)) = line.split_once(" = ")
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            settings.insert(format!("{section}{key}"), value.to_owned());
        }
    }
    assert!(settings.len() > 80, "hardly any settings were found: {}", settings.len());
    settings
}

/// A number and its unit in any notation: `"2MiB"`, `2 MiB`, `50_000`, `8 kB/s`.
fn amount(text: &str) -> Option<(String, String)> {
    let text = text.trim_start_matches('"');
    let end = text.find(|c: char| !(c.is_ascii_digit() || "_,".contains(c))).unwrap_or(text.len());
    let number: String = text[..end].chars().filter(char::is_ascii_digit).collect();
    let unit = text[end..].trim_start_matches([' ', '\u{a0}']);
    let unit: String = unit.chars().take_while(|c| c.is_alphabetic()).collect();
    // Words that are not units are prose, as in `(2 searches)`.
    let known = ["ms", "s", "m", "h", "kB", "KiB", "MiB", "day", "days"];
    let unit = if known.contains(&&*unit) { unit } else { String::new() };
    (!number.is_empty()).then_some((number, unit))
}

#[test]
fn amounts_are_compared_however_they_are_written() {
    let two = Some(("2".to_owned(), "MiB".to_owned()));
    assert_eq!((amount("\"2MiB\""), amount("2 MiB)")), (two.clone(), two));
    assert_eq!(amount("50_000"), amount("50,000), or"));
    assert_eq!(amount("\"8kB\""), amount("8 kB/s while bytes wait)"));
    assert_ne!(amount("\"8kB\""), amount("8 KiB"));
    assert_eq!(amount("see below"), None);
}

#[test]
fn every_setting_that_a_document_names_exists_and_has_the_default_that_it_says() {
    let settings = settings();
    let sections: BTreeSet<&str> =
        settings.keys().filter_map(|key| key.split_once('.')).map(|it| it.0).collect();
    let (mut names, mut defaults) = (0, 0);
    for (document, text) in current_documents() {
        let parts: Vec<&str> = text.split('`').collect();
        for (n, span) in parts.iter().enumerate().skip(1).step_by(2) {
            let is_path = span.chars().all(|c| c.is_ascii_lowercase() || "._".contains(c));
            let section = span.split_once('.').filter(|(section, _)| sections.contains(section));
            if !is_path || section.is_none() || span.ends_with(".rs") {
                continue;
            }
            let Some(value) = settings.get(*span) else {
                // A section such as `handlers.http`.
                let is_section = settings.keys().any(|key| key.starts_with(&format!("{span}.")));
                assert!(is_section, "{document} names the setting {span}");
                continue;
            };
            names += 1;
            // `http.max_body` says (2 MiB)
            let after = parts.get(n + 1).copied().unwrap_or_default();
            let said = after.split_once('(').filter(|(before, _)| {
                before.len() < 30 && !before.contains(['.', ':', ';', ',', ')'])
            });
            if let Some(said) = said.and_then(|(_, said)| amount(said)) {
                defaults += 1;
                assert_eq!(Some(said), amount(value), "{document} on the default of {span}");
            }
        }
    }
    assert!(names > 25 && defaults > 10, "found {names} settings and {defaults} defaults");
}

#[test]
fn every_address_that_a_document_names_is_served() {
    let mut routes = Vec::new();
    for (path, text) in rust_files("src").iter().filter(|(path, _)| !path.contains("/tests")) {
        if ["src/http", "src/ui"].iter().any(|part| path.starts_with(part)) {
            let strings = text.split('"').skip(1).step_by(2);
            routes.extend(strings.filter(|it| it.starts_with('/')).map(str::to_owned));
        }
    }
    let is_served = |address: &str| {
        let parts: Vec<&str> = address.split('/').collect();
        routes.iter().any(|route| {
            let route: Vec<&str> = route.split('/').collect();
            let same = |(a, b): (&&str, &&str)| a == b || b.starts_with('{') || a.starts_with("$");
            route.len() == parts.len() && parts.iter().zip(&route).all(same)
        })
    };
    let mut seen = 0;
    for (document, text) in current_documents() {
        for (at, _) in text.match_indices("/api/v1/") {
            let end = |c: char| !(c.is_ascii_alphanumeric() || "/_{}$".contains(c));
            let address = text[at..].split(end).next().unwrap().trim_end_matches('/');
            seen += 1;
            assert!(is_served(address), "{document} names {address}");
        }
    }
    assert!(seen > 30, "hardly any addresses were found: {seen}");
    assert!(!is_served("/api/v1/jobs/7/frobnicate") && is_served("/api/v1/jobs/$id"));
}

/// The names in a text that start with `begin`.
fn words<'a>(text: &'a str, begin: &str) -> BTreeSet<&'a str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with(begin) && word.len() > begin.len()).collect()
}

#[test]
fn every_metric_and_variable_that_a_document_names_exists() {
    let mut sources: String = rust_files("src").into_iter().map(|(_, text)| text).collect();
    for (_, text) in rust_files("tests/it") {
        sources += &text;
    }
    for other in ["test", "tests/browser/programs.mjs"] {
        sources += &read(other);
    }
    let mut seen = 0;
    for (document, text) in current_documents() {
        for word in words(&text, "CORTADO_") {
            seen += 1;
            assert!(sources.contains(word), "{document} names the variable {word}");
        }
        // Variables of nginx in docs/reverse-proxy.md are not metrics.
        let ours =
            words(&text, "cortado_").into_iter().filter(|word| !text.contains(&format!("${word}")));
        for word in ours.filter(|word| !["cortado_away", "cortado_export"].contains(word)) {
            seen += 1;
            let name = ["_total", "_bucket"].iter().find_map(|end| word.strip_suffix(end));
            let name = format!("\"{}\"", name.unwrap_or(word));
            assert!(sources.contains(&name), "{document} names the metric {word}");
        }
    }
    assert!(seen > 10, "hardly any names were found: {seen}");
}

#[test]
fn every_metric_is_listed_in_its_document() {
    let page = read("docs/metrics.md");
    let sources = rust_files("src/http/api/metrics");
    let (_, text) = sources.iter().find(|(path, _)| path.ends_with("metrics/mod.rs")).unwrap();
    let strings = text.split('"').skip(1).step_by(2);
    let metrics: BTreeSet<&str> = strings.filter(|it| it.starts_with("cortado_")).collect();
    assert!(metrics.len() > 25, "hardly any metrics were found: {metrics:?}");
    for metric in metrics {
        let row = [metric.to_owned(), format!("{metric}_total")]
            .iter()
            .any(|name| page.contains(&format!("\n| `{name}` |")));
        assert!(row, "docs/metrics.md does not list {metric}");
    }
}

#[test]
fn the_exit_codes_are_those_of_the_code() {
    let page = read("docs/operations.md");
    let (_, table) = page.split_once("| code | meaning |\n|---|---|\n").unwrap();
    let rows: Vec<&str> = table.lines().take_while(|line| line.starts_with('|')).collect();
    let code = |words: &str| {
        let row = rows.iter().find(|row| row.contains(words)).unwrap_or_else(|| panic!("{words}"));
        row.split(['|', ' ']).find_map(|word| word.parse::<u8>().ok())
    };
    let failed = read("src/admin/failed.rs");
    let constant = |name: &str| {
        let (_, value) = failed.split_once(&format!("{name}: u8 = ")).unwrap();
        value.split(';').next().unwrap().parse::<u8>().ok()
    };
    assert_eq!(rows.len(), 4, "{rows:?}");
    assert_eq!(code("the command failed"), constant("OTHER"));
    assert_eq!(code("a newer version"), constant("NEWER"));
}

#[test]
fn the_documents_name_the_default_address() {
    let settings = settings();
    let listen = settings["listen"].trim_matches('"');
    for document in ["README.md", "CONTRIBUTING.md", "docs/operations.md"] {
        let text = read(document);
        assert!(text.contains(&format!("<http://{listen}>")), "{document} lacks {listen}");
        for (at, host) in text.match_indices("127.0.0.1:") {
            let port = text[at + host.len()..].split(|c: char| !c.is_ascii_digit()).next().unwrap();
            assert!(listen.ends_with(&format!(":{port}")), "{document} names port {port}");
        }
    }
    assert!(spans(&read("README.md")).len() > 50);
}

#[test]
fn the_documents_name_the_oldest_compiler() {
    let manifest = read("Cargo.toml");
    let (_, version) = manifest.split_once("\nrust-version = \"").unwrap();
    let version = version.split('"').next().unwrap();
    assert!(
        read("README.md").contains(&format!("Rust {version} or newer")),
        "README.md: {version}"
    );
}

/// The codes in the sources: the literals behind a status, and those that a match maps an error to.
fn error_codes() -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    let files = rust_files("src/http").into_iter().chain(rust_files("src/job/json"));
    for (path, text) in files.filter(|(path, _)| !path.contains("/tests/")) {
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let text = lines.collect::<Vec<_>>().join("\n");
        let parts: Vec<&str> = text.split('"').collect();
        for (n, literal) in parts.iter().enumerate().skip(1).step_by(2) {
            let before = parts[n - 1].trim_end();
            let is_word = literal.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            let status =
                before.strip_suffix(',').and_then(|before| before.rsplit("StatusCode::").next());
            let has_status = before.contains("StatusCode::")
                && status
                    .is_some_and(|word| word.chars().all(|c| c.is_ascii_uppercase() || c == '_'));
            let is_code = has_status
                || before.ends_with("Problem::new(status,")
                || (path.ends_with("problem_responses.rs") && before.ends_with("=> ("))
                || (path.ends_with("scan.rs") && before.ends_with("} =>"));
            if is_code && is_word && literal.len() > 5 {
                codes.insert((*literal).to_owned());
            }
        }
    }
    codes
}

#[test]
fn the_table_of_error_codes_is_complete() {
    let page = read("docs/errors.md");
    let (_, table) = page.split_once("| code | status | meaning |\n|---|---|---|\n").unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let documented: BTreeSet<String> =
        rows.map(|row| row.split('`').nth(1).unwrap().to_owned()).collect();
    let codes = error_codes();
    assert!(codes.len() > 40, "hardly any codes were found: {codes:?}");
    let missing: Vec<&String> = codes.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/errors.md lacks {missing:?}");
    let unknown: Vec<&String> = documented.difference(&codes).collect();
    assert!(unknown.is_empty(), "docs/errors.md names codes that no source has: {unknown:?}");
}
