//! The trust feed: every box that was ever enrolled, with what became of it.

use crate::db::nodes::NodeLineRow;
use holdfast_proto::snapshot::{Change, Damaged, NODE, Node, NodeRole, NodeStatus, View, node_key};
use holdfast_proto::words::NodeId;

/// What must change so that the feed says what the database says.
pub fn rows(view: &View, nodes: &[NodeLineRow]) -> Result<Vec<Change>, Damaged> {
    let mut changes = Vec::new();
    for row in nodes {
        let key = node_key(NodeId(*row.id.as_bytes()));
        match node(row).encode() {
            Ok(value) if view.get(NODE, &key)? == Some(&value[..]) => {}
            Ok(value) => changes.push(Change::put(NODE, key, value)),
            Err(wrong) => tracing::error!(event = "row_too_large", node = row.name, %wrong, "a box is left as it was published"),
        }
    }
    Ok(changes)
}

fn node(row: &NodeLineRow) -> Node {
    Node {
        role: if row.role == "portal" { NodeRole::Portal } else { NodeRole::Agent },
        status: if row.revoked_at.is_some() { NodeStatus::Revoked } else { NodeStatus::Active },
        name: row.name.clone(),
        campus: row.campus.clone().unwrap_or_default(),
        hpke_public: row.hpke_public.clone(),
        addresses: row.service_address.as_deref().and_then(|address| address.parse().ok()).into_iter().collect(),
    }
}
