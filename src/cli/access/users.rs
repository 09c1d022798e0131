//! `cortado user`: adds, lists, changes and deletes users.

use std::io::Write;

use serde::Serialize;

use super::password::read_password;
use super::table::{print_json, print_line, print_table};
use super::{AccessClient, UserEdit, UserLine};
use crate::config::UserCommand;

#[derive(Serialize)]
struct UserList {
    users: Vec<UserLine>,
}

/// Runs one command about users.
///
/// # Errors
/// When the password cannot be read, the change is refused, or the output cannot be written.
pub async fn run<C: AccessClient>(
    command: UserCommand,
    client: &C,
    out: &mut impl Write,
) -> Result<(), C::Error> {
    match command {
        UserCommand::Add { name, role, password, target: _ } => {
            let password = read_password(&password, name.as_str())?;
            client.add_user(&name, role, &password.secret).await?;
            print_line(out, &format!("user {name} was added with the role {role}"))?;
            if password.is_generated {
                print_line(out, &format!("password: {}", password.secret.expose()))?;
            }
        }
        UserCommand::List { json, target: _ } => {
            let users = client.users().await?;
            if json {
                print_json(out, &UserList { users })?;
            } else {
                print_table(out, ["NAME", "ROLE", "STATUS", "CREATED"], &rows(users))?;
            }
        }
        UserCommand::SetRole { name, role, target: _ } => {
            client.change_user(&name, UserEdit::Role(role)).await?;
            print_line(out, &format!("user {name} has the role {role}"))?;
        }
        UserCommand::SetPassword { name, password, target: _ } => {
            let password = read_password(&password, name.as_str())?;
            client.change_user(&name, UserEdit::Password(password.secret.clone())).await?;
            print_line(out, &format!("the password of user {name} was set"))?;
            if password.is_generated {
                print_line(out, &format!("password: {}", password.secret.expose()))?;
            }
        }
        UserCommand::Disable { name, target: _ } => {
            client.change_user(&name, UserEdit::Disable).await?;
            print_line(out, &format!("user {name} was disabled"))?;
        }
        UserCommand::Enable { name, target: _ } => {
            client.change_user(&name, UserEdit::Enable).await?;
            print_line(out, &format!("user {name} was enabled"))?;
        }
        UserCommand::Delete { name, target: _ } => {
            client.delete_user(&name).await?;
            print_line(out, &format!("user {name} was deleted"))?;
        }
    }
    Ok(())
}

fn rows(users: Vec<UserLine>) -> Vec<[String; 4]> {
    let row = |user: UserLine| {
        let status = if user.disabled { "disabled" } else { "active" };
        [user.name, user.role, status.to_owned(), user.created_at]
    };
    users.into_iter().map(row).collect()
}
