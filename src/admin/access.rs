//! Users, tokens and sessions in the data directory of a stopped server or in a database, for those who have locked
//! themselves out.

use std::io::Write;
use std::sync::Arc;

use super::Failed;
use crate::access::{
    AccessApplied, AccessCommand, AccessLimits, NewToken, PasswordHash, Session, Token, User,
};
use crate::cli::access::server::ServerAccess;
use crate::cli::access::{
    AccessClient, CreatedToken, SessionLine, TokenLine, TokenRequest, UserEdit, UserLine, sessions,
    tokens, users,
};
use crate::cli::api::ApiClient;
use crate::clock::{Clock, SystemClock};
use crate::config::{SessionCommand, TokenCommand, UserCommand};
use crate::job::{Role, Secret, SessionId, TokenId, UserName};
use crate::store::location::StorageLocation;
use crate::store::log_store::LogStore;
use crate::store::{AccessError, Store};

/// `cortado user`, on a server, a directory or a database.
///
/// # Errors
/// When the password cannot be read, the change is refused, or the output cannot be written.
pub async fn run_user(command: UserCommand, out: &mut impl Write) -> Result<(), Failed> {
    let target = command.target();
    match target.place()? {
        None => {
            let server = ServerAccess::of(ApiClient::new(&target.client)?);
            Ok(users::run(command, &server, out).await?)
        }
        Some(place) => {
            let store = StoredAccess::open(&place)?;
            let ran = users::run(command, &store, out).await;
            store.close_after(ran).await
        }
    }
}

/// `cortado token`, on a server, a directory or a database.
///
/// # Errors
/// When the change is refused or the output cannot be written.
pub async fn run_token(command: TokenCommand, out: &mut impl Write) -> Result<(), Failed> {
    let target = command.target();
    match target.place()? {
        None => {
            let server = ServerAccess::of(ApiClient::new(&target.client)?);
            Ok(tokens::run(command, &server, out).await?)
        }
        Some(place) => {
            let store = StoredAccess::open(&place)?;
            let ran = tokens::run(command, &store, out).await;
            store.close_after(ran).await
        }
    }
}

/// `cortado session`, on a server, a directory or a database.
///
/// # Errors
/// When the change is refused or the output cannot be written.
pub async fn run_session(command: SessionCommand, out: &mut impl Write) -> Result<(), Failed> {
    let target = command.target();
    match target.place()? {
        None => {
            let server = ServerAccess::of(ApiClient::new(&target.client)?);
            Ok(sessions::run(command, &server, out).await?)
        }
        Some(place) => {
            let store = StoredAccess::open(&place)?;
            let ran = sessions::run(command, &store, out).await;
            store.close_after(ran).await
        }
    }
}

/// A data directory or a database whose users, tokens and sessions are changed.
pub struct StoredAccess {
    store: Arc<LogStore>,
    clock: Arc<SystemClock>,
}

impl StoredAccess {
    /// Opens a directory that no server uses, or a database, whose nodes may go on.
    ///
    /// # Errors
    /// When there is no store in it, a server uses the directory, or it cannot be read.
    pub fn open(place: &StorageLocation) -> Result<StoredAccess, Failed> {
        let clock = Arc::new(SystemClock);
        let store = place.open_to_maintain(clock.clone())?;
        Ok(StoredAccess { store, clock })
    }

    /// Makes everything durable and closes the store, also after a command that has failed.
    async fn close_after(self, ran: Result<(), Failed>) -> Result<(), Failed> {
        let closed = self.store.close().await;
        ran?;
        Ok(closed?)
    }

    /// Events of these commands have no actor: whoever may write the store needs no permission of ours.
    async fn apply(&self, command: AccessCommand) -> Result<AccessApplied, Failed> {
        Ok(self.store.access(command, None).await?)
    }
}

impl From<AccessError> for Failed {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Refused(refusal) => refusal.to_string().into(),
            AccessError::Store(error) => error.into(),
        }
    }
}

fn hash(password: &Secret) -> Result<PasswordHash, Failed> {
    let limits = AccessLimits::default();
    PasswordHash::of(password, &limits).map_err(|problem| problem.to_string().into())
}

impl AccessClient for StoredAccess {
    type Error = Failed;

    async fn users(&self) -> Result<Vec<UserLine>, Failed> {
        let table = self.store.access_table();
        let table = table.borrow();
        Ok(table.users().map(|user| user_line(user)).collect())
    }

