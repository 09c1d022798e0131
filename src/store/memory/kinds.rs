//! Commands about declared kinds.

use std::sync::Arc;

use super::content::Content;
use crate::job::{Actor, Time};
use crate::store::{KindCommand, KindError};

impl Content {
    pub(super) fn change_kinds(
        &mut self,
        now: Time,
        command: KindCommand,
        by: Option<Actor>,
    ) -> Result<(), KindError> {
        for step in self.kinds.steps(command, now, self.limits.max_kinds)? {
            self.in_the_name_of(by.clone(), |content| content.append(now, step.fact()));
            Arc::make_mut(&mut self.kinds).make(&step);
        }
        Ok(())
    }
}
