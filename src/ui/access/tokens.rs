//! The page of tokens: the list, the form that creates one, and the response that shows its text once.

use std::time::Duration;

use askama::Template;
use axum::extract::State as Has;
use axum::http::StatusCode;
use axum::response::Response;

use super::parts::{NewSecret, OnlyId, RoleChoice, role_choices};
use crate::access::{AccessCommand, AccessRefusal, NewToken, NoRandomness, Token};
use crate::engine::{AccessError, Engine};
use crate::http::access::Acting;
use crate::job::{Invalid, Kind, QueueName, Role, Secret, Time, TokenId, TokenName, names_of};
use crate::ui::layout::error::{UiError, sentence};
use crate::ui::layout::flash::Done;
use crate::ui::layout::form_fields::{Accepts, Choices, PostedForm};
use crate::ui::layout::page::{Layout, Section, SeeOther, page, private_page, see_other};
use crate::ui::layout::visit::Visit;
use crate::ui::parts::time_format::TimeText;
use crate::ui::submit::form_value::{Errors, cut, cut_list, error_of};

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    layout: Layout,
    tokens: Vec<ListedToken>,
    form: TokenForm,
    secret: Option<NewSecret>,
}

/// A token as a row.
struct ListedToken {
    id: String,
    name: String,
    role: Role,
    queues: String,
    kinds: String,
    is_expired: bool,
    expires: Option<TimeText>,
    used: Option<TimeText>,
    created: TimeText,
    created_by: Option<String>,
}

impl ListedToken {
    fn of(token: &Token, now: Time) -> ListedToken {
        ListedToken {
            id: token.id.to_string(),
            name: token.name.to_string(),
            role: token.role,
            queues: joined(token.queues.as_deref()),
            kinds: joined(token.kinds.as_deref()),
            is_expired: token.is_expired(now),
            expires: token.expires_at.map(|at| TimeText::new(at, now)),
            used: token.last_used_at.map(|at| TimeText::new(at, now)),
            created: TimeText::new(token.created_at, now),
            created_by: token.created_by.as_ref().map(|actor| actor.name().to_owned()),
        }
    }
}

fn joined<T: ToString>(names: Option<&[T]>) -> String {
    names.unwrap_or_default().iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

/// The form, as it was typed.
#[derive(Default)]
struct TokenForm {
    name: String,
    roles: Vec<RoleChoice>,
    expiries: Vec<ExpiryChoice>,
    queues: String,
    kinds: String,
    problem: String,
    errors: Errors,
}

/// A time after which a token expires, in the list of choices.
struct ExpiryChoice {
    value: &'static str,
    label: &'static str,
    chosen: bool,
}

const DAY: Duration = Duration::from_secs(86_400);
/// The choices, with their values in the form.
const EXPIRIES: [(&str, &str, Option<Duration>); 5] = [
    ("7d", "after 7 days", Some(DAY.saturating_mul(7))),
    ("30d", "after 30 days", Some(DAY.saturating_mul(30))),
    ("90d", "after 90 days", Some(DAY.saturating_mul(90))),
    ("365d", "after a year", Some(DAY.saturating_mul(365))),
    ("never", "never", None),
];
const DEFAULT_EXPIRY: &str = "90d";

/// The fields of the form.
pub struct CreateTokenForm;

impl Accepts for CreateTokenForm {
    const ONCE: &'static [&'static str] = &["name", "role", "expires", "queues", "kinds"];
    const REQUIRED: &'static [&'static str] = &["name", "role", "expires"];
    const CHOICES: &'static [Choices] = &[
        ("role", &["viewer", "submitter", "worker", "operator", "admin"]),
        ("expires", &["7d", "30d", "90d", "365d", "never"]),
    ];
}

impl TokenForm {
    fn typed(role: Role, expires: &str) -> TokenForm {
        let expiries = EXPIRIES.into_iter().map(|(value, label, _)| ExpiryChoice {
            value,
            label,
            chosen: value == expires,
        });
        let roles = role_choices(&Role::ALL, role);
        TokenForm { roles, expiries: expiries.collect(), ..TokenForm::default() }
    }

    fn wrong(&self, field: &str) -> &str {
        error_of(&self.errors, field)
    }
}

/// `GET /tokens`
pub async fn list(Has(engine): Has<Engine>, visit: Visit) -> Response {
    let form = TokenForm::typed(Role::Submitter, DEFAULT_EXPIRY);
    page(StatusCode::OK, &TokensPage::of(&engine, &visit, form, None))
}

