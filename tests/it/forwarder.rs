//! The master as forwarder: a campus asks its box, the box the master over TLS, the master the nation's servers, and where none of them
//! is there, from the root on. Boxes, departmental servers and listed networks may ask; nobody else.

mod world;

use crate::serving::{NORTH, eventually};
use anyhow::{Result, ensure};
use holdfast_lab::cables::{Cable, End, Network, Place};
use holdfast_lab::clients::counting::Counting;
use holdfast_lab::clients::{Dig, DigAnswer};
use holdfast_lab::folder::Folder;
use holdfast_lab::lab::{Ground, Lab, Part, get, on_ground};
use holdfast_lab::netns;
use nix::sys::signal::Signal;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use world::{DEPARTMENT, FORWARDER, NATIONAL, NATIONAL_NAME, ROOT, SOMEBODY, World};

/// Where north's resolver serves, beside its name server.
const RESOLVER: &str = "10.1.4.3";

/// A lab whose master forwards and whose northern box resolves, and the world around it.
struct Scene {
    lab: Lab,
    world: World,
    /// Holds the world's files.
    _folder: Folder,
}

impl Scene {
    /// `None`, said plainly, where this user may have no network. `more` stands behind the forwarder's own settings.
    fn build(behaviour: &str, more: &str) -> Option<Self> {
        if let Some(reason) = netns::hindrance() {
            holdfast_lab::skipped(behaviour, &reason);
            return None;
        }
        let lab = Lab::build(Ground::Cables, Folder::new("lab").unwrap()).unwrap();
        let folder = Folder::new("world").unwrap();
        let world = World::build(lab.network(), &folder).unwrap();
        let mut scene = Self { lab, world, _folder: folder };
        scene.configure(more).unwrap();
        scene.lab.bring_up(&mut ()).unwrap();
        scene.admin(&["campus", "set", "north", "--service-address", &NORTH.agent().to_string()]);
        Some(scene)
    }

    fn configure(&mut self, more: &str) -> Result<()> {
        let agent = self.lab.network().at(Place::Agent(NORTH));
        agent.exec("ip", &["addr", "add", &format!("{RESOLVER}/22"), "dev", "lan"])?;
        agent.exec("ip", &["route", "add", FORWARDER, "via", "10.0.1.1"])?;
        let folder = self.lab.folder();
        let master = fs::read_to_string(folder.path().join("master.toml"))?;
        // The name server leaves the forwarder its address.
        let master = master.replace("listen = [\"0.0.0.0:53\"]", "listen = [\"10.0.0.1:53\"]");
        let forwarder = format!(
            "[forwarder]\nlisten = [\"{FORWARDER}:53\"]\ntls_listen = [\"{FORWARDER}:853\"]\ndepartment_class = \"name-server\"\n\
             upstreams = [\"{}#{NATIONAL_NAME}\", \"{}\"]\nupstream_ca = {:?}\n{more}[forwarder.resolvers]\nnorth = \"{RESOLVER}:53\"\n",
            NATIONAL[0],
            NATIONAL[1],
            self.world.authority().display().to_string()
        );
        folder.write("master.toml", &format!("{master}\n{forwarder}"))?;
        let north = fs::read_to_string(folder.path().join("north.toml"))?;
        let resolver = format!(
            "[dns]\nlisten = [\"{}:53\"]\n[resolver]\nlisten = [\"{RESOLVER}:53\"]\n[resolver.master]\nservers = [\"{FORWARDER}:853\"]\ntls = {{}}\n",
            NORTH.agent()
        );
        folder.write("north.toml", &format!("{north}\n{resolver}")).map(drop)
    }

    fn admin(&self, arguments: &[&str]) -> String {
        self.lab.admin().unwrap().holdfast(arguments).unwrap()
    }

    /// A machine of the campus asks its resolver.
    fn ask(&self, name: &str) -> Result<DigAnswer> {
        Dig::ask(self.lab.at(Place::Host(NORTH)), RESOLVER.parse::<IpAddr>()?, name, "A").with("+time=12").run()
    }

    /// Somebody outside asks the forwarder from one of their addresses.
    fn ask_forwarder(&self, from: &str, name: &str) -> Result<DigAnswer> {
        Dig::ask(Some(&self.world.at), FORWARDER.parse::<IpAddr>()?, name, "A").with("+time=5").with("-b").with(from).run()
    }

