//! The lab's network: boxes in namespaces, joined by cables that a test can unplug.
//!
//! ```text
//!                     master 10.0.0.1
//!        uplink 10.0.1.0/30      uplink 10.0.2.0/30
//!     north 10.1.4.2                       south 10.2.4.2
//!        |  lan                                |  lan
//!   [switch and router 10.1.4.1] -- core -- [switch and router 10.2.4.1]
//!        |            |                        |            |
//!   host 10.1.4.10   nas 10.1.4.20        host 10.2.4.10   nas 10.2.4.20
//! ```
//!
//! The addresses and hardware addresses are those of the sample data, so its hosts can be asked for as they are. Each router
//! also owns the gateway address of a second subnet (10.1.8.1, 10.2.8.1), from which a relay may speak.
//! It refuses to know what runs in the boxes: programs are `process`'s, their configuration is `lab`'s.
//!
//! Unplugging the *far* end is what a pulled cable looks like: the box sees no carrier and keeps its addresses. Taking the
//! *own* end down is the harsher case: the kernel deletes the box's static IPv6 addresses and its routes, and gives open
//! packet sockets one "Network is down". [`Network::plug_in`] puts the routes back, as a router's advertisement would; the IPv6
//! address stays away, because it is the agent's to bring back. Taking the far end's *port* out of its switch is the silent
//! case: both sides keep their carrier, and nothing arrives any more.

use crate::netns::{self, Netns};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A box of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Where the master and the portal run.
    Master,
    /// A campus agent's box.
    Agent(Campus),
    /// The campus's switch and router.
    Router(Campus),
    /// A machine of a user; its hardware address stands in the samples.
    Host(Campus),
    /// A terminal server, RADIUS client.
    Nas(Campus),
}

/// A campus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Campus {
    /// 10.1.0.0/16.
    North = 1,
    /// 10.2.0.0/16.
    South = 2,
}

/// A cable that can be unplugged. Its *own* end is the box's, its *far* end the switch's, the router's or the master's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cable {
    /// From the agent to the master.
    Uplink(Campus),
    /// From the agent to its campus's switch.
    Lan(Campus),
    /// From the user's machine to the switch.
    Host(Campus),
    /// From the terminal server to the switch.
    Nas(Campus),
    /// Between the campuses' routers.
    Core,
}

/// Which end of a cable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The other one: the box keeps its addresses and sees no carrier.
    Far,
    /// The box's: its interface goes down.
    Own,
    /// The switch that the far end is plugged into forgets the port: nobody loses carrier.
    Port,
}

impl Campus {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::North, Self::South];

    /// Its name in the samples.
    pub fn name(self) -> &'static str {
        match self {
            Self::North => "north",
            Self::South => "south",
        }
    }

    /// An address of its first subnet.
    fn address(self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, self as u8, 4, last)
    }

    /// Where its agent serves.
    pub fn agent(self) -> Ipv4Addr {
        self.address(2)
    }

    /// Its router, on the first subnet.
    pub fn router(self) -> Ipv4Addr {
        self.address(1)
    }

    /// The user's machine.
    pub fn host(self) -> Ipv4Addr {
        self.address(10)
    }

    /// The terminal server.
    pub fn nas(self) -> Ipv4Addr {
        self.address(20)
    }

    /// The router's address on the second subnet, from which it relays BOOTP.
    pub fn relay(self) -> Ipv4Addr {
        Ipv4Addr::new(10, self as u8, 8, 1)
    }

    /// The hardware address of the user's machine: darwin826 and sagan237 of the samples.
    pub fn host_mac(self) -> &'static str {
        match self {
            Self::North => "08:00:20:db:b6:7f",
            Self::South => "08:00:2b:73:a1:9a",
        }
    }
}

impl Place {
    const ALL: [Self; 9] = {
        use Campus::{North, South};
        use Place::{Agent, Host, Master, Nas, Router};
        [Master, Agent(North), Agent(South), Router(North), Router(South), Host(North), Host(South), Nas(North), Nas(South)]
    };

