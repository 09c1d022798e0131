//! The parts of the OpenAPI document that the page shows, read once.

use std::sync::LazyLock;

use serde_json::Value;

/// The document in the order of the page.
pub static REFERENCE: LazyLock<ApiReference> = LazyLock::new(|| {
    let document = serde_json::from_str(crate::http::openapi::text()).unwrap_or_default();
    ApiReference::of(&document)
});

/// All that the page shows.
pub struct ApiReference {
    /// What is true of the whole API.
    pub about: Vec<Vec<ApiWord>>,
    /// The operations in groups.
    pub topics: Vec<ApiTopicView>,
    /// The schemas by name.
    pub schemas: Vec<ApiSchemaView>,
    /// The error codes, each with what it means.
    pub codes: Vec<(String, Vec<ApiWord>)>,
}

/// A group of operations.
pub struct ApiTopicView {
    /// Its name.
    pub name: String,
    /// The target of links to it.
    pub anchor: String,
    /// What its operations do.
    pub about: String,
    /// Its operations, by path.
    pub operations: Vec<ApiOperation>,
}

/// One operation.
pub struct ApiOperation {
    /// The name in generated clients, and the target of links to it.
    pub id: String,
    /// The method in capitals.
    pub method: String,
    /// The path with its parameters in braces.
    pub path: String,
    /// The path with examples in place of the parameters.
    pub example_path: String,
    /// What it does, in a few words.
    pub summary: String,
    /// What it does, in paragraphs.
    pub about: Vec<Vec<ApiWord>>,
    /// Whether a server may ask for credentials.
    pub needs_credentials: bool,
    /// What it takes in the path, the query and the headers.
    pub parameters: Vec<ApiMember>,
    /// The schema of the body, if it takes one.
    pub body: Option<String>,
    /// Bodies, each with what it does.
    pub examples: Vec<(String, String)>,
    /// The answers, each with its status and its schema.
    pub answers: Vec<ApiAnswer>,
    /// The error codes by their status.
    pub problems: Vec<(String, Vec<String>)>,
}

/// An answer.
pub struct ApiAnswer {
    /// The status.
    pub status: String,
    /// When it is given.
    pub about: String,
    /// The media types and the schema of each.
    pub contents: Vec<(String, String)>,
}

/// A schema in the components.
pub struct ApiSchemaView {
    /// Its name.
    pub name: String,
    /// What it is.
    pub about: Vec<ApiWord>,
    /// What it accepts, if it is no object.
    pub form: String,
    /// Its members, if it is an object.
    pub members: Vec<ApiMember>,
}

/// A parameter, or a member of an object.
pub struct ApiMember {
    /// Its name.
    pub name: String,
    /// The place of a parameter; whether a member is always there.
    pub place: String,
    /// What it accepts.
    pub form: String,
    /// What it means.
    pub about: Vec<ApiWord>,
}

/// A part of a text.
pub struct ApiWord {
    /// Whether it is code, which stood between backticks.
    pub is_code: bool,
    /// The text.
    pub text: String,
}

impl ApiReference {
    fn of(document: &Value) -> ApiReference {
        let text_of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut topics: Vec<ApiTopicView> = array(&document["tags"])
            .map(|tag| ApiTopicView {
                name: text_of(&tag["name"]),
                anchor: text_of(&tag["name"]).to_lowercase().replace(' ', "-"),
                about: text_of(&tag["description"]),
                operations: Vec::new(),
            })
            .collect();
        for (path, item) in members(&document["paths"]) {
            for (method, operation) in members(item) {
                let tag = &operation["tags"][0];
                if let Some(topic) = topics.iter_mut().find(|topic| *tag == *topic.name) {
                    topic.operations.push(ApiOperation::of(document, path, method, operation));
                }
            }
        }
        let components = &document["components"]["schemas"];
        let codes = text_of(&components["ErrorCode"]["description"]);
        let codes = codes.lines().filter_map(|line| {
            let (code, meaning) = line.strip_prefix("- `")?.split_once("`: ")?;
            Some((code.to_owned(), words(meaning)))
        });
        ApiReference {
            about: paragraphs(&document["info"]["description"]),
            topics,
            codes: codes.collect(),
            schemas: members(components)
                .filter(|(name, _)| *name != "ErrorCode")
                .map(|(name, schema)| ApiSchemaView::of(name, schema))
                .collect(),
        }
    }
}

