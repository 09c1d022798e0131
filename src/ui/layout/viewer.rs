//! Who looks at a page: their name, and what they may do. A page shows no button that the server would refuse.

use crate::http::access::Principal;
use crate::job::Role;

/// The person for whom a page is rendered.
#[derive(Debug, Clone)]
pub enum Viewer {
    /// Somebody whom the server does not ask who they are, because it has no users and no token. They may do everything.
    Anybody,
    /// Somebody who has not logged in, or whom an error page does not know. They get no buttons.
    Unknown,
    /// Somebody who is logged in.
    Known {
        /// The name, as the layout shows it.
        name: String,
        /// What they may do.
        role: Role,
        /// Whether they have a session, which a button ends. A proxy or the browser itself logs in the others.
        has_session: bool,
    },
    /// Somebody who looks at an earlier moment. Nothing acts on it, so they get no buttons.
    OfThePast {
        /// The name, if they are logged in.
        name: Option<String>,
        /// What they may do on pages of the present.
        role: Option<Role>,
    },
}

impl Viewer {
    /// The person who sends a request.
    pub fn of(principal: Option<&Principal>) -> Viewer {
        match principal {
            None => Viewer::Anybody,
            Some(principal) => Viewer::Known {
                name: principal.actor.name().to_owned(),
                role: principal.role(),
                has_session: principal.session().is_some(),
            },
        }
    }

    /// The same person on the page of an earlier moment.
    pub fn of_the_past(&self) -> Viewer {
        Viewer::OfThePast { name: self.name().map(str::to_owned), role: self.role() }
    }

    /// The name; `None` when nobody is logged in.
    pub fn name(&self) -> Option<&str> {
        match self {
            Viewer::Known { name, .. } => Some(name),
            Viewer::OfThePast { name, .. } => name.as_deref(),
            Viewer::Anybody | Viewer::Unknown => None,
        }
    }

    /// The role; `None` when nobody is logged in.
    pub fn role(&self) -> Option<Role> {
        match self {
            Viewer::Known { role, .. } => Some(*role),
            Viewer::OfThePast { role, .. } => *role,
            Viewer::Anybody | Viewer::Unknown => None,
        }
    }

    /// Whether they have a session, which they can end.
    pub fn has_session(&self) -> bool {
        match self {
            Viewer::Known { has_session, .. } => *has_session,
            Viewer::Anybody | Viewer::Unknown | Viewer::OfThePast { .. } => false,
        }
    }

    /// Whether they may submit jobs.
    pub fn may_submit(&self) -> bool {
        self.may(Role::Submitter)
    }

    /// Whether they may act on jobs, queues and schedules.
    pub fn may_operate(&self) -> bool {
        self.may(Role::Operator)
    }

    /// Whether they may manage users and tokens and read the audit log.
    pub fn may_administer(&self) -> bool {
        self.may(Role::Admin)
    }

    fn may(&self, needed: Role) -> bool {
        match self {
            Viewer::Anybody => true,
            Viewer::Unknown | Viewer::OfThePast { .. } => false,
            Viewer::Known { role, .. } => role.allows(needed),
        }
    }
}
