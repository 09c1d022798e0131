//! `cortado session`: lists and revokes the sessions of browsers.

use std::io::Write;

use serde::Serialize;

use super::table::{print_json, print_line, print_table};
use super::{AccessClient, SessionLine};
use crate::config::SessionCommand;
use crate::job::{Actor, UserName};

#[derive(Serialize)]
struct SessionList {
    sessions: Vec<SessionLine>,
}

/// Runs one command about sessions.
///
/// # Errors
/// When the change is refused or the output cannot be written.
pub async fn run<C: AccessClient>(
    command: SessionCommand,
    client: &C,
    out: &mut impl Write,
) -> Result<(), C::Error> {
    match command {
        SessionCommand::List { user, json, target: _ } => {
            let mut sessions = client.sessions().await?;
            sessions.retain(|session| user.as_ref().is_none_or(|user| is_of(session, user)));
            if json {
                print_json(out, &SessionList { sessions })?;
            } else {
                let head = ["ID", "WHO", "ADDRESS", "LAST USED", "EXPIRES", "BROWSER"];
                print_table(out, head, &rows(sessions))?;
            }
        }
        SessionCommand::Revoke { id: Some(id), .. } => {
            client.revoke_session(&id).await?;
            print_line(out, &format!("session {id} was revoked"))?;
        }
        SessionCommand::Revoke { user, .. } => {
            let mut sessions = client.sessions().await?;
            sessions.retain(|session| user.as_ref().is_some_and(|user| is_of(session, user)));
            for session in &sessions {
                client.revoke_session(&session.id.parse().map_err(invalid)?).await?;
            }
            let many = if sessions.len() == 1 { "session was" } else { "sessions were" };
            print_line(out, &format!("{} {many} revoked", sessions.len()))?;
        }
    }
    Ok(())
}

fn invalid(invalid: crate::job::Invalid) -> String {
    invalid.to_string()
}

fn is_of(session: &SessionLine, user: &UserName) -> bool {
    session.of == Actor::User(user.clone())
}

fn rows(sessions: Vec<SessionLine>) -> Vec<[String; 6]> {
    let row = |one: SessionLine| {
        [one.id, one.of.to_string(), one.client, one.last_used_at, one.expires_at, one.browser]
    };
    sessions.into_iter().map(row).collect()
}