    /// The box of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|place| place.name() == name)
    }

    /// The names of all boxes.
    pub fn names() -> [String; 9] {
        Self::ALL.map(Self::name)
    }

    fn name(self) -> String {
        match self {
            Self::Master => "master".into(),
            Self::Agent(campus) => campus.name().into(),
            Self::Router(campus) => format!("router-{}", campus.name()),
            Self::Host(campus) => format!("host-{}", campus.name()),
            Self::Nas(campus) => format!("nas-{}", campus.name()),
        }
    }
}

impl Cable {
    const ALL: [Self; 9] = {
        use Cable::{Core, Host, Lan, Nas, Uplink};
        use Campus::{North, South};
        [Uplink(North), Uplink(South), Core, Lan(North), Lan(South), Host(North), Host(South), Nas(North), Nas(South)]
    };

    fn own(self) -> (Place, &'static str) {
        match self {
            Self::Uplink(campus) => (Place::Agent(campus), "uplink"),
            Self::Lan(campus) => (Place::Agent(campus), "lan"),
            Self::Host(campus) => (Place::Host(campus), "lan"),
            Self::Nas(campus) => (Place::Nas(campus), "lan"),
            Self::Core => (Place::Router(Campus::North), "core"),
        }
    }

    fn far(self) -> (Place, &'static str) {
        match self {
            Self::Uplink(campus) => (Place::Master, campus.name()),
            Self::Lan(campus) => (Place::Router(campus), "to-agent"),
            Self::Host(campus) => (Place::Router(campus), "to-host"),
            Self::Nas(campus) => (Place::Router(campus), "to-nas"),
            Self::Core => (Place::Router(Campus::South), "core"),
        }
    }

    fn end(self, end: End) -> (Place, &'static str) {
        match end {
            End::Own => self.own(),
            End::Far | End::Port => self.far(),
        }
    }

    /// The switch (a bridge) that its far end is plugged into.
    fn switch(self) -> Option<&'static str> {
        match self {
            Self::Uplink(Campus::North) => Some("to-north"),
            Self::Uplink(Campus::South) => Some("to-south"),
            Self::Lan(_) | Self::Host(_) | Self::Nas(_) => Some("lan"),
            Self::Core => None,
        }
    }

    fn is_of(self, place: Place) -> bool {
        self.own().0 == place || self.far().0 == place
    }
}

/// The whole network, taken away when it is dropped.
#[derive(Debug)]
pub struct Network {
    boxes: BTreeMap<Place, Netns>,
}

impl Network {
    /// Where the master is reached from every campus.
    pub const MASTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

    /// Builds boxes, cables and addresses, after taking away what killed runs have left.
    pub fn build() -> Result<Self> {
        static BUILT: AtomicUsize = AtomicUsize::new(0);
        if let Some(reason) = netns::hindrance() {
            anyhow::bail!("the lab's network cannot be built: {reason}");
        }
        netns::sweep();
        let number = BUILT.fetch_add(1, Ordering::Relaxed);
        let boxes = Place::ALL.into_iter().map(|place| Ok((place, Netns::create(number, &place.name())?)));
        let network = Self { boxes: boxes.collect::<Result<_>>()? };
        Cable::ALL.into_iter().try_for_each(|cable| network.lay(cable))?;
        Place::ALL.into_iter().try_for_each(|place| network.set_up(place))?;
        Cable::ALL.into_iter().try_for_each(|cable| network.wait_for_carrier(cable))?;
        Ok(network)
    }

    /// The namespace of a box.
    pub fn at(&self, place: Place) -> &Netns {
        &self.boxes[&place]
    }

    /// Unplugs a cable at one end.
    pub fn unplug(&self, cable: Cable, end: End) -> Result<()> {
        let (place, interface) = cable.end(end);
        let how: &[&str] = if end == End::Port { &["nomaster"] } else { &["down"] };
        ensure!(end != End::Port || cable.switch().is_some(), "the cable {cable:?} leads to no switch");
        self.at(place).ip(&[&["link", "set", interface], how].concat()).map(drop)
    }

