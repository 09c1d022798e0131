//! Commands about users, tokens, sessions and share links, applied to a group.

use std::sync::Arc;

use super::group::CommitGroup;
use crate::access::{AccessApplied, AccessCommand, AccessStep};
use crate::job::{Actor, Fact};
use crate::store::AccessError;
use crate::store::log_store::journal::access_rows;

impl CommitGroup<'_> {
    /// Executes a command in the name of an actor.
    pub fn access(
        &mut self,
        command: AccessCommand,
        by: Option<Actor>,
    ) -> Result<AccessApplied, AccessError> {
        let limits = self.core.shared.limits.access;
        // Readers have the table of the last durable group, so this one is changed in a copy.
        let table = Arc::make_mut(&mut self.core.access);
        let step = table.apply(command, by.as_ref(), self.now, &limits)?;
        let AccessStep { applied, changes, records } = step;
        self.in_the_name_of(by, |group| {
            changes.into_iter().try_for_each(|(subject, change)| {
                group.event(Fact::Access { subject, change }).map(drop)
            })
        })?;
        for change in &records {
            access_rows::write(&mut self.writes, &mut self.core.rows, change)?;
        }
        self.access_changed |= !records.is_empty();
        Ok(applied)
    }
}
