//! Checks the rows of users, tokens, sessions and share links against the last events about them. A record without a row is
//! no problem: it may have expired, or its events were imported from an export, which has no rows.

use std::collections::{BTreeMap, BTreeSet};

use super::report::Report;
use crate::access::AccessTable;
use crate::job::{AccessChange, AccessSubject, LinkId, Role, SessionId, TokenId, UserName};

/// What the events in the journal say.
#[derive(Default)]
pub(super) struct LastChanges {
    users: BTreeMap<UserName, LastOfUser>,
    /// Tokens, sessions and share links that were ended.
    tokens: BTreeSet<TokenId>,
    sessions: BTreeSet<SessionId>,
    links: BTreeSet<LinkId>,
}

/// What the events say about a user; `None` where they say nothing.
#[derive(Default)]
struct LastOfUser {
    exists: Option<Existence>,
    role: Option<Role>,
    state: Option<LoginState>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Existence {
    Added,
    Deleted,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LoginState {
    Enabled,
    Disabled,
}

impl LastChanges {
    pub(super) fn note(&mut self, subject: &AccessSubject, change: AccessChange) {
        match subject {
            AccessSubject::User(name) => self.users.entry(name.clone()).or_default().note(change),
            AccessSubject::Token { id, .. } => {
                note_end(&mut self.tokens, id, change, AccessChange::TokenRevoked);
            }
            AccessSubject::Session { id, .. } => {
                note_end(&mut self.sessions, id, change, AccessChange::SessionClosed);
            }
            AccessSubject::Link { id, .. } => {
                note_end(&mut self.links, id, change, AccessChange::LinkRevoked);
            }
        }
    }

    pub(super) fn check(&self, table: &AccessTable, report: &mut Report) {
        for (name, last) in &self.users {
            let key = format!("u {:?}", name.as_str());
            let Some(user) = table.user(name) else { continue };
            let state = if user.disabled { LoginState::Disabled } else { LoginState::Enabled };
            if last.exists == Some(Existence::Deleted) {
                report.problem(&key, "the journal says that the user was deleted");
            } else if last.role.is_some_and(|role| role != user.role)
                || last.state.is_some_and(|last| last != state)
            {
                report.problem(&key, "the row of the user and the journal disagree");
            }
        }
        for id in self.tokens.iter().filter(|id| table.token(id).is_some()) {
            report.problem(&format!("o {:?}", id.as_str()), "the token was revoked");
        }
        for id in self.sessions.iter().filter(|id| table.session(id).is_some()) {
            report.problem(&format!("x {:?}", id.as_str()), "the session was closed");
        }
        for id in self.links.iter().filter(|id| table.link(id).is_some()) {
            report.problem(&format!("l {:?}", id.as_str()), "the share link was revoked");
        }
    }
}

impl LastOfUser {
    fn note(&mut self, change: AccessChange) {
        match change {
            AccessChange::UserAdded { role } => {
                *self = LastOfUser {
                    exists: Some(Existence::Added),
                    role: Some(role),
                    state: Some(LoginState::Enabled),
                };
            }
            AccessChange::UserRoleSet { role } => self.role = Some(role),
            AccessChange::UserDisabled => self.state = Some(LoginState::Disabled),
            AccessChange::UserEnabled => self.state = Some(LoginState::Enabled),
            AccessChange::UserDeleted => self.exists = Some(Existence::Deleted),
            AccessChange::UserPasswordSet
            | AccessChange::TokenAdded { .. }
            | AccessChange::TokenRevoked
            | AccessChange::SessionOpened
            | AccessChange::SessionClosed
            | AccessChange::LinkAdded { .. }
            | AccessChange::LinkRevoked => {}
        }
    }
}

/// Notes whether the last change of a credential was its end.
fn note_end<T: Ord + Clone>(
    ended: &mut BTreeSet<T>,
    id: &T,
    change: AccessChange,
    end: AccessChange,
) {
    if change == end {
        ended.insert(id.clone());
    } else {
        ended.remove(id);
    }
}
