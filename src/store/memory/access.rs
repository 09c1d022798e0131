//! Commands about users, tokens, sessions and share links.

use std::sync::Arc;

use super::content::Content;
use crate::access::{AccessApplied, AccessCommand, AccessStep};
use crate::job::{Actor, Fact, Time};
use crate::store::AccessError;

impl Content {
    pub(super) fn change_access(
        &mut self,
        now: Time,
        command: AccessCommand,
        by: Option<Actor>,
    ) -> Result<AccessApplied, AccessError> {
        let limits = self.limits.access;
        let table = Arc::make_mut(&mut self.access);
        let step = table.apply(command, by.as_ref(), now, &limits)?;
        let AccessStep { applied, changes, records: _ } = step;
        self.in_the_name_of(by, |content| {
            for (subject, change) in changes {
                content.append(now, Fact::Access { subject, change });
            }
        });
        Ok(applied)
    }
}
