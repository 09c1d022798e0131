//! Lookups in the text of a schema, which keeps the order of properties and the digits of numbers.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::field::Bounds;

/// The properties of a JSON object.
pub type Entries<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// The keywords of one schema. Where a name occurs twice, the first one counts.
pub struct Keywords<'a> {
    entries: Entries<'a>,
}

impl<'a> Keywords<'a> {
    /// Reads the keywords of a schema; `None` when it is `true` or `false`.
    pub fn of(text: &'a str) -> Option<Self> {
        entries(text).ok().map(|entries| Keywords { entries })
    }

    /// Reads the keywords of the schema at a JSON pointer (RFC 6901) into the text of a document.
    pub fn at(document: &'a str, pointer: &str) -> Option<Self> {
        let mut text = document;
        for segment in segments(pointer) {
            text = match segment.parse::<usize>() {
                Ok(index) if text.starts_with('[') => {
                    serde_json::from_str::<Vec<&RawValue>>(text).ok()?.get(index)?.get()
                }
                Ok(_) | Err(_) => {
                    let entries = entries(text).ok()?;
                    entries.into_iter().find(|(name, _)| *name == segment)?.1.get()
                }
            };
        }
        Keywords::of(text)
    }

    /// Adds the keywords of a schema that this one refers to. Its own keywords take precedence.
    pub fn and(mut self, other: Keywords<'a>) -> Self {
        self.entries.retain(|(name, _)| !matches!(name.as_ref(), "$ref" | "allOf"));
        self.entries.extend(other.entries);
        self
    }

    /// Removes a keyword.
    pub fn without(mut self, keyword: &str) -> Self {
        self.entries.retain(|(name, _)| name != keyword);
        self
    }

    /// The names of the keywords.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_ref())
    }

    /// The value of a keyword as it was written.
    pub fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.entries.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// The value of a keyword; `None` when it has another type.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.raw(name)?.get()).ok()
    }

    /// The elements of a keyword that has an array.
    pub fn list(&self, name: &str) -> Option<Vec<&'a RawValue>> {
        serde_json::from_str(self.raw(name)?.get()).ok()
    }

    /// The properties of a keyword that has an object, in their order.
    pub fn map(&self, name: &str) -> Option<Entries<'a>> {
        entries(self.raw(name)?.get()).ok()
    }

    /// Two bounds.
    pub fn bounds(&self, least: &str, most: &str) -> Bounds {
        Bounds { least: self.read(least), most: self.read(most) }
    }
}

/// The segments of a JSON pointer.
pub fn segments(pointer: &str) -> impl Iterator<Item = Cow<'_, str>> {
    pointer.split('/').skip(1).map(|segment| {
        if segment.contains('~') {
            Cow::Owned(segment.replace("~1", "/").replace("~0", "~"))
        } else {
            Cow::Borrowed(segment)
        }
    })
}

/// The properties of a JSON object in their order, each as it was written.
pub fn entries(text: &str) -> Result<Entries<'_>, serde_json::Error> {
    /// A key, which borrows from the text unless it has escapes.
    #[derive(Deserialize)]
    struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

    struct InOrder;
    impl<'de> Visitor<'de> for InOrder {
        type Value = Entries<'de>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
            let mut entries = Entries::new();
            while let Some((Key(name), value)) = map.next_entry()? {
                entries.push((name, value));
            }
            Ok(entries)
        }
    }
    serde_json::Deserializer::from_str(text).deserialize_map(InOrder)
}
