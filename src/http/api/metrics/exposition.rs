//! The two text formats that scrapers read: the text format 0.0.4 of Prometheus and OpenMetrics 1.0. They differ in the
//! names of counters, in units, and in the end of the text.

use std::fmt::{self, Write as _};

use axum::http::{HeaderMap, header};

use crate::engine::HistogramTotals;
use crate::http::layers::header_list::elements;

/// A format of `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpositionFormat {
    /// The text format of Prometheus, for clients that ask for nothing else.
    Text,
    /// OpenMetrics, for clients that name it.
    OpenMetrics,
}

/// A metric with its samples, one for each set of labels.
#[derive(Debug)]
pub struct MetricFamily {
    /// The name without the suffix that its type adds.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    pub samples: MetricSamples,
}

#[derive(Debug)]
pub enum MetricSamples {
    /// A value that goes up and down.
    Gauge(Vec<(LabelSet, f64)>),
    /// A value that only increases while the process runs; `_total` is appended to its name.
    Counter(Vec<(LabelSet, u64)>),
    /// Durations in seconds, in buckets.
    Histogram(HistogramTotals),
}

pub type LabelSet = Vec<(&'static str, String)>;

impl ExpositionFormat {
    /// Chooses the format that the `Accept` header prefers. OpenMetrics is chosen only for clients that name it, and
    /// everything that the server does not know leads to the text format.
    pub fn accepted(headers: &HeaderMap) -> ExpositionFormat {
        let (mut open_metrics, mut text) = (None, None);
        for element in elements(headers, &header::ACCEPT) {
            let (name, version, weight) = media_range(element);
            // A more specific range counts more than one with a wildcard.
            let (format, rank) = match (name.as_str(), version) {
                ("application/openmetrics-text", None | Some("1.0.0")) => (&mut open_metrics, 2),
                ("text/plain", None | Some("0.0.4")) => (&mut text, 2),
                ("text/*", None) => (&mut text, 1),
                ("*/*", None) => (&mut text, 0),
                (_, _) => continue,
            };
            *format = (*format).max(Some((rank, weight)));
        }
        let weight = |format: Option<(u8, u32)>| format.map_or(0, |(_, weight)| weight);
        let preferred = weight(open_metrics);
        if preferred > 0 && preferred >= weight(text) {
            ExpositionFormat::OpenMetrics
        } else {
            ExpositionFormat::Text
        }
    }

    /// The value of `Content-Type`.
    pub fn media_type(self) -> &'static str {
        match self {
            ExpositionFormat::Text => "text/plain; version=0.0.4; charset=utf-8",
            ExpositionFormat::OpenMetrics => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
        }
    }

    /// Encodes metrics; those without samples are left out.
    pub fn encode(self, families: &[MetricFamily]) -> String {
        let mut text = String::new();
        // Writing to a `String` never fails.
        let _ = families.iter().try_for_each(|family| self.family(family, &mut text));
        match self {
            ExpositionFormat::Text => {}
            ExpositionFormat::OpenMetrics => text.push_str("# EOF\n"),
        }
        text
    }

    fn family(self, family: &MetricFamily, text: &mut String) -> fmt::Result {
        let MetricFamily { name, help, samples } = family;
        let kind = match samples {
            MetricSamples::Gauge(all) if all.is_empty() => return Ok(()),
            MetricSamples::Counter(all) if all.is_empty() => return Ok(()),
            MetricSamples::Gauge(_) => "gauge",
            MetricSamples::Counter(_) => "counter",
            MetricSamples::Histogram(_) => "histogram",
        };
        let total = if kind == "counter" { "_total" } else { "" };
        // The text format describes the samples of a counter, OpenMetrics the counter itself.
        let suffix = match self {
            ExpositionFormat::Text => total,
            ExpositionFormat::OpenMetrics => "",
        };
        writeln!(text, "# HELP {name}{suffix} {}", self.escaped_help(help))?;
        writeln!(text, "# TYPE {name}{suffix} {kind}")?;
        if let (ExpositionFormat::OpenMetrics, Some(unit)) = (self, unit(name)) {
            writeln!(text, "# UNIT {name} {unit}")?;
        }
        match samples {
            MetricSamples::Gauge(all) => all.iter().try_for_each(|(labels, value)| {
                writeln!(text, "{name}{} {}", LabelText(labels), SampleText(*value))
            }),
            MetricSamples::Counter(all) => all.iter().try_for_each(|(labels, value)| {
                writeln!(text, "{name}{total}{} {value}", LabelText(labels))
            }),
            MetricSamples::Histogram(totals) => {
                let mut below = 0;
                for (bound, count) in &totals.buckets {
                    below += count;
                    writeln!(text, "{name}_bucket{{le=\"{}\"}} {below}", SampleText(*bound))?;
                }
                writeln!(text, "{name}_sum {}", SampleText(totals.sum_seconds))?;
                writeln!(text, "{name}_count {below}")
            }
        }
    }

    fn escaped_help(self, help: &str) -> String {
        let escaped = help.replace('\\', r"\\").replace('\n', r"\n");
        match self {
            ExpositionFormat::Text => escaped,
            ExpositionFormat::OpenMetrics => escaped.replace('"', "\\\""),
        }
    }
}

/// The unit with which a name ends, if it has one.
fn unit(name: &str) -> Option<&'static str> {
    ["seconds", "bytes"]
        .into_iter()
        .find(|unit| name.strip_suffix(unit).is_some_and(|before| before.ends_with('_')))
}

