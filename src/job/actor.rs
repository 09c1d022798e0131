//! Who caused an event.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Invalid, LinkId, ScheduleName, TokenName, UserName};

/// Who caused an event. Events of the server itself and of attempts have no actor, and neither has anything that happens
/// while no authentication is configured.
///
/// Its text, such as `user:anna`, is what filters take; its JSON is `{"user":"anna"}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A person.
    User(UserName),
    /// A program with a token.
    Token(TokenName),
    /// A schedule, which created the job at its time.
    Schedule(ScheduleName),
    /// The holder of a share link.
    Link(LinkId),
}

impl Actor {
    /// What the actor is: `user`, `token`, `schedule` or `link`.
    pub fn kind(&self) -> &'static str {
        match self {
            Actor::User(_) => "user",
            Actor::Token(_) => "token",
            Actor::Schedule(_) => "schedule",
            Actor::Link(_) => "link",
        }
    }

    /// The name, or the id of a share link.
    pub fn name(&self) -> &str {
        match self {
            Actor::User(name) => name.as_str(),
            Actor::Token(name) => name.as_str(),
            Actor::Schedule(name) => name.as_str(),
            Actor::Link(id) => id.as_str(),
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.name())
    }
}

impl FromStr for Actor {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let accepted = "use user:NAME, token:NAME, schedule:NAME or link:ID";
        let refused = || Invalid::new("by", text, accepted);
        let (kind, name) = text.split_once(':').ok_or_else(refused)?;
        match kind {
            "user" => UserName::stored(name).map(Actor::User),
            "token" => TokenName::stored(name).map(Actor::Token),
            "schedule" => ScheduleName::stored(name).map(Actor::Schedule),
            "link" => LinkId::stored(name).map(Actor::Link),
            _ => return Err(refused()),
        }
        .map_err(|_| refused())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_survives_text_and_json() {
        for (text, json) in [
            ("user:anna@example.com", r#"{"user":"anna@example.com"}"#),
            ("token:ci:deploy", r#"{"token":"ci:deploy"}"#),
            ("schedule:nightly", r#"{"schedule":"nightly"}"#),
            ("link:2f9c", r#"{"link":"2f9c"}"#),
        ] {
            let actor: Actor = text.parse().unwrap();
            assert_eq!(actor.to_string(), text);
            assert_eq!(serde_json::to_string(&actor).unwrap(), json);
            assert_eq!(serde_json::from_str::<Actor>(json).unwrap(), actor);
        }
        for bad in ["", "anna", "user:", "user:a:b", "server:x", "user:a b", "schedule:"] {
            let error = bad.parse::<Actor>().unwrap_err();
            assert!(error.to_string().contains("user:NAME"), "{bad:?}: {error}");
        }
    }

    /// Every event has room for an actor, and most have none.
    #[test]
    fn an_actor_is_small() {
        assert!(size_of::<Option<Actor>>() <= 24);
    }
}
