//! The resolver plane: listed clients alone, our names whatever happens, others' names from the cache, the master or another agent,
//! and a cut that nobody waits for. The master's part is played by unbound, as any institution could have it.

mod forged;
mod snippets;
mod validated;

use crate::{is_long, network};
use anyhow::{Result, ensure};
use holdfast_agent::config;
use holdfast_agent::reports::Spool;
use holdfast_agent::resolver::{ResolverServer, Surroundings};
use holdfast_lab::cables::{Cable, Campus, End, Network, Place};
use holdfast_lab::clients::{Dig, DigAnswer};
use holdfast_lab::folder::Folder;
use holdfast_lab::lone::Lone;
use holdfast_lab::process::{Program, Recipe};
use holdfast_proto::dhcp::table::{SUBNET, SubnetRow, subnet_key};
use holdfast_proto::dns::{Record, Zone, rdata, rows};
use holdfast_proto::net::clock::TrustedClock;
use holdfast_proto::snapshot::{Change, Feed, reader};
use holdfast_proto::words::{NodeId, UnixMillis};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const NORTH: Campus = Campus::North;
const SOUTH: Campus = Campus::South;
/// Far more than anything here takes; a busy machine is no fault of the product's.
const PATIENCE: Duration = Duration::from_secs(20);
/// The bar, and what a busy machine may add to it.
const FAST: Duration = Duration::from_millis(1000);

const OURS: &[&str] = &[
    "uni.example 600 SOA ns.uni.example host.uni.example 1 7200 900 1209600 60",
    "uni.example 600 NS ns.uni.example",
    "www.uni.example 600 A 10.1.4.80",
    "away.uni.example 600 CNAME www.far.org",
];

fn zone() -> Vec<Change> {
    let record = |line: &&str| {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        let (rtype, rdata) = rdata::parse_text(words[2], words[3], None).unwrap();
        Record { owner: words[0].parse().unwrap(), rtype, ttl: words[1].parse().unwrap(), rdata }
    };
    rows(&[Zone { apex: "uni.example".parse().unwrap(), records: OURS.iter().map(record).collect() }])
}

fn subnets() -> Vec<Change> {
    let row = |campus: Campus| {
        let net = format!("10.{}.4.0/22", campus as u8).parse().unwrap();
        Change::put(SUBNET, subnet_key(net), SubnetRow { campus: campus.name().into(), options: vec![] }.encode())
    };
    Campus::BOTH.map(row).into()
}

/// unbound in the master's box, which knows some names by itself and counts what it is asked.
fn master(network: &Network, folder: &Folder) -> Program {
    let many: String = (1..=100).map(|n| format!("  local-data: \"many.far.org. 300 A 192.0.2.{n}\"\n")).collect();
    let config = format!(
        "server:\n  directory: \"{}\"\n  chroot: \"\"\n  pidfile: \"\"\n  username: \"\"\n  use-syslog: no\n  log-queries: yes\n  num-threads: 1\n  interface: 10.0.0.1\n  \
         access-control: 10.0.0.0/8 allow\n  module-config: \"iterator\"\n  local-zone: \"far.org.\" static\n  \
         local-data: \"far.org. 300 SOA ns.far.org. host.far.org. 1 2 3 4 5\"\n  local-data: \"www.far.org. 300 A 192.0.2.1\"\n  \
         local-data: \"brief.far.org. 2 A 192.0.2.2\"\n  local-data: \"other.far.org. 300 A 192.0.2.3\"\n{many}",
        folder.path().display()
    );
    let config = folder.write("unbound.conf", &config).unwrap();
    let recipe = Recipe::new("unbound", "/usr/sbin/unbound", folder.path()).args(["-d", "-d", "-c"]).args([config]).inside(network.at(Place::Master));
    let mut program = recipe.start().unwrap_or_else(|wrong| panic!("{wrong:#}: apt-get install --no-install-recommends unbound"));
    program.wait_for_line("start of service", PATIENCE).unwrap();
    program
}

/// How often the master was asked for a name.
fn asked(master: &Program, name: &str) -> usize {
    // In whatever case: it is shuffled on the way.
    master.log().to_lowercase().lines().filter(|line| line.contains(&format!(" {name}. "))).count()
}

fn dig(network: &Network, from: Place, name: &str, kind: &str) -> Result<DigAnswer> {
    Dig::ask(Some(network.at(from)), NORTH.agent(), name, kind).run()
}

fn ask(network: &Network, name: &str) -> Result<DigAnswer> {
    dig(network, Place::Host(NORTH), name, "A")
}

