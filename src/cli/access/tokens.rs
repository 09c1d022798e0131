//! `cortado token`: creates, lists and revokes tokens.

use std::io::Write;

use serde::Serialize;

use super::table::{print_json, print_line, print_table};
use super::{AccessClient, TokenLine, TokenRequest};
use crate::cli::CliError;
use crate::cli::output::say;
use crate::config::TokenCommand;

#[derive(Serialize)]
struct TokenList {
    tokens: Vec<TokenLine>,
}

/// Runs one command about tokens.
///
/// # Errors
/// When the change is refused or the output cannot be written.
pub async fn run<C: AccessClient>(
    command: TokenCommand,
    client: &C,
    out: &mut impl Write,
) -> Result<(), C::Error> {
    match command {
        TokenCommand::Create { name, role, expires, queue, kind, json, target: _ } => {
            let request = TokenRequest { name, role, expires, queues: queue, kinds: kind };
            let created = client.create_token(request).await?;
            if json {
                print_json(out, &created)?;
            } else {
                // Only the token is on standard output, so that a script can store it.
                say(&format!(
                    "cortado: token {} was created with the role {}; copy it now, it is not shown again",
                    created.line.name, created.line.role
                ));
                print_line(out, &created.token)?;
            }
        }
        TokenCommand::List { json, target: _ } => {
            let tokens = client.tokens().await?;
            if json {
                print_json(out, &TokenList { tokens })?;
            } else {
                let head = ["NAME", "ID", "ROLE", "RESTRICTED TO", "EXPIRES", "LAST USED"];
                print_table(out, head, &rows(tokens))?;
            }
        }
        TokenCommand::Revoke { token, target: _ } => {
            let tokens = client.tokens().await?;
            let found = tokens.iter().find(|one| one.name == token.as_str());
            let found = found.or_else(|| tokens.iter().find(|one| one.id == token.as_str()));
            let Some(found) = found else {
                return Err(CliError::from(format!("there is no token {token}")).into());
            };
            client.revoke_token(&found.id).await?;
            print_line(out, &format!("token {} was revoked", found.name))?;
        }
    }
    Ok(())
}

fn rows(tokens: Vec<TokenLine>) -> Vec<[String; 6]> {
    let row = |token: TokenLine| {
        let part = |what: &str, names: &Option<Vec<String>>| {
            names.as_ref().map(|names| format!("{what} {}", names.join(",")))
        };
        let parts: Vec<String> = [part("queues", &token.queues), part("kinds", &token.kinds)]
            .into_iter()
            .flatten()
            .collect();
        let restricted = if parts.is_empty() { "-".to_owned() } else { parts.join(" ") };
        let never = || "never".to_owned();
        [
            token.name,
            token.id,
            token.role,
            restricted,
            token.expires_at.unwrap_or_else(never),
            token.last_used_at.unwrap_or_else(never),
        ]
    };
    tokens.into_iter().map(row).collect()
}
