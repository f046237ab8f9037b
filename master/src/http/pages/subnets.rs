//! Subnets: how full they are, what every address of one is, and their pools.

use super::{
    Changed, Frame, Person, Refused,
    ask::{Ask, Field, Look, Pairs},
    follow, page,
};
use crate::{
    http::{App, Problem, api::read_draft, session::Visitor},
    inventory::{
        self, Edit, HostQuery, PoolDraft, PoolObject, Share, SpaceEdit, SubnetDraft, SubnetNumbers, SubnetObject,
        numbers::{self, Numbers, Run},
    },
};
use askama::Template;
use axum::{
    Form,
    extract::{Path, Query, State},
    response::Response,
};
use holdfast_proto::words::Subnet;
use serde_json::json;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
};

/// A stretch with more addresses than this is one row, not a cell for each.
const CELLS_LIMIT: u32 = 1024;
/// Names are looked up for so many hosts of a subnet.
const NAMED_LIMIT: u32 = 1000;

#[derive(Template)]
#[template(path = "subnets.html")]
struct SubnetsPage {
    frame: Frame,
    subnets: Vec<SubnetObject>,
    follow: Option<String>,
}

pub(super) async fn list(State(app): State<App>, Person(visitor): Person, Query(changed): Query<Changed>) -> Result<Response, Refused> {
    let mut subnets = inventory::subnets(&app.pool, &visitor.sight()?).await?;
    subnets.sort_by_key(|subnet| (subnet.draft.campus.clone(), subnet.draft.network.net()));
    page(SubnetsPage { frame: Frame::of(&app, &visitor, "subnets").await?, subnets, follow: follow(&app, changed.change).await? })
}

/// The numbers of now; a page never shows others.
fn numbers_of(subnet: &SubnetObject) -> Option<&Numbers> {
    if let SubnetNumbers::Now(numbers) = &subnet.numbers { Some(numbers) } else { None }
}

fn is_v4(subnet: &SubnetObject) -> bool {
    subnet.draft.network.net().addr().is_ipv4()
}

/// How full it is, in percent.
fn percent(numbers: &Numbers) -> u64 {
    let taken = numbers.total.saturating_sub(numbers.free);
    if numbers.total == 0 { 100 } else { (u128::from(taken) * 100 / u128::from(numbers.total)) as u64 }
}

/// Whether a share is part of a pool.
fn is_within(share: &Share, pool: &PoolObject) -> bool {
    pool.first <= IpAddr::from(share.first) && IpAddr::from(share.last) <= pool.last
}

/// One address, or a stretch of free ones that is too long for a cell each.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cell {
    first: IpAddr,
    last: IpAddr,
    kind: String,
    /// Who has it.
    name: Option<String>,
}

impl Cell {
    /// What stands in a cell: the part of an IPv4 address that differs.
    fn short(&self) -> String {
        match self.first {
            IpAddr::V4(address) => address.octets()[3].to_string(),
            IpAddr::V6(address) => address.to_string(),
        }
    }

    /// What is said of it, for who cannot see it or rests on it.
    fn says(&self) -> String {
        let kind = match self.kind.as_str() {
            "dynamic" => "in a dynamic pool",
            "quarantined" => "given back, waits for a new owner",
            other => other,
        };
        self.name.as_ref().map_or_else(|| format!("{}: {kind}", self.first), |name| format!("{}: {name}", self.first))
    }

    fn count(&self) -> u128 {
        match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => u128::from(last.to_bits() - first.to_bits()) + 1,
            (IpAddr::V6(first), IpAddr::V6(last)) => (last.to_bits() - first.to_bits()).saturating_add(1),
            _ => 0,
        }
    }
}

/// The cells of one block of 256 addresses, and what their addresses begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    begins: String,
    cells: Vec<Cell>,
}

#[derive(Template)]
#[template(path = "subnet.html")]
struct SubnetPage {
    frame: Frame,
    subnet: SubnetObject,
    /// A cell for each address, for IPv4 subnets that are not too large.
    blocks: Vec<Block>,
    /// Stretch by stretch otherwise.
    rows: Vec<Cell>,
    pools: Vec<PoolObject>,
    shares: Vec<Share>,
    follow: Option<String>,
}

