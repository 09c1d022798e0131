//! The rules for sessions.

use std::sync::Arc;

use super::command::{AccessApplied, AccessRefusal, AccessStep, NewSession};
use super::limits::AccessLimits;
use super::records::{AccessRecord, Session, SessionOwner, Token};
use super::table::AccessTable;
use crate::job::shorten::shorten;
use crate::job::{AccessChange, AccessSubject, Actor, SessionId, Time, TokenId, UserName};

const SESSION: &str = "session";
/// The most bytes of what a browser calls itself.
const MAX_BROWSER: usize = 256;

impl Session {
    /// When the session ends because of its age, or because it is not used until then.
    fn ends_at(&self, limits: &AccessLimits) -> Time {
        self.expires_at.min(self.last_used_at.after(limits.session_idle))
    }

    /// Whether the session has ended because of its age, or because it was not used.
    pub fn is_expired(&self, now: Time, limits: &AccessLimits) -> bool {
        self.ends_at(limits) <= now
    }
}

impl AccessTable {
    /// When a session ends by itself: because of its age, because it is not used until then, or because the token that
    /// opened it expires.
    pub fn session_end(&self, session: &Session, limits: &AccessLimits) -> Time {
        let end = session.ends_at(limits);
        match &session.who {
            SessionOwner::Token { id, .. } => {
                let of_token = self.tokens.get(id).and_then(|token| token.expires_at);
                of_token.map_or(end, |of_token| of_token.min(end))
            }
            SessionOwner::User(_) | SessionOwner::External { .. } | SessionOwner::Environment => {
                end
            }
        }
    }

    pub(super) fn open_session(
        &mut self,
        new: NewSession,
        now: Time,
        limits: &AccessLimits,
    ) -> Result<AccessStep, AccessRefusal> {
        let NewSession { id, secret, who, credential, client, browser } = new;
        if self.sessions.contains_key(&id) {
            return Err(AccessRefusal::Exists { what: SESSION });
        }
        let session = Arc::new(Session {
            id,
            secret,
            who,
            credential,
            created_at: now,
            last_used_at: now,
            expires_at: now.after(limits.session_lifetime),
            client: shorten(&client, MAX_BROWSER).into(),
            browser: shorten(&browser, MAX_BROWSER).into(),
        });
        // The login was checked against an older table: its owner may be gone, or have another password.
        if self.scope_of(&session, now, limits).is_none() {
            return Err(AccessRefusal::NotFound { what: session.who.what() });
        }
        let expired = self.sessions_that(|other| other.is_expired(now, limits));
        let is_own = |other: &Session| other.who.is(&session.who) && !other.is_expired(now, limits);
        let mut own = self.sessions_that(is_own);
        own.sort_by(|a, b| a.last_used_at.cmp(&b.last_used_at).then(a.id.cmp(&b.id)));
        let surplus = (own.len() + 1).saturating_sub(limits.sessions_per_user.max(1));
        let left = self.sessions.len() - expired.len() - surplus;
        if left >= limits.max_sessions {
            return Err(AccessRefusal::TooMany { what: SESSION, limit: limits.max_sessions });
        }
        let mut step = AccessStep::of(AccessApplied::Session(session.clone()));
        for session in expired {
            step = self.remove_in(step, AccessRecord::Session(session));
        }
        for session in own.into_iter().take(surplus) {
            step = step.event(session.subject(), AccessChange::SessionClosed);
            step = self.remove_in(step, AccessRecord::Session(session));
        }
        let step = step.event(session.subject(), AccessChange::SessionOpened);
        Ok(self.put_in(step, AccessRecord::Session(session)))
    }

    pub(super) fn close_session(&mut self, id: &SessionId) -> Result<AccessStep, AccessRefusal> {
        let session = self.sessions.get(id).ok_or(AccessRefusal::NotFound { what: SESSION })?;
        let session = session.clone();
        let step = AccessStep::of(AccessApplied::Session(session.clone()))
            .event(session.subject(), AccessChange::SessionClosed);
        Ok(self.remove_in(step, AccessRecord::Session(session)))
    }

    pub(super) fn close_sessions_of(
        &mut self,
        name: &UserName,
    ) -> Result<AccessStep, AccessRefusal> {
        let of = Actor::User(name.clone());
        let sessions = self.sessions_that(|session| session.who.actor() == of);
        if sessions.is_empty() && !self.users.contains_key(name) {
            return Err(AccessRefusal::NotFound { what: "user" });
        }
        let mut step = AccessStep::of(AccessApplied::Closed(sessions.len()));
        for session in sessions {
            step = step.event(session.subject(), AccessChange::SessionClosed);
            step = self.remove_in(step, AccessRecord::Session(session));
        }
        Ok(step)
    }

    /// Records uses, and drops what has expired. Both need no event.
    pub(super) fn touch(
        &mut self,
        tokens: &[(TokenId, Time)],
        sessions: &[(SessionId, Time)],
        now: Time,
        limits: &AccessLimits,
    ) -> AccessStep {
        let mut step = AccessStep::of(AccessApplied::Touched);
        for (id, used) in tokens {
            let Some(token) = self.tokens.get(id) else { continue };
            if token.last_used_at.is_none_or(|last| last < *used) {
                let token = Token { last_used_at: Some(*used), ..Token::clone(token) };
                step = self.put_in(step, AccessRecord::Token(token.into()));
            }
        }
        for (id, used) in sessions {
            let Some(session) = self.sessions.get(id) else { continue };
            if session.last_used_at < *used {
                let session = Session { last_used_at: *used, ..Session::clone(session) };
                step = self.put_in(step, AccessRecord::Session(session.into()));
            }
        }
        step = self.end_sessions(step, |session| session.is_expired(now, limits));
        self.drop_expired_links(step, now)
    }

    /// Ends the sessions that meet a condition, without an event.
    pub(super) fn end_sessions(
        &mut self,
        mut step: AccessStep,
        is_over: impl Fn(&Session) -> bool,
    ) -> AccessStep {
        for session in self.sessions_that(is_over) {
            step = self.remove_in(step, AccessRecord::Session(session));
        }
        step
    }

    fn sessions_that(&self, is_wanted: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        self.sessions.values().filter(|session| is_wanted(session)).cloned().collect()
    }
}

impl Session {
    fn subject(&self) -> AccessSubject {
        AccessSubject::Session { id: self.id.clone(), of: self.who.actor() }
    }
}

impl SessionOwner {
    /// Whether two sessions have the same owner, whatever role another server gives it by now.
    fn is(&self, other: &SessionOwner) -> bool {
        match (self, other) {
            (SessionOwner::External { name, .. }, SessionOwner::External { name: other, .. }) => {
                name == other
            }
            (
                SessionOwner::User(_)
                | SessionOwner::Token { .. }
                | SessionOwner::External { .. }
                | SessionOwner::Environment,
                _,
            ) => self == other,
        }
    }

    /// What is missing when the owner of a new session is not there.
    fn what(&self) -> &'static str {
        match self {
            SessionOwner::User(_) | SessionOwner::External { .. } => "user",
            SessionOwner::Token { .. } | SessionOwner::Environment => "token",
        }
    }
}
