//! Who may ask: the campus's subnets and those of the campuses that this box stands in for, as the signed rows have them, and what
//! the configuration adds.

use crate::config;
use holdfast_names::engine::Handle;
use holdfast_proto::dhcp::table::{SUBNET, SubnetRef, subnet_of_key};
use holdfast_proto::dns::resolver::{Clients, Standing};
use holdfast_proto::snapshot::{NODE, Node, Reader, View, node_key};
use holdfast_proto::words::{NodeId, Subnet};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Keeps the plane's list up with the rows.
pub(super) async fn keep_up(plane: Handle, settings: config::Resolver, node: NodeId, mut bootptab: Reader, mut roster: Reader) -> Infallible {
    loop {
        plane.admit(clients(&settings, node, &bootptab.current(), &roster.current()));
        tokio::select! {
            true = bootptab.changed() => {}
            true = roster.changed() => {}
            // Both writers are gone: what was known last stays good.
            else => std::future::pending::<()>().await,
        }
    }
}

/// What is damaged is as if it were not there: then the configuration alone says who may ask.
pub(super) fn clients(settings: &config::Resolver, node: NodeId, bootptab: &View, roster: &View) -> Clients {
    let own = roster.get(NODE, &node_key(node)).ok().flatten().and_then(|row| Node::decode(row).ok()).map(|own| own.campus).unwrap_or_default();
    let is_served = |campus: &str| !campus.is_empty() && (campus == own || settings.stands_in_for.iter().any(|other| other == campus));
    let rows = bootptab.iter(SUBNET).filter_map(Result::ok);
    let subnets = rows.filter(|(_, row)| SubnetRef::read(row).is_ok_and(|subnet| is_served(subnet.campus))).filter_map(|(key, _)| subnet_of_key(key));
    let subnets = subnets.filter_map(|net| Subnet::around(net.network().into(), net.prefix_len()));
    // The master asks what is here when somebody traces a name.
    let master =
        settings.master.iter().flat_map(|tier| &tier.servers).filter_map(|server| Subnet::around(server.ip(), if server.is_ipv4() { 32 } else { 128 }));
    let configured = settings.clients.iter().filter_map(|net| Subnet::around(net.addr(), net.prefix_len()));
    let departments = settings.departments.iter().filter_map(|net| Subnet::around(net.addr(), net.prefix_len()));
    let itself = [Subnet::around(IpAddr::V4(Ipv4Addr::LOCALHOST), 8), Subnet::around(Ipv6Addr::LOCALHOST.into(), 128)].into_iter().flatten();
    let listed = itself.chain(master).chain(subnets).chain(configured).map(|net| (net, Standing::Client));
    Clients::new(listed.chain(departments.map(|net| (net, Standing::Department))))
}