pub(super) async fn show(
    State(app): State<App>,
    Person(visitor): Person,
    Path(path): Path<(String, String)>,
    Query(changed): Query<Changed>,
) -> Result<Response, Refused> {
    let subnet = find(&app, &visitor, &path).await?;
    let network = subnet.draft.network;
    let runs = numbers::map(&app.pool, network).await?;
    let hosts = HostQuery { search: Some(network.to_string()), limit: NAMED_LIMIT, ..HostQuery::default() };
    let hosts = inventory::host_list(&app.pool, &visitor.sight()?, &hosts).await?.hosts;
    let of_host = hosts.iter().flat_map(|host| host.draft.interfaces.iter().flat_map(|interface| &interface.addresses).map(move |address| (*address, host)));
    let names: HashMap<IpAddr, String> = of_host.map(|(address, host)| (address, host.draft.name.to_string())).collect();
    let (cells, rows) = cells(&runs, &names);
    page(SubnetPage {
        frame: Frame::of(&app, &visitor, "subnets").await?,
        pools: inventory::pools(&app.pool, Some(network)).await?,
        shares: inventory::shares(&app.pool, Some(network)).await?,
        subnet,
        blocks: blocks(cells),
        rows,
        follow: follow(&app, changed.change).await?,
    })
}

/// A cell for each address where there are not too many; rows by stretches otherwise, with a row for each that has a name.
fn cells(runs: &[Run], names: &HashMap<IpAddr, String>) -> (Vec<Cell>, Vec<Cell>) {
    let cell =
        |first: IpAddr, last: IpAddr, kind: &str| Cell { first, last, kind: kind.to_owned(), name: names.get(&first).filter(|_| first == last).cloned() };
    let v4 = |run: &Run| if let (IpAddr::V4(first), IpAddr::V4(last)) = (run.first, run.last) { Some((first.to_bits(), last.to_bits())) } else { None };
    let size: u64 = runs.iter().filter_map(v4).map(|(first, last)| u64::from(last - first) + 1).sum();
    let single = |run: &Run| match v4(run) {
        Some((first, last)) => (first..=last).map(|bits| IpAddr::from(Ipv4Addr::from_bits(bits))).map(|address| cell(address, address, &run.kind)).collect(),
        None => vec![],
    };
    if runs.iter().all(|run| v4(run).is_some()) && size <= u64::from(CELLS_LIMIT) {
        return (runs.iter().flat_map(single).collect(), vec![]);
    }
    let row = |run: &Run| if run.kind == "used" && v4(run).is_some() { single(run) } else { vec![cell(run.first, run.last, &run.kind)] };
    (vec![], runs.iter().flat_map(row).take(CELLS_LIMIT as usize).collect())
}

fn blocks(cells: Vec<Cell>) -> Vec<Block> {
    let begins = |cell: &Cell| cell.first.to_string().rsplit_once('.').map(|(begins, _)| format!("{begins}.")).unwrap_or_default();
    cells.chunk_by(|one, other| begins(one) == begins(other)).map(|block| Block { begins: begins(&block[0]), cells: block.to_vec() }).collect()
}

async fn find(app: &App, visitor: &Visitor, (address, length): &(String, String)) -> Result<SubnetObject, Refused> {
    let missing = || Problem::not_found(format!("there is no subnet {address}/{length}"));
    let network: Subnet = format!("{address}/{length}").parse().map_err(|_| missing())?;
    let found = inventory::subnets(&app.pool, &visitor.sight()?).await?.into_iter().find(|subnet| subnet.draft.network == network);
    Ok(found.ok_or_else(missing)?)
}

