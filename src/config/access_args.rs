//! The arguments of `cortado user`, `cortado token` and `cortado session`. Each works on a running server, on the data
//! directory of a stopped one, or on a database. No argument takes a password, because other users of the machine can see
//! arguments.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::client_args::ClientArgs;
use super::place_args;
use crate::job::{Kind, QueueName, Role, Secret, SessionId, TokenName, UserName};
use crate::store::location::StorageLocation;
use crate::units::parse_duration;

/// Where the users, tokens and sessions are.
#[derive(Debug, Clone, Args)]
pub struct AccessTarget {
    /// The server.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Use this data directory instead of a server; no server may be using it
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Use this PostgreSQL database instead of a server; its nodes may go on
    #[arg(long, value_name = "URL")]
    pub store: Option<Secret>,
}

impl AccessTarget {
    /// The directory or database, if it is not a server.
    ///
    /// # Errors
    /// Says what is wrong with the URL of a database.
    pub fn place(&self) -> Result<Option<StorageLocation>, String> {
        place_args::place_instead_of_server(self.data_dir.as_ref(), self.store.as_ref())
    }
}

/// Where a password comes from.
#[derive(Debug, Clone, Args)]
pub struct PasswordSource {
    /// Read the password from this file, or from standard input if it is `-`; without this, it is asked for on a terminal
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Generate a password and print it
    #[arg(long, conflicts_with = "password_file")]
    pub generate: bool,
}

/// What to do with users.
#[derive(Debug, Clone, Args)]
pub struct UserArgs {
    /// The command.
    #[command(subcommand)]
    pub command: UserCommand,
}

/// The commands about users.
#[derive(Debug, Clone, Subcommand)]
pub enum UserCommand {
    /// Add a user; asks for the password
    Add {
        /// Name of the user
        #[arg(value_name = "NAME")]
        name: UserName,
        /// Role: viewer, submitter, operator or admin
        #[arg(long, value_name = "ROLE")]
        role: Role,
        /// The password.
        #[command(flatten)]
        password: PasswordSource,
        /// The server, directory or database.
        #[command(flatten)]
        target: AccessTarget,
    },
    /// List all users
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The server, directory or database.
        #[command(flatten)]
        target: AccessTarget,
    },
    /// Give a user another role, which takes effect at once
    SetRole {
        /// Name of the user
        #[arg(value_name = "NAME")]
        name: UserName,
        /// Role: viewer, submitter, operator or admin
        #[arg(value_name = "ROLE")]
        role: Role,
        /// The server, directory or database.
        #[command(flatten)]
        target: AccessTarget,
    },
    /// Set the password of a user, which ends all sessions of the user; asks for the password
    SetPassword {
        /// Name of the user
        #[arg(value_name = "NAME")]
        name: UserName,
        /// The password.
        #[command(flatten)]
        password: PasswordSource,
        /// The server, directory or database.
        #[command(flatten)]
        target: AccessTarget,
    },
    /// Disable a user, who cannot log in until enabled again; ends all sessions of the user
    Disable {
        /// Name of the user
        #[arg(value_name = "NAME")]
        name: UserName,
        /// The server, directory or database.
        #[command(flatten)]
        target: AccessTarget,
    },
    /// Enable a user who was disabled
    Enable {
        /// Name of the user
        #[arg(value_name = "NAME")]
        name: UserName,
        /// The server, directory or database.
        #[command(flatten)]
        target: AccessTarget,
    },
    /// Delete a user, which ends all sessions of the user
    Delete {
        /// Name of the user
        #[arg(value_name = "NAME")]
        name: UserName,
        /// The server, directory or database.
        #[command(flatten)]
        target: AccessTarget,
    },
}

impl UserCommand {
    /// The server, directory or database that the command works on.
    pub fn target(&self) -> &AccessTarget {
        match self {
            UserCommand::Add { target, .. }
            | UserCommand::List { target, .. }
            | UserCommand::SetRole { target, .. }
            | UserCommand::SetPassword { target, .. }
            | UserCommand::Disable { target, .. }
            | UserCommand::Enable { target, .. }
            | UserCommand::Delete { target, .. } => target,
        }
    }
}

/// What to do with tokens.
#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    /// The command.
    #[command(subcommand)]
    pub command: TokenCommand,
}

/// The commands about tokens.
#[derive(Debug, Clone, Subcommand)]
pub enum TokenCommand {
    /// Create a token and print it; it cannot be shown again
    Create {
        /// Name of the token: the program that uses it
        #[arg(value_name = "NAME")]
        name: TokenName,
        /// Role: viewer, submitter, worker, operator or admin
        #[arg(long, value_name = "ROLE")]
        role: Role,
        /// Expire after this time, such as 90d [default: never]
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        expires: Option<Duration>,
        /// Restrict the token to jobs of this queue (repeatable)
        #[arg(long, value_name = "QUEUE")]
        queue: Vec<QueueName>,
        /// Restrict the token to jobs of this kind (repeatable)
        #[arg(long, value_name = "KIND")]
        kind: Vec<Kind>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The server, directory or database.
        #[command(flatten)]
        target: AccessTarget,
    },
    /// List all tokens, without their secrets
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The server, directory or database.
        #[command(flatten)]
        target: AccessTarget,
    },
    /// Revoke a token, which is refused from then on
    Revoke {
        /// Name or id of the token
        #[arg(value_name = "TOKEN")]
        token: TokenName,
        /// The server, directory or database.
        #[command(flatten)]
        target: AccessTarget,
    },
}

impl TokenCommand {
    /// The server, directory or database that the command works on.
    pub fn target(&self) -> &AccessTarget {
        match self {
            TokenCommand::Create { target, .. }
            | TokenCommand::List { target, .. }
            | TokenCommand::Revoke { target, .. } => target,
        }
    }
}

/// What to do with sessions.
#[derive(Debug, Clone, Args)]
pub struct SessionArgs {
    /// The command.
    #[command(subcommand)]
    pub command: SessionCommand,
}

/// The commands about the sessions of browsers.
#[derive(Debug, Clone, Subcommand)]
pub enum SessionCommand {
    /// List the open sessions
    List {
        /// Only sessions of this user
        #[arg(long, value_name = "NAME")]
        user: Option<UserName>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The server, directory or database.
        #[command(flatten)]
        target: AccessTarget,
    },
    /// Revoke a session, or all sessions of a user
    #[command(group = clap::ArgGroup::new("which").required(true).args(["id", "user"]))]
    Revoke {
        /// Id of the session
        #[arg(value_name = "ID")]
        id: Option<SessionId>,
        /// All sessions of this user
        #[arg(long, value_name = "NAME")]
        user: Option<UserName>,
        /// The server, directory or database.
        #[command(flatten)]
        target: AccessTarget,
    },
}

impl SessionCommand {
    /// The server, directory or database that the command works on.
    pub fn target(&self) -> &AccessTarget {
        match self {
            SessionCommand::List { target, .. } | SessionCommand::Revoke { target, .. } => target,
        }
    }
}
