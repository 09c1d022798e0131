//! The pages of users: the list with the form that adds one, and the page of one user with the actions on it.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Path, State as Has};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::new_password::{NewPassword, PasswordError};
use super::parts::{
    ListedSession, NewSecret, OnlyId, RoleChoice, USER_ROLES, end_session, known_name,
    no_such_user, own_session, role_choices, sessions_of,
};
use crate::access::{AccessCommand, AccessRefusal, User};
use crate::engine::{AccessError, Engine};
use crate::http::access::Acting;
use crate::http::access::sessions::{BrowserVisit, open_sessions};
use crate::job::{Actor, Role, Time, UserName};
use crate::ui::layout::error::{UiError, sentence};
use crate::ui::layout::flash::Done;
use crate::ui::layout::form_fields::{Accepts, Choices, NoFields, PostedForm};
use crate::ui::layout::page::{Layout, Section, page, private_page, see_other};
use crate::ui::layout::viewer::Viewer;
use crate::ui::layout::visit::Visit;
use crate::ui::parts::filters;
use crate::ui::parts::time_format::TimeText;
use crate::ui::submit::form_value::{Errors, cut, error_of};

#[derive(Template)]
#[template(path = "users.html")]
struct UsersPage {
    layout: Layout,
    users: Vec<ListedUser>,
    form: UserForm,
    secret: Option<NewSecret>,
    /// Whether the server does not ask who its visitors are.
    is_open: bool,
}

#[derive(Template)]
#[template(path = "user.html")]
struct UserPage {
    layout: Layout,
    user: ListedUser,
    changed: TimeText,
    roles: Vec<RoleChoice>,
    sessions: Vec<ListedSession>,
    secret: Option<NewSecret>,
    /// Why the last action was refused.
    problem: String,
    hint: String,
    /// The error of the new password.
    wrong: String,
}

/// A user as a row.
struct ListedUser {
    name: String,
    role: Role,
    is_disabled: bool,
    is_viewer: bool,
    sessions: usize,
    seen: Option<TimeText>,
    created: TimeText,
}

/// The form that adds a user, as it was typed.
struct UserForm {
    name: String,
    roles: Vec<RoleChoice>,
    hint: String,
    problem: String,
    errors: Errors,
}

impl UserForm {
    fn wrong(&self, field: &str) -> &str {
        error_of(&self.errors, field)
    }
}

/// The fields of that form.
pub struct AddUserForm;

impl Accepts for AddUserForm {
    const ONCE: &'static [&'static str] = &["name", "role", "password"];
    const REQUIRED: &'static [&'static str] = Self::ONCE;
    const CHOICES: &'static [Choices] = &[("role", &["viewer", "submitter", "operator", "admin"])];
}

/// The form that gives a user another role.
pub struct RoleForm;

impl Accepts for RoleForm {
    const ONCE: &'static [&'static str] = &["role"];
    const REQUIRED: &'static [&'static str] = Self::ONCE;
    const CHOICES: &'static [Choices] = AddUserForm::CHOICES;
}

/// The form that resets a password.
pub struct PasswordForm;

impl Accepts for PasswordForm {
    const ONCE: &'static [&'static str] = &["password"];
    const REQUIRED: &'static [&'static str] = Self::ONCE;
}

impl ListedUser {
    fn of(visit: &Visit, user: &User, sessions: &OpenSessions, now: Time) -> ListedUser {
        let actor = Actor::User(user.name.clone());
        let known = sessions.get(&actor);
        ListedUser {
            name: user.name.to_string(),
            role: user.role,
            is_disabled: user.disabled,
            is_viewer: visit.principal().is_some_and(|principal| principal.actor == actor),
            sessions: known.map_or(0, |(count, _)| *count),
            seen: known.map(|(_, used)| TimeText::new(*used, now)),
            created: TimeText::new(user.created_at, now),
        }
    }
}

/// How many open sessions each person has, and when one of them was used last.
type OpenSessions = BTreeMap<Actor, (usize, Time)>;

fn counted_sessions(engine: &Engine, visit: &Visit) -> OpenSessions {
    let mut counted = OpenSessions::new();
    for session in open_sessions(engine, visit.authenticator().map(|auth| &**auth), |_| true) {
        let (count, used) = counted.entry(session.who.actor()).or_insert((0, Time::default()));
        *count += 1;
        *used = session.last_used_at.max(*used);
    }
    counted
}

/// `GET /users`
pub async fn list(Has(engine): Has<Engine>, visit: Visit) -> Response {
    list_page(&engine, &visit, StatusCode::OK, None, |_| {})
}