/// The fields of a subnet that people set every day; the others are kept as they are.
async fn fields(app: &App, draft: Option<&SubnetDraft>) -> Result<Vec<Field>, Refused> {
    let campuses = inventory::campuses(&app.pool).await?.into_iter().map(|campus| campus.name).collect();
    let departments = inventory::organisation::all_departments(&app.pool).await?.into_iter().map(|kept| kept.draft.name);
    let departments = std::iter::once(String::new()).chain(departments).collect();
    let unknown = ["off", "report", "quarantine", "auto"].map(str::to_owned).to_vec();
    let mut fields = vec![
        Field::new("network", "Network", "Such as 10.1.9.0/24 or 2001:db8:9::/64", Look::Mono),
        Field::new("campus", "Campus", "Its agents answer first", Look::Choice(campuses)),
        Field::new("gateway", "Gateway", "Its router, which hosts are told; may be empty", Look::Mono),
        Field::new("vlan", "VLAN", "1 to 4094; may be empty", Look::Number),
        Field::new("domain", "Domain", "The domain that its hosts are told; may be empty", Look::Mono),
        Field::new("dns_servers", "DNS servers", "Empty: the campus agents, the home one first", Look::List),
        Field::new("department", "Department", "Who it belongs to", Look::Choice(departments)),
        Field::new("unknown_machines", "Machines that nobody registered", "Off: nobody hears of them; report: they are listed", Look::Choice(unknown)),
    ];
    let Some(draft) = draft else {
        fields[7].value = "report".into();
        return Ok(fields);
    };
    let draft = json!(draft);
    for field in &mut fields {
        field.value = match &draft[field.name] {
            serde_json::Value::Null => String::new(),
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Array(list) => list.iter().filter_map(|one| one.as_str()).collect::<Vec<_>>().join(" "),
            other => other.to_string(),
        };
    }
    Ok(fields)
}

async fn new_ask(app: &App, visitor: &Visitor) -> Result<Ask, Refused> {
    let ask = Ask::new(app, visitor, "subnets", "Add a subnet").await?;
    Ok(Ask { action: "/subnets/new".into(), verb: "Add it", fields: fields(app, None).await?, ..ask })
}

pub(super) async fn new_form(State(app): State<App>, Person(visitor): Person) -> Result<Response, Refused> {
    page(new_ask(&app, &visitor).await?)
}

pub(super) async fn new_step(State(app): State<App>, Person(visitor): Person, Form(pairs): Form<Pairs>) -> Result<Response, Refused> {
    let ask = new_ask(&app, &visitor).await?.filled(&pairs);
    let edit = read_draft::<SubnetDraft>(ask.draft(json!({})), &["network", "campus"]).map(Edit::SubnetAdd);
    ask.step(&app, &visitor, &pairs, edit, None).await
}

async fn edit_ask(app: &App, visitor: &Visitor, subnet: &SubnetObject) -> Result<Ask, Refused> {
    let network = subnet.draft.network;
    let ask = Ask::new(app, visitor, "subnets", format!("Edit {network}")).await?;
    let carried = vec![("version", subnet.version.0.to_string())];
    Ok(Ask { action: format!("/subnets/{network}/edit"), back: format!("/subnets/{network}"), carried, fields: fields(app, Some(&subnet.draft)).await?, ..ask })
}

pub(super) async fn edit_form(State(app): State<App>, Person(visitor): Person, Path(path): Path<(String, String)>) -> Result<Response, Refused> {
    let subnet = find(&app, &visitor, &path).await?;
    page(edit_ask(&app, &visitor, &subnet).await?)
}