    /// A number of the master's.
    fn counted(&self, start: &str) -> u64 {
        let text = on_ground(self.lab.at(Place::Master), || get(self.lab.ground().status(Part::Master), "/metrics")).unwrap().unwrap();
        text.lines().filter_map(|line| line.strip_prefix(start)?.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
    }

    fn status(&self) -> String {
        on_ground(self.lab.at(Place::Master), || get(self.lab.ground().status(Part::Master), "/status")).unwrap().unwrap()
    }

    fn trace(&self, name: &str, from: &str) -> String {
        self.admin(&["trace", name, "--from", from])
    }
}

/// The first record's data and TTL.
fn first(answer: &DigAnswer) -> (String, u32) {
    answer.answer.last().map(|record| (record.data.clone(), record.ttl)).unwrap_or_default()
}

/// The line of a trace that a tier has.
fn tier<'a>(trace: &'a str, number: &str) -> &'a str {
    trace.lines().find(|line| line.starts_with(number)).unwrap_or_else(|| panic!("no tier {number}:\n{trace}"))
}

#[test]
fn a_campus_asks_its_box_the_box_the_master_and_the_master_the_nation() -> Result<()> {
    let Some(mut scene) = Scene::build("the master as forwarder", "") else { return Ok(()) };
    eventually("the first answer", || Ok(first(&scene.ask("www.far.org")?).0 == "192.0.2.80"));
    assert!(scene.counted("holdfast_dns_queries_total{plane=\"forwarder\",transport=\"tls\"") >= 1, "the box asks over TLS");
    let tls = format!("holdfast_resolver_asked_total{{tier=\"upstream\",server=\"{}:853\",outcome=\"answered\"}}", NATIONAL[0]);
    let plain = format!("holdfast_resolver_asked_total{{tier=\"upstream\",server=\"{}:53\",outcome=\"answered\"}}", NATIONAL[1]);
    assert!(scene.counted(&tls) + scene.counted(&plain) >= 1);

    // A second time nobody is asked, and the TTL is smaller; by another name the master has it in its cache.
    let before = scene.world.asked("www.far.org");
    std::thread::sleep(Duration::from_millis(1100));
    let (data, ttl) = first(&scene.ask("www.far.org")?);
    assert!(data == "192.0.2.80" && ttl < 300 && scene.world.asked("www.far.org") == before, "{ttl}");
    assert_eq!(scene.ask("no.far.org")?.status, "NXDOMAIN");
    assert_eq!(scene.ask("alias.far.org")?.answer.len(), 2);

    // Strangers, by UDP and TCP, whatever they ask; and it is on record.
    for name in ["www.far.org", "darwin826.uni.example"] {
        let refused = scene.ask_forwarder(SOMEBODY, name)?;
        assert!(refused.status == "REFUSED" && refused.text.contains("Prohibited") && refused.answer.is_empty(), "{}", refused.text);
        assert!(!refused.flags.contains(&"ra".to_owned()), "{}", refused.text);
    }
    let by_tcp = Dig::ask(Some(&scene.world.at), FORWARDER.parse::<IpAddr>()?, "www.far.org", "A").over_tcp().with("-b").with(SOMEBODY).run()?;
    assert_eq!(by_tcp.status, "REFUSED", "{}", by_tcp.text);
    eventually("the refusal is on record", || {
        let refused = scene.lab.admin()?.holdfast(&["zone", "refused"])?;
        Ok(refused.lines().any(|line| line.contains(SOMEBODY) && line.contains("recursion")))
    });

    // A departmental server is a stranger until it stands in the hostname database as one.
    assert_eq!(scene.ask_forwarder(DEPARTMENT, "www.far.org")?.status, "REFUSED");
    scene.admin(&["class", "add", "name-server"]);
    scene.admin(&["host", "add", "ns.cs.uni.example", "--address", DEPARTMENT, "--class", "name-server"]);
    eventually("the departmental server may ask", || Ok(first(&scene.ask_forwarder(DEPARTMENT, "www.far.org")?).0 == "192.0.2.80"));
    let own = scene.ask_forwarder(DEPARTMENT, "darwin826.uni.example")?;
    assert!(own.is_authoritative() && first(&own).0 == "10.1.4.10", "{}", own.text);
    let transfer = Dig::ask(Some(&scene.world.at), FORWARDER.parse::<IpAddr>()?, "uni.example", "AXFR").with("-b").with(DEPARTMENT).run();
    assert!(transfer.is_err() || transfer.is_ok_and(|transfer| transfer.answer.is_empty()), "nothing is transferred here");
    let by_name_server = Dig::ask(Some(&scene.world.at), Network::MASTER, "www.far.org", "A").with("-b").with(DEPARTMENT).run()?;
    assert_eq!(by_name_server.status, "REFUSED", "the name server asks nobody: {}", by_name_server.text);

    // The four tiers, from a machine of the campus and from a department.
    let fresh = scene.trace("h1.far.org", "darwin826.uni.example");
    assert!(tier(&fresh, "1").contains("campus") && tier(&fresh, "1").contains("does not have it"), "{fresh}");
    assert!(tier(&fresh, "2").contains("university") && tier(&fresh, "2").contains("and asks"), "{fresh}");
    assert!(fresh.lines().any(|line| line.starts_with('3') && line.contains("answered")), "{fresh}");
    assert!(tier(&fresh, "4").contains("none is configured") && fresh.contains("192.0.2.101"), "{fresh}");
    eventually("a machine asks for it", || Ok(first(&scene.ask("h1.far.org")?).0 == "192.0.2.101"));
    let known = scene.trace("h1.far.org", &NORTH.host().to_string());
    assert!(tier(&known, "1").contains("has it, for") && tier(&known, "3").contains("not asked"), "{known}");
    let ours = scene.trace("darwin826.uni.example", "darwin826.uni.example");
    assert!(tier(&ours, "1").contains("has it") && tier(&ours, "2").contains("has it (local)"), "{ours}");
    let department = scene.world.departmental_server()?;
    let answered = Dig::ask(Some(&scene.world.at), DEPARTMENT.parse::<IpAddr>()?, "h2.far.org", "A").with("+time=5").with("-b").with(SOMEBODY).run()?;
    assert_eq!(first(&answered).0, "192.0.2.102", "{}\n{}", answered.text, department.log());
    let of_department = scene.trace("h2.far.org", "ns.cs.uni.example");
    assert!(tier(&of_department, "1").contains("department") && tier(&of_department, "1").contains("has it, for"), "{of_department}");
    assert!(tier(&of_department, "2").contains("has it, with its signatures (cache)"), "{of_department}");
    let wrong = scene.lab.admin()?.holdfast(&["trace", "www.far.org", "--from", "nobody.uni.example"]).unwrap_err().to_string();
    assert!(wrong.contains("no host named nobody.uni.example"), "{wrong}");
    eventually("the servers stand in the status", || Ok(scene.status().contains("upstream 192.0.2.53:853 over TLS: up")));

    // The master stops and starts: what the campus has in its cache is answered all the while.
    let resolver = SocketAddr::new(RESOLVER.parse()?, 53);
    let loop_of = |name: &str| Counting::start(scene.lab.at(Place::Host(NORTH)), resolver, &name.parse().unwrap(), Duration::from_millis(20));
    let (foreign, local) = (loop_of("h1.far.org"), loop_of("darwin826.uni.example"));
    scene.lab.stop(Part::Master)?;
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(scene.ask("h9.far.org")?.status, "SERVFAIL", "nobody is there to be asked");
    scene.lab.start(Part::Master)?;
    eventually("the master forwards again", || Ok(first(&scene.ask("h10.far.org")?).0 == "192.0.2.110"));
    for counting in [foreign, local] {
        let tally = counting.stop()?;
        assert!(tally.asked > 50 && tally.lost() == 0, "{tally:?}");
    }
    Ok(())
}

