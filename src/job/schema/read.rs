//! The parser of schemas.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use regex::Regex;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::field::{Bounds, Field, Format, Object, SchemaError, Shape, Text};
use crate::job::{Json, JsonLimits};

type Entries<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// The keywords of the root that are understood or have no effect on validation.
const ROOT: [&str; 10] = [
    "$schema",
    "$id",
    "title",
    "description",
    "type",
    "properties",
    "required",
    "additionalProperties",
    "default",
    "examples",
];

/// The same keywords of a property.
const PROPERTY: [&str; 16] = [
    "type",
    "title",
    "description",
    "default",
    "examples",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "items",
    "minItems",
    "maxItems",
    "deprecated",
];

/// The most JSON values of a schema.
const MAX_VALUES: usize = 100_000;

/// Parses a schema and returns its text, and its properties when the root is a plain object with properties.
pub fn schema(text: &str) -> Result<(Json, Option<Object>), SchemaError> {
    let limits = JsonLimits { depth: JsonLimits::MAX_DEPTH, values: MAX_VALUES };
    limits.check(text).map_err(|why| SchemaError(why.to_string()))?;
    let source = Json::parse(text).map_err(SchemaError)?;
    let root = Keywords::of(text, "the schema")?;
    let plain = root.only(&ROOT) && root.text("type")?.as_deref() == Some("object");
    let properties = root.raw("properties").filter(|_| plain);
    let Some(properties) = properties else { return Ok((source, None)) };
    let required: HashSet<String> = root.read("required")?.unwrap_or_default();
    let properties =
        entries(properties.get()).map_err(|error| SchemaError(format!("properties: {error}")))?;
    let fields = properties.into_iter().map(|(name, schema)| {
        let required = required.contains(name.as_ref());
        field(name.into_owned(), required, schema.get())
    });
    let fields = fields.collect::<Result<Vec<Field>, SchemaError>>()?;
    // `additionalProperties` may be a schema of its own, which is ignored.
    let closed = root.raw("additionalProperties").is_some_and(|raw| raw.get() == "false");
    let mut positions = HashMap::with_capacity(fields.len());
    for (position, field) in fields.iter().enumerate() {
        positions.entry(field.name.clone()).or_insert(position);
    }
    Ok((source, Some(Object { fields, positions, closed })))
}

fn field(name: String, required: bool, text: &str) -> Result<Field, SchemaError> {
    let keywords = Keywords::of(text, &name)?;
    let (kind, nullable) = keywords.kind()?;
    let shape =
        if keywords.only(&PROPERTY) { shape(&keywords, kind.as_deref())? } else { Shape::Any };
    Ok(Field {
        required,
        nullable,
        title: keywords.text("title")?.unwrap_or_default(),
        description: keywords.text("description")?.unwrap_or_default(),
        default: keywords.raw("default").and_then(|raw| Json::parse(raw.get()).ok()),
        shape,
        name,
    })
}

fn shape(keywords: &Keywords, kind: Option<&str>) -> Result<Shape, SchemaError> {
    if let Some(values) = keywords.read::<Vec<Box<RawValue>>>("enum")? {
        let scalar = |raw: &RawValue| !raw.get().starts_with(['{', '[', 'n']);
        let choices: Vec<Json> = values
            .iter()
            .filter(|raw| scalar(raw))
            .filter_map(|raw| Json::parse(raw.get()).ok())
            .collect();
        // A value that a select cannot offer must not be refused either.
        return Ok(if choices.len() == values.len() { Shape::Choice(choices) } else { Shape::Any });
    }
    Ok(match kind {
        Some("string") => Shape::Text(Text {
            length: keywords.bounds("minLength", "maxLength")?,
            pattern: keywords.pattern()?,
            format: keywords.text("format")?.as_deref().and_then(format),
        }),
        Some("integer") => Shape::Integer(keywords.bounds("minimum", "maximum")?),
        Some("number") => Shape::Number(keywords.bounds("minimum", "maximum")?),
        Some("boolean") => Shape::Boolean,
        Some("array") => match keywords.raw("items") {
            Some(items) => {
                let each = field(format!("{}[]", keywords.at), false, items.get())?;
                let count = keywords.bounds("minItems", "maxItems")?;
                match each.shape {
                    Shape::Text(_) | Shape::Choice(_) if !each.nullable => {
                        Shape::Texts { each: Box::new(each.shape), count }
                    }
                    _ => Shape::Any,
                }
            }
            None => Shape::Any,
        },
        Some(_) | None => Shape::Any,
    })
}

fn format(name: &str) -> Option<Format> {
    match name {
        "date-time" => Some(Format::DateTime),
        "uri" => Some(Format::Uri),
        "email" => Some(Format::Email),
        _ => None,
    }
}

/// The keywords of one schema, with its position for error messages.
struct Keywords<'a> {
    at: &'a str,
    entries: Entries<'a>,
}

impl<'a> Keywords<'a> {
    fn of(text: &'a str, at: &'a str) -> Result<Self, SchemaError> {
        match entries(text) {
            Ok(entries) => Ok(Keywords { at, entries }),
            Err(_) => Err(SchemaError(format!("{at}: an object is expected"))),
        }
    }

    fn only(&self, known: &[&str]) -> bool {
        self.entries.iter().all(|(name, _)| known.contains(&name.as_ref()))
    }

    fn raw(&self, name: &str) -> Option<&RawValue> {
        self.entries.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, SchemaError> {
        let read = |raw: &RawValue| {
            serde_json::from_str(raw.get())
                .map_err(|error| SchemaError(format!("{}: {name}: {error}", self.at)))
        };
        self.raw(name).map(read).transpose()
    }

    fn text(&self, name: &str) -> Result<Option<String>, SchemaError> {
        self.read(name)
    }

    /// Returns the type and whether `null` is allowed too: `"string"`, or `["string", "null"]`.
    fn kind(&self) -> Result<(Option<String>, bool), SchemaError> {
        let Some(raw) = self.raw("type") else { return Ok((None, false)) };
        if raw.get().starts_with('"') {
            return Ok((self.text("type")?, false));
        }
        let mut names: Vec<String> = self.read("type")?.unwrap_or_default();
        let all = names.len();
        names.retain(|name| name != "null");
        let nullable = names.len() < all;
        Ok((names.pop().filter(|_| names.is_empty()), nullable))
    }

    fn bounds(&self, least: &str, most: &str) -> Result<Bounds, SchemaError> {
        Ok(Bounds { least: self.read(least)?, most: self.read(most)? })
    }

    fn pattern(&self) -> Result<Option<Regex>, SchemaError> {
        let compiled = self.text("pattern")?.map(|pattern| Regex::new(&pattern));
        let refused = |error| SchemaError(format!("{}: pattern: {error}", self.at));
        compiled.transpose().map_err(refused)
    }
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