fn list_page(
    engine: &Engine,
    visit: &Visit,
    status: StatusCode,
    secret: Option<NewSecret>,
    fill: impl FnOnce(&mut UserForm),
) -> Response {
    let now = engine.now();
    let table = engine.access_table().borrow().clone();
    let users: Vec<_> = table.users().collect();
    let sessions = counted_sessions(engine, visit);
    // The first user decides who may add others.
    let (roles, role) = if users.is_empty() {
        (&[Role::Admin][..], Role::Admin)
    } else {
        (&USER_ROLES[..], Role::Viewer)
    };
    let mut form = UserForm {
        name: String::new(),
        roles: role_choices(roles, role),
        hint: NewPassword::hint(engine),
        problem: String::new(),
        errors: Errors::new(),
    };
    fill(&mut form);
    let layout = Layout::live(visit, "Users", Section::Users, engine.head(), now);
    let view = UsersPage {
        layout: if secret.is_some() { layout.with_secret() } else { layout },
        users: users.iter().map(|user| ListedUser::of(visit, user, &sessions, now)).collect(),
        form,
        secret,
        is_open: matches!(visit.viewer(), Viewer::Anybody),
    };
    let render = if view.secret.is_some() { private_page } else { page };
    render(status, &view)
}

/// `POST /users`
pub async fn add(
    Acting(engine): Acting<Engine>,
    visit: Visit,
    form: PostedForm<AddUserForm>,
) -> Result<Response, UiError> {
    let typed = form.value("name").trim().to_owned();
    let role = form.value("role").parse().unwrap_or(Role::Viewer);
    let mut errors = Errors::new();
    let name = UserName::parse(&typed);
    if let Err(invalid) = &name {
        errors.insert("name".into(), sentence(&invalid.to_string()));
    }
    let password = match NewPassword::read(form.value("password"), &engine, &visit).await {
        Ok(password) => Some(password),
        Err(PasswordError::Refused(why)) => {
            errors.insert("password".into(), why);
            None
        }
        Err(PasswordError::NotSet(error)) => return Err(error),
    };
    let refused = |errors: Errors, problem: String| {
        list_page(&engine, &visit, StatusCode::UNPROCESSABLE_ENTITY, None, |form| {
            form.name = typed.clone();
            cut([&mut form.name]);
            for choice in &mut form.roles {
                choice.chosen = choice.name == role.as_str();
            }
            (form.errors, form.problem) = (errors, problem);
        })
    };
    let (Ok(name), Some(password)) = (name, password) else {
        return Ok(refused(errors, String::new()));
    };
    let NewPassword { hash, generated } = password;
    let command = AccessCommand::AddUser { name: name.clone(), password: hash, role };
    match engine.access(command).await {
        Ok(_) => {}
        Err(AccessError::Refused(why @ AccessRefusal::Exists { .. })) => {
            let errors = Errors::from([("name".to_owned(), sentence(&why.to_string()))]);
            return Ok(refused(errors, String::new()));
        }
        Err(AccessError::Refused(
            why @ (AccessRefusal::NotFound { .. }
            | AccessRefusal::PasswordChanged
            | AccessRefusal::LastAdmin
            | AccessRefusal::FirstUserNotAdmin
            | AccessRefusal::TooMany { .. }),
        )) => return Ok(refused(Errors::new(), sentence(&why.to_string()))),
        Err(AccessError::Store(error)) => return Err(error.into()),
    }
    match generated {
        Some(text) => {
            let title = format!("User {name} was added with this password");
            let secret = Some(NewSecret { title, text });
            Ok(list_page(&engine, &visit, StatusCode::OK, secret, |_| {}))
        }
        None => Ok(see_other("users").with(Done::UserAdded, name.as_str()).into_response()),
    }
}

/// `GET /users/{name}`
pub async fn show(
    Has(engine): Has<Engine>,
    visit: Visit,
    Path(name): Path<String>,
) -> Result<Response, UiError> {
    let name = known_name(&engine, &name)?;
    one_page(&engine, &visit, &name, StatusCode::OK, |_| {})
}

fn one_page(
    engine: &Engine,
    visit: &Visit,
    name: &UserName,
    status: StatusCode,
    fill: impl FnOnce(&mut UserPage),
) -> Result<Response, UiError> {
    let now = engine.now();
    let table = engine.access_table().borrow().clone();
    let user = table.user(name).ok_or_else(no_such_user)?;
    let actor = Actor::User(name.clone());
    let title = format!("User {name}");
    let mut view = UserPage {
        layout: Layout::live(visit, title, Section::User, engine.head(), now),
        user: ListedUser::of(visit, user, &counted_sessions(engine, visit), now),
        changed: TimeText::new(user.changed_at, now),
        roles: role_choices(&USER_ROLES, user.role),
        sessions: sessions_of(engine, visit, |session| session.who.actor() == actor),
        secret: None,
        problem: String::new(),
        hint: NewPassword::hint(engine),
        wrong: String::new(),
    };
    fill(&mut view);
    if view.secret.is_none() {
        return Ok(page(status, &view));
    }
    view.layout = view.layout.with_secret();
    Ok(private_page(status, &view))
}

impl UserPage {
    /// The address of the page, below which those of its forms are.
    fn url(&self) -> String {
        page_url(&self.user.name)
    }
}

fn page_url(name: &str) -> String {
    format!("users/{}", filters::escaped_segment(name))
}

