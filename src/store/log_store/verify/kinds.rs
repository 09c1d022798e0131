//! Checks the rows of declared kinds against the last events about them.

use std::collections::BTreeMap;

use super::report::Report;
use crate::job::{Kind, KindChange, KindOrigin};
use crate::store::kinds::DeclaredKinds;

/// What the events in the journal say about each kind.
#[derive(Default)]
pub(super) struct LastKindChanges(BTreeMap<Kind, KindChange>);

impl LastKindChanges {
    pub(super) fn note(&mut self, kind: &Kind, change: KindChange) {
        self.0.insert(kind.clone(), change);
    }

    pub(super) fn check(&self, rows: &DeclaredKinds, report: &mut Report) {
        for (kind, change) in &self.0 {
            let expected = match change {
                KindChange::Set => Some(KindOrigin::Api),
                KindChange::Announced => Some(KindOrigin::Worker),
                KindChange::Deleted => None,
            };
            if rows.get(kind).map(|declared| declared.origin) != expected {
                let key = format!("d {:?}", kind.as_str());
                report.problem(&key, "the row of the declared kind and the journal disagree");
            }
        }
    }
}
