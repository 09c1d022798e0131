//! The rules for share links.

use std::sync::Arc;

use super::command::{AccessApplied, AccessRefusal, AccessStep, NewLink};
use super::limits::AccessLimits;
use super::records::{AccessRecord, ShareLink};
use super::table::AccessTable;
use crate::job::{AccessChange, AccessSubject, Actor, LinkId, Time};

const LINK: &str = "share link";

impl AccessTable {
    pub(super) fn add_link(
        &mut self,
        new: NewLink,
        by: Option<&Actor>,
        now: Time,
        limits: &AccessLimits,
    ) -> Result<AccessStep, AccessRefusal> {
        let NewLink { id, subject, expires_at } = new;
        if self.links.contains_key(&id) {
            return Err(AccessRefusal::Exists { what: LINK });
        }
        let live = self.links.values().filter(|link| !link.is_expired(now)).count();
        if live >= limits.max_links {
            return Err(AccessRefusal::TooMany { what: LINK, limit: limits.max_links });
        }
        let created_by = by.cloned();
        let link = Arc::new(ShareLink { id, subject, created_at: now, expires_at, created_by });
        let step = AccessStep::of(AccessApplied::Link(link.clone()));
        let step = self.drop_expired_links(step, now);
        self.put(AccessRecord::Link(link.clone()));
        let subject = link.as_subject();
        Ok(step
            .put(AccessRecord::Link(link))
            .event(subject, AccessChange::LinkAdded { expires_at }))
    }

    pub(super) fn revoke_link(&mut self, id: &LinkId) -> Result<AccessStep, AccessRefusal> {
        let link = self.links.get(id).ok_or(AccessRefusal::NotFound { what: LINK })?.clone();
        let record = AccessRecord::Link(link.clone());
        self.remove(&record);
        let subject = link.as_subject();
        Ok(AccessStep::of(AccessApplied::Link(link))
            .remove(record)
            .event(subject, AccessChange::LinkRevoked))
    }

    /// Drops links that have expired, which nobody can use, without an event.
    pub(super) fn drop_expired_links(&mut self, mut step: AccessStep, now: Time) -> AccessStep {
        let expired: Vec<Arc<ShareLink>> =
            self.links.values().filter(|link| link.is_expired(now)).cloned().collect();
        for link in expired {
            let record = AccessRecord::Link(link);
            self.remove(&record);
            step = step.remove(record);
        }
        step
    }
}

impl ShareLink {
    fn as_subject(&self) -> AccessSubject {
        AccessSubject::Link { id: self.id.clone(), to: self.subject.clone() }
    }
}