/// `POST /users/{name}/role`
pub async fn set_role(
    Acting(engine): Acting<Engine>,
    visit: Visit,
    Path(name): Path<String>,
    form: PostedForm<RoleForm>,
) -> Result<Response, UiError> {
    let name = known_name(&engine, &name)?;
    let Ok(role) = form.value("role").parse() else {
        return one_page(&engine, &visit, &name, StatusCode::UNPROCESSABLE_ENTITY, |page| {
            page.problem = "Choose a role.".to_owned();
        });
    };
    let set_role = |name| AccessCommand::SetRole { name, role };
    act(&engine, &visit, name.as_str(), set_role, Done::UserRoleSet).await
}

/// `POST /users/{name}/disable`
pub async fn disable(
    Acting(engine): Acting<Engine>,
    visit: Visit,
    Path(name): Path<String>,
    _: PostedForm<NoFields>,
) -> Result<Response, UiError> {
    act(&engine, &visit, &name, AccessCommand::DisableUser, Done::UserDisabled).await
}

/// `POST /users/{name}/enable`
pub async fn enable(
    Acting(engine): Acting<Engine>,
    visit: Visit,
    Path(name): Path<String>,
    _: PostedForm<NoFields>,
) -> Result<Response, UiError> {
    act(&engine, &visit, &name, AccessCommand::EnableUser, Done::UserEnabled).await
}

/// `POST /users/{name}/log_out`
pub async fn log_out(
    Acting(engine): Acting<Engine>,
    visit: Visit,
    Path(name): Path<String>,
    _: PostedForm<NoFields>,
) -> Result<Response, UiError> {
    act(&engine, &visit, &name, AccessCommand::CloseSessionsOf, Done::SessionsRevoked).await
}

/// `POST /users/{name}/delete`
pub async fn delete(
    Acting(engine): Acting<Engine>,
    visit: Visit,
    Path(name): Path<String>,
    _: PostedForm<NoFields>,
) -> Result<Response, UiError> {
    let name = known_name(&engine, &name)?;
    match engine.access(AccessCommand::DeleteUser(name.clone())).await {
        Ok(_) => Ok(see_other("users").with(Done::UserDeleted, name.as_str()).into_response()),
        Err(error) => refuse(&engine, &visit, &name, error),
    }
}

/// `POST /users/{name}/revoke`
pub async fn revoke_session(
    Acting(engine): Acting<Engine>,
    visit: Visit,
    browser: BrowserVisit,
    Path(name): Path<String>,
    form: PostedForm<OnlyId>,
) -> Result<Response, UiError> {
    let name = known_name(&engine, &name)?;
    let of = Actor::User(name.clone());
    let id = own_session(&engine, form.value("id"), &of)?;
    end_session(&engine, &visit, &browser, id, &page_url(name.as_str())).await
}

/// `POST /users/{name}/password`
pub async fn set_password(
    Acting(engine): Acting<Engine>,
    visit: Visit,
    Path(name): Path<String>,
    form: PostedForm<PasswordForm>,
) -> Result<Response, UiError> {
    let name = known_name(&engine, &name)?;
    let password = match NewPassword::read(form.value("password"), &engine, &visit).await {
        Ok(password) => password,
        Err(PasswordError::NotSet(error)) => return Err(error),
        Err(PasswordError::Refused(why)) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return one_page(&engine, &visit, &name, status, |page| page.wrong = why);
        }
    };
    let NewPassword { hash, generated } = password;
    let set_password = |name| AccessCommand::SetPassword { name, password: hash, replaces: None };
    let Some(text) = generated else {
        return act(&engine, &visit, name.as_str(), set_password, Done::UserPasswordSet).await;
    };
    engine.access(set_password(name.clone())).await?;
    one_page(&engine, &visit, &name, StatusCode::OK, |page| {
        let title = format!("The new password of {name}");
        page.secret = Some(NewSecret { title, text });
    })
}

/// Changes a user and redirects to the user's page, or renders it with the reason why not.
async fn act(
    engine: &Engine,
    visit: &Visit,
    name: &str,
    command: impl FnOnce(UserName) -> AccessCommand,
    done: Done,
) -> Result<Response, UiError> {
    let name = known_name(engine, name)?;
    match engine.access(command(name.clone())).await {
        Ok(_) => Ok(see_other(&page_url(name.as_str())).with(done, name.as_str()).into_response()),
        Err(error) => refuse(engine, visit, &name, error),
    }
}

fn refuse(
    engine: &Engine,
    visit: &Visit,
    name: &UserName,
    error: AccessError,
) -> Result<Response, UiError> {
    match error {
        AccessError::Refused(why @ AccessRefusal::LastAdmin) => {
            one_page(engine, visit, name, StatusCode::CONFLICT, |page| {
                page.problem = format!("Nothing was changed. {}", sentence(&why.to_string()));
            })
        }
        AccessError::Refused(_) | AccessError::Store(_) => Err(error.into()),
    }
}
