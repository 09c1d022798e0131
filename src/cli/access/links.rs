//! `cortado link`: creates, lists and revokes share links.

use std::io::Write;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::server::received;
use super::table::{print_json, print_line, print_table};
use crate::cli::CliError;
use crate::cli::api::ApiClient;
use crate::config::LinkCommand;
use crate::job::Actor;

/// A share link as the API shows it.
#[derive(Debug, Serialize, Deserialize)]
struct LinkLine {
    id: String,
    /// The job that it shows.
    job: Option<String>,
    /// The queue that it shows.
    queue: Option<String>,
    /// Whether it shows the payload.
    payload: Option<String>,
    url: String,
    created_at: String,
    expires_at: String,
    created_by: Option<Actor>,
}

#[derive(Serialize, Deserialize)]
struct LinkList {
    links: Vec<LinkLine>,
}

/// Runs one command about share links.
///
/// # Errors
/// When the server refuses it, or the output cannot be written.
pub async fn run(command: LinkCommand, out: &mut impl Write) -> Result<(), CliError> {
    match command {
        LinkCommand::Create { job, queue, expires_in, hide_payload, json, client } => {
            let mut body = Map::new();
            body.extend(job.map(|id| ("job".to_owned(), Value::from(id.to_string()))));
            body.extend(queue.map(|name| ("queue".to_owned(), Value::from(name.as_str()))));
            body.insert("expires_in".into(), format!("{}ms", expires_in.as_millis()).into());
            if hide_payload {
                body.insert("payload".into(), "hidden".into());
            }
            let api = ApiClient::new(&client)?;
            let answer = api.post("/api/v1/links", &Value::Object(body)).await?;
            let link: LinkLine = received(answer).await?;
            if json { print_json(out, &link) } else { print_line(out, &link.url) }
        }
        LinkCommand::List { json, client } => {
            let answer = ApiClient::new(&client)?.get("/api/v1/links").await?;
            let list: LinkList = received(answer).await?;
            if json {
                return print_json(out, &list);
            }
            let head = ["ID", "SHOWS", "CREATED BY", "EXPIRES", "ADDRESS"];
            print_table(out, head, &rows(list.links))
        }
        LinkCommand::Revoke { id, client } => {
            ApiClient::new(&client)?.delete(&format!("/api/v1/links/{id}")).await?;
            print_line(out, &format!("link {id} was revoked"))
        }
    }
}

fn rows(links: Vec<LinkLine>) -> Vec<[String; 5]> {
    let row = |link: LinkLine| {
        let subject = match (link.job, link.queue) {
            (Some(id), _) => format!("job {id}"),
            (None, Some(name)) => format!("queue {name}"),
            (None, None) => "-".to_owned(),
        };
        let by = link.created_by.map_or_else(|| "-".to_owned(), |actor| actor.to_string());
        [link.id, subject, by, link.expires_at, link.url]
    };
    links.into_iter().map(row).collect()
}
