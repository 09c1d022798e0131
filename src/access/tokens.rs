//! The rules for tokens.

use std::sync::Arc;

use super::command::{AccessApplied, AccessRefusal, AccessStep, NewToken};
use super::limits::AccessLimits;
use super::records::{AccessRecord, RevokedToken, SessionOwner, Token};
use super::table::AccessTable;
use crate::job::{AccessChange, AccessSubject, Actor, Time, TokenId, TokenName};

const TOKEN: &str = "token";
/// The most revoked tokens that are remembered.
const MAX_REVOKED: usize = 10_000;

impl AccessTable {
    pub(super) fn add_token(
        &mut self,
        new: NewToken,
        by: Option<&Actor>,
        now: Time,
        limits: &AccessLimits,
    ) -> Result<AccessStep, AccessRefusal> {
        let NewToken { id, secret, name, role, queues, kinds, expires_at } = new;
        let is_taken = name == TokenName::environment()
            || name == TokenName::in_process()
            || self.tokens.values().any(|token| token.name == name)
            || self.tokens.contains_key(&id)
            || self.revoked_tokens.contains_key(&id);
        if is_taken {
            return Err(AccessRefusal::Exists { what: TOKEN });
        }
        if self.tokens.len() >= limits.max_tokens {
            return Err(AccessRefusal::TooMany { what: TOKEN, limit: limits.max_tokens });
        }
        let token = Arc::new(Token {
            id,
            name,
            secret,
            role,
            queues,
            kinds,
            created_at: now,
            expires_at,
            last_used_at: None,
            created_by: by.cloned(),
        });
        let subject = AccessSubject::of_token(&token);
        let step = AccessStep::of(AccessApplied::Token(token.clone()))
            .event(subject, AccessChange::TokenAdded { role, expires_at });
        Ok(self.put_in(step, AccessRecord::Token(token)))
    }

    pub(super) fn revoke_token(
        &mut self,
        id: &TokenId,
        now: Time,
    ) -> Result<AccessStep, AccessRefusal> {
        let token = self.tokens.get(id).ok_or(AccessRefusal::NotFound { what: TOKEN })?.clone();
        let subject = AccessSubject::of_token(&token);
        let step = AccessStep::of(AccessApplied::Token(token.clone()))
            .event(subject, AccessChange::TokenRevoked);
        let revoked = RevokedToken { id: id.clone(), secret: token.secret, revoked_at: now };
        let step = self.remove_in(step, AccessRecord::Token(token));
        let step = self.forget_oldest_revoked(step);
        let step = self.put_in(step, AccessRecord::RevokedToken(revoked.into()));
        Ok(self.end_sessions(step, |session| match &session.who {
            SessionOwner::Token { id: of, .. } => of == id,
            SessionOwner::User(_) | SessionOwner::External { .. } | SessionOwner::Environment => {
                false
            }
        }))
    }

    /// Makes room for one more revoked token.
    fn forget_oldest_revoked(&mut self, step: AccessStep) -> AccessStep {
        if self.revoked_tokens.len() < MAX_REVOKED {
            return step;
        }
        let oldest = self.revoked_tokens.values().min_by_key(|token| token.revoked_at).cloned();
        match oldest {
            Some(oldest) => self.remove_in(step, AccessRecord::RevokedToken(oldest)),
            None => step,
        }
    }
}

impl AccessSubject {
    fn of_token(token: &Token) -> AccessSubject {
        AccessSubject::Token { id: token.id.clone(), name: token.name.clone() }
    }
}
