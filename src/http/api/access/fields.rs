//! Fields that the bodies about users and tokens have in common, and the names in their paths.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::http::api::extract::{path_param, without_escape};
use crate::http::{Api, Problem};
use crate::job::fields::text;
use crate::job::{FieldErrors, Fields, Role, Secret};

/// A role, which must be there.
pub fn role(fields: &mut Fields<'_>, errors: &mut FieldErrors) -> Option<Role> {
    let role = fields.required_text("role", errors)?;
    errors.take("role", role.parse::<Role>())
}

/// A role, if there is one.
pub fn optional_role(fields: &mut Fields<'_>, errors: &mut FieldErrors) -> Option<Role> {
    let role = fields.text("role", errors)?;
    errors.take("role", role.parse::<Role>())
}

/// A password, which no error repeats.
pub fn password(value: &str, errors: &mut FieldErrors) -> Option<Secret> {
    let password = text(value).map_err(|_| "must be a string");
    errors.take("password", password.map(|password| Secret::new(password.into_owned())))
}

/// A name or an id in the path, as it was sent.
pub struct PathName(pub String);

impl FromRequestParts<Api> for PathName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let name = path_param(parts, api).await?;
        Ok(PathName(without_escape(&name).to_owned()))
    }
}
