//! Groups of mailboxes.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::name::{IntoName, Name, NameError};

/// An ordered set of mailbox names, for [`Client::broadcast`](crate::Client::broadcast). A repeated
/// name keeps its first position. Cheap to clone.
///
/// ```
/// use actorgrid::{Client, Group, Kind, RequestError};
///
/// let mut workers = Group::new(["worker-1", "worker-2", "worker-1"])?;
/// assert_eq!(workers.len(), 2);
/// workers.add("worker-3")?;
///
/// /// All mailboxes of a family.
/// async fn family(client: &Client) -> Result<Group, RequestError> {
///     let mailboxes = client.query(Kind::Mailbox).await?;
///     let names = mailboxes.into_iter().map(|mailbox| mailbox.name);
///     Ok(names.filter(|name| name.as_str().starts_with("worker-")).collect())
/// }
/// # Ok::<(), actorgrid::NameError>(())
/// ```
#[derive(Clone, Default)]
pub struct Group {
    shared: Arc<Shared>,
}

#[derive(Clone, Default)]
struct Shared {
    members: Vec<Name>,
    places: HashMap<Name, usize>,
}

impl Group {
    /// Creates a group of these names, or of the names of these registrations.
    ///
    /// # Errors
    ///
    /// Returns the [`NameError`] of the first text that is not a name.
    pub fn new(names: impl IntoIterator<Item: IntoName>) -> Result<Self, NameError> {
        names.into_iter().map(IntoName::into_name).collect()
    }

    /// Adds a name at the end, and returns whether it is new.
    ///
    /// # Errors
    ///
    /// Returns [`NameError`] if the text is not a name; the group is unchanged then.
    pub fn add(&mut self, name: impl IntoName) -> Result<bool, NameError> {
        let name = name.into_name()?;
        let before = self.len();
        Ok(self.place_or_add(&name) == before)
    }

    /// Returns the names, in order.
    #[must_use]
    pub fn members(&self) -> &[Name] {
        &self.shared.members
    }

    /// Returns the number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.members.len()
    }

    /// Whether the group has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.members.is_empty()
    }

    /// Whether a name is a member.
    #[must_use]
    pub fn contains(&self, name: impl AsRef<str>) -> bool {
        self.place(name.as_ref()).is_some()
    }

    /// Returns the position of a name among the members.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.shared.places.get(name).copied()
    }

    /// Returns the position of a name, and adds the name if it is missing.
    pub(crate) fn place_or_add(&mut self, name: &Name) -> usize {
        if let Some(place) = self.place(name.as_str()) {
            return place;
        }
        let place = self.len();
        let shared = Arc::make_mut(&mut self.shared);
        shared.members.push(name.clone());
        shared.places.insert(name.clone(), place);
        place
    }
}

impl FromIterator<Name> for Group {
    fn from_iter<I: IntoIterator<Item = Name>>(names: I) -> Self {
        let mut group = Self::default();
        for name in names {
            group.place_or_add(&name);
        }
        group
    }
}

impl PartialEq for Group {
    /// Groups are equal if they have the same names in the same order.
    fn eq(&self, other: &Self) -> bool {
        self.members() == other.members()
    }
}

impl Eq for Group {}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.members()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_there_once_where_it_came_first() {
        let group = Group::new(["b", "a", "b", "c", "a"]).unwrap();
        assert_eq!(format!("{group:?}"), r#"["b", "a", "c"]"#);
        assert_eq!(group.len(), 3);
        for (place, name) in group.members().iter().enumerate() {
            assert_eq!(group.place(name.as_str()), Some(place));
        }
        assert!(group.contains("c") && group.contains(&group.members()[0]));
        assert!(!group.contains("d") && !group.contains("not a name"));
        assert_eq!(group.members().iter().cloned().collect::<Group>(), group);
        assert_ne!(Group::new(["a", "b", "c"]).unwrap(), group);
    }

    #[test]
    fn names_are_added_once_and_to_this_group_alone() {
        let empty = Group::new(Vec::<Name>::new()).unwrap();
        assert!(empty.is_empty());
        let mut group = empty.clone();
        assert_eq!(group.add("a"), Ok(true));
        assert_eq!(group.add("a".to_owned()), Ok(false));
        assert!(group.add("not a name").is_err());
        let mut more = group.clone();
        assert_eq!(more.add("b"), Ok(true));
        assert_eq!((empty.len(), group.len(), more.len()), (0, 1, 2));
    }

    #[test]
    fn a_text_that_is_no_name_makes_no_group() {
        let error = Group::new(["a", "", "b c"]).unwrap_err();
        assert_eq!(error, NameError::Empty);
    }
}
