//! The OpenAPI document (3.1): made of the annotations that stand at the handlers, and served.
//!
//! What holds for every request is said here once: who may ask, how a refusal looks, and which of them are possible. The
//! document knows the routes because they are made of the same lines; `tests` asks the router whether that is so.

use crate::http::{App, Problem};
use axum::{
    Json,
    response::{Html, IntoResponse, Response},
};
use std::sync::OnceLock;
use utoipa::{
    OpenApi, PartialSchema, ToSchema,
    openapi::{
        self, ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, Required, ResponseBuilder, Schema,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem},
        schema::{AdditionalProperties, AllOf, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The document of this build. It is the same for every master, and made once.
static DOCUMENT: OnceLock<openapi::OpenApi> = OnceLock::new();

/// The statuses of all refusals.
const REFUSALS: [u16; 13] = [400, 401, 403, 404, 409, 412, 413, 415, 422, 428, 429, 500, 503];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Holdfast",
        description = "The hostname database and all that follows from it. Every list has `items` and the cursor of the `next` page; unknown query \
                       parameters are refused; every refusal is `application/problem+json` (RFC 9457) with all errors at once.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/api/v1"))
)]
struct Frame;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(document)).routes(routes!(page))
}

/// Without a token: it says nothing that the program's source does not say.
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", summary = "This document.", responses((status = 200, body = serde_json::Value)))]
async fn document() -> Response {
    Json(the_document()).into_response()
}

#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "docs",
    summary = "This document for people.",
    responses((status = 200, body = String, content_type = "text/html")),
)]
async fn page() -> Response {
    match serde_json::to_value(the_document()) {
        Ok(api) => Html(super::docs::page(&api)).into_response(),
        Err(broken) => Problem::internal(broken).into_response(),
    }
}

/// The document of this build.
fn the_document() -> &'static openapi::OpenApi {
    DOCUMENT.get_or_init(|| {
        let mut api = with_keys(super::open().into_openapi());
        api.merge(super::secretive().into_openapi());
        finished(api)
    })
}

/// Whether a request with an `Idempotency-Key` is made once here: not where an answer may hold a secret.
fn with_keys(mut api: openapi::OpenApi) -> openapi::OpenApi {
    let key = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("The same key makes the same request once; the second one gets the answer of the first."))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(255))))
        .build();
    for item in api.paths.paths.values_mut() {
        let writes = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        writes.into_iter().flatten().for_each(|operation| operation.parameters.get_or_insert_default().push(key.clone().into()));
    }
    api
}

fn finished(mut api: openapi::OpenApi) -> openapi::OpenApi {
    let frame = Frame::openapi();
    (api.info, api.servers) = (frame.info, frame.servers);
    api.info.version = "v1".to_owned();
    let paths = std::mem::take(&mut api.paths.paths);
    for (path, mut item) in paths {
        for (method, operation) in operations(&mut item) {
            finish(&path, method, operation);
        }
        api.paths.paths.insert(path.replace("{*", "{"), item);
    }
    let components = api.components.get_or_insert_default();
    let mut schemas = vec![(Problem::name().into_owned(), Problem::schema())];
    Problem::schemas(&mut schemas);
    components.schemas.extend(schemas);
    any_is_enough(components);
    may_be_gone(components);
    loosen(components);
    components.responses.extend(REFUSALS.map(|status| (refusal_name(status), refusal(status))));
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A token, as `holdfast token make` prints it.")).build();
    components.security_schemes.insert("token".to_owned(), SecurityScheme::Http(bearer).into());
    api.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
    api
}

fn operations(item: &mut PathItem) -> Vec<(&'static str, &mut Operation)> {
    let all = [("get", &mut item.get), ("post", &mut item.post), ("put", &mut item.put), ("patch", &mut item.patch), ("delete", &mut item.delete)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?))).collect()
}

