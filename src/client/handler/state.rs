//! Values that handlers share, such as connection pools: they are found by their type.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;

use crate::client::Client;

/// An argument of a handler function: a clone of the value of this type that the builder or the worker was given with
/// `.state(…)`.
///
/// ```
/// use cortado::client::{Context, HandlerError, State};
///
/// #[derive(Clone)]
/// struct Pool;
///
/// async fn resize(context: Context, width: u32, State(pool): State<Pool>) -> Result<u32, HandlerError> {
///     Ok(width)
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State<T>(pub T);

/// The values, by type.
#[derive(Default)]
pub struct States(HashMap<TypeId, Box<dyn Any + Send + Sync>>);

/// A handler needs a value that was not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingState {
    type_name: &'static str,
}

impl States {
    /// Adds a value. It replaces an earlier one of the same type.
    pub fn add<T: Clone + Send + Sync + 'static>(&mut self, value: T) {
        self.0.insert(TypeId::of::<T>(), Box::new(value));
    }

    /// The value of a type.
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// A clone of the value of a type.
    ///
    /// # Errors
    /// There is none.
    pub fn cloned<T: Clone + 'static>(&self) -> Result<T, MissingState> {
        self.get::<T>().cloned().ok_or(MissingState { type_name: type_name::<T>() })
    }
}

impl MissingState {
    /// What is wrong with the handler of a kind.
    pub fn of_kind(&self, kind: &str) -> String {
        let needed = without_paths(self.type_name);
        format!("the handler of kind {kind} needs a State<{needed}>, add it with .state(…)")
    }
}

/// What all handlers of a server or worker share.
pub struct Surroundings {
    /// The values for their arguments.
    pub states: States,
    /// The client of the server.
    pub client: Client,
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} states", self.0.len())
    }
}

/// The name of a type as it is written where its parts are imported.
fn without_paths(name: &str) -> String {
    let mut short = String::new();
    for part in name.split_inclusive(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | ':')) {
        short.push_str(part.rsplit("::").next().unwrap_or(part));
    }
    short
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_state_is_found_by_its_type_and_the_last_of_a_type_counts() {
        let mut states = States::default();
        states.add(1_u32);
        states.add("pool".to_owned());
        states.add(2_u32);
        assert_eq!((states.get::<u32>(), states.cloned::<String>()), (Some(&2), Ok("pool".into())));
        assert_eq!(states.get::<u64>(), None);
    }

    #[test]
    fn a_missing_state_is_named_as_in_the_program() {
        let missing = States::default().cloned::<Arc<Vec<Option<State<u8>>>>>().unwrap_err();
        let text = "the handler of kind resize needs a State<Arc<Vec<Option<State<u8>>>>>, add it with .state(…)";
        assert_eq!(missing.of_kind("resize"), text);
        let pair = States::default().cloned::<(String, &'static str)>().unwrap_err();
        assert!(pair.of_kind("x").contains("State<(String, &str)>"), "{}", pair.of_kind("x"));
    }
}
