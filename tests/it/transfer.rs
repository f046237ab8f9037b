//! Zones between servers: standard secondaries follow the master, the master follows the primaries of others, and strangers get nothing.

mod peers;

use crate::serving::{NORTH, eventually, two_campuses};
use holdfast_lab::cables::{Network, Place};
use holdfast_lab::clients::Dig;
use holdfast_lab::clients::counting::Counting;
use holdfast_lab::folder::Folder;
use holdfast_lab::lab::{Ground, Lab, Part, get, on_ground};
use holdfast_lab::netns::{self, Netns};
use peers::{KEY, Kind, Peer, Role, first_file, serial};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

const ZONE: &str = "uni.example";
/// The master's own name server, as its neighbours in the box see it.
const MASTER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Network::MASTER), 53);

/// All that `dig` says to a transfer.
fn axfr(at: &Netns, server: SocketAddr, zone: &str, key: Option<&str>) -> String {
    let mut command = at.command("dig");
    command.args([&format!("@{}", server.ip()), "-p", &server.port().to_string(), zone, "AXFR", "+noall", "+answer", "+comments", "+time=5", "+tries=1"]);
    if let Some(key) = key {
        command.args(["-y", key]);
    }
    let output = command.output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Waits until the master knows the key: then it refuses what the key may not have, and not the key.
fn key_counts(at: &Netns, secret: &str) {
    let key = format!("hmac-sha256:{KEY}:{secret}");
    eventually("the key is known", || {
        let said = axfr(at, MASTER, "nowhere.example", Some(&key));
        anyhow::ensure!(said.contains("Transfer failed") && !said.contains("tsig") && !said.contains("signature"), "{said}");
        Ok(true)
    });
}

/// The records of a transfer, however they are spelled and ordered.
fn records(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with(';') && !line.trim().is_empty());
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()).collect()
}

fn counted(lab: &Lab, line: &str) -> u64 {
    let text = on_ground(lab.at(Place::Master), || get(lab.ground().status(Part::Master), "/metrics")).unwrap().unwrap();
    text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse::<f64>().ok()).unwrap_or_default() as u64
}

#[test]
fn standard_secondaries_follow_the_master_and_strangers_get_nothing() {
    if let Some(reason) = netns::hindrance() {
        return holdfast_lab::skipped("standard secondaries follow the master", &reason);
    }
    let mut lab = Lab::build(Ground::Cables, Folder::new("lab").unwrap()).unwrap();
    lab.bring_up_master(&mut ()).unwrap();
    let (admin, folder) = (lab.admin().unwrap(), Folder::new("peers").unwrap());
    let secret = admin.holdfast(&["tsig-key", "add", KEY]).unwrap().trim().to_owned();
    for kind in Kind::ALL {
        let (to, notify) = (kind.address().ip().to_string(), kind.address().to_string());
        admin.holdfast(&["zone", "allow", ZONE, "--to", &to, "--key", KEY, "--notify", &notify]).unwrap();
    }
    let at = lab.at(Place::Master).unwrap();
    key_counts(at, &secret);
    let peers: Vec<Peer> = Kind::ALL.into_iter().map(|kind| Peer::start(kind, Role::Secondary, &folder, at, ZONE, &secret)).collect();
    let same = |what: &str| {
        for peer in &peers {
            let both = || (serial(at, MASTER, ZONE), serial(at, peer.kind.address(), ZONE));
            eventually(&format!("{} is {what}", peer.kind.name()), || {
                let (ours, theirs) = both();
                anyhow::ensure!(ours.is_some() && ours == theirs, "{ours:?} and {theirs:?}: {}", peer.log());
                Ok(true)
            });
        }
    };
    same("there");
    let (whole, first) = (counted(&lab, "holdfast_transfers_out_total{how=\"whole\"}"), serial(at, MASTER, ZONE).unwrap());
    assert!(whole >= 3, "{whole} whole transfers");

    // An edit: they hear of it, and take what changed.
    admin.holdfast(&["host", "add", "fresh.uni.example", "--address", "10.1.8.77"]).unwrap();
    eventually("the serial rises", || Ok(serial(at, MASTER, ZONE).is_some_and(|now| now == first + 1)));
    same("told");
    for peer in &peers {
        let server = peer.kind.address();
        assert_eq!(Dig::ask(Some(at), server.ip(), "fresh.uni.example", "A").at_port(server.port()).short().unwrap(), ["10.1.8.77"], "{:?}", peer.kind);
    }
    let changes = counted(&lab, "holdfast_transfers_out_total{how=\"changes\"}");
    assert!(changes >= 3, "{changes} incremental transfers:\n{}", peers[0].log());
    assert_eq!(counted(&lab, "holdfast_transfers_out_total{how=\"whole\"}"), whole, "nobody needed the whole zone again");

    // Strangers: no key, another key, from elsewhere.
    let good = format!("hmac-sha256:{KEY}:{secret}");
    let other = format!("hmac-sha256:{KEY}:{}", "A".repeat(43) + "=");
    for key in [None, Some(other.as_str()), Some(good.as_str())] {
        let said = axfr(at, MASTER, ZONE, key);
        assert!(said.contains("Transfer failed") && records(&said).is_empty(), "with {key:?} from another address: {said}");
    }
    eventually("the refusals are on record", || {
        let refused = admin.holdfast(&["zone", "refused"])?;
        Ok(refused.contains("no rule of the zone") && refused.contains("the signature does not fit"))
    });
    // Who may have it has what the others have.
    admin.holdfast(&["zone", "allow", ZONE, "--to", "10.0.0.1", "--key", KEY]).unwrap();
    eventually("a new rule counts", || Ok(!records(&axfr(at, MASTER, ZONE, Some(&good))).is_empty()));
    let ours = records(&axfr(at, MASTER, ZONE, Some(&good)));
    assert!(ours.len() > 20 && ours.iter().any(|record| record.starts_with("fresh.uni.example. ")), "{ours:?}");
    let bind = peers.iter().find(|peer| peer.kind == Kind::Bind).unwrap();
    let theirs = records(&axfr(at, bind.kind.address(), ZONE, None));
    assert_eq!(theirs, ours, "BIND has another zone than we");

    // A restart keeps zones, serials, keys and rules.
    lab.stop(Part::Master).unwrap();
    lab.start(Part::Master).unwrap();
    let at = lab.at(Place::Master).unwrap();
    eventually("the zone is there after a restart", || Ok(serial(at, MASTER, ZONE) == Some(first + 1)));
    eventually("and may be had", || Ok(records(&axfr(at, MASTER, ZONE, Some(&good))) == ours));
}

