//! Reads the properties of a schema for which a form can have inputs. What it does not understand becomes a property
//! of any value, which people edit as JSON; the validator checks the payload whatever the form shows.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::value::RawValue;

use super::field::{Field, Format, Shape, Text};
use super::keyword::is_annotation;
use super::source::{Keywords, entries, segments};
use crate::job::Json;

/// The keywords that a root with inputs may have besides annotations.
const ROOT: [&str; 6] =
    ["additionalProperties", "maxProperties", "minProperties", "properties", "required", "type"];

/// The same keywords of a property.
const PROPERTY: [&str; 16] = [
    "const",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "multipleOf",
    "pattern",
    "type",
    "uniqueItems",
];

/// The most references that are followed for one property, so that a schema that refers to itself has an end.
const MAX_REFERENCES: usize = 16;

/// The properties in their order; `None` when the root is not a plain object with properties.
pub fn fields(text: &str) -> Option<Vec<Field>> {
    let document = Definitions::of(text)?;
    let root = document.resolve(text)?.keywords;
    let is_plain = root.names().all(|name| ROOT.contains(&name) || is_annotation(name));
    if !is_plain || root.read::<String>("type").as_deref() != Some("object") {
        return None;
    }
    let required: HashSet<String> = root.read("required").unwrap_or_default();
    let properties = root.map("properties")?.into_iter().map(|(name, schema)| {
        let required = required.contains(name.as_ref());
        document.field(name.into_owned(), required, schema.get())
    });
    Some(properties.collect())
}

/// The definitions that references within a schema can name.
struct Definitions<'a> {
    text: &'a str,
    definitions: HashMap<(&'static str, Cow<'a, str>), &'a RawValue>,
}

/// A schema after its references were followed.
struct Resolved<'a> {
    keywords: Keywords<'a>,
    nullable: bool,
}

impl<'a> Definitions<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let root = Keywords::of(text)?;
        let mut definitions = HashMap::new();
        for keyword in ["$defs", "definitions"] {
            let all = root.map(keyword).unwrap_or_default();
            definitions.extend(all.into_iter().map(|(name, schema)| ((keyword, name), schema)));
        }
        Some(Definitions { text, definitions })
    }

    /// The schema that a reference names; `None` when it is not a definition of this document.
    fn target(&self, reference: &str) -> Option<&'a str> {
        if reference == "#" {
            return Some(self.text);
        }
        let mut path = segments(reference.strip_prefix('#')?);
        let keyword = match path.next()?.as_ref() {
            "$defs" => "$defs",
            "definitions" => "definitions",
            _ => return None,
        };
        let name = path.next().filter(|_| path.next().is_none())?;
        self.definitions.get(&(keyword, Cow::Owned(name.into_owned()))).map(|raw| raw.get())
    }

    /// Follows `$ref`, an `allOf` of one schema, and the choice between a schema and `null`, which generators write for
    /// optional values. `None` when a schema refers to itself.
    fn resolve(&self, text: &'a str) -> Option<Resolved<'a>> {
        let (mut keywords, mut nullable) = (Keywords::of(text)?, false);
        for _ in 0..MAX_REFERENCES {
            let next = self.next(&keywords);
            let Some((next, or_null)) = next else { return Some(Resolved { keywords, nullable }) };
            nullable |= or_null;
            keywords = keywords.without("anyOf").without("oneOf").and(Keywords::of(next)?);
        }
        None
    }

    /// The only schema that these keywords refer to, and whether `null` is an alternative to it.
    fn next(&self, keywords: &Keywords<'a>) -> Option<(&'a str, bool)> {
        let mut assertions = keywords.names().filter(|name| !is_annotation(name));
        let only = assertions.next().filter(|_| assertions.next().is_none())?;
        match only {
            "$ref" => Some((self.target(&keywords.read::<String>("$ref")?)?, false)),
            "allOf" => match keywords.list("allOf")?.as_slice() {
                [one] => Some((one.get(), false)),
                _ => None,
            },
            "anyOf" | "oneOf" => match keywords.list(only)?.as_slice() {
                [one, null] if is_null(null.get()) => Some((one.get(), true)),
                [null, one] if is_null(null.get()) => Some((one.get(), true)),
                _ => None,
            },
            _ => None,
        }
    }

    fn field(&self, name: String, required: bool, schema: &'a str) -> Field {
        let Some(Resolved { keywords, nullable }) = self.resolve(schema) else {
            return unclear(name, required, Keywords::of(schema));
        };
        let (kind, or_null) = kind(&keywords);
        let shape = self.shape(&keywords, kind.as_deref()).unwrap_or(Shape::Any);
        let nullable = nullable || or_null;
        Field { nullable, shape, ..unclear(name, required, Some(keywords)) }
    }

    fn shape(&self, keywords: &Keywords<'a>, kind: Option<&str>) -> Option<Shape> {
        if let Some(choices) = self.alternatives(keywords) {
            return Some(Shape::Choice(choices));
        }
        if !keywords.names().all(|name| PROPERTY.contains(&name) || is_annotation(name)) {
            return None;
        }
        if keywords.raw("enum").is_some() || keywords.raw("const").is_some() {
            return choices(keywords).map(Shape::Choice);
        }
        Some(match kind? {
            "string" => Shape::Text(Text {
                length: keywords.bounds("minLength", "maxLength"),
                pattern: keywords.read("pattern"),
                format: keywords.read::<String>("format").as_deref().and_then(format),
            }),
            "integer" => Shape::Integer(keywords.bounds("minimum", "maximum")),
            "number" => Shape::Number(keywords.bounds("minimum", "maximum")),
            "boolean" => Shape::Boolean,
            "array" => {
                let each = self.field(String::new(), false, keywords.raw("items")?.get());
                let is_line = matches!(each.shape, Shape::Text(_) | Shape::Choice(_));
                if !is_line || each.nullable {
                    return None;
                }
                let count = keywords.bounds("minItems", "maxItems");
                Shape::Texts { each: Box::new(each.shape), count }
            }
            _ => return None,
        })
    }

    /// The values of a choice between constants, each of which may have its own description.
    fn alternatives(&self, keywords: &Keywords<'a>) -> Option<Vec<Json>> {
        let mut assertions = keywords.names().filter(|name| !is_annotation(name));
        let only = assertions.find(|name| *name != "type")?;
        if !matches!(only, "anyOf" | "oneOf") || assertions.any(|name| name != "type") {
            return None;
        }
        let mut all = Vec::new();
        for one in keywords.list(only)? {
            let one = self.resolve(one.get()).filter(|one| !one.nullable)?.keywords;
            let is_constant = |name: &str| matches!(name, "const" | "enum" | "type");
            if !one.names().all(|name| is_constant(name) || is_annotation(name)) {
                return None;
            }
            all.extend(choices(&one)?);
        }
        Some(all)
    }
}