pub(super) async fn edit_step(
    State(app): State<App>,
    Person(visitor): Person,
    Path(path): Path<(String, String)>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Refused> {
    let subnet = find(&app, &visitor, &path).await?;
    if super::ask::given(&pairs, "version") != subnet.version.0.to_string() {
        return Err(Problem::stale().into());
    }
    let mut ask = edit_ask(&app, &visitor, &subnet).await?.filled(&pairs);
    let draft = read_draft::<SubnetDraft>(ask.draft(json!(subnet.draft)), &["network", "campus"]);
    if let Ok(draft) = &draft {
        ask.back = format!("/subnets/{}", draft.network);
    }
    let edit = draft.map(|draft| Edit::SubnetSet { network: subnet.draft.network, draft });
    ask.step(&app, &visitor, &pairs, edit, Some(subnet.version)).await
}

async fn delete_ask(app: &App, visitor: &Visitor, subnet: &SubnetObject) -> Result<Ask, Refused> {
    let network = subnet.draft.network;
    let ask = Ask::new(app, visitor, "subnets", format!("Delete {network}")).await?;
    let about = "Only a subnet that holds no host goes.".into();
    Ok(Ask { action: format!("/subnets/{network}/delete"), verb: "Delete it", is_danger: true, about, ..ask })
}

pub(super) async fn delete_form(State(app): State<App>, Person(visitor): Person, Path(path): Path<(String, String)>) -> Result<Response, Refused> {
    let subnet = find(&app, &visitor, &path).await?;
    let edit = Edit::SubnetDelete { network: subnet.draft.network };
    delete_ask(&app, &visitor, &subnet).await?.preview(&app, &visitor, edit).await
}

pub(super) async fn delete_step(
    State(app): State<App>,
    Person(visitor): Person,
    Path(path): Path<(String, String)>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Refused> {
    let subnet = find(&app, &visitor, &path).await?;
    let edit = Ok(Edit::SubnetDelete { network: subnet.draft.network });
    delete_ask(&app, &visitor, &subnet).await?.filled(&pairs).step(&app, &visitor, &pairs, edit, Some(subnet.version)).await
}

async fn pool_ask(app: &App, visitor: &Visitor, subnet: &SubnetObject) -> Result<Ask, Refused> {
    let network = subnet.draft.network;
    let kinds = ["dynamic", "static"].map(str::to_owned).to_vec();
    let fields = vec![
        Field::new("first", "First address", "Of the pool", Look::Mono),
        Field::new("last", "Last address", "Of the pool", Look::Mono),
        Field::new("kind", "What it is for", "Dynamic: lent by agents to machines that nobody registered; static: for hosts", Look::Choice(kinds)),
        Field::new("name", "Name", "May be empty", Look::Mono),
    ];
    let ask = Ask::new(app, visitor, "subnets", format!("Add a pool in {network}")).await?;
    Ok(Ask { action: format!("/subnets/{network}/pool"), back: format!("/subnets/{network}"), verb: "Add it", fields, ..ask })
}

pub(super) async fn pool_form(State(app): State<App>, Person(visitor): Person, Path(path): Path<(String, String)>) -> Result<Response, Refused> {
    let subnet = find(&app, &visitor, &path).await?;
    page(pool_ask(&app, &visitor, &subnet).await?)
}

pub(super) async fn pool_step(
    State(app): State<App>,
    Person(visitor): Person,
    Path(path): Path<(String, String)>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Refused> {
    let subnet = find(&app, &visitor, &path).await?;
    let ask = pool_ask(&app, &visitor, &subnet).await?.filled(&pairs);
    let edit = read_draft::<PoolDraft>(ask.draft(json!({})), &["first", "last", "kind"]).map(|draft| Edit::Space(SpaceEdit::PoolAdd(draft)));
    ask.step(&app, &visitor, &pairs, edit, None).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first: &str, last: &str, kind: &str) -> Run {
        Run { first: first.parse().unwrap(), last: last.parse().unwrap(), kind: kind.into() }
    }

    #[test]
    fn a_small_subnet_is_a_cell_for_each_address_and_a_large_one_rows() {
        let names = HashMap::from([("10.1.4.2".parse().unwrap(), "www.uni.example".to_owned())]);
        let runs = [run("10.1.4.1", "10.1.4.1", "gateway"), run("10.1.4.2", "10.1.4.3", "used"), run("10.1.4.4", "10.1.4.254", "free")];
        let (small, none) = cells(&runs, &names);
        assert_eq!((small.len(), none.len()), (254, 0));
        assert_eq!(small[1].says(), "10.1.4.2: www.uni.example");
        assert_eq!(blocks(small.clone()).iter().map(|block| (block.begins.as_str(), block.cells.len())).collect::<Vec<_>>(), [("10.1.4.", 254)]);
        assert_eq!((small[2].says().as_str(), small[2].short().as_str()), ("10.1.4.3: used", "3"));

        let large = [run("10.2.0.1", "10.2.0.2", "used"), run("10.2.0.3", "10.2.255.254", "free")];
        let (none, rows) = cells(&large, &names);
        assert_eq!((none.len(), rows.len()), (0, 3));
        assert_eq!(rows[2].count(), 65532);
        let (none, rows) = cells(&[run("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", "free")], &names);
        assert_eq!((none.len(), rows.len()), (0, 1));
    }

    #[test]
    fn how_full_a_subnet_is_counts_all_that_is_not_free() {
        let numbers = |total, free| Numbers { total, free, used: 0, quarantined: 0, excluded: total - free };
        assert_eq!(percent(&numbers(254, 254)), 0);
        assert_eq!(percent(&numbers(254, 20)), 92);
        assert_eq!(percent(&numbers(0, 0)), 100);
        assert_eq!(percent(&numbers(u64::MAX, 0)), 100);
    }
}
