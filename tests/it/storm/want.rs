//! The filter of a subscriber as `docs/stream.md` describes it, implemented without the code of the server.

use serde_json::{Map, Value, json};

/// A filter. An event matches if it has one of the values of every list that is not empty.
#[derive(Debug, Clone, Copy, Default)]
pub struct Want {
    pub queue: &'static [&'static str],
    pub kind: &'static [&'static str],
    pub tag: &'static [&'static str],
    /// The event types, each a name or a glob with its star at one end.
    pub types: &'static [&'static str],
}

impl Want {
    pub const ALL: Want = Want { queue: &[], kind: &[], tag: &[], types: &[] };

    fn lists(&self) -> [(&'static str, &'static [&'static str]); 4] {
        [("queue", self.queue), ("kind", self.kind), ("tag", self.tag), ("type", self.types)]
    }

    /// The filter as a query string.
    pub fn query(&self) -> String {
        let lists = self.lists().into_iter().filter(|(_, list)| !list.is_empty());
        let lists = lists.map(|(name, list)| format!("{name}={}", list.join(",")));
        lists.collect::<Vec<_>>().join("&")
    }

    /// The filter as a `subscribe` message.
    pub fn json(&self) -> Value {
        let lists = self.lists().into_iter().filter(|(_, list)| !list.is_empty());
        Value::Object(
            lists.map(|(name, list)| (name.to_owned(), json!(list))).collect::<Map<_, _>>(),
        )
    }

    /// Whether an event matches.
    pub fn matches(&self, event: &Value) -> bool {
        let job = &event["job"];
        let queue = if job.is_null() { &event["queue"] } else { &job["queue"] };
        let is =
            |list: &[&str], value: &Value| list.is_empty() || list.iter().any(|it| value == it);
        let tags = job["tags"].as_array().map_or(&[][..], Vec::as_slice);
        let kind = event["type"].as_str().unwrap();
        is(self.queue, queue)
            && is(self.kind, &job["kind"])
            && (self.tag.is_empty() || tags.iter().any(|tag| is(self.tag, tag)))
            && (self.types.is_empty() || self.types.iter().any(|glob| is_like(kind, glob)))
    }
}

fn is_like(name: &str, glob: &str) -> bool {
    match (glob.strip_prefix('*'), glob.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (None, Some(begin)) => name.starts_with(begin),
        (None, None) => name == glob,
    }
}
