//! Schemas in a few words: functions over utoipa's builders. The topics of the API describe with them what requests and
//! answers consist of.

use std::sync::LazyLock;

use serde_json::Value;
use utoipa::openapi::schema::{
    AdditionalProperties, AnyOfBuilder, ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder,
    Schema, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{Ref, RefOr};

use crate::job::{IntegerRange, is_hidden};

/// A schema, or the name of one.
pub type ApiSchema = RefOr<Schema>;

fn of_type(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(kind)
}

/// Any text.
pub fn text() -> ApiSchema {
    of_type(Type::String).into()
}

/// A text with this many characters.
pub fn text_of(least: usize, most: usize) -> ApiSchema {
    of_type(Type::String).min_length(Some(least)).max_length(Some(most)).into()
}

/// A text that matches a regular expression.
pub fn matching(pattern: &str) -> ApiSchema {
    of_type(Type::String).pattern(Some(pattern)).into()
}

/// A text that its format describes. Formats that are not those of JSON Schema are hints.
fn text_in_format(format: &str, most: usize) -> ApiSchema {
    let text = of_type(Type::String).min_length(Some(1)).max_length(Some(most));
    text.format(Some(SchemaFormat::Custom(format.to_owned()))).into()
}

/// When a schedule is due. No regular expression can say which patterns there are.
pub fn cron() -> ApiSchema {
    text_in_format("cron", 1_000)
}

/// A time zone. Which names there are differs from machine to machine.
pub fn time_zone() -> ApiSchema {
    text_in_format("time-zone", 100)
}

/// A text with this many characters at most, none of which is a control character.
pub fn line(most: usize) -> ApiSchema {
    let text = of_type(Type::String).pattern(Some("^[^\\u0000-\\u001f\\u007f-\\u009f]*$"));
    text.max_length(Some(most)).into()
}

/// A text with this many characters at most, not all of which are white space.
pub fn not_blank(most: usize) -> ApiSchema {
    of_type(Type::String).pattern(Some(r"\S")).max_length(Some(most)).into()
}

/// The pattern of the name of a user, without anchors.
pub const USER_NAME: &str = "[A-Za-z0-9_@+-]([A-Za-z0-9_.@+-]{0,62}[A-Za-z0-9_@+-])?";

/// The name of a queue, a kind or a schedule as requests may have it.
pub fn plain_name() -> ApiSchema {
    let pattern = "^[A-Za-z0-9_:-]([A-Za-z0-9_.:-]{0,62}[A-Za-z0-9_:-])?$";
    of_type(Type::String).pattern(Some(pattern)).max_length(Some(64)).into()
}

/// One of these texts.
pub fn one_of<'t>(texts: impl IntoIterator<Item = &'t str>) -> ApiSchema {
    of_type(Type::String).enum_values(Some(texts)).into()
}

/// A time, as RFC 3339 has it.
pub fn time() -> ApiSchema {
    of_type(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))).into()
}

/// The id of a job.
pub fn job_id() -> ApiSchema {
    of_type(Type::String).format(Some(SchemaFormat::Custom("uuid".to_owned()))).into()
}

/// A position in the event log.
pub fn cursor() -> ApiSchema {
    of_type(Type::String).pattern(Some("^[0-9a-f]{1,8}:[0-9]+$")).into()
}

/// True or false.
pub fn flag() -> ApiSchema {
    of_type(Type::Boolean).into()
}

/// A number, not necessarily a whole one, that is not negative.
pub fn number() -> ApiSchema {
    of_type(Type::Number).minimum(Some(0)).into()
}

/// A whole number that is not negative.
pub fn count() -> ApiSchema {
    let format = SchemaFormat::KnownFormat(KnownFormat::Int64);
    of_type(Type::Integer).format(Some(format)).minimum(Some(0)).into()
}

/// A whole number in a range.
pub fn integer(range: IntegerRange) -> ApiSchema {
    let (least, most) = (range.min(), range.max());
    let integer = of_type(Type::Integer).minimum(Some(least as isize));
    // A number without an upper bound of its own is bounded by its format.
    let integer = if most == i64::MAX { integer } else { integer.maximum(Some(most as isize)) };
    integer.format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64))).into()
}

