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
    /// Whether the session has ended because of its age, or because it was not used.
    pub fn is_expired(&self, now: Time, limits: &AccessLimits) -> bool {
        self.expires_at <= now || self.last_used_at.after(limits.session_idle) <= now
    }
}

impl AccessTable {
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
        let expired = self.expired_sessions(now, limits);
        let mut own: Vec<Arc<Session>> = self.sessions.values().cloned().collect();
        own.retain(|other| other.who.is(&session.who) && !other.is_expired(now, limits));
        own.sort_by(|a, b| a.last_used_at.cmp(&b.last_used_at).then(a.id.cmp(&b.id)));
        let surplus = (own.len() + 1).saturating_sub(limits.sessions_per_user.max(1));
        let left = self.sessions.len() - expired.len() - surplus;
        if left >= limits.max_sessions {
            return Err(AccessRefusal::TooMany { what: SESSION, limit: limits.max_sessions });
        }
        let mut step = AccessStep::of(AccessApplied::Session(session.clone()));
        for session in expired {
            step = self.remove_session(step, session);
        }
        for session in own.into_iter().take(surplus) {
            step = step.event(session.subject(), AccessChange::SessionClosed);
            step = self.remove_session(step, session);
        }
        self.put(AccessRecord::Session(session.clone()));
        let subject = session.subject();
        Ok(step.put(AccessRecord::Session(session)).event(subject, AccessChange::SessionOpened))
    }

    pub(super) fn close_session(&mut self, id: &SessionId) -> Result<AccessStep, AccessRefusal> {
        let session = self.sessions.get(id).ok_or(AccessRefusal::NotFound { what: SESSION })?;
        let session = session.clone();
        let step = AccessStep::of(AccessApplied::Session(session.clone()))
            .event(session.subject(), AccessChange::SessionClosed);
        Ok(self.remove_session(step, session))
    }

    pub(super) fn close_sessions_of(
        &mut self,
        name: &UserName,
    ) -> Result<AccessStep, AccessRefusal> {
        let of = Actor::User(name.clone());
        let mut sessions: Vec<Arc<Session>> = self.sessions.values().cloned().collect();
        sessions.retain(|session| session.who.actor() == of);
        if sessions.is_empty() && !self.users.contains_key(name) {
            return Err(AccessRefusal::NotFound { what: "user" });
        }
        let mut step = AccessStep::of(AccessApplied::Closed(sessions.len()));
        for session in sessions {
            step = step.event(session.subject(), AccessChange::SessionClosed);
            step = self.remove_session(step, session);
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
                let record = AccessRecord::Token(token.into());
                self.put(record.clone());
                step = step.put(record);
            }
        }
        for (id, used) in sessions {
            let Some(session) = self.sessions.get(id) else { continue };
            if session.last_used_at < *used {
                let session = Session { last_used_at: *used, ..Session::clone(session) };
                let record = AccessRecord::Session(session.into());
                self.put(record.clone());
                step = step.put(record);
            }
        }
        for session in self.expired_sessions(now, limits) {
            step = self.remove_session(step, session);
        }
        self.drop_expired_links(step, now)
    }

    /// Ends the sessions that meet a condition, without an event.
    pub(super) fn end_sessions(
        &mut self,
        mut step: AccessStep,
        is_over: impl Fn(&Session) -> bool,
    ) -> AccessStep {
        let over: Vec<Arc<Session>> =
            self.sessions.values().filter(|session| is_over(session)).cloned().collect();
        for session in over {
            step = self.remove_session(step, session);
        }
        step
    }

    fn expired_sessions(&self, now: Time, limits: &AccessLimits) -> Vec<Arc<Session>> {
        let sessions = self.sessions.values();
        sessions.filter(|session| session.is_expired(now, limits)).cloned().collect()
    }

    fn remove_session(&mut self, step: AccessStep, session: Arc<Session>) -> AccessStep {
        let record = AccessRecord::Session(session);
        self.remove(&record);
        step.remove(record)
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
