//! The kinds of which jobs can be submitted: those that this process has handlers for, those of the configuration, and those
//! that were declared at run time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;

use super::{KindInfo, PayloadError, Registry};
use crate::job::shorten::{MAX_ERRORS, first_few};
use crate::job::{DeclaredKind, Json, Kind, KindDefaults, KindOrigin, KindSpec, RetryPolicy};
use crate::store::DeclaredKinds;

/// What the configuration says about kinds.
pub type ConfiguredKinds = BTreeMap<Kind, KindSpec>;

/// All known kinds. It is cheap to clone and to read, and always up to date.
#[derive(Clone)]
pub struct Kinds {
    registry: Arc<Registry>,
    configured: Arc<ConfiguredKinds>,
    declared: watch::Receiver<Arc<DeclaredKinds>>,
}

/// Who says that a kind exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KindSource {
    /// This process has a handler for it.
    BuiltIn,
    /// The configuration declares it.
    Config,
    /// It was declared through the API.
    Api,
    /// A worker announced it.
    Worker,
}

/// A kind of which jobs can be submitted.
#[derive(Debug, Clone)]
pub struct KnownKind {
    /// The description of the kind.
    pub info: KindInfo,
    /// Who says that it exists.
    pub source: KindSource,
    /// The options of its jobs where a submission does not say.
    pub defaults: KindDefaults,
}

impl KindSource {
    /// Returns the public name.
    pub fn as_str(self) -> &'static str {
        match self {
            KindSource::BuiltIn => "built_in",
            KindSource::Config => "config",
            KindSource::Api => "api",
            KindSource::Worker => "worker",
        }
    }
}

impl From<KindOrigin> for KindSource {
    fn from(origin: KindOrigin) -> KindSource {
        match origin {
            KindOrigin::Api => KindSource::Api,
            KindOrigin::Worker => KindSource::Worker,
        }
    }
}

impl KnownKind {
    fn of_spec(kind: &Kind, spec: &KindSpec, source: KindSource) -> KnownKind {
        let KindSpec { about, example, schema, defaults } = spec;
        let plain = KindInfo::plain(kind.clone());
        let info = KindInfo {
            about: about.as_deref().map_or(plain.about, ToOwned::to_owned),
            example: example.clone().unwrap_or(plain.example),
            schema: schema.clone(),
            kind: plain.kind,
        };
        KnownKind { info, source, defaults: defaults.clone() }
    }

    /// The retry policy of its jobs when the submission does not say.
    pub fn retry(&self) -> RetryPolicy {
        self.defaults.retry(self.info.kind.as_str())
    }
}

impl Default for Kinds {
    /// No kinds at all.
    fn default() -> Kinds {
        Kinds::of_program(Arc::default(), Arc::default())
    }
}

impl Kinds {
    /// The kinds that a program has before its store is open.
    pub fn of_program(registry: Arc<Registry>, configured: Arc<ConfiguredKinds>) -> Kinds {
        let (_, declared) = watch::channel(Arc::default());
        Kinds { registry, configured, declared }
    }

    /// The same together with those that are declared in a store.
    #[must_use]
    pub fn with_declared(self, declared: watch::Receiver<Arc<DeclaredKinds>>) -> Kinds {
        Kinds { declared, ..self }
    }

    /// Looks up a kind.
    pub fn find(&self, kind: &Kind) -> Option<KnownKind> {
        let configured = self.configured.get(kind);
        if let Some(info) = self.registry.info(kind) {
            let defaults = configured.map(|spec| spec.defaults.clone()).unwrap_or_default();
            return Some(KnownKind { info: info.clone(), source: KindSource::BuiltIn, defaults });
        }
        if let Some(spec) = configured {
            return Some(KnownKind::of_spec(kind, spec, KindSource::Config));
        }
        self.declared(kind).map(|it| KnownKind::of_spec(kind, &it.spec, it.origin.into()))
    }

    /// All kinds by name.
    pub fn all(&self) -> Vec<KnownKind> {
        self.names().iter().filter_map(|kind| self.find(kind)).collect()
    }

    /// The names of all kinds.
    pub fn names(&self) -> BTreeSet<Kind> {
        let declared = self.declared.borrow().clone();
        let own = self.registry.kinds().into_iter().map(|info| &info.kind);
        let others = self.configured.keys().chain(declared.iter().map(|kind| &kind.name));
        own.chain(others).cloned().collect()
    }

    /// The kinds that this process runs.
    pub fn own(&self) -> Vec<Kind> {
        self.names().into_iter().filter(|kind| self.has_handler(kind)).collect()
    }

    /// Whether jobs of this kind can be submitted.
    pub fn knows(&self, kind: &Kind) -> bool {
        self.has_handler(kind)
            || self.configured.contains_key(kind)
            || self.declared(kind).is_some()
    }

    /// Whether this process has a handler for the kind.
    pub fn has_handler(&self, kind: &Kind) -> bool {
        self.registry.knows(kind)
    }

    /// Whether the configuration declares the kind. For a kind with a handler, it only sets the defaults.
    pub fn is_configured(&self, kind: &Kind) -> bool {
        self.configured.contains_key(kind)
    }

    /// The options of the jobs of a kind where a submission does not say.
    pub fn defaults(&self, kind: &Kind) -> KindDefaults {
        if let Some(spec) = self.configured.get(kind) {
            return spec.defaults.clone();
        }
        if self.has_handler(kind) {
            return KindDefaults::default();
        }
        self.declared(kind).map(|declared| declared.spec.defaults.clone()).unwrap_or_default()
    }

    /// Refuses unknown kinds, payloads that do not match the schema of their kind, and those with which its handler could
    /// never succeed.
    pub(crate) fn check(&self, kind: &Kind, payload: &Json) -> Result<(), PayloadError> {
        let wrong = match self.registry.violations(kind, payload) {
            Some(wrong) => wrong,
            None => {
                let schema = match self.configured.get(kind) {
                    Some(spec) => spec.schema.clone(),
                    None => match self.declared(kind) {
                        Some(declared) => declared.spec.schema.clone(),
                        None => return Err(self.unknown(kind)),
                    },
                };
                schema.map(|schema| schema.check(payload)).unwrap_or_default()
            }
        };
        if wrong.is_empty() {
            return Ok(());
        }
        Err(PayloadError::Invalid { kind: kind.clone(), at: None, wrong })
    }

    fn declared(&self, kind: &Kind) -> Option<Arc<DeclaredKind>> {
        self.declared.borrow().get(kind).cloned()
    }

    fn unknown(&self, kind: &Kind) -> PayloadError {
        let names = self.names();
        let known = first_few(names.iter().map(Kind::as_str), MAX_ERRORS, ", ");
        PayloadError::UnknownKind { kind: kind.clone(), known, at: None }
    }
}
