//! `/pools`, `/containers`, `/families`, and what is free: `/subnets/{network}/next` and `/map`.

use super::{
    BODY_LIMIT_BYTES,
    hosts::{self, Page},
    networks::seen_subnet,
    parameters::OfWrites,
    request::{Json as Body, Parameters, read},
    write::{Outcome, Wish, Written, answer, make},
};
use crate::{
    http::{App, FieldError, Problem, session::Visitor},
    inventory::{
        self, ContainerDraft, ContainerObject, Edit, FamilyDraft, HostDraft, InterfaceDraft, NextFree, PoolDraft, PoolObject, Share, SpaceEdit, SubnetDraft,
        SubnetObject, Wanted, numbers,
    },
};
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use holdfast_proto::words::Subnet;
use http::{StatusCode, Uri};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The most addresses that are told as the next free ones.
const NEXT_LIMIT: u32 = 1000;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(pools, add_pool))
        .routes(routes!(delete_pool))
        .routes(routes!(shares))
        .routes(routes!(containers, add_container))
        .routes(routes!(delete_container))
        .routes(routes!(next_subnet))
        .routes(routes!(families, add_family))
        .routes(routes!(delete_family))
        .routes(routes!(next))
        .routes(routes!(map))
}

pub(super) fn network(path: &(String, String)) -> Result<Subnet, Problem> {
    format!("{}/{}", path.0, path.1).parse().map_err(|wrong| Problem::not_found(format!("there is no such network: {wrong}")))
}

#[utoipa::path(
    get,
    path = "/pools",
    operation_id = "listPools",
    summary = "Pools: what the addresses of a subnet are for.",
    params(("subnet" = Option<String>, Query, description = "Of this subnet.")),
    responses((status = 200, body = Page<PoolObject>)),
)]
async fn pools(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<PoolObject>>, Problem> {
    let subnet = of_subnet(&app, &visitor, &uri, "all pools").await?;
    Ok(Json(Page { items: inventory::pools(&app.pool, subnet).await?, next: None }))
}

#[utoipa::path(
    post,
    path = "/pools",
    operation_id = "addPool",
    summary = "Add a pool.",
    request_body = PoolDraft,
    params(OfWrites),
    responses((status = 201, body = Written<PoolObject>)),
)]
async fn add_pool(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let draft: PoolDraft = read(body, &["first", "last", "kind"])?;
    let outcome = make(&app, &visitor, &wish, Edit::Space(SpaceEdit::PoolAdd(draft.clone())), None).await?;
    let object = match &outcome {
        Outcome::Would(_) => None,
        Outcome::Did(_) => inventory::pools(&app.pool, None).await?.into_iter().find(|pool| pool.first == draft.first),
    };
    Ok(answer(&app, &wish, outcome, object, StatusCode::CREATED).await)
}

#[utoipa::path(
    delete,
    path = "/pools/{pool}",
    operation_id = "deletePool",
    summary = "Delete a pool, by its name or its range.",
    params(OfWrites),
    responses((status = 200, body = Written<serde_json::Value>)),
)]
async fn delete_pool(State(app): State<App>, visitor: Visitor, Path(pool): Path<String>, uri: Uri) -> Result<Response, Problem> {
    let which = pool.parse().map_err(Problem::not_found)?;
    write(&app, &visitor, &uri, SpaceEdit::PoolDelete(which)).await
}