/// A property of any value.
fn unclear(name: String, required: bool, keywords: Option<Keywords>) -> Field {
    let text = |keyword| keywords.as_ref().and_then(|keywords| keywords.read(keyword));
    let default = keywords.as_ref().and_then(|keywords| keywords.raw("default"));
    Field {
        required,
        nullable: false,
        title: text("title").unwrap_or_default(),
        description: text("description").unwrap_or_default(),
        default: default.and_then(|raw| Json::parse(raw.get()).ok()),
        shape: Shape::Any,
        name,
    }
}

/// The values of `const` or `enum`; `None` when a select cannot offer all of them.
fn choices(keywords: &Keywords) -> Option<Vec<Json>> {
    let values = match keywords.raw("const") {
        Some(one) => vec![one],
        None => keywords.list("enum")?,
    };
    let is_scalar = |raw: &RawValue| !raw.get().starts_with(['{', '[', 'n']);
    let scalars = values.iter().filter(|raw| is_scalar(raw));
    let choices: Vec<Json> = scalars.filter_map(|raw| Json::parse(raw.get()).ok()).collect();
    (choices.len() == values.len()).then_some(choices)
}

/// The type and whether `null` is allowed too: `"string"`, or `["string", "null"]`.
fn kind(keywords: &Keywords) -> (Option<String>, bool) {
    if let Some(one) = keywords.read::<String>("type") {
        return (Some(one), false);
    }
    let mut names: Vec<String> = keywords.read("type").unwrap_or_default();
    let all = names.len();
    names.retain(|name| name != "null");
    let nullable = names.len() < all;
    (names.pop().filter(|_| names.is_empty()), nullable)
}

fn is_null(schema: &str) -> bool {
    let Ok(keywords) = entries(schema) else { return false };
    matches!(keywords.as_slice(), [(name, value)] if name == "type" && value.get() == "\"null\"")
}

fn format(name: &str) -> Option<Format> {
    match name {
        "date-time" => Some(Format::DateTime),
        "uri" => Some(Format::Uri),
        "email" => Some(Format::Email),
        _ => None,
    }
}