#[test]
fn where_no_upstream_answers_it_is_asked_from_the_root_on_and_where_nobody_does_what_is_known_is_told() -> Result<()> {
    let recursion = format!("[forwarder.recursion]\nroot_hints = [\"{ROOT}\"]\nprivate_servers = [\"192.0.2.0/24\"]\n");
    let Some(mut scene) = Scene::build("recursion and stale answers of the forwarder", &recursion) else { return Ok(()) };
    scene.admin(&["class", "add", "name-server"]);
    scene.admin(&["host", "add", "ns.cs.uni.example", "--address", DEPARTMENT, "--class", "name-server"]);
    eventually("the first answer", || Ok(first(&scene.ask_forwarder(DEPARTMENT, "www.far.org")?).0 == "192.0.2.80"));
    eventually("and for a box", || Ok(first(&scene.ask("brief.far.org")?).0 == "192.0.2.81"));

    // One of two is silent, as one that hangs is; the other answers. Which of them is asked first depends on who is faster, so each hangs once.
    let mut were_put_aside = 0;
    for (number, names) in [["h1.far.org", "h2.far.org", "h3.far.org"], ["h11.far.org", "h12.far.org", "h13.far.org"]].into_iter().enumerate() {
        scene.world.national[number].signal(Signal::SIGSTOP)?;
        for name in names {
            let answer = scene.ask(name)?;
            assert_eq!(answer.status, "NOERROR", "{name}: {}", answer.text);
        }
        were_put_aside += usize::from(scene.status().contains(": down"));
        scene.world.national[number].signal(Signal::SIGCONT)?;
        eventually("it is believed in again", || Ok(scene.status().matches(": up").count() >= 3));
    }
    assert!(were_put_aside >= 1, "the one that is asked first was silent once");

    // Both are gone: from the root on, to data, to none, and along an alias.
    scene.world.national.iter_mut().try_for_each(|server| server.stop().map(drop))?;
    eventually("from the root on", || Ok(first(&scene.ask("h4.far.org")?).0 == "192.0.2.104"));
    assert!(scene.counted("holdfast_resolver_asked_total{tier=\"root\",server=\"192.0.2.1:53\",outcome=\"answered\"}") >= 1);
    let missing = scene.ask("no.far.org")?;
    assert!(missing.status == "NXDOMAIN" && missing.authority.iter().any(|record| record.kind == "SOA"), "{}", missing.text);
    let none = Dig::ask(scene.lab.at(Place::Host(NORTH)), RESOLVER.parse::<IpAddr>()?, "h5.far.org", "AAAA").with("+time=5").run()?;
    assert!(none.status == "NOERROR" && none.answer.is_empty() && none.authority.iter().any(|record| record.kind == "SOA"), "{}", none.text);
    let alias = scene.ask("alias.far.org")?;
    assert_eq!((alias.answer.len(), first(&alias).0.as_str()), (2, "192.0.2.80"), "{}", alias.text);
    let asked = |name: &str, kind: &str| Dig::ask(scene.lab.at(Place::Host(NORTH)), RESOLVER.parse::<IpAddr>()?, name, kind).with("+time=5").run();
    for (name, kind, status) in [("alias.far.org", "AAAA", "NOERROR"), ("lost.far.org", "A", "NXDOMAIN")] {
        let ends = asked(name, kind)?;
        let kinds: Vec<&str> = ends.answer.iter().map(|record| record.kind.as_str()).collect();
        assert!(ends.status == status && kinds == ["CNAME"] && ends.authority.iter().any(|record| record.kind == "SOA"), "{}", ends.text);
    }
    let trace = scene.trace("h6.far.org", &NORTH.host().to_string());
    assert!(tier(&trace, "3").contains("is gone, and not asked"), "{trace}");
    assert!(tier(&trace, "4").contains("root") && tier(&trace, "4").contains("answered") && trace.contains("192.0.2.106"), "{trace}");

    // The world is cut off: what was known is told on, the rest fails at once, and our own names never noticed.
    scene.world.unplug()?;
    let forwarder_alone = |scene: &Scene, name: &str| {
        let at = scene.lab.at(Place::Master);
        Dig::ask(at, FORWARDER.parse::<IpAddr>()?, name, "A").with("+time=5").with("-b").with("127.0.0.1").run()
    };
    eventually("it fails, and says why", || {
        let unknown = forwarder_alone(&scene, "h7.far.org")?;
        ensure!(unknown.status == "SERVFAIL" && unknown.text.contains("EDE: 22"), "{}", unknown.text);
        Ok(true)
    });
    let stale = forwarder_alone(&scene, "brief.far.org")?;
    assert!(first(&stale) == ("192.0.2.81".to_owned(), 30) && stale.text.contains("EDE: 3"), "{}", stale.text);
    let own = forwarder_alone(&scene, "darwin826.uni.example")?;
    assert!(own.is_authoritative() && first(&own).0 == "10.1.4.10", "{}", own.text);
    let campus = scene.ask("brief.far.org")?;
    assert_eq!(first(&campus).0, "192.0.2.81", "{}", campus.text);
    scene.world.plug_in()?;
    eventually("the world is there again", || Ok(first(&scene.ask("h8.far.org")?).0 == "192.0.2.108"));

    // The campus is cut off from a master that is well: the same, by the box's own cache.
    scene.lab.network().unplug(Cable::Uplink(NORTH), End::Far)?;
    eventually("the box tells what it has", || {
        let known = scene.ask("h8.far.org")?;
        Ok(first(&known).0 == "192.0.2.108" && scene.ask("h9.far.org")?.status == "SERVFAIL")
    });
    Ok(())
}