impl TokensPage {
    fn of(
        engine: &Engine,
        visit: &Visit,
        form: TokenForm,
        secret: Option<NewSecret>,
    ) -> TokensPage {
        let now = engine.now();
        let table = engine.access_table();
        let tokens =
            table.borrow().tokens().into_iter().map(|it| ListedToken::of(it, now)).collect();
        let layout = Layout::live(visit, "Tokens", Section::Tokens, engine.head(), now);
        let layout = if secret.is_some() { layout.with_secret() } else { layout };
        TokensPage { layout, tokens, form, secret }
    }
}

/// `POST /tokens`: creates a token. The response is the only one that contains its text.
pub async fn create(
    Acting(engine): Acting<Engine>,
    visit: Visit,
    form: PostedForm<CreateTokenForm>,
) -> Result<Response, UiError> {
    let mut errors = Errors::new();
    let generated = read(&form, engine.now(), &mut errors);
    let generated = generated.transpose().map_err(UiError::from)?;
    let mut problem = String::new();
    if let Some((token, text)) = generated {
        let name = token.name.clone();
        match engine.access(AccessCommand::AddToken(token)).await {
            Ok(_) => {
                let title = format!("Token {name} was created");
                let secret = Some(NewSecret { title, text: text.expose().clone() });
                let form = TokenForm::typed(Role::Submitter, DEFAULT_EXPIRY);
                let page = TokensPage::of(&engine, &visit, form, secret);
                return Ok(private_page(StatusCode::OK, &page));
            }
            Err(AccessError::Refused(why @ AccessRefusal::Exists { .. })) => {
                errors.insert("name".into(), sentence(&why.to_string()));
            }
            Err(AccessError::Refused(why)) => problem = sentence(&why.to_string()),
            Err(AccessError::Store(error)) => return Err(error.into()),
        }
    }
    let role = form.value("role").parse().unwrap_or(Role::Submitter);
    let mut typed = TokenForm {
        name: form.value("name").to_owned(),
        queues: form.value("queues").to_owned(),
        kinds: form.value("kinds").to_owned(),
        problem,
        errors,
        ..TokenForm::typed(role, form.value("expires"))
    };
    cut([&mut typed.name]);
    cut_list(&mut typed.queues);
    cut_list(&mut typed.kinds);
    let page_with_errors = TokensPage::of(&engine, &visit, typed, None);
    Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &page_with_errors))
}

/// The token of a form, and its text; `None` when a field is not acceptable.
fn read(
    form: &PostedForm<CreateTokenForm>,
    now: Time,
    errors: &mut Errors,
) -> Option<Result<(NewToken, Secret), NoRandomness>> {
    let name = TokenName::parse(form.value("name").trim());
    let role = form.value("role").parse::<Role>();
    let queues = names::<QueueName>(form.value("queues"));
    let kinds = names::<Kind>(form.value("kinds"));
    let mut note = |field: &str, invalid: Option<&Invalid>| {
        invalid.map(|invalid| errors.insert(field.to_owned(), sentence(&invalid.to_string())))
    };
    note("name", name.as_ref().err());
    note("role", role.as_ref().err());
    note("queues", queues.as_ref().err());
    note("kinds", kinds.as_ref().err());
    let expires = EXPIRIES.into_iter().find(|(value, _, _)| *value == form.value("expires"));
    let (_, _, lifetime) = expires?;
    let (name, role, queues, kinds) = (name.ok()?, role.ok()?, queues.ok()?, kinds.ok()?);
    let expires_at = lifetime.map(|lifetime| now.after(lifetime));
    let generated = NewToken::generate(name, role);
    Some(generated.map(|(token, text)| (NewToken { queues, kinds, expires_at, ..token }, text)))
}

/// The names of a list with commas; `None` when there are none.
fn names<T: std::str::FromStr<Err = Invalid>>(text: &str) -> Result<Option<Vec<T>>, Invalid> {
    let names = names_of(text).map(str::parse).collect::<Result<Vec<T>, Invalid>>()?;
    Ok(Some(names).filter(|names| !names.is_empty()))
}

/// `POST /tokens/revoke`
pub async fn revoke(
    Acting(engine): Acting<Engine>,
    form: PostedForm<OnlyId>,
) -> Result<SeeOther, UiError> {
    let table = engine.access_table();
    let id = TokenId::stored(form.value("id")).ok();
    let token = id.and_then(|id| table.borrow().token(&id).cloned());
    let token = token.ok_or_else(|| UiError {
        message: "It may have been revoked in the meantime.".into(),
        advice: "Look for it in the list of tokens.",
        ..UiError::not_found("Token not found")
    })?;
    engine.access(AccessCommand::RevokeToken(token.id.clone())).await?;
    Ok(see_other("tokens").with(Done::TokenRevoked, token.name.as_str()))
}
