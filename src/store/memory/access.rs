//! Commands about users, tokens, sessions and share links.

use std::sync::Arc;

use super::content::Content;
use crate::access::{AccessApplied, AccessCommand, AccessStep};
use crate::job::{Actor, Time};
use crate::store::AccessError;

impl Content {
    pub(super) fn change_access(
        &mut self,
        now: Time,
        command: AccessCommand,
        by: Option<&Actor>,
    ) -> Result<AccessApplied, AccessError> {
        let limits = self.limits.access;
        let table = Arc::make_mut(&mut self.access);
        let AccessStep { applied, changes: _, records: _ } =
            table.apply(command, by, now, &limits)?;
        Ok(applied)
    }
}