#[utoipa::path(
    get,
    path = "/shares",
    operation_id = "listShares",
    summary = "Shares: which agent lends which addresses of the dynamic pools, and what is given up and not free yet.",
    params(("subnet" = Option<String>, Query, description = "Of this subnet.")),
    responses((status = 200, body = Page<Share>)),
)]
async fn shares(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<Share>>, Problem> {
    let subnet = of_subnet(&app, &visitor, &uri, "all shares").await?;
    Ok(Json(Page { items: inventory::shares(&app.pool, subnet).await?, next: None }))
}

/// The subnet that is asked for, which the visitor sees; without one the visitor sees everything.
async fn of_subnet(app: &App, visitor: &Visitor, uri: &Uri, everything: &str) -> Result<Option<Subnet>, Problem> {
    let parameters = Parameters::of(uri, &["subnet"])?;
    let wrong = |wrong: holdfast_proto::words::WordError| super::request::wrong_parameter("subnet", wrong.to_string());
    let subnet = parameters.text("subnet").map(|text| text.parse().map_err(wrong)).transpose()?;
    match &subnet {
        Some(subnet) => seen_subnet(app, visitor, subnet).await?,
        None => visitor.sees_all(everything)?,
    }
    Ok(subnet)
}

#[utoipa::path(
    get,
    path = "/containers",
    operation_id = "listContainers",
    summary = "Containers: networks that subnets are cut from.",
    responses((status = 200, body = Page<ContainerObject>)),
)]
async fn containers(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<ContainerObject>>, Problem> {
    visitor.sees_all("all containers")?;
    Parameters::of(&uri, &[])?;
    Ok(Json(Page { items: inventory::containers(&app.pool).await?, next: None }))
}

#[utoipa::path(
    post,
    path = "/containers",
    operation_id = "addContainer",
    summary = "Add a container.",
    request_body = ContainerDraft,
    params(OfWrites),
    responses((status = 201, body = Written<ContainerDraft>)),
)]
async fn add_container(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let draft: ContainerDraft = read(body, &["network"])?;
    let outcome = make(&app, &visitor, &wish, Edit::Space(SpaceEdit::ContainerAdd(draft.clone())), None).await?;
    Ok(answer(&app, &wish, outcome, Some(draft), StatusCode::CREATED).await)
}

#[utoipa::path(
    delete,
    path = "/containers/{address}/{length}",
    operation_id = "deleteContainer",
    summary = "Delete a container; its subnets stay.",
    params(OfWrites),
    responses((status = 200, body = Written<serde_json::Value>)),
)]
async fn delete_container(State(app): State<App>, visitor: Visitor, Path(path): Path<(String, String)>, uri: Uri) -> Result<Response, Problem> {
    write(&app, &visitor, &uri, SpaceEdit::ContainerDelete(network(&path)?)).await
}

/// `{"length": 26, "campus": "north", ...}`: the rest is a subnet's draft without its network.
#[utoipa::path(
    post,
    path = "/containers/{address}/{length}/next-subnet",
    operation_id = "addNextSubnet",
    summary = "Add a subnet in the first gap of a container that is large enough.",
    request_body = NextSubnet,
    params(OfWrites),
    responses((status = 201, body = Written<SubnetObject>)),
)]
async fn next_subnet(
    State(app): State<App>,
    visitor: Visitor,
    Path(path): Path<(String, String)>,
    uri: Uri,
    Body(mut body): Body<BODY_LIMIT_BYTES>,
) -> Result<Response, Problem> {
    let (wish, container) = (Wish::of(&uri)?, network(&path)?);
    let length = body.as_object_mut().and_then(|fields| fields.remove("length")).and_then(|length| u8::try_from(length.as_u64()?).ok());
    let wrong = || Problem::malformed("the length is missing", vec![FieldError::new("/length", "missing", "give the length of the new prefix, such as 26")]);
    let length = length.ok_or_else(wrong)?;
    body["network"] = json!(container);
    let draft: SubnetDraft = read(body, &["campus"])?;
    let outcome = make(&app, &visitor, &wish, Edit::Space(SpaceEdit::SubnetNext { container, length, draft }), None).await?;
    let made: Option<SubnetObject> = match &outcome {
        Outcome::Would(_) => None,
        Outcome::Did(applied) => inventory::subnet_made_by(&app.pool, &visitor.sight()?, applied.change_set).await?,
    };
    Ok(answer(&app, &wish, outcome, made, StatusCode::CREATED).await)
}

#[utoipa::path(
    get,
    path = "/families",
    operation_id = "listFamilies",
    summary = "Families of addresses beyond IP.",
    responses((status = 200, body = Page<FamilyDraft>)),
)]
async fn families(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<FamilyDraft>>, Problem> {
    visitor.sight()?;
    Parameters::of(&uri, &[])?;
    Ok(Json(Page { items: inventory::families(&app.pool).await?, next: None }))
}

#[utoipa::path(
    post,
    path = "/families",
    operation_id = "addFamily",
    summary = "Add a family of addresses.",
    request_body = FamilyDraft,
    params(OfWrites),
    responses((status = 201, body = Written<FamilyDraft>)),
)]
async fn add_family(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let draft: FamilyDraft = read(body, &["name"])?;
    let outcome = make(&app, &visitor, &wish, Edit::Space(SpaceEdit::FamilyAdd(draft.clone())), None).await?;
    Ok(answer(&app, &wish, outcome, Some(draft), StatusCode::CREATED).await)
}