impl ApiOperation {
    fn of(document: &Value, path: &str, method: &str, operation: &Value) -> ApiOperation {
        let text_of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut example_path = path.to_owned();
        let mut parameters = Vec::new();
        for parameter in array(&operation["parameters"]) {
            let name = text_of(&parameter["name"]);
            if let Some(example) = parameter["example"].as_str() {
                example_path = example_path.replace(&format!("{{{name}}}"), example);
            }
            parameters.push(ApiMember {
                form: form(&parameter["schema"]),
                about: words(parameter["description"].as_str().unwrap_or_default()),
                place: text_of(&parameter["in"]),
                name,
            });
        }
        let body = &operation["requestBody"]["content"]["application/json"];
        let examples = members(&body["examples"]).map(|(_, example)| {
            let value = serde_json::to_string(&example["value"]).unwrap_or_default();
            (text_of(&example["summary"]), value)
        });
        let (mut answers, mut problems) = (Vec::new(), Vec::new());
        for (status, answer) in members(&operation["responses"]) {
            let answer = resolved(document, answer);
            let problem = &answer["content"]["application/problem+json"]["schema"]["allOf"][1];
            let codes = &problem["properties"]["code"]["enum"];
            if codes.is_array() {
                problems.push((status.to_owned(), array(codes).map(text_of).collect()));
                continue;
            }
            let contents = members(&answer["content"]);
            answers.push(ApiAnswer {
                status: status.to_owned(),
                about: text_of(&answer["description"]),
                contents: contents
                    .map(|(media, content)| (media.to_owned(), form(&content["schema"])))
                    .collect(),
            });
        }
        ApiOperation {
            id: text_of(&operation["operationId"]),
            method: method.to_uppercase(),
            path: path.to_owned(),
            example_path,
            summary: text_of(&operation["summary"]),
            about: paragraphs(&operation["description"]),
            needs_credentials: operation.get("security").is_none(),
            parameters,
            body: body.get("schema").map(form),
            examples: examples.collect(),
            answers,
            problems,
        }
    }
}

impl ApiSchemaView {
    fn of(name: &str, schema: &Value) -> ApiSchemaView {
        // Several objects of which one is enough differ only in what they need.
        let object = schema["anyOf"].get(0).unwrap_or(schema);
        let required = array(&schema["required"]).filter_map(Value::as_str);
        let required: Vec<&str> = required.collect();
        let is_request = object["additionalProperties"] == false;
        let place = |name: &str| match (required.contains(&name), is_request) {
            (true, true) => "required",
            (false, false) => "sometimes",
            (true, false) | (false, true) => "",
        };
        let members = members(&object["properties"]).map(|(name, member)| ApiMember {
            name: name.to_owned(),
            place: place(name).to_owned(),
            form: form(member),
            about: words(member["description"].as_str().unwrap_or_default()),
        });
        ApiSchemaView {
            name: name.to_owned(),
            about: words(schema["description"].as_str().unwrap_or_default()),
            form: form(schema),
            members: members.collect(),
        }
    }
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

/// What a reference refers to; the value itself if it is none.
fn resolved<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    let target = value["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
    target.and_then(|target| document.pointer(target)).unwrap_or(value)
}

/// What a schema accepts, in a few words.
fn form(schema: &Value) -> String {
    if let Some(target) = schema["$ref"].as_str() {
        return target.rsplit('/').next().unwrap_or_default().to_owned();
    }
    for several in ["oneOf", "anyOf"] {
        if schema[several].is_array() {
            let mut forms: Vec<String> = array(&schema[several]).map(form).collect();
            forms.dedup();
            return forms.join(" or ");
        }
    }
    if schema["properties"].is_object() {
        let member = |(name, member): (&str, &Value)| match member["enum"].as_array() {
            Some(values) if values.len() == 1 => format!("{name}: {}", form(member)),
            Some(_) | None => name.to_owned(),
        };
        let names: Vec<String> = members(&schema["properties"]).map(member).collect();
        return format!("{{{}}}", names.join(", "));
    }
    if schema["enum"].is_array() {
        let values = array(&schema["enum"]).map(|value| match value.as_str() {
            Some(text) => text.to_owned(),
            None => value.to_string(),
        });
        return values.collect::<Vec<_>>().join(" | ");
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect::<Vec<_>>(),
    };
    let named = |name: &&str| match *name {
        "array" => format!("array of {}", form(&schema["items"])),
        "string" if schema["format"].is_string() => {
            schema["format"].as_str().unwrap_or_default().to_owned()
        }
        other => other.to_owned(),
    };
    let mut text = types.iter().map(named).collect::<Vec<_>>().join(" or ");
    if text.is_empty() {
        return "any JSON".to_owned();
    }
    match (&schema["minimum"], &schema["maximum"]) {
        (Value::Number(least), Value::Number(most)) => text += &format!(", {least} to {most}"),
        (Value::Number(least), _) => text += &format!(", at least {least}"),
        _ => {}
    }
    text
}

/// The paragraphs of a text.
fn paragraphs(text: &Value) -> Vec<Vec<ApiWord>> {
    text.as_str().unwrap_or_default().split("\n\n").map(words).collect()
}

/// The parts of a text, of which every second one is code.
fn words(text: &str) -> Vec<ApiWord> {
    let parts = text.split('`').enumerate();
    let parts = parts.map(|(at, text)| ApiWord { is_code: at % 2 == 1, text: text.to_owned() });
    parts.filter(|word| !word.text.is_empty()).collect()
}