#[test]
fn departments_and_partners_are_copied_and_served_by_the_agents() {
    let Some(mut lab) = two_campuses("departments are copied") else { return };
    let (admin, folder) = (lab.admin().unwrap(), Folder::new("peers").unwrap());
    let secret = admin.holdfast(&["tsig-key", "add", KEY]).unwrap().trim().to_owned();
    key_counts(lab.at(Place::Master).unwrap(), &secret);
    let zone_of = |kind: Kind| if kind == Kind::Bind { "dept.uni.example".to_owned() } else { format!("{}.example", kind.name()) };
    let mut peers = Vec::new();
    for kind in Kind::ALL {
        let (zone, primary) = (zone_of(kind), kind.address().to_string());
        first_file(&folder, kind, &zone, 7, &[("www", "192.0.2.1")]);
        peers.push(Peer::start(kind, Role::Primary, &folder, lab.at(Place::Master).unwrap(), &zone, &secret));
        let (ns, mailbox) = (format!("ns.{zone}"), format!("hostmaster.{zone}"));
        let args = ["zone", "add", &zone, "--primary-ns", &ns, "--mailbox", &mailbox, "--primary", &primary, "--primary-key", KEY];
        admin.holdfast(&args).unwrap();
    }
    let host = Place::Host(NORTH);
    let agent = SocketAddr::from((NORTH.agent(), 53));
    let serves = |lab: &Lab, peer: &Peer, wanted: u32, address: &str| {
        let zone = zone_of(peer.kind);
        for (place, server) in [(Place::Master, MASTER), (host, agent)] {
            eventually(&format!("{server} has {zone} at {wanted}"), || {
                let at = lab.at(place).unwrap();
                let found = serial(at, server, &zone);
                anyhow::ensure!(found == Some(wanted), "{found:?}; {}\n{}", admin.holdfast(&["zone", "show", &zone])?, peer.log());
                Ok(Dig::ask(Some(at), server.ip(), &format!("www.{zone}"), "A").short()? == [address])
            });
        }
    };
    for peer in &peers {
        serves(&lab, peer, 7, "192.0.2.1");
    }
    // What the primary changes is known at once, by its notification.
    for peer in &mut peers {
        let zone = zone_of(peer.kind);
        peer.write(&zone, 8, &[("www", "192.0.2.2"), ("more", "192.0.2.3")]);
    }
    for peer in &peers {
        serves(&lab, peer, 8, "192.0.2.2");
    }
    let shown = admin.holdfast(&["zone", "show", "dept.uni.example"]).unwrap();
    assert!(shown.contains("copy serial") && shown.contains("copy expires at") && shown.contains("127.0.0.2"), "{shown}");
    // A zone that loses almost everything is held until somebody accepts it.
    let crowd: Vec<(String, String)> = (0..120).map(|n| (format!("h{n}"), format!("192.0.2.{n}"))).collect();
    let hosts: Vec<(&str, &str)> = [("www", "192.0.2.4")].into_iter().chain(crowd.iter().map(|(host, address)| (host.as_str(), address.as_str()))).collect();
    peers[0].write("dept.uni.example", 9, &hosts);
    serves(&lab, &peers[0], 9, "192.0.2.4");
    peers[0].write("dept.uni.example", 10, &[("www", "192.0.2.5")]);
    eventually("the loss is held", || Ok(admin.holdfast(&["zone", "show", "dept.uni.example"])?.contains("held serial")));
    serves(&lab, &peers[0], 9, "192.0.2.4");
    admin.holdfast(&["zone", "refresh", "dept.uni.example", "--accept-loss", "--reason", "the old lab is gone"]).unwrap();
    serves(&lab, &peers[0], 10, "192.0.2.5");

    // What is published of copies is what the database has of them.
    eventually("the audit of the snapshots finds nothing", || Ok(!admin.holdfast(&["snapshot", "audit"])?.contains("WRONG")));

    // The primaries go away and the master starts anew: all is served on.
    let bind = peers.remove(0);
    drop(peers);
    lab.stop(Part::Master).unwrap();
    lab.start(Part::Master).unwrap();
    serves(&lab, &bind, 10, "192.0.2.5");
    let at = lab.at(Place::Master).unwrap();
    assert_eq!(serial(at, MASTER, "nsd.example"), Some(8));
    // For as long as its SOA says, and not longer.
    for (place, server) in [(Place::Master, MASTER), (host, agent)] {
        let at = lab.at(place).unwrap();
        eventually("a copy that nobody renews is given up", || Ok(Dig::ask(Some(at), server.ip(), "www.knot.example", "A").run()?.status == "SERVFAIL"));
    }
    let peer = Peer::start(Kind::Knot, Role::Primary, &folder, lab.at(Place::Master).unwrap(), "knot.example", &secret);
    serves(&lab, &peer, 8, "192.0.2.2");
}

