//! What nodes tell each other about bulk runs, as JSON in their heartbeats. What another version says that cannot be
//! read is left out.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::report::{Action, BulkId, BulkReport, Count, End, Refusals, RunProgress, Target};
use crate::job::{JobQuery, Time};

/// The most bytes of a query that are told; of a longer one, the others know only that it is a query.
const MAX_QUERY: usize = 1_024;

/// What one node says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToldRuns {
    /// Its runs, and those that it has heard of from nodes that have ended.
    pub runs: Vec<ToldRun>,
    /// The runs of other nodes that somebody wants to be stopped.
    pub stop: Vec<Uuid>,
}

/// A run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToldRun {
    pub id: Uuid,
    /// The name of the node that executes it.
    pub node: String,
    /// The run of the process of that node.
    pub session: u64,
    action: String,
    queue: Option<String>,
    priority: Option<i16>,
    target: ToldTarget,
    began: i64,
    expected: u64,
    is_exact: bool,
    stored: u64,
    examined: u64,
    done: u64,
    refused: Vec<ToldRefusals>,
    pub ended: Option<ToldEnd>,
}

/// The end of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToldEnd {
    pub at: i64,
    end: String,
    error: String,
}

/// The jobs of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ToldTarget {
    #[default]
    Jobs,
    Matching(ToldQuery),
    FailureGroup(String),
}

/// A query, as people write it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct ToldQuery {
    states: Vec<String>,
    queues: Vec<String>,
    kinds: Vec<String>,
    tags: Vec<String>,
    since: Option<i64>,
    until: Option<i64>,
    ended_since: Option<i64>,
    ended_until: Option<i64>,
    terms: Vec<String>,
}

/// Jobs that were refused for the same reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct ToldRefusals {
    reason: String,
    count: u64,
    examples: Vec<String>,
}

impl ToldRun {
    /// What a node says about a run of its own.
    pub fn of(report: &BulkReport, node: &str, session: u64) -> ToldRun {
        let (queue, priority) = match &report.action {
            Action::Move(queue) => (Some(queue.to_string()), None),
            Action::Reprioritise(priority) => (None, Some(*priority)),
            Action::Retry | Action::Cancel | Action::Delete => (None, None),
        };
        let RunProgress { examined, done, refused, ended } = &report.progress;
        let refused = refused.iter().map(|refusals| ToldRefusals {
            reason: refusals.reason.clone(),
            count: refusals.count,
            examples: refusals.examples.iter().map(ToString::to_string).collect(),
        });
        ToldRun {
            id: report.id.0,
            node: node.to_owned(),
            session,
            action: report.action.as_str().to_owned(),
            queue,
            priority,
            target: ToldTarget::of(&report.target),
            began: report.began.millis(),
            expected: report.expected.known(),
            is_exact: matches!(report.expected, Count::Exactly(_)),
            stored: report.stored,
            examined: *examined,
            done: *done,
            refused: refused.collect(),
            ended: ended.as_ref().map(|(at, end)| ToldEnd::of(*at, end)),
        }
    }

    /// The report, if this version knows the action.
    pub fn report(&self) -> Option<BulkReport> {
        let action = match self.action.as_str() {
            "retry" => Action::Retry,
            "cancel" => Action::Cancel,
            "delete" => Action::Delete,
            "move" => Action::Move(self.queue.as_deref()?.parse().ok()?),
            "reprioritise" => Action::Reprioritise(self.priority?),
            _ => return None,
        };
        let refused = self.refused.iter().map(|refusals| Refusals {
            reason: refusals.reason.clone(),
            count: refusals.count,
            examples: refusals.examples.iter().filter_map(|id| id.parse().ok()).collect(),
        });
        let expected = self.expected;
        Some(BulkReport {
            id: BulkId(self.id),
            node: Some(self.node.clone()),
            action,
            target: self.target.target(),
            began: Time::from_millis(self.began),
            expected: if self.is_exact {
                Count::Exactly(expected)
            } else {
                Count::AtLeast(expected)
            },
            stored: self.stored,
            progress: RunProgress {
                examined: self.examined,
                done: self.done,
                refused: refused.collect(),
                ended: self.ended.as_ref().map(|end| (Time::from_millis(end.at), end.end())),
            },
        })
    }

    /// The run after its node was lost at this time: it has ended, if it had not before.
    pub fn after_its_node(mut self, at: Time) -> ToldRun {
        self.ended.get_or_insert_with(|| ToldEnd::of(at, &End::ServerStopped));
        self
    }

    /// What orders runs, the newest last.
    pub fn age(&self) -> (i64, Uuid) {
        (self.began, self.id)
    }
}

impl ToldEnd {
    fn of(at: Time, end: &End) -> ToldEnd {
        let error = match end {
            End::Failed(error) => error.clone(),
            End::Finished | End::Stopped | End::ServerStopped => String::new(),
        };
        ToldEnd { at: at.millis(), end: end.as_str().to_owned(), error }
    }

    fn end(&self) -> End {
        match self.end.as_str() {
            "finished" => End::Finished,
            "stopped" => End::Stopped,
            "server_stopped" => End::ServerStopped,
            "failed" => End::Failed(self.error.clone()),
            other => End::Failed(format!("it ended as {other}")),
        }
    }
}

