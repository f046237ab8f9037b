//! Who may ask the forwarder: our boxes, departmental name servers that stand in the hostname database as such, and networks of the
//! configuration. Addresses alone decide (BCP 140).

use super::Lines;
use crate::config;
use crate::db::transfers::RefusedRow;
use crate::db::{DbError, departments};
use crate::dns::refusals::Refusals;
use crate::publish::Latest;
use chrono::Utc;
use holdfast_names::engine::{Handle, Refused};
use holdfast_proto::dns::resolver::{Clients, Standing, asked_in_words};
use holdfast_proto::snapshot::{Feed, NODE, Node, NodeRole, NodeStatus, View, node_key};
use holdfast_proto::words::{NodeId, Subnet};
use sqlx::PgPool;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How soon an edit, a box that was thrown out and a box that dials in count.
const TICK: Duration = Duration::from_secs(1);

/// Who is registered, at one moment.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Registered {
    /// Addresses of boxes that are in service, and their campuses.
    pub(super) boxes: BTreeMap<IpAddr, String>,
    /// Addresses of departmental name servers, and their names.
    pub(super) departments: BTreeMap<IpAddr, String>,
}

/// Keeps the forwarder's list up.
pub(super) async fn keep_up(
    plane: Handle,
    settings: config::Forwarder,
    pool: PgPool,
    latest: watch::Receiver<Arc<Latest>>,
    lines: Lines,
    told: watch::Sender<Arc<Registered>>,
) -> Infallible {
    let mut tick = tokio::time::interval(TICK);
    let mut departments = BTreeMap::new();
    loop {
        tick.tick().await;
        match read_departments(&pool, settings.department_class.as_deref()).await {
            Ok(read) => departments = read,
            // While the database is away who was registered stays it.
            Err(error) => tracing::debug!(%error, "departmental servers could not be read"),
        }
        let roster = Arc::clone(&latest.borrow());
        let boxes = boxes(roster.state(Feed::TRUST).view(), &lines());
        let registered = Registered { boxes, departments: departments.clone() };
        plane.admit(clients(&settings, &registered));
        told.send_if_modified(|known| {
            let is_new = **known != registered;
            if is_new {
                *known = Arc::new(registered);
            }
            is_new
        });
    }
}

async fn read_departments(pool: &PgPool, class: Option<&str>) -> Result<BTreeMap<IpAddr, String>, DbError> {
    let Some(class) = class else { return Ok(BTreeMap::new()) };
    let hosts = departments::addresses_of_class(pool, class).await?;
    Ok(hosts.into_iter().map(|host| (host.address, host.name)).collect())
}

/// Boxes that are in service: by their service address, and by where their line comes from.
fn boxes(roster: &View, lines: &[(NodeId, IpAddr)]) -> BTreeMap<IpAddr, String> {
    let in_service = |row: &[u8]| Node::decode(row).ok().filter(|node| node.role == NodeRole::Agent && node.status == NodeStatus::Active);
    let mut boxes = BTreeMap::new();
    for (_, row) in roster.iter(NODE).filter_map(Result::ok) {
        if let Some(node) = in_service(row) {
            boxes.extend(node.addresses.iter().map(|address| (*address, node.campus.clone())));
        }
    }
    for (node, address) in lines {
        if let Some(node) = roster.get(NODE, &node_key(*node)).ok().flatten().and_then(in_service) {
            boxes.insert(address.to_canonical(), node.campus);
        }
    }
    boxes
}

pub(super) fn clients(settings: &config::Forwarder, registered: &Registered) -> Clients {
    let alone = |address: IpAddr| Subnet::around(address, if address.is_ipv4() { 32 } else { 128 });
    let itself = [Subnet::around(IpAddr::V4(Ipv4Addr::LOCALHOST), 8), alone(Ipv6Addr::LOCALHOST.into())];
    let addresses = registered.boxes.keys().chain(registered.departments.keys()).copied().chain(settings.resolvers.values().map(|server| server.ip()));
    let networks = settings.clients.iter().map(|net| Subnet::around(net.addr(), net.prefix_len()));
    let all = itself.into_iter().chain(addresses.map(alone)).chain(networks);
    Clients::new(all.flatten().map(|net| (net, Standing::Client)))
}

/// Leaves strangers who were refused for the record.
pub(super) async fn write_down(mut refused: mpsc::Receiver<Refused>, record: Refusals) -> Infallible {
    while let Some(Refused { client, packet }) = refused.recv().await {
        // One row for a client, whatever it asks: what people look up is nobody's business, and strays are to wash nothing else away.
        let zone = if asked_in_words(&packet).is_some() { "names of others" } else { "?" }.to_owned();
        let why = "it is no box of ours, no departmental server, and on no list".to_owned();
        record.leave(RefusedRow { at: Utc::now(), client: client.to_string(), zone, asked: "recursion".to_owned(), key: None, why });
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_proto::snapshot::{Change, State};

    fn node(number: u8, status: NodeStatus, role: NodeRole, address: &str) -> Change {
        let node = Node { role, status, name: format!("n{number}"), campus: "north".into(), hpke_public: vec![], addresses: vec![address.parse().unwrap()] };
        Change::put(NODE, node_key(NodeId([number; 16])), node.encode().unwrap())
    }

    #[test]
    fn boxes_in_service_departments_and_listed_networks_may_ask_and_nobody_else() {
        let changes = vec![
            node(1, NodeStatus::Active, NodeRole::Agent, "10.1.4.2"),
            node(2, NodeStatus::Revoked, NodeRole::Agent, "10.2.4.2"),
            node(3, NodeStatus::Active, NodeRole::Portal, "10.3.4.2"),
        ];
        let roster = State::empty(Feed::TRUST).compose(changes).unwrap().unwrap().into_view();
        let lines = [(1, "10.0.1.2"), (2, "10.0.2.2"), (3, "10.0.3.2"), (9, "10.0.9.2")].map(|(number, at)| (NodeId([number; 16]), at.parse().unwrap()));
        let departments = [("10.1.7.53".parse().unwrap(), "ns.cs.uni.example".to_owned())].into();
        let registered = Registered { boxes: boxes(&roster, &lines), departments };
        let settings: config::Forwarder = toml::from_str("clients = [\"2001:db8::/32\"]\n[resolvers]\nnorth = \"10.1.4.3:53\"\n").unwrap();
        let clients = clients(&settings, &registered);
        let standing = |address: &str| clients.standing(address.parse().unwrap());
        for known in ["127.0.0.1", "::1", "10.1.4.2", "10.0.1.2", "10.1.7.53", "10.1.4.3", "2001:db8::7"] {
            assert_eq!(standing(known), Standing::Client, "{known}");
        }
        for stranger in ["10.2.4.2", "10.0.2.2", "10.3.4.2", "10.0.3.2", "10.0.9.2", "10.1.7.54", "192.0.2.1"] {
            assert_eq!(standing(stranger), Standing::Stranger, "{stranger}");
        }
    }
}