#[test]
fn a_zone_is_handed_over_and_taken_back_without_a_lost_question() {
    const HANDED: &str = "hand.uni.example";
    let Some(lab) = two_campuses("a zone is handed over") else { return };
    let (admin, folder) = (lab.admin().unwrap(), Folder::new("peers").unwrap());
    let secret = admin.holdfast(&["tsig-key", "add", KEY]).unwrap().trim().to_owned();
    admin.holdfast(&["zone", "add", HANDED, "--primary-ns", "ns.uni.example", "--mailbox", "hostmaster.uni.example"]).unwrap();
    admin.holdfast(&["host", "add", "www.hand.uni.example", "--address", "10.1.8.66", "--wait"]).unwrap();
    let (master, host, agent) = (lab.at(Place::Master).unwrap(), lab.at(Place::Host(NORTH)).unwrap(), SocketAddr::from((NORTH.agent(), 53)));
    first_file(&folder, Kind::Bind, HANDED, 2_000_000_000, &[("www", "10.1.8.66"), ("new", "192.0.2.9")]);
    let bind = Peer::start(Kind::Bind, Role::Primary, &folder, master, HANDED, &secret);
    eventually("the department's server is up", || Ok(serial(master, bind.kind.address(), HANDED).is_some()));

    let counting = Counting::start(Some(host), agent, &"www.hand.uni.example".parse().unwrap(), Duration::from_millis(10));
    admin.holdfast(&["zone", "copy-of", HANDED, "--primary", &bind.kind.address().to_string(), "--primary-key", KEY]).unwrap();
    eventually("the department says what is in it", || Ok(serial(host, agent, HANDED) == Some(2_000_000_000)));
    assert_eq!(Dig::ask(Some(host), agent.ip(), "new.hand.uni.example", "A").short().unwrap(), ["192.0.2.9"]);
    let refused = admin.holdfast(&["record", "add", "x.hand.uni.example", "TXT", "\"here\""]).unwrap_err().to_string();
    assert!(refused.contains("copy of another server"), "{refused}");
    drop(bind);
    admin.holdfast(&["zone", "copy-of", HANDED]).unwrap();
    eventually("it is our own again, and its serial goes on", || Ok(serial(host, agent, HANDED) == Some(2_000_000_001)));
    assert_eq!(Dig::ask(Some(host), agent.ip(), "new.hand.uni.example", "A").run().unwrap().status, "NXDOMAIN");
    let tally = counting.stop().unwrap();
    assert!(tally.asked > 20, "{tally:?}");
    assert_eq!((tally.lost(), tally.refused), (0, 0), "{tally:?}");
}
