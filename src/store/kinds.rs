//! Commands about declared kinds, and the rules that apply them, which all stores share.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::StoreError;
use crate::job::{DeclaredKind, Fact, Kind, KindChange, KindOrigin, KindSpec, Time};

/// A command about declared kinds, from a person, a program or a worker.
#[derive(Debug, Clone)]
pub enum KindCommand {
    /// Declare a kind, or change what is declared. The same again changes nothing.
    Set(Kind, Box<KindSpec>),
    /// Declare those of these kinds that are not declared yet, all or none, because a worker runs them.
    Announce(Vec<Kind>),
    /// Delete the declaration of a kind. Its jobs stay and wait.
    Delete(Kind),
}

/// Why declared kinds were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KindError {
    /// No such kind is declared.
    #[error("no such kind is declared")]
    NotFound,
    /// There would be more declared kinds than the limit allows.
    #[error("the limit of {limit} declared kinds is reached")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The store could not do its work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The declared kinds of a store.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeclaredKinds(BTreeMap<Kind, Arc<DeclaredKind>>);

/// One change that a command makes.
#[derive(Debug, Clone, PartialEq)]
pub struct KindStep {
    /// The kind as it is now, or was before it was deleted.
    pub declared: Arc<DeclaredKind>,
    /// What happens to it.
    pub change: KindChange,
}

impl KindStep {
    /// The fact for the event.
    pub fn fact(&self) -> Fact {
        Fact::Kind { kind: self.declared.name.clone(), change: self.change }
    }
}

impl DeclaredKinds {
    /// The declaration of a kind.
    pub fn get(&self, kind: &Kind) -> Option<&Arc<DeclaredKind>> {
        self.0.get(kind)
    }

    /// All declared kinds by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<DeclaredKind>> {
        self.0.values()
    }

    /// The changes that a command makes at a time. It is cheap when there are none, because workers announce the same
    /// kinds again and again.
    pub fn steps(
        &self,
        command: KindCommand,
        now: Time,
        limit: usize,
    ) -> Result<Vec<KindStep>, KindError> {
        match command {
            KindCommand::Set(name, spec) => {
                let known = self.0.get(&name);
                if known.is_some_and(|it| it.origin == KindOrigin::Api && it.spec == *spec) {
                    return Ok(Vec::new());
                }
                self.check_room(usize::from(known.is_none()), limit)?;
                let declared =
                    DeclaredKind { name, spec: *spec, origin: KindOrigin::Api, set_at: now };
                Ok(vec![KindStep { declared: declared.into(), change: KindChange::Set }])
            }
            KindCommand::Announce(mut names) => {
                names.retain(|name| !self.0.contains_key(name));
                names.sort_unstable();
                names.dedup();
                self.check_room(names.len(), limit)?;
                let step = |name| {
                    let (spec, origin) = (KindSpec::default(), KindOrigin::Worker);
                    let declared = DeclaredKind { name, spec, origin, set_at: now };
                    KindStep { declared: declared.into(), change: KindChange::Announced }
                };
                Ok(names.into_iter().map(step).collect())
            }
            KindCommand::Delete(name) => {
                let declared = self.0.get(&name).cloned().ok_or(KindError::NotFound)?;
                Ok(vec![KindStep { declared, change: KindChange::Deleted }])
            }
        }
    }

    /// Makes a change.
    pub fn make(&mut self, step: &KindStep) {
        match step.change {
            KindChange::Set | KindChange::Announced => self.put(step.declared.clone()),
            KindChange::Deleted => drop(self.0.remove(&step.declared.name)),
        }
    }

    /// Adds a stored kind.
    pub fn put(&mut self, declared: Arc<DeclaredKind>) {
        self.0.insert(declared.name.clone(), declared);
    }

    fn check_room(&self, more: usize, limit: usize) -> Result<(), KindError> {
        // A command that adds nothing succeeds although the limit was lowered.
        if more > 0 && self.0.len().saturating_add(more) > limit {
            return Err(KindError::TooMany { limit });
        }
        Ok(())
    }
}