    /// Plugs a cable in again, at both ends, and gives the boxes on it the routes that went with it.
    pub fn plug_in(&self, cable: Cable) -> Result<()> {
        if let Some(switch) = cable.switch() {
            let (place, interface) = cable.far();
            self.at(place).ip(&["link", "set", interface, "master", switch])?;
        }
        for (place, interface) in [cable.far(), cable.own()] {
            self.at(place).ip(&["link", "set", interface, "up"])?;
            self.route(place)?;
        }
        self.wait_for_carrier(cable)
    }

    /// Unplugs every cable of a box.
    pub fn unplug_all(&self, place: Place, end: End) -> Result<()> {
        Cable::ALL.into_iter().filter(|cable| cable.is_of(place)).try_for_each(|cable| self.unplug(cable, end))
    }

    /// Plugs every cable of a box in again.
    pub fn plug_in_all(&self, place: Place) -> Result<()> {
        Cable::ALL.into_iter().filter(|cable| cable.is_of(place)).try_for_each(|cable| self.plug_in(cable))
    }

    /// Gives a host's or a terminal server's interface another hardware address: another machine on the same socket.
    pub fn replace_machine(&self, place: Place, mac: &str) -> Result<()> {
        let namespace = self.at(place);
        namespace.ip(&["link", "set", "lan", "down"])?;
        namespace.ip(&["link", "set", "lan", "address", mac])?;
        namespace.ip(&["link", "set", "lan", "up"])?;
        self.route(place)
    }

    /// Whether a packet gets from a box to an address and back within a second and a half. It knocks at a closed TCP port, whose
    /// refusal comes from the other box itself: that needs no program there and, unlike ICMP, nobody limits its rate.
    pub fn reaches(&self, from: Place, to: Ipv4Addr) -> Result<bool> {
        self.at(from).inside(|| knock(to, Duration::from_millis(1500)))
    }