    async fn add_user(&self, name: &UserName, role: Role, password: &Secret) -> Result<(), Failed> {
        let password = hash(password)?;
        self.apply(AccessCommand::AddUser { name: name.clone(), password, role }).await.map(drop)
    }

    async fn change_user(&self, name: &UserName, edit: UserEdit) -> Result<(), Failed> {
        let name = name.clone();
        let command = match edit {
            UserEdit::Role(role) => AccessCommand::SetRole { name, role },
            UserEdit::Password(password) => {
                AccessCommand::SetPassword { name, password: hash(&password)?, replaces: None }
            }
            UserEdit::Disable => AccessCommand::DisableUser(name),
            UserEdit::Enable => AccessCommand::EnableUser(name),
        };
        self.apply(command).await.map(drop)
    }

    async fn delete_user(&self, name: &UserName) -> Result<(), Failed> {
        self.apply(AccessCommand::DeleteUser(name.clone())).await.map(drop)
    }

    async fn tokens(&self) -> Result<Vec<TokenLine>, Failed> {
        let table = self.store.access_table();
        let table = table.borrow();
        Ok(table.tokens().into_iter().map(|token| token_line(token)).collect())
    }

    async fn create_token(&self, request: TokenRequest) -> Result<CreatedToken, Failed> {
        let TokenRequest { name, role, expires, queues, kinds } = request;
        let (token, text) = NewToken::generate(name, role).map_err(|why| why.to_string())?;
        let token = NewToken {
            queues: Some(queues).filter(|queues| !queues.is_empty()),
            kinds: Some(kinds).filter(|kinds| !kinds.is_empty()),
            expires_at: expires.map(|after| self.clock.now().after(after)),
            ..token
        };
        match self.apply(AccessCommand::AddToken(token)).await? {
            AccessApplied::Token(token) => {
                Ok(CreatedToken { line: token_line(&token), token: text.expose().clone() })
            }
            AccessApplied::User(_)
            | AccessApplied::Session(_)
            | AccessApplied::Link(_)
            | AccessApplied::Closed(_)
            | AccessApplied::Touched => Err("the store sent an unexpected answer".into()),
        }
    }

    async fn revoke_token(&self, id: &str) -> Result<(), Failed> {
        let id = TokenId::stored(id).map_err(|why| why.to_string())?;
        self.apply(AccessCommand::RevokeToken(id)).await.map(drop)
    }

    async fn sessions(&self) -> Result<Vec<SessionLine>, Failed> {
        let (table, now) = (self.store.access_table(), self.clock.now());
        let table = table.borrow();
        let limits = AccessLimits::default();
        let open = table.sessions().into_iter();
        let open = open.filter(|session| table.scope_of(session, now, &limits).is_some());
        Ok(open.map(|session| session_line(session)).collect())
    }

    async fn revoke_session(&self, id: &SessionId) -> Result<(), Failed> {
        self.apply(AccessCommand::CloseSession(id.clone())).await.map(drop)
    }
}

fn user_line(user: &User) -> UserLine {
    UserLine {
        name: user.name.to_string(),
        role: user.role.to_string(),
        disabled: user.disabled,
        created_at: user.created_at.to_string(),
        changed_at: user.changed_at.to_string(),
    }
}

fn token_line(token: &Token) -> TokenLine {
    fn texts<T: ToString>(names: &Option<Vec<T>>) -> Option<Vec<String>> {
        names.as_ref().map(|names| names.iter().map(T::to_string).collect())
    }
    TokenLine {
        id: token.id.to_string(),
        name: token.name.to_string(),
        role: token.role.to_string(),
        queues: texts(&token.queues),
        kinds: texts(&token.kinds),
        created_at: token.created_at.to_string(),
        expires_at: token.expires_at.map(|at| at.to_string()),
        last_used_at: token.last_used_at.map(|at| at.to_string()),
        created_by: token.created_by.clone(),
    }
}

fn session_line(session: &Session) -> SessionLine {
    SessionLine {
        id: session.id.to_string(),
        of: session.who.actor(),
        client: session.client.to_string(),
        browser: session.browser.to_string(),
        created_at: session.created_at.to_string(),
        last_used_at: session.last_used_at.to_string(),
        expires_at: session.expires_at.to_string(),
        current: false,
    }
}