/// The name of a media range in lower case, its `version`, and its weight in thousandths (RFC 9110, 12.4.2); a weight
/// that is not one counts as 0.
fn media_range(element: &str) -> (String, Option<&str>, u32) {
    let mut parts = element.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let (mut version, mut weight) = (None, 1_000);
    for part in parts {
        let Some((key, value)) = part.split_once('=') else { continue };
        let value = value.trim();
        match key.trim().to_ascii_lowercase().as_str() {
            "version" => version = Some(value.trim_matches('"')),
            "q" => {
                let read = value.parse::<f64>().ok().filter(|q| (0.0..=1.0).contains(q));
                weight = read.map_or(0, |q| (q * 1e3) as u32);
            }
            _ => {}
        }
    }
    (name, version, weight)
}

/// Labels in braces, or nothing if there are none.
struct LabelText<'a>(&'a LabelSet);

impl fmt::Display for LabelText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (name, value)) in self.0.iter().enumerate() {
            f.write_str(if n == 0 { "{" } else { "," })?;
            let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            write!(f, "{name}=\"{value}\"")?;
        }
        if self.0.is_empty() { Ok(()) } else { f.write_str("}") }
    }
}

/// A number as both formats write it.
struct SampleText(f64);

impl fmt::Display for SampleText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_infinite() {
            return f.write_str(if self.0 > 0.0 { "+Inf" } else { "-Inf" });
        }
        // `{:?}` keeps the point of whole numbers, which OpenMetrics asks for in bounds of buckets.
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn accepted(accept: &str) -> ExpositionFormat {
        let value = HeaderValue::from_str(accept).unwrap();
        ExpositionFormat::accepted(&HeaderMap::from_iter([(header::ACCEPT, value)]))
    }

    #[test]
    fn the_format_is_the_one_that_the_scraper_prefers() {
        for accept in [
            "application/openmetrics-text",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;q=0.9,text/plain;q=0.3",
            "text/plain;q=0.5, Application/OpenMetrics-Text; VERSION=\"1.0.0\"; Q=0.9",
            "*/*;q=0.9, application/openmetrics-text;q=1.0, text/plain;q=0.2",
        ] {
            assert_eq!(accepted(accept), ExpositionFormat::OpenMetrics, "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "text/plain",
            "text/plain;version=0.0.4;q=1,application/openmetrics-text;version=1.0.0;q=0.5",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.000, text/plain;q=0",
            "application/openmetrics-text;q=high",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;version=2.0.0",
            "application/vnd.google.protobuf",
            "application/json",
            ";;;,=,q=1",
        ] {
            assert_eq!(accepted(accept), ExpositionFormat::Text, "{accept}");
        }
        assert_eq!(ExpositionFormat::accepted(&HeaderMap::new()), ExpositionFormat::Text);
        let mut lines = HeaderMap::new();
        lines.append(header::ACCEPT, HeaderValue::from_static("text/plain;q=0.2"));
        lines
            .append(header::ACCEPT, HeaderValue::from_static("application/openmetrics-text;q=0.4"));
        assert_eq!(ExpositionFormat::accepted(&lines), ExpositionFormat::OpenMetrics);
    }

    #[test]
    fn both_formats_have_the_same_samples_and_escape_what_has_a_meaning() {
        let odd = vec![("name", "a\\b\"c\nd".to_owned()), ("other", "ü".to_owned())];
        let buckets = vec![(0.001, 1), (1.0, 2), (f64::INFINITY, 0)];
        let totals = HistogramTotals { buckets, sum_seconds: 1.5 };
        let families = [
            MetricFamily {
                name: "a_bytes",
                help: "Says \"a\\b\"\nhere.",
                samples: MetricSamples::Counter(vec![(odd, 7)]),
            },
            MetricFamily {
                name: "b",
                help: "B.",
                samples: MetricSamples::Gauge(vec![(Vec::new(), 2.0)]),
            },
            MetricFamily {
                name: "c_seconds",
                help: "C.",
                samples: MetricSamples::Histogram(totals),
            },
            MetricFamily { name: "nothing", help: "D.", samples: MetricSamples::Gauge(Vec::new()) },
        ];
        let text = ExpositionFormat::Text.encode(&families);
        let expected = r#"# HELP a_bytes_total Says "a\\b"\nhere.
# TYPE a_bytes_total counter
a_bytes_total{name="a\\b\"c\nd",other="ü"} 7
# HELP b B.
# TYPE b gauge
b 2.0
# HELP c_seconds C.
# TYPE c_seconds histogram
c_seconds_bucket{le="0.001"} 1
c_seconds_bucket{le="1.0"} 3
c_seconds_bucket{le="+Inf"} 3
c_seconds_sum 1.5
c_seconds_count 3
"#;
        assert_eq!(text, expected);
        let open_metrics = ExpositionFormat::OpenMetrics.encode(&families);
        for line in [
            "# HELP a_bytes Says \\\"a\\\\b\\\"\\nhere.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\na_bytes_total{",
            "# TYPE b gauge\nb 2.0\n",
            "# TYPE c_seconds histogram\n# UNIT c_seconds seconds\nc_seconds_bucket{",
        ] {
            assert!(open_metrics.contains(line), "{line}: {open_metrics}");
        }
        let samples = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
        };
        assert_eq!(samples(&open_metrics), samples(&text));
        assert!(open_metrics.ends_with("\n# EOF\n") && open_metrics.matches("# EOF").count() == 1);
        assert!(!text.contains("EOF") && !text.contains("# UNIT"));
    }
}
