//! The rules for share links, and the signature that makes the address of one.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::command::{AccessApplied, AccessRefusal, AccessStep, NewLink};
use super::limits::AccessLimits;
use super::records::{AccessRecord, ShareLink};
use super::table::AccessTable;
use crate::job::{AccessChange, AccessSubject, Actor, LinkId, LinkSubject, Time};

const LINK: &str = "share link";

/// What is checked in the place of the message of a link that does not exist.
const NOTHING: &[u8] =
    b"cortado share link\n0000000000000000\njob\n00000000-0000-0000-0000-000000000000\n0";

impl AccessTable {
    pub(super) fn add_link(
        &mut self,
        new: NewLink,
        by: Option<&Actor>,
        now: Time,
        limits: &AccessLimits,
    ) -> Result<AccessStep, AccessRefusal> {
        let NewLink { id, subject, payload, expires_at } = new;
        if self.links.contains_key(&id) {
            return Err(AccessRefusal::Exists { what: LINK });
        }
        let live = self.links.values().filter(|link| !link.is_expired(now)).count();
        if live >= limits.max_links {
            return Err(AccessRefusal::TooMany { what: LINK, limit: limits.max_links });
        }
        let created_by = by.cloned();
        let link =
            Arc::new(ShareLink { id, subject, payload, created_at: now, expires_at, created_by });
        let step = AccessStep::of(AccessApplied::Link(link.clone()));
        let step = self.drop_expired_links(step, now);
        let step = step.event(link.as_subject(), AccessChange::LinkAdded { expires_at });
        Ok(self.put_in(step, AccessRecord::Link(link)))
    }

    pub(super) fn revoke_link(&mut self, id: &LinkId) -> Result<AccessStep, AccessRefusal> {
        let link = self.links.get(id).ok_or(AccessRefusal::NotFound { what: LINK })?.clone();
        let step = AccessStep::of(AccessApplied::Link(link.clone()))
            .event(link.as_subject(), AccessChange::LinkRevoked);
        Ok(self.remove_in(step, AccessRecord::Link(link)))
    }

    /// Drops links that have expired, which nobody can use, without an event.
    pub(super) fn drop_expired_links(&mut self, mut step: AccessStep, now: Time) -> AccessStep {
        let expired: Vec<Arc<ShareLink>> =
            self.links.values().filter(|link| link.is_expired(now)).cloned().collect();
        for link in expired {
            step = self.remove_in(step, AccessRecord::Link(link));
        }
        step
    }
}

impl AccessTable {
    /// The text that opens a link, as it is in the address: the id and the signature. `None` if the table has no key.
    pub fn link_text(&self, link: &ShareLink) -> Option<String> {
        let signature = self.signing_key()?.sign(&link.signed_message());
        Some(format!("{}.{}", link.id, URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The link that a text opens; `None` if it is unknown, was revoked, has expired, or if the signature is wrong. Each
    /// takes the same work.
    pub fn live_link(&self, text: &str, now: Time) -> Option<&Arc<ShareLink>> {
        let (id, signature) = text.rsplit_once('.').unwrap_or_default();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        let link = LinkId::stored(id).ok().and_then(|id| self.links.get(&id));
        let message = link.map_or_else(|| NOTHING.into(), |link| link.signed_message());
        let is_signed = self.signing_key().is_some_and(|key| key.verify(&message, &signature));
        link.filter(|link| is_signed && !link.is_expired(now))
    }
}

impl ShareLink {
    /// What is signed: everything that a link promises. The first line keeps the signature from being one of another message.
    fn signed_message(&self) -> Vec<u8> {
        let (kind, subject) = match &self.subject {
            LinkSubject::Job(id) => ("job", id.to_string()),
            LinkSubject::Queue(queue) => ("queue", queue.to_string()),
        };
        let (id, expires) = (self.id.as_str(), self.expires_at.millis());
        format!("cortado share link\n{id}\n{kind}\n{subject}\n{expires}").into_bytes()
    }

    fn as_subject(&self) -> AccessSubject {
        AccessSubject::Link { id: self.id.clone(), to: self.subject.clone() }
    }
}