/// Any JSON.
pub fn anything() -> ApiSchema {
    ObjectBuilder::new().schema_type(SchemaType::AnyValue).into()
}

/// An array.
pub fn list(items: ApiSchema) -> ApiSchema {
    ArrayBuilder::new().items(items).into()
}

/// An array of this many items.
pub fn list_of(items: ApiSchema, least: usize, most: usize) -> ApiSchema {
    ArrayBuilder::new().items(items).min_items(Some(least)).max_items(Some(most)).into()
}

/// An array of at least one item.
pub fn some(items: ApiSchema) -> ApiSchema {
    ArrayBuilder::new().items(items).min_items(Some(1)).into()
}

/// One value, or several.
pub fn one_or_some(item: fn() -> ApiSchema) -> ApiSchema {
    either([item(), list_of(item(), 1, 100)])
}

/// A moment in a filter: a time, a day, or a time ago.
pub fn moment() -> ApiSchema {
    let of_format = |format, pattern: &str| {
        let text = of_type(Type::String).format(Some(SchemaFormat::KnownFormat(format)));
        ApiSchema::from(text.pattern(Some(pattern)))
    };
    either([
        of_format(KnownFormat::DateTime, "^[0-9]{4}-[0-9]{2}-[0-9]{2}T"),
        of_format(KnownFormat::Date, "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
        matching("^(0|[0-9]{1,4}(s|m|h|d))$"),
    ])
}

/// A tag as requests may have it.
pub fn tag() -> ApiSchema {
    visible(",", 100)
}

/// An idempotency key.
pub fn idempotency_key() -> ApiSchema {
    visible("", 200)
}

/// An idempotency key in a header: as it is, or as a string of a structured field (RFC 9651).
pub fn idempotency_header() -> ApiSchema {
    let bare = r"[!#-+\--:<-\[\]-~]";
    let quoted = r#"([!#-\[\]-~]|\\["\\])"#;
    let of = |inner: &str| format!("{inner}(([ ]|{inner}){{0,198}}{inner})?");
    matching(&format!("^({}|\"{}\")$", of(bare), of(quoted)))
}

/// A text with this many characters at most and without white space at its ends. None of its characters is one of `without`
/// or hidden.
fn visible(without: &str, most: usize) -> ApiSchema {
    matching(&format!("^{}$", visible_pattern(without, most)))
}

fn visible_pattern(without: &str, most: usize) -> String {
    let refused = format!("{without}{}", *HIDDEN);
    let (end, inner) = (format!("[^\\s{refused}]"), format!("[^{refused}]"));
    format!("{end}({inner}{{0,{}}}{end})?", most - 2)
}

/// The hidden characters as a class of regular expressions has them. Those above U+FFFF are left out, because the dialects
/// write them in different ways.
static HIDDEN: LazyLock<String> = LazyLock::new(|| {
    let mut ranges: Vec<(char, char)> = Vec::new();
    for char in ('\0'..='\u{ffff}').filter(|char| is_hidden(*char)) {
        match ranges.last_mut() {
            Some((_, end)) if u32::from(*end) + 1 == u32::from(char) => *end = char,
            _ => ranges.push((char, char)),
        }
    }
    let escape = |char: char| format!("\\u{:04x}", u32::from(char));
    let in_class = |(start, end): &(char, char)| {
        let rest = if start == end { String::new() } else { format!("-{}", escape(*end)) };
        format!("{}{rest}", escape(*start))
    };
    ranges.iter().map(in_class).collect()
});

/// A job id, or nothing.
pub fn job_id_or_empty() -> ApiSchema {
    matching("^([0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})?$")
}

/// The name of a worker as lists have it, or nothing.
pub fn worker_name_or_empty() -> ApiSchema {
    matching(&format!("^({})?$", visible_pattern("", 100)))
}

/// A cursor, or nothing.
pub fn cursor_or_empty() -> ApiSchema {
    matching("^([0-9a-f]{1,8}:[0-9]{1,18})?$")
}

/// An object whose members have names that nobody knows in advance.
pub fn map(values: ApiSchema) -> ApiSchema {
    of_type(Type::Object).additional_properties(Some(AdditionalProperties::RefOr(values))).into()
}

/// A schema in the components of the document.
pub fn named(name: &str) -> ApiSchema {
    Ref::from_schema_name(name).into()
}

/// One of several forms of a request, which no value has two of. Answers have [`any_of`]: as they may have further members,
/// one form of an answer may be another, too.
pub fn either(shapes: impl IntoIterator<Item = ApiSchema>) -> ApiSchema {
    shapes.into_iter().fold(OneOfBuilder::new(), OneOfBuilder::item).into()
}

/// At least one of several forms.
pub fn any_of(shapes: impl IntoIterator<Item = ApiSchema>) -> ApiSchema {
    shapes.into_iter().fold(AnyOfBuilder::new(), AnyOfBuilder::item).into()
}

/// A request of members that may be left out or null, but not all of them.
pub fn request_with_any(what: &str, members: &[(&str, ApiSchema, &str)]) -> ApiSchema {
    let with = |(needed, _, _): &(&str, ApiSchema, &str)| {
        let add = |all: ObjectSchema, (name, shape, text): &(&str, ApiSchema, &str)| {
            if name == needed {
                all.has(name, shape.clone(), text)
            } else {
                all.optional(name, shape.clone(), text)
            }
        };
        members.iter().fold(ObjectSchema::new(""), add).request()
    };
    about(any_of(members.iter().map(with)), what)
}

/// The same, or null.
pub fn or_null(shape: ApiSchema) -> ApiSchema {
    match shape {
        RefOr::T(Schema::Object(mut object)) => {
            if let SchemaType::Type(kind) = object.schema_type {
                object.schema_type = SchemaType::from_iter([kind, Type::Null]);
            }
            if let Some(values) = &mut object.enum_values {
                values.push(Value::Null);
            }
            RefOr::T(Schema::Object(object))
        }
        RefOr::T(Schema::Array(mut array)) => {
            array.schema_type = SchemaType::from_iter([Type::Array, Type::Null]);
            RefOr::T(Schema::Array(array))
        }
        other => either([other, of_type(Type::Null).into()]),
    }
}

/// The same with a description.
pub fn about(shape: ApiSchema, about: &str) -> ApiSchema {
    let about = about.to_owned();
    match shape {
        RefOr::Ref(mut named) => {
            named.description = about;
            RefOr::Ref(named)
        }
        RefOr::T(Schema::Object(mut object)) => {
            object.description = Some(about);
            RefOr::T(Schema::Object(object))
        }
        RefOr::T(Schema::Array(mut array)) => {
            array.description = Some(about);
            RefOr::T(Schema::Array(array))
        }
        RefOr::T(Schema::OneOf(mut one)) => {
            one.description = Some(about);
            RefOr::T(Schema::OneOf(one))
        }
        RefOr::T(Schema::AnyOf(mut any)) => {
            any.description = Some(about);
            RefOr::T(Schema::AnyOf(any))
        }
        other => other,
    }
}

/// An object, member by member.
pub struct ObjectSchema(ObjectBuilder);

impl ObjectSchema {
    /// An object without members yet.
    pub fn new(about: &str) -> ObjectSchema {
        ObjectSchema(of_type(Type::Object).description(Some(about).filter(|text| !text.is_empty())))
    }

    /// Adds a member that is always there. Without a description, its name says what it is.
    pub fn has(self, name: &str, shape: ApiSchema, text: &str) -> ObjectSchema {
        let shape = if text.is_empty() { shape } else { about(shape, text) };
        ObjectSchema(self.0.property(name, shape).required(name))
    }

    /// Adds a member that may be left out.
    pub fn may_have(self, name: &str, shape: ApiSchema, text: &str) -> ObjectSchema {
        let shape = if text.is_empty() { shape } else { about(shape, text) };
        ObjectSchema(self.0.property(name, shape))
    }

    /// Adds a member of a request that may be left out or null, which is the same.
    pub fn optional(self, name: &str, shape: ApiSchema, text: &str) -> ObjectSchema {
        self.may_have(name, or_null(shape), text)
    }

    /// An answer. Later versions may add members to it.
    pub fn shape(self) -> ApiSchema {
        self.0.into()
    }

    /// A request. The server refuses members that it does not know.
    pub fn request(self) -> ApiSchema {
        self.0.additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false))).into()
    }
}
