//! `/api/v1/users`: lists, adds, changes and deletes users. No answer has a password or its hash.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::fields::{PathName, optional_role, password, role};
use crate::access::{AccessApplied, AccessCommand, AccessRefusal, User};
use crate::http::access::Acting;
use crate::http::access::access_watch::AccessWatch;
use crate::http::api::extract::{JsonBody, NoBody, NoQuery, read_fields};
use crate::http::api::idempotency::NoIdempotencyKey;
use crate::http::layers::base_path::Address;
use crate::http::view::Displayed;
use crate::http::{Api, Problem, json};
use crate::job::fields::REQUIRED;
use crate::job::{Role, Secret, Time, UserName};

#[derive(Serialize)]
struct UsersView<'a> {
    users: Vec<UserView<'a>>,
}

#[derive(Serialize)]
struct UserView<'a> {
    name: &'a str,
    role: &'static str,
    disabled: bool,
    created_at: Displayed<Time>,
    /// When the password, the role or `disabled` was last changed.
    changed_at: Displayed<Time>,
}

impl<'a> UserView<'a> {
    fn of(user: &'a User) -> UserView<'a> {
        UserView {
            name: user.name.as_str(),
            role: user.role.as_str(),
            disabled: user.disabled,
            created_at: Displayed(user.created_at),
            changed_at: Displayed(user.changed_at),
        }
    }
}

/// Lists the users by name: `{"users": [{"name","role","disabled","created_at","changed_at"}]}`.
pub async fn list(State(api): State<Api>, _: NoQuery) -> Response {
    let table = api.engine.access_table().borrow().clone();
    json(&UsersView { users: table.users().map(|user| UserView::of(user)).collect() })
}

/// Returns one user.
pub async fn get(
    State(api): State<Api>,
    _: NoQuery,
    PathName(name): PathName,
) -> Result<Response, Problem> {
    let name = known_name(&name)?;
    let table = api.engine.access_table().borrow().clone();
    let user = table.user(&name).ok_or_else(no_such_user)?;
    Ok(json(&UserView::of(user)))
}

/// Adds a user, `{"name","password","role"}`, and answers 201 with it. The first user must be an admin.
pub async fn add(
    Acting(api): Acting<Api>,
    watch: AccessWatch,
    address: Address,
    _: NoQuery,
    _: NoIdempotencyKey,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let new = read_fields(&body, |fields, errors| {
        let name = fields.required_text("name", errors);
        let name = name.and_then(|name| errors.take("name", UserName::parse(&name)));
        let password = fields.present("password", errors).and_then(|text| password(text, errors));
        let role = role(fields, errors);
        Some((name?, password?, role?))
    })?;
    let (name, password, role) = new.ok_or_else(|| Problem::invalid_field("name", REQUIRED))?;
    let password = api.engine.hash_password(password).await?;
    watch.check()?;
    let applied = api.engine.access(AccessCommand::AddUser { name, password, role }).await?;
    let AccessApplied::User(user) = applied else { return Err(no_such_user()) };
    let location = [(header::LOCATION, address.url(&format!("api/v1/users/{}", user.name)))];
    Ok((StatusCode::CREATED, location, json(&UserView::of(&user))).into_response())
}

/// What a request changes of a user.
struct UserChange {
    role: Option<Role>,
    password: Option<Secret>,
    disabled: Option<bool>,
}

/// Changes a user, `{"role"?,"password"?,"disabled"?}`, and returns it. A new password, or `"disabled": true`, ends the
/// sessions of the user.
pub async fn put(
    Acting(api): Acting<Api>,
    watch: AccessWatch,
    _: NoQuery,
    PathName(name): PathName,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let change = read_fields(&body, |fields, errors| {
        let role = optional_role(fields, errors);
        let password = fields.optional("password").and_then(|text| password(text, errors));
        let disabled = fields.flag("disabled", errors);
        let is_empty = role.is_none() && password.is_none() && disabled.is_none();
        if is_empty && errors.is_empty() {
            errors.add("", "expected at least one of role, password, disabled");
        }
        UserChange { role, password, disabled }
    })?;
    let name = known_name(&name)?;
    // The password is checked first, and set last: of an existing user, only the other changes can be refused.
    let password = match change.password {
        Some(password) => Some(api.engine.hash_password(password).await?),
        None => None,
    };
    watch.check()?;
    if change.disabled == Some(true) {
        api.engine.access(AccessCommand::DisableUser(name.clone())).await?;
    }
    if let Some(role) = change.role {
        api.engine.access(AccessCommand::SetRole { name: name.clone(), role }).await?;
    }
    if let Some(password) = password {
        api.engine
            .access(AccessCommand::SetPassword { name: name.clone(), password, replaces: None })
            .await?;
    }
    // Enabled last, so that nobody logs in with the old password or the old role.
    if change.disabled == Some(false) {
        api.engine.access(AccessCommand::EnableUser(name.clone())).await?;
    }
    let table = api.engine.access_table().borrow().clone();
    let user = table.user(&name).ok_or_else(no_such_user)?;
    Ok(json(&UserView::of(user)))
}

/// Deletes a user, whose sessions end. Answers 204.
pub async fn delete(
    Acting(api): Acting<Api>,
    _: NoQuery,
    PathName(name): PathName,
    _: NoBody,
) -> Result<StatusCode, Problem> {
    api.engine.access(AccessCommand::DeleteUser(known_name(&name)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A name in a path. One that no user can have is answered with 404, as there is no such user.
fn known_name(name: &str) -> Result<UserName, Problem> {
    UserName::stored(name).map_err(|_| no_such_user())
}

fn no_such_user() -> Problem {
    AccessRefusal::NotFound { what: "user" }.into()
}
