//! Formats an event as one line for people.
//! Programs use `--json` instead, which prints the event as the server wrote it.

use serde::Deserialize;

use crate::job::Actor;
use crate::job::hidden::printable;

#[derive(Deserialize)]
struct ReceivedEvent {
    at: String,
    r#type: String,
    job: Option<ReceivedJob>,
    queue: Option<String>,
    user: Option<String>,
    by: Option<Actor>,
    worker: Option<String>,
    why: Option<String>,
    run_at: Option<String>,
    error: Option<ReceivedFailure>,
    progress: Option<ReceivedProgress>,
    #[serde(default)]
    lines: Vec<ReceivedLogLine>,
}

#[derive(Deserialize)]
struct ReceivedJob {
    id: String,
    queue: String,
    kind: String,
    attempt: u16,
}

#[derive(Deserialize)]
struct ReceivedFailure {
    class: String,
    message: String,
}

#[derive(Deserialize)]
struct ReceivedProgress {
    done: u64,
    total: Option<u64>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct ReceivedLogLine {
    stream: String,
    text: String,
}

/// Formats an event without a final newline: time, type, job, kind, queue, and the fields of the type. Log lines follow
/// on lines of their own, indented. An event that cannot be parsed is printed as it was received.
pub fn human(event: &str) -> String {
    match serde_json::from_str::<ReceivedEvent>(event) {
        Ok(event) => line(&event),
        Err(_) => printable(event).into_owned(),
    }
}

fn line(event: &ReceivedEvent) -> String {
    let mut text = format!("{}  {:<19}", event.at, event.r#type);
    if let Some(job) = &event.job {
        push(&mut text, &format!("  {}  {}  queue={}", job.id, job.kind, job.queue));
        if job.attempt > 0 {
            push(&mut text, &format!(" attempt={}", job.attempt));
        }
    }
    if let Some(queue) = &event.queue {
        push(&mut text, &format!("  queue={queue}"));
    }
    if let Some(user) = &event.user {
        push(&mut text, &format!("  user={user}"));
    }
    if let Some(actor) = &event.by {
        push(&mut text, &format!(" by={actor}"));
    }
    for (name, value) in [("worker", &event.worker), ("why", &event.why), ("run_at", &event.run_at)]
    {
        if let Some(value) = value {
            push(&mut text, &format!(" {name}={value}"));
        }
    }
    if let Some(progress) = &event.progress {
        let total = progress.total.map(|total| format!("/{total}")).unwrap_or_default();
        let message = progress.message.as_deref().unwrap_or_default();
        push(&mut text, &format!(" {}{total} {message}", progress.done));
    }
    if let Some(error) = &event.error {
        push(&mut text, &format!(" {}: {}", error.class, error.message));
    }
    for line in &event.lines {
        text.push_str("\n    ");
        push(&mut text, &format!("{} | {}", line.stream, line.text));
    }
    text
}

/// Appends a part with its control characters escaped.
fn push(text: &mut String, part: &str) {
    text.push_str(&printable(part));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_becomes_one_line_and_cannot_steer_the_terminal() {
        let event = r#"{"seq":1,"at":"2026-11-23T08:00:00.000Z","type":"job.discarded","job":{"id":"i",
            "queue":"q","kind":"k","state":"discarded","attempt":2,"tags":[]},
            "error":{"class":"error","message":"a\nb\u001b[31m"}}"#;
        assert_eq!(
            human(event),
            "2026-11-23T08:00:00.000Z  job.discarded        i  k  queue=q attempt=2 \
             error: a\\nb\\u{1b}[31m"
        );
        let logged =
            r#"{"seq":2,"at":"t","type":"job.logged","lines":[{"stream":"stdout","text":"x"}]}"#;
        assert_eq!(human(logged), "t  job.logged         \n    stdout | x");
        let paused = r#"{"seq":3,"at":"t","type":"queue.paused","by":{"user":"anna"},"queue":"q"}"#;
        assert_eq!(human(paused), "t  queue.paused         queue=q by=user:anna");
        assert_eq!(human("{}"), "{}");
        assert_eq!(human("\u{1b}[2J\u{202e}"), "\\u{1b}[2J\\u{202e}");
    }
}
