//! What agents lend: pools and their shares, and who has which address on loan; and who asked and is not registered.

use super::{Frame, Person, Refused, page};
use crate::{
    http::{App, Problem},
    inventory::{self, LeaseObject, PoolObject, Share, UnknownMachine},
};
use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use serde::Deserialize;
use std::net::IpAddr;

/// Machines on the page, the last seen first; the others are listed by the command.
const MACHINES_SHOWN: usize = 50;

#[derive(Deserialize)]
pub(super) struct Asked {
    /// Leases behind this address: the next page.
    after: Option<String>,
}

#[derive(Template)]
#[template(path = "dhcp.html")]
struct DhcpPage {
    frame: Frame,
    pools: Vec<PoolObject>,
    shares: Vec<Share>,
    leases: Vec<LeaseObject>,
    paged: bool,
    next: Option<IpAddr>,
    machines: Vec<UnknownMachine>,
    more_machines: bool,
}

pub(super) async fn show(State(app): State<App>, Person(visitor): Person, Query(asked): Query<Asked>) -> Result<Response, Refused> {
    visitor.sees_all("all leases")?;
    let after = asked.after.as_deref().map(str::parse).transpose().map_err(|_| Problem::not_found("there is no such page of the leases"))?;
    let (leases, next) = inventory::leases(&app.pool, None, after).await?;
    let (mut machines, _) = inventory::unknown_machines(&app.pool, None, None, 0).await?;
    let more_machines = machines.len() > MACHINES_SHOWN;
    machines.truncate(MACHINES_SHOWN);
    page(DhcpPage {
        machines,
        more_machines,
        frame: Frame::of(&app, &visitor, "dhcp").await?,
        pools: inventory::pools(&app.pool, None).await?,
        shares: inventory::shares(&app.pool, None).await?,
        leases,
        paged: after.is_some(),
        next,
    })
}

/// Whether somebody has it now.
fn is_active(lease: &LeaseObject) -> bool {
    lease.state == "active"
}