#[utoipa::path(
    delete,
    path = "/families/{name}",
    operation_id = "deleteFamily",
    summary = "Delete a family that nobody uses.",
    params(OfWrites),
    responses((status = 200, body = Written<serde_json::Value>)),
)]
async fn delete_family(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Response, Problem> {
    write(&app, &visitor, &uri, SpaceEdit::FamilyDelete(name)).await
}

/// An edit after which there is nothing to show.
pub(super) async fn write(app: &App, visitor: &Visitor, uri: &Uri, edit: SpaceEdit) -> Result<Response, Problem> {
    let wish = Wish::of(uri)?;
    let outcome = make(app, visitor, &wish, Edit::Space(edit), None).await?;
    Ok(answer(app, &wish, outcome, None::<Value>, StatusCode::OK).await)
}

/// With `dry_run=true` and no name: which addresses are next, `{"count": 3}` of them. With the draft of a host: the host gets
/// the next free one.
#[utoipa::path(
    post,
    path = "/subnets/{address}/{length}/next",
    operation_id = "nextAddress",
    summary = "Give a host the next free address; or, as a dry run without a name, tell which are next.",
    request_body = NextBody,
    params(OfWrites),
    responses((status = 201, body = Written<hosts::HostOrHosts>, headers(("ETag" = String, description = "The version, for If-Match."))), (status = 200, body = NextAnswer)),
)]
async fn next(
    State(app): State<App>,
    visitor: Visitor,
    Path(path): Path<(String, String)>,
    uri: Uri,
    Body(body): Body<BODY_LIMIT_BYTES>,
) -> Result<Response, Problem> {
    let (wish, network) = (Wish::of(&uri)?, network(&path)?);
    if body.get("name").is_none() {
        let count = body.get("count").map_or(Some(1), Value::as_u64).filter(|count| (1..=u64::from(NEXT_LIMIT)).contains(count));
        let wrong = || Problem::malformed("the count is wrong", vec![FieldError::new("/count", "value", format!("give a number from 1 to {NEXT_LIMIT}"))]);
        let count = count.ok_or_else(wrong)?;
        if !wish.dry_run {
            let detail = "an address is kept for a host: give its name, or dry_run=true to see which address is next";
            return Err(Problem::malformed(detail, vec![FieldError::new("/name", "missing", detail)]));
        }
        seen_subnet(&app, &visitor, &network).await?;
        let addresses = numbers::next(&app.pool, network, count as usize).await?;
        return Ok(Json(json!({ "dry_run": true, "subnet": network, "addresses": addresses })).into_response());
    }
    let mut draft: HostDraft = read(body, &["name"])?;
    let wanted = Wanted { place: 0, next: NextFree::Subnet(network) };
    match draft.interfaces.first_mut() {
        Some(iface) => iface.next.push(wanted),
        None => draft.interfaces.push(InterfaceDraft { next: vec![wanted], ..InterfaceDraft::default() }),
    }
    hosts::add_host(&app, &visitor, &wish, draft).await
}

#[utoipa::path(
    get,
    path = "/subnets/{address}/{length}/map",
    operation_id = "subnetMap",
    summary = "What every address of a subnet is, by stretches.",
    responses((status = 200, body = Page<numbers::Run>)),
)]
async fn map(State(app): State<App>, visitor: Visitor, Path(path): Path<(String, String)>, uri: Uri) -> Result<Json<Page<numbers::Run>>, Problem> {
    Parameters::of(&uri, &[])?;
    seen_subnet(&app, &visitor, &network(&path)?).await?;
    Ok(Json(Page { items: numbers::map(&app.pool, network(&path)?).await?, next: None }))
}

/// A subnet's draft with the length of its prefix in place of its network.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "it describes what is read field by field")]
struct NextSubnet {
    #[schema(minimum = 0, maximum = 128)]
    length: u8,
    campus: String,
    gateway: Option<String>,
    domain: Option<String>,
    department: Option<String>,
    vlan: Option<u16>,
}

/// The draft of the host that gets the address; or how many addresses to tell.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "it describes what is read field by field")]
struct NextBody {
    name: Option<String>,
    interfaces: Option<Vec<InterfaceDraft>>,
    #[schema(minimum = 1, maximum = 1000)]
    count: Option<u32>,
}

/// The addresses that are next.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "it describes what is read field by field")]
struct NextAnswer {
    dry_run: bool,
    subnet: Option<String>,
    addresses: Option<Vec<String>>,
    effects: Option<inventory::Effects>,
}