    /// Waits until both ends know that the cable is in: the kernel tells bridges and routes at most once a second.
    fn wait_for_carrier(&self, cable: Cable) -> Result<()> {
        /// The kernel's second, and as much again for a busy machine.
        const LIMIT: Duration = Duration::from_secs(5);
        let deadline = Instant::now() + LIMIT;
        for (place, interface) in [cable.far(), cable.own()] {
            while !self.at(place).ip(&["link", "show", "dev", interface])?.contains("state UP") {
                ensure!(Instant::now() < deadline, "the cable {cable:?} has no carrier {LIMIT:?} after it was plugged in");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    fn lay(&self, cable: Cable) -> Result<()> {
        let ((own_place, own), (far_place, far)) = (cable.own(), cable.far());
        let own_name = self.at(own_place).name();
        self.at(far_place).ip(&["link", "add", far, "type", "veth", "peer", "name", own, "netns", own_name])?;
        for (place, interface) in [(own_place, own), (far_place, far)] {
            // A veth never fills checksums in, and a packet socket (udhcpc, dhclient, our own) would see them wrong.
            self.at(place).exec("ethtool", &["-K", interface, "tx", "off"]).context("a cable could not be laid")?;
        }
        Ok(())
    }

    fn set_up(&self, place: Place) -> Result<()> {
        for line in plan(place) {
            self.at(place).ip(&line.split_whitespace().collect::<Vec<_>>())?;
        }
        if let Place::Router(_) = place {
            self.at(place).inside(forward)?.context("a router could not be told to forward")?;
        }
        self.route(place)
    }

    /// Sets the box's routes, as often as one likes. Those over a cable that is out have to wait for it.
    fn route(&self, place: Place) -> Result<()> {
        for (to, via) in routes(place) {
            let set = self.at(place).ip(&["route", "replace", &to, "via", &via.to_string()]);
            let unreachable = set.as_ref().is_err_and(|wrong| wrong.to_string().contains("Nexthop") || wrong.to_string().contains("unreachable"));
            ensure!(unreachable || set.is_ok(), "{:#}", set.expect_err("it is no success"));
        }
        Ok(())
    }
}

fn knock(to: Ipv4Addr, limit: Duration) -> bool {
    /// Discard, RFC 863: nothing of the lab listens there.
    const CLOSED_PORT: u16 = 9;
    let deadline = Instant::now() + limit;
    while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        match TcpStream::connect_timeout(&(to, CLOSED_PORT).into(), left) {
            Err(refusal) if refusal.kind() == ErrorKind::ConnectionRefused => return true,
            // An address that was asked for in vain while a cable was out is given up for the packets that wait for it; the
            // next packet asks anew.
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    false
}

/// Makes the calling thread's network stack forward, by any way back.
fn forward() -> std::io::Result<()> {
    let settings = [("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1"), ("ipv4/conf/all/rp_filter", "0")];
    settings.into_iter().try_for_each(|(name, value)| std::fs::write(format!("/proc/sys/net/{name}"), value))
}

/// What is said to `ip` for each box.
fn plan(place: Place) -> Vec<String> {
    let lines = match place {
        Place::Master => {
            // A port where nobody is plugged in keeps the switch's own carrier when the other one goes.
            let switches = Campus::BOTH.map(|campus| {
                let (n, name) = (campus as u8, campus.name());
                format!(
                    "link add to-{name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n link add spare-{n} type veth peer name idle-{n}\n\
                     link set idle-{n} up\n link set spare-{n} master to-{name} up\n link set {name} master to-{name} up\n\
                     link set to-{name} up\n addr add 10.0.{n}.1/30 dev to-{name}"
                )
            });
            format!("addr add 10.0.0.1/32 dev lo\n {}", switches.join("\n"))
        }
        Place::Agent(campus) => {
            let n = campus as u8;
            format!("link set uplink up\n addr add 10.0.{n}.2/30 dev uplink\n {}", on_lan(campus, 2))
        }
        Place::Router(campus) => {
            let n = campus as u8;
            let ports = ["to-agent", "to-host", "to-nas"].map(|port| format!("link set {port} master lan up")).join("\n");
            format!(
                "link add lan type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n {ports}\n {}\n addr add {}/24 dev lo\n\
                 link set core up\n addr add 10.0.3.{n}/30 dev core\n -6 addr add 2001:db8:ff::{n}/64 dev core nodad",
                on_lan(campus, 1),
                campus.relay(),
            )
        }
        Place::Host(campus) => format!("link set lan address {}\n {}", campus.host_mac(), on_lan(campus, 10)),
        Place::Nas(campus) => on_lan(campus, 20),
    };
    lines.lines().map(|line| line.trim().to_owned()).collect()
}

fn on_lan(campus: Campus, last: u8) -> String {
    let (n, address) = (campus as u8, campus.address(last));
    format!("link set lan up\n addr add {address}/22 brd + dev lan\n -6 addr add 2001:db8:{n}::{last}/64 dev lan nodad")
}

/// The static routes of each box: destination and gateway.
fn routes(place: Place) -> Vec<(String, Ipv4Addr)> {
    match place {
        Place::Master => vec![("10.1.0.0/16".into(), Ipv4Addr::new(10, 0, 1, 2)), ("10.2.0.0/16".into(), Ipv4Addr::new(10, 0, 2, 2))],
        // The campuses reach each other by the core; the master only by the uplink.
        Place::Agent(campus) => {
            let uplink = Ipv4Addr::new(10, 0, campus as u8, 1);
            vec![(Network::MASTER.to_string(), uplink), ("10.1.0.0/16".into(), campus.router()), ("10.2.0.0/16".into(), campus.router())]
        }
        Place::Router(Campus::North) => vec![("10.2.0.0/16".into(), Ipv4Addr::new(10, 0, 3, 2))],
        Place::Router(Campus::South) => vec![("10.1.0.0/16".into(), Ipv4Addr::new(10, 0, 3, 1))],
        Place::Host(campus) | Place::Nas(campus) => vec![("default".into(), campus.router())],
    }
}
