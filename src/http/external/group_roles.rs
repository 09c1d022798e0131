//! Which role the members of a group have.

use std::collections::BTreeMap;

use crate::access::Role;

/// The roles of groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupRoles {
    of_groups: BTreeMap<String, Role>,
    /// The role of people who are in none of these groups. Without it, they have no access.
    of_others: Option<Role>,
}

impl GroupRoles {
    /// Gives roles to groups, and possibly one to people who are in none of them.
    pub fn new(of_groups: BTreeMap<String, Role>, of_others: Option<Role>) -> GroupRoles {
        GroupRoles { of_groups, of_others }
    }

    /// The highest role of these groups, or `None` for a person without access.
    pub fn role_of<'a>(&self, groups: impl IntoIterator<Item = &'a str>) -> Option<Role> {
        let roles = groups.into_iter().filter_map(|group| self.of_groups.get(group).copied());
        let higher = |one: Role, other: Role| if other.allows(one) { other } else { one };
        roles.reduce(higher).or(self.of_others)
    }

    /// A text that is different for different roles.
    pub fn fingerprint_text(&self) -> String {
        format!("{self:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_has_the_highest_role_of_their_groups() {
        let of_groups = [("ops", Role::Operator), ("staff", Role::Viewer), ("root", Role::Admin)];
        let of_groups: BTreeMap<_, _> =
            of_groups.map(|(group, role)| (group.to_owned(), role)).into();
        let strict = GroupRoles::new(of_groups.clone(), None);
        let open = GroupRoles::new(of_groups, Some(Role::Submitter));
        for (groups, role, otherwise) in [
            (&["staff"][..], Some(Role::Viewer), Some(Role::Viewer)),
            (&["staff", "ops"], Some(Role::Operator), Some(Role::Operator)),
            (&["ops", "staff"], Some(Role::Operator), Some(Role::Operator)),
            (&["ops", "root", "staff"], Some(Role::Admin), Some(Role::Admin)),
            (&["staff", "unknown"], Some(Role::Viewer), Some(Role::Viewer)),
            (&["unknown"], None, Some(Role::Submitter)),
            (&["Root", "root ", ""], None, Some(Role::Submitter)),
            (&[], None, Some(Role::Submitter)),
        ] {
            assert_eq!(strict.role_of(groups.iter().copied()), role, "{groups:?}");
            assert_eq!(open.role_of(groups.iter().copied()), otherwise, "{groups:?}");
        }
    }
}