/// The first record's data and TTL, with the code and what the extended error says.
fn short(answer: &DigAnswer) -> (String, String, u32) {
    let first = answer.answer.last();
    (answer.status.clone(), first.map(|record| record.data.clone()).unwrap_or_default(), first.map(|record| record.ttl).unwrap_or_default())
}

fn eventually(what: &str, mut holds: impl FnMut() -> Result<bool>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let tried = holds();
        if matches!(tried, Ok(true)) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: still not so after {PATIENCE:?}: {tried:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn settings(campus: Campus, with_peer: bool) -> String {
    let peer = if with_peer {
        format!("[resolver.peers]\nservers = [\"{}:53\"]\n", if campus == NORTH { SOUTH.agent() } else { NORTH.agent() })
    } else {
        String::new()
    };
    let clients = if with_peer { format!("clients = [\"{}/32\"]\n", if campus == NORTH { SOUTH.agent() } else { NORTH.agent() }) } else { String::new() };
    format!(
        "[resolver]\nlisten = [\"0.0.0.0:53\"]\ndepartments = [\"{}/32\"]\n{clients}[resolver.master]\nservers = [\"{}:53\"]\n{peer}",
        campus.nas(),
        Network::MASTER
    )
}

fn settings_for(master: SocketAddr) -> config::Resolver {
    let master = Some(config::ResolverTier { servers: vec![master], tls: None });
    config::Resolver { listen: vec!["127.0.0.1:0".parse().unwrap()], master, ..config::Resolver::default() }
}

/// A resolver in this process, without names of its own; `floor` is the latest signed time that it has seen.
fn in_process(settings: config::Resolver, floor: UnixMillis, folder: &Path) -> (SocketAddr, tokio::runtime::Runtime) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clock = Arc::new(TrustedClock::new(floor));
    let server = runtime.block_on(async { ResolverServer::bind(&settings, &[], Arc::clone(&clock)).unwrap() });
    let address = server.local_addrs().unwrap()[0];
    let surroundings = Surroundings {
        zone: reader(Feed::ZONE).1,
        bootptab: reader(Feed::BOOTPTAB).1,
        roster: reader(Feed::TRUST).1,
        node: NodeId([1; 16]),
        run_dir: folder.to_owned(),
        spool: Spool::open(folder, "resolver", clock),
    };
    runtime.spawn(server.serve(surroundings, std::future::pending()));
    (address, runtime)
}

#[test]
fn listed_clients_are_answered_from_our_zones_the_cache_and_the_master() -> Result<()> {
    let Some(network) = network("the resolver plane") else { return Ok(()) };
    let folder = Folder::new("resolver-master")?;
    let master = master(&network, &folder);
    let mut agent = Lone::resolver(&network, NORTH, &settings(NORTH, false), zone(), subnets())?;
    agent.start()?;
    eventually("the first answer", || Ok(ask(&network, "www.far.org")?.status == "NOERROR"));
    let before = asked(&master, "www.far.org");
    std::thread::sleep(Duration::from_millis(1100));
    let (status, data, ttl) = short(&ask(&network, "WWW.far.org")?);
    assert_eq!((status.as_str(), data.as_str()), ("NOERROR", "192.0.2.1"));
    assert!(ttl < 300 && asked(&master, "www.far.org") == before, "from the cache, counted down: {ttl}");

    let own = ask(&network, "www.uni.example")?;
    assert!(own.is_authoritative() && own.flags.contains(&"ra".to_owned()), "{}", own.text);
    assert_eq!(short(&ask(&network, "away.uni.example")?).1, "192.0.2.1", "an alias of ours that leads out");
    assert_eq!(ask(&network, "no.far.org")?.status, "NXDOMAIN");

    // Not over UDP, and so by TCP, at the master's and at ours.
    let many = dig(&network, Place::Host(NORTH), "many.far.org", "A")?;
    assert_eq!((many.status.as_str(), many.answer.len()), ("NOERROR", 100), "{}", many.text);

    let norecurse = Dig::ask(Some(network.at(Place::Host(NORTH))), NORTH.agent(), "other.far.org", "A").with("+norecurse").run()?;
    assert_eq!((norecurse.status.as_str(), asked(&master, "other.far.org")), ("REFUSED", 0), "{}", norecurse.text);
    ask(&network, "7.168.192.in-addr.arpa")?;
    assert_eq!(asked(&master, "7.168.192.in-addr.arpa"), 0, "what is private stays here");

    let department = dig(&network, Place::Nas(NORTH), "www.far.org", "A")?;
    assert!(department.status == "REFUSED" && department.text.contains("Prohibited") && department.text.contains("10.0.0.1"), "{}", department.text);
    let stranger = dig(&network, Place::Host(SOUTH), "www.uni.example", "A")?;
    assert!(stranger.status == "REFUSED" && stranger.answer.is_empty(), "{}", stranger.text);
    let transfer = Dig::ask(Some(network.at(Place::Host(NORTH))), NORTH.agent(), "uni.example", "AXFR").run();
    assert!(transfer.is_err() || transfer.is_ok_and(|transfer| transfer.answer.is_empty()), "nothing is transferred");

    let traced = agent.run(&["trace", "fresh.far.org", "--from", &NORTH.host().to_string()])?;
    assert!(traced.contains("this box does not have it") && traced.contains("master 10.0.0.1:53 answered"), "{traced}");
    assert!(agent.counted("holdfast_resolver_answers_total{from=\"cache\"}")? >= 1);
    eventually("the servers stand in the status", || Ok(agent.run(&["status"])?.contains("resolver asks master 10.0.0.1:53: up")));
    Ok(())
}

#[test]
fn a_cut_is_waited_for_by_nobody() -> Result<()> {
    let Some(network) = network("the resolver plane while it is cut off") else { return Ok(()) };
    let folder = Folder::new("resolver-cut")?;
    let _master = master(&network, &folder);
    let mut agent = Lone::resolver(&network, NORTH, &settings(NORTH, false), zone(), subnets())?;
    agent.start()?;
    eventually("the first answer", || Ok(short(&ask(&network, "brief.far.org")?).1 == "192.0.2.2"));
    let ends = if is_long() { vec![End::Far, End::Own, End::Port] } else { vec![End::Far] };
    for end in ends.into_iter().filter(|end| *end != End::Port) {
        network.unplug(Cable::Uplink(NORTH), end)?;
        std::thread::sleep(Duration::from_millis(2100));
        let begun = Instant::now();
        let (old, unknown) = (ask(&network, "brief.far.org")?, ask(&network, &format!("new-{end:?}.far.org"))?);
        let took = begun.elapsed();
        assert_eq!(short(&old), ("NOERROR".into(), "192.0.2.2".into(), 30), "{}", old.text);
        assert!(old.text.contains("EDE: 3"), "{}", old.text);
        assert!(unknown.status == "SERVFAIL" && unknown.text.contains("EDE: 22"), "{}", unknown.text);
        assert!(took < 2 * FAST, "both took {took:?}");
        let begun = Instant::now();
        assert_eq!(short(&ask(&network, "www.uni.example")?).1, "10.1.4.80");
        assert!(begun.elapsed() < FAST, "our own name took {:?}", begun.elapsed());
        network.plug_in(Cable::Uplink(NORTH))?;
        eventually("plugged in again", || Ok(ask(&network, &format!("new-{end:?}.far.org"))?.status == "NXDOMAIN"));
        eventually("and fresh", || Ok(short(&ask(&network, "brief.far.org")?).2 <= 2));
    }
    Ok(())
}

#[test]
fn another_agent_is_asked_where_the_master_cannot_be() -> Result<()> {
    let Some(network) = network("resolvers of two agents") else { return Ok(()) };
    let folder = Folder::new("resolver-peers")?;
    let _master = master(&network, &folder);
    let mut agents = Vec::new();
    for campus in Campus::BOTH {
        let mut agent = Lone::resolver(&network, campus, &settings(campus, true), zone(), subnets())?;
        agent.start()?;
        agents.push(agent);
    }
    eventually("the first answer", || Ok(ask(&network, "www.far.org")?.status == "NOERROR"));
    network.unplug(Cable::Uplink(NORTH), End::Far)?;
    eventually("by way of the other campus", || Ok(short(&ask(&network, "other.far.org")?).1 == "192.0.2.3"));
    let by_peer = agents[0].counted("holdfast_resolver_asked_total{tier=\"peer\"")?;
    ensure!(by_peer >= 1, "the peer was asked:\n{}", agents[0].log());
    // With both lines cut a question goes to the peer, and from there to nobody.
    network.unplug(Cable::Uplink(SOUTH), End::Far)?;
    eventually("nobody knows", || {
        let begun = Instant::now();
        Ok(ask(&network, "newest.far.org")?.status == "SERVFAIL" && begun.elapsed() < FAST)
    });
    Ok(())
}