/// Adds what every operation has.
fn finish(path: &str, method: &str, operation: &mut Operation) {
    operation.tags = Some(vec![path.split('/').nth(1).unwrap_or_default().to_owned()]);
    let parameters = operation.parameters.get_or_insert_default();
    let places = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = places.map(|name| {
        let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
        ParameterBuilder::new().name(name.trim_start_matches('*')).parameter_in(ParameterIn::Path).required(Required::True).schema(Some(text)).build().into()
    });
    parameters.splice(0..0, in_path.collect::<Vec<RefOr<Parameter>>>());
    let has = |name: &str| parameters.iter().any(|one| matches!(one, RefOr::T(one) if one.name == name));
    // Of those in `REFUSALS`, what can happen here.
    let mut refusals = vec![400, 401, 403, 404, 429, 500, 503];
    if operation.request_body.is_some() {
        refusals.extend([413, 415]);
    }
    if method != "get" {
        refusals.extend([409, 422]);
    } else if has("at") || has("kind") || has("data") {
        refusals.push(422);
    }
    if has("If-Match") {
        refusals.extend([412, 428]);
    }
    // A dry run of what would be made answers as what would be changed does.
    let made = operation.responses.responses.get("201").cloned().filter(|_| has("dry_run"));
    if let Some(made) = made {
        operation.responses.responses.entry("200".to_owned()).or_insert(made);
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response {
            response.description = told(status.parse().unwrap_or_default()).to_owned();
        }
    }
    for status in refusals {
        operation.responses.responses.insert(status.to_string(), Ref::from_response_name(refusal_name(status)).into());
    }
}

fn refusal_name(status: u16) -> String {
    format!("Problem{status}")
}

fn refusal(status: u16) -> RefOr<openapi::Response> {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
    let mut response = ResponseBuilder::new().description(told(status)).content(Problem::MEDIA_TYPE, content);
    let text = || ObjectBuilder::new().schema_type(Type::String);
    if status == 401 {
        response = response.header("WWW-Authenticate", HeaderBuilder::new().schema(Some(text())).build());
    }
    if matches!(status, 429 | 503) {
        response = response.header("Retry-After", HeaderBuilder::new().schema(Some(text())).description(Some("When to try again, in seconds.")).build());
    }
    RefOr::T(response.build())
}

fn told(status: u16) -> &'static str {
    match status {
        200 => "Done, or told.",
        201 => "Made.",
        202 => "Begun.",
        204 => "Done; there is nothing to tell.",
        304 => "The reader has this version already.",
        400 => "The request cannot be understood.",
        401 => "Nobody we know: log in or give a token.",
        403 => "Known, but may not.",
        404 => "No such thing.",
        409 => "It collides with what is there.",
        412 => "Somebody changed it since it was read.",
        413 => "The body is too long.",
        415 => "The body is no JSON.",
        422 => "Understood, but the values are refused.",
        428 => "If-Match is missing.",
        429 => "Too many at once, or too many attempts.",
        503 => "The database cannot be reached, or several edits stood in each other's way: nothing was changed.",
        _ => "A fault of the program.",
    }
}

/// After a dry run, and when it was deleted, a write has no object to tell.
fn may_be_gone(components: &mut openapi::Components) {
    for (name, schema) in &mut components.schemas {
        let RefOr::T(Schema::Object(written)) = schema else { continue };
        if name.starts_with("Written_")
            && let Some(object) = written.properties.remove("object")
        {
            let gone = RefOr::T(Schema::Object(ObjectBuilder::new().schema_type(Type::Null).build()));
            let either = openapi::schema::AnyOf { items: vec![gone, object], ..Default::default() };
            written.properties.insert("object".to_owned(), RefOr::T(Schema::AnyOf(either)));
        }
    }
}

/// Of what an untagged enum can be, one is enough: what can be less may look like what can be more.
fn any_is_enough(components: &mut openapi::Components) {
    for schema in components.schemas.values_mut() {
        if let RefOr::T(Schema::OneOf(one)) = schema {
            let any = openapi::schema::AnyOf { items: std::mem::take(&mut one.items), description: one.description.take(), ..Default::default() };
            *schema = RefOr::T(Schema::AnyOf(any));
        }
    }
}

/// An object that is a part of a larger one has that one's fields beside it, and cannot forbid them.
fn loosen(components: &mut openapi::Components) {
    let parts: Vec<String> = components.schemas.values().flat_map(parts_of).collect();
    for name in parts {
        if let Some(RefOr::T(Schema::Object(object))) = components.schemas.get_mut(&name)
            && matches!(object.additional_properties.as_deref(), Some(AdditionalProperties::FreeForm(false)))
        {
            object.additional_properties = None;
        }
    }
}

fn parts_of(schema: &RefOr<Schema>) -> Vec<String> {
    let RefOr::T(Schema::AllOf(AllOf { items, .. })) = schema else { return vec![] };
    let name = |item: &RefOr<Schema>| match item {
        RefOr::Ref(Ref { ref_location, .. }) => ref_location.rsplit('/').next().map(str::to_owned),
        RefOr::T(_) => None,
    };
    items.iter().filter_map(name).collect()
}

#[cfg(test)]
mod tests;
