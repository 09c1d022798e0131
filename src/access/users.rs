//! The rules for users.

use std::sync::Arc;

use super::command::{AccessApplied, AccessRefusal, AccessStep};
use super::limits::AccessLimits;
use super::password::PasswordHash;
use super::records::{AccessRecord, SessionOwner, User};
use super::secrets::SecretHash;
use super::table::AccessTable;
use crate::job::{AccessChange, AccessSubject, Role, Time, UserName};

const USER: &str = "user";

impl AccessTable {
    pub(super) fn add_user(
        &mut self,
        name: UserName,
        password: PasswordHash,
        role: Role,
        now: Time,
        limits: &AccessLimits,
    ) -> Result<AccessStep, AccessRefusal> {
        // Names that differ only in case would be mistaken for each other.
        if self.user_like(&name).is_some() {
            return Err(AccessRefusal::Exists { what: USER });
        }
        if self.users.len() >= limits.max_users {
            return Err(AccessRefusal::TooMany { what: USER, limit: limits.max_users });
        }
        if self.users.is_empty() && role != Role::Admin {
            return Err(AccessRefusal::FirstUserNotAdmin);
        }
        let user = User { name, password, role, created_at: now, changed_at: now, disabled: false };
        Ok(self.put_user(user, AccessChange::UserAdded { role }))
    }

    pub(super) fn set_password(
        &mut self,
        name: &UserName,
        password: PasswordHash,
        replaces: Option<SecretHash>,
        now: Time,
    ) -> Result<AccessStep, AccessRefusal> {
        let user = self.known_user(name)?;
        if replaces.is_some_and(|replaced| !user.password.fingerprint().is(&replaced)) {
            return Err(AccessRefusal::PasswordChanged);
        }
        let user = User { password, changed_at: now, ..user };
        let step = self.put_user(user, AccessChange::UserPasswordSet);
        Ok(self.end_sessions_of_user(step, name))
    }

    pub(super) fn set_role(
        &mut self,
        name: &UserName,
        role: Role,
        now: Time,
    ) -> Result<AccessStep, AccessRefusal> {
        let user = self.known_user(name)?;
        if user.role == role {
            return Ok(AccessStep::of(AccessApplied::User(user.into())));
        }
        if role != Role::Admin {
            self.check_other_admin(name)?;
        }
        let user = User { role, changed_at: now, ..user };
        Ok(self.put_user(user, AccessChange::UserRoleSet { role }))
    }

    pub(super) fn disable_user(
        &mut self,
        name: &UserName,
        now: Time,
    ) -> Result<AccessStep, AccessRefusal> {
        let user = self.known_user(name)?;
        if user.disabled {
            return Ok(AccessStep::of(AccessApplied::User(user.into())));
        }
        self.check_other_admin(name)?;
        let user = User { disabled: true, changed_at: now, ..user };
        let step = self.put_user(user, AccessChange::UserDisabled);
        Ok(self.end_sessions_of_user(step, name))
    }

    pub(super) fn enable_user(
        &mut self,
        name: &UserName,
        now: Time,
    ) -> Result<AccessStep, AccessRefusal> {
        let user = self.known_user(name)?;
        if !user.disabled {
            return Ok(AccessStep::of(AccessApplied::User(user.into())));
        }
        let user = User { disabled: false, changed_at: now, ..user };
        Ok(self.put_user(user, AccessChange::UserEnabled))
    }

    pub(super) fn delete_user(&mut self, name: &UserName) -> Result<AccessStep, AccessRefusal> {
        let user = Arc::new(self.known_user(name)?);
        self.check_other_admin(name)?;
        let step = AccessStep::of(AccessApplied::User(user.clone()))
            .event(AccessSubject::User(name.clone()), AccessChange::UserDeleted);
        let step = self.remove_in(step, AccessRecord::User(user));
        Ok(self.end_sessions_of_user(step, name))
    }

    fn known_user(&self, name: &UserName) -> Result<User, AccessRefusal> {
        let user = self.users.get(name).ok_or(AccessRefusal::NotFound { what: USER })?;
        Ok(User::clone(user))
    }

    /// Checks that somebody else could still manage users, unless this user cannot either.
    fn check_other_admin(&self, name: &UserName) -> Result<(), AccessRefusal> {
        let is_admin = |user: &User| user.role == Role::Admin && !user.disabled;
        let mut admins = self.users.values().filter(|user| is_admin(user));
        let is_last =
            admins.next().is_some_and(|user| user.name == *name) && admins.next().is_none();
        if is_last { Err(AccessRefusal::LastAdmin) } else { Ok(()) }
    }

    fn put_user(&mut self, user: User, change: AccessChange) -> AccessStep {
        let user = Arc::new(user);
        let subject = AccessSubject::User(user.name.clone());
        let step = AccessStep::of(AccessApplied::User(user.clone())).event(subject, change);
        self.put_in(step, AccessRecord::User(user))
    }

    /// Ends the sessions of a user of this server. The event of the user says why, so they have none.
    fn end_sessions_of_user(&mut self, step: AccessStep, name: &UserName) -> AccessStep {
        self.end_sessions(step, |session| session.who == SessionOwner::User(name.clone()))
    }
}
