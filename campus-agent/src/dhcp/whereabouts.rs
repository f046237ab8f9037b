//! Where this agent stands: its campus, by the signed roster, and which other campuses have no agent that answers.

use holdfast_proto::snapshot::{NODE, Node, NodeRole, NodeStatus, Reader, View, node_key};
use holdfast_proto::words::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use tokio::sync::watch;

/// What decides whether a client is answered at once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Whereabouts {
    /// This agent's campus; with an empty one it is at home everywhere.
    pub campus: String,
    /// Campuses whose agents are all known to be silent.
    pub silent: Vec<String>,
}

/// Keeps up with the roster and with which agents, by name, do not answer.
pub async fn keep_up(node: NodeId, mut roster: Reader, mut silent: watch::Receiver<BTreeSet<String>>, told: watch::Sender<Whereabouts>) -> Infallible {
    loop {
        let now = whereabouts(&roster.current(), node, &silent.borrow_and_update());
        told.send_if_modified(|before| std::mem::replace(before, now.clone()) != now);
        tokio::select! {
            true = roster.changed() => {}
            Ok(()) = silent.changed() => {}
            // Both writers are gone: what was known last stays good.
            else => std::future::pending::<()>().await,
        }
    }
}

/// What is damaged is as if it were not there: then this agent is at home, and answers.
fn whereabouts(roster: &View, node: NodeId, silent: &BTreeSet<String>) -> Whereabouts {
    let rows = roster.iter(NODE).filter_map(|row| Node::decode(row.ok()?.1).ok());
    let agents = rows.filter(|node| node.role == NodeRole::Agent && node.status == NodeStatus::Active);
    let mut answers = BTreeMap::<String, bool>::new();
    for agent in agents {
        *answers.entry(agent.campus).or_default() |= !silent.contains(&agent.name);
    }
    let own = roster.get(NODE, &node_key(node)).ok().flatten().and_then(|row| Node::decode(row).ok());
    let silent = answers.into_iter().filter(|(_, answers)| !answers).map(|(campus, _)| campus).collect();
    Whereabouts { campus: own.map(|own| own.campus).unwrap_or_default(), silent }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_proto::snapshot::{Change, Feed, State};

    fn roster() -> View {
        let row = |number: u8, name: &str, campus: &str, status| {
            let node = Node { role: NodeRole::Agent, status, name: name.into(), campus: campus.into(), hpke_public: vec![], addresses: vec![] };
            Change::put(NODE, node_key(NodeId([number; 16])), node.encode().unwrap())
        };
        let rows = vec![
            row(1, "north", "north", NodeStatus::Active),
            row(2, "south-a", "south", NodeStatus::Active),
            row(3, "south-b", "south", NodeStatus::Active),
            row(4, "stolen", "north", NodeStatus::Revoked),
        ];
        State::empty(Feed::TRUST).compose(rows).unwrap().unwrap().into_view()
    }

    #[test]
    fn a_campus_is_silent_when_none_of_its_agents_answers() {
        let at = |node, silent: &[&str]| whereabouts(&roster(), NodeId([node; 16]), &silent.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(at(1, &["south-a"]), Whereabouts { campus: "north".into(), silent: vec![] });
        assert_eq!(at(1, &["south-a", "south-b"]), Whereabouts { campus: "north".into(), silent: vec!["south".into()] });
        assert_eq!(at(2, &["north"]), Whereabouts { campus: "south".into(), silent: vec!["north".into()] }, "a box that was thrown out does not count");
        assert_eq!(at(9, &[]).campus, "", "a box that is in no roster is at home everywhere");
    }
}
