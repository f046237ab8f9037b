//! `/api/v1/docs`: the OpenAPI document for people, made by the server: no script, nothing from elsewhere.

use serde_json::Value;
use std::collections::BTreeMap;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// One page with every request, by the first word of its path. It reads the document as everybody else does.
pub(super) fn page(api: &Value) -> String {
    let mut sections: BTreeMap<&str, String> = BTreeMap::new();
    for (path, item) in fields(&api["paths"]) {
        let section = sections.entry(path.split('/').nth(1).unwrap_or_default()).or_default();
        section.extend(METHODS.iter().filter(|method| !item[**method].is_null()).map(|method| request(method, path, &item[*method])));
    }
    let contents: String = sections.keys().map(|name| format!("<li><a href=\"#{name}\">{name}</a></li>")).collect();
    let requests: String = sections.iter().map(|(name, text)| format!("<h2 id=\"{name}\">{name}</h2>\n{text}")).collect();
    let schemas: String = fields(&api["components"]["schemas"]).map(|(name, schema)| object(name, schema)).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>Holdfast API</title>\
         <link rel=\"stylesheet\" href=\"{}\"></head><body><main>\n<h1>Holdfast API</h1>\n<p>{}</p>\n\
         <p>For programs: <a href=\"/api/v1/openapi.json\">openapi.json</a>. A token is sent as <code>Authorization: Bearer ...</code></p>\n\
         <nav><ul>{contents}</ul></nav>\n{requests}\n<h1>Objects</h1>\n{schemas}\n</main></body></html>\n",
        crate::http::assets::style(),
        text(&api["info"]["description"])
    )
}

fn request(method: &str, path: &str, operation: &Value) -> String {
    let head = format!("<h3><code>{} /api/v1{}</code></h3>\n", method.to_uppercase(), escaped(path));
    let told: String = ["summary", "description"]
        .iter()
        .filter(|field| operation[**field].is_string())
        .map(|field| format!("<p>{}</p>\n", text(&operation[*field])))
        .collect();
    let parameters = operation["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] != "path");
    let row = |one: &Value| {
        let needed = if one["required"] == true { " (needed)" } else { "" };
        format!("<tr><td><code>{}</code>{needed}</td><td>{}</td></tr>\n", text(&one["name"]), text(&one["description"]))
    };
    let rows: String = parameters.map(row).collect();
    let rows = if rows.is_empty() { rows } else { format!("<table><tbody>{rows}</tbody></table>\n") };
    let content = |of: &Value| fields(&of["content"]).next().map(|(_, content)| shape(&content["schema"]));
    let body = content(&operation["requestBody"]).map(|body| format!("<p>Body: {body}</p>\n")).unwrap_or_default();
    let answers = fields(&operation["responses"]).filter(|(status, _)| status.starts_with('2'));
    let answers: String = answers.map(|(status, response)| format!("<p>{status}: {}</p>\n", content(response).unwrap_or_default())).collect();
    format!("<section id=\"{}\">{head}{told}{rows}{body}{answers}</section>\n", text(&operation["operationId"]))
}

fn object(name: &str, schema: &Value) -> String {
    let parts = schema["allOf"].as_array().cloned().unwrap_or_default();
    let above: String = parts.iter().filter_map(|part| Some(format!("<p>With all of {}</p>\n", link(part["$ref"].as_str()?)))).collect();
    let row = |(field, schema): (&String, &Value)| {
        format!("<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>\n", escaped(field), shape(schema), text(&schema["description"]))
    };
    let rows: String = [schema].into_iter().chain(&parts).flat_map(|part| fields(&part["properties"])).map(row).collect();
    let rows = if rows.is_empty() { format!("<p>{}</p>", shape(schema)) } else { format!("<table><tbody>{rows}</tbody></table>") };
    format!("<section id=\"schema-{0}\"><h3>{0}</h3>\n<p>{1}</p>\n{above}{rows}</section>\n", escaped(name), text(&schema["description"]))
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn text(value: &Value) -> String {
    escaped(value.as_str().unwrap_or_default())
}

/// `string`, `list of HostDraft`, `one of "a", "b"`.
fn shape(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return link(reference);
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> = words.iter().map(|word| format!("<code>{}</code>", escaped(&word.to_string()))).collect();
        return words.join(", ");
    }
    for field in ["oneOf", "anyOf", "allOf"] {
        if let Some(list) = schema[field].as_array() {
            return list.iter().map(shape).collect::<Vec<_>>().join(" or ");
        }
    }
    if !schema["items"].is_null() {
        return format!("list of {}", shape(&schema["items"]));
    }
    match &schema["type"] {
        Value::String(word) => escaped(word),
        Value::Array(words) => words.iter().filter_map(|word| word.as_str()).collect::<Vec<_>>().join(" or "),
        _ => "anything".to_owned(),
    }
}

fn link(reference: &str) -> String {
    let name = escaped(reference.rsplit('/').next().unwrap_or_default());
    format!("<a href=\"#schema-{name}\">{name}</a>")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
