//! Commands about declared kinds, applied to a group.

use std::sync::Arc;

use super::group::CommitGroup;
use crate::job::{Actor, KindChange};
use crate::store::log_store::journal::named_rows;
use crate::store::{KindCommand, KindError};

impl CommitGroup<'_> {
    /// Executes a command in the name of an actor.
    pub fn kind(&mut self, command: KindCommand, by: Option<Actor>) -> Result<(), KindError> {
        let limit = self.core.shared.limits.max_kinds;
        let steps = self.core.kinds.steps(command, self.now, limit)?;
        for step in &steps {
            self.in_the_name_of(by.clone(), |group| group.event(step.fact()))?;
            let (writes, lengths) = (&mut self.writes, &mut self.core.rows);
            match step.change {
                KindChange::Set | KindChange::Announced => {
                    named_rows::put(writes, lengths, &*step.declared)?;
                }
                KindChange::Deleted => named_rows::remove(writes, lengths, &*step.declared),
            }
            // Readers have the table of the last durable group, so this one is changed in a copy.
            Arc::make_mut(&mut self.core.kinds).make(step);
        }
        self.kinds_changed |= !steps.is_empty();
        Ok(())
    }
}
