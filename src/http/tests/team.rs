//! Users and tokens for tests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::access::{AccessApplied, AccessCommand, NewToken};
use crate::engine::Engine;
use crate::job::{Kind, QueueName, Role, TokenId, TokenName, UserName};

/// The password of every user.
pub const PASSWORD: &str = "correct horse battery";

/// Adds a user with [`PASSWORD`].
pub async fn add_user(engine: &Engine, name: &str, role: Role) -> UserName {
    let password = engine.hash_password(PASSWORD.into()).await.unwrap();
    let name = user(name);
    let command = AccessCommand::AddUser { name: name.clone(), password, role };
    engine.access(command).await.unwrap();
    name
}

/// Creates a token as `edit` wants it. Returns its id and its text.
pub async fn add_token(
    engine: &Engine,
    name: &str,
    role: Role,
    edit: impl FnOnce(&mut NewToken),
) -> (TokenId, String) {
    let (mut new, text) = NewToken::generate(TokenName::parse(name).unwrap(), role).unwrap();
    edit(&mut new);
    match engine.access(AccessCommand::AddToken(new)).await.unwrap() {
        AccessApplied::Token(token) => (token.id.clone(), text.expose().clone()),
        other => panic!("{other:?}"),
    }
}

/// Restricts a token to the queue `mail` and the kind `echo`.
pub fn restrict(new: &mut NewToken) {
    new.queues = Some(vec![QueueName::parse("mail").unwrap()]);
    new.kinds = Some(vec![Kind::parse("echo").unwrap()]);
}

/// The value of `Authorization` with a token.
pub fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// The value of `Authorization` with a name and a password.
pub fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// The name of a user.
pub fn user(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}