impl ToldTarget {
    fn of(target: &Target) -> ToldTarget {
        match target {
            Target::Jobs(_) => ToldTarget::Jobs,
            Target::FailureGroup(group) => ToldTarget::FailureGroup(group.clone()),
            Target::Matching(query) => ToldTarget::Matching(ToldQuery::of(query)),
        }
    }

    fn target(&self) -> Target {
        match self {
            ToldTarget::Jobs => Target::Jobs(Vec::new()),
            ToldTarget::FailureGroup(group) => Target::FailureGroup(group.clone()),
            ToldTarget::Matching(query) => Target::Matching(Box::new(query.query())),
        }
    }
}

impl ToldQuery {
    fn of(query: &JobQuery) -> ToldQuery {
        fn texts<T: ToString>(values: &[T]) -> Vec<String> {
            values.iter().map(T::to_string).collect()
        }
        let told = ToldQuery {
            states: texts(&query.states),
            queues: texts(&query.queues),
            kinds: texts(&query.kinds),
            tags: texts(&query.tags),
            since: query.since.map(Time::millis),
            until: query.until.map(Time::millis),
            ended_since: query.ended_since.map(Time::millis),
            ended_until: query.ended_until.map(Time::millis),
            terms: texts(&query.terms),
        };
        let lists = [&told.states, &told.queues, &told.kinds, &told.tags, &told.terms];
        let bytes: usize = lists.into_iter().flatten().map(String::len).sum();
        if bytes > MAX_QUERY { ToldQuery::default() } else { told }
    }

    fn query(&self) -> JobQuery {
        fn parsed<T: std::str::FromStr>(texts: &[String]) -> Vec<T> {
            texts.iter().filter_map(|text| text.parse().ok()).collect()
        }
        let mut query = JobQuery {
            states: parsed(&self.states),
            queues: parsed(&self.queues),
            kinds: parsed(&self.kinds),
            tags: parsed(&self.tags),
            since: self.since.map(Time::from_millis),
            until: self.until.map(Time::from_millis),
            ended_since: self.ended_since.map(Time::from_millis),
            ended_until: self.ended_until.map(Time::from_millis),
            ..JobQuery::default()
        };
        for term in &self.terms {
            // Terms contain no times, which are what the present matters for.
            let _not_of_this_version = query.narrow(term, Time::default());
        }
        query
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobId;

    fn report(action: Action, target: Target, end: Option<End>) -> BulkReport {
        let examples = vec![JobId::generate(), JobId::generate()];
        BulkReport {
            id: BulkId(crate::job::fresh_uuid()),
            node: Some("web-1".to_owned()),
            action,
            target,
            began: Time::from_millis(1_700_000_000_123),
            expected: Count::AtLeast(500),
            stored: 7_000,
            progress: RunProgress {
                examined: 900,
                done: 4,
                refused: vec![Refusals { reason: "it runs".to_owned(), count: 9, examples }],
                ended: end.map(|end| (Time::from_millis(1_700_000_009_000), end)),
            },
        }
    }

    #[test]
    fn another_node_reads_what_was_told() {
        let mut query = JobQuery { since: Some(Time::from_millis(12_345)), ..JobQuery::default() };
        query.narrow(r#"state:retryable queue:mail kind:echo tag:"a b" error:"no route" payload.user.id:7 payload.x:"7" plain"#, Time::default()).unwrap();
        let query = Target::Matching(Box::new(query));
        let group = Target::FailureGroup("f00".to_owned());
        let queue = "mail".parse().unwrap();
        for report in [
            report(Action::Retry, query, None),
            report(Action::Cancel, group, Some(End::Stopped)),
            report(Action::Move(queue), Target::Jobs(Vec::new()), Some(End::Finished)),
            report(
                Action::Reprioritise(-3),
                Target::Jobs(Vec::new()),
                Some(End::Failed("gone".to_owned())),
            ),
        ] {
            let told = ToldRun::of(&report, "web-1", 5);
            let heard: ToldRun =
                serde_json::from_str(&serde_json::to_string(&told).unwrap()).unwrap();
            let heard = heard.report().unwrap();
            assert_eq!(format!("{heard:?}"), format!("{report:?}"));
        }
    }

    #[test]
    fn what_a_later_version_says_is_read_as_far_as_it_is_known() {
        let later =
            r#"{"runs":[{"action":"hide","x":1},{"action":"retry","ended":{"end":"slept"}}]}"#;
        let told: ToldRuns = serde_json::from_str(later).unwrap();
        assert!(told.runs[0].report().is_none());
        let end = told.runs[1].report().unwrap().progress.ended.unwrap().1;
        assert_eq!(end, End::Failed("it ended as slept".to_owned()));
    }

    #[test]
    fn a_query_that_is_too_long_is_not_told() {
        let query =
            JobQuery { tags: vec!["a".repeat(99).parse().unwrap(); 30], ..Default::default() };
        let told =
            ToldRun::of(&report(Action::Retry, Target::Matching(Box::new(query)), None), "a", 1);
        assert!(serde_json::to_string(&told).unwrap().len() < 1_000);
    }
}
