use super::Safeguard;
use super::agent::Agent;
use super::client::{Client, State, Word};
use super::master::{Master, REGISTERED, net, reserved};
use super::packet::{Hears, mac};
use crate::simulation::Dice;
use holdfast_proto::dhcp::Kind;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

const CAMPUSES: [&str; 2] = ["north", "south"];
const CLIENTS: usize = 16;
/// A step of the world, in milliseconds.
const STEP_MS: u64 = 250;
/// Hours of faults, and calm in which every client must have asked often enough.
const FAULTS_MS: u64 = 3 * 3_600_000;
const CALM_MS: u64 = 1_200_000;
/// When worlds begin: any time will do.
const BEGIN_MS: u64 = 1_800_000_000;
/// Looking at all names costs more than anything else here, so that is done now and then: steps.
const NAMES_CHECKED_EVERY: u64 = 16;
/// How long a declined address is lent to nobody, in milliseconds, less what clocks may differ by.
const DECLINED_FOR_MS: u64 = 3_500_000;
const CLOCKS_DIFFER_MS: u64 = 200_000;

/// What happened in a world.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Steps lived through.
    pub steps: u64,
    /// Leases promised and heard of.
    pub leases: u64,
    /// Offers of the agent of the other campus.
    pub covered: u64,
    /// Power cuts.
    pub crashes: u64,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// When, in milliseconds of the world.
    pub after_ms: u64,
    /// Which, and how.
    pub what: String,
}

/// Something on the wire.
enum Flying {
    ToAgent(usize, usize, Vec<u8>),
    ToClient(usize, Vec<u8>),
}

/// Everything.
pub struct World {
    dice: Dice,
    now_ms: u64,
    agents: Vec<Agent>,
    clients: Vec<Client>,
    master: Master,
    /// By when it arrives, and a number.
    wire: BTreeMap<(u64, u64), Flying>,
    /// Replies that wait for an agent's disk: the agent, the client, the packet, and when the disk is done.
    waiting: Vec<(usize, usize, Vec<u8>, u64)>,
    sent: u64,
    /// Until when the link between the relay and each agent is cut.
    cut_until: [u64; 2],
    up_again: [u64; 2],
    declined: BTreeMap<Ipv4Addr, u64>,
    tally: Tally,
}

impl World {
    /// A new one.
    pub fn new(seed: u64, without: Option<Safeguard>) -> Self {
        let mut dice = Dice::new(seed);
        let master = Master::new(without);
        let agents = CAMPUSES.iter().enumerate().map(|(number, campus)| Agent::new(number as u8 + 1, campus, master.view_for(number), &mut dice, without));
        let agents = agents.collect();
        let clients = (0..CLIENTS).map(|_| Client::new(&mut dice)).collect();
        Self {
            dice,
            now_ms: BEGIN_MS,
            agents,
            clients,
            master,
            wire: BTreeMap::new(),
            waiting: vec![],
            sent: 0,
            cut_until: [0; 2],
            up_again: [0; 2],
            declined: BTreeMap::new(),
            tally: Tally::default(),
        }
    }

    /// Hours of faults.
    pub fn live(&mut self) -> Result<(), Violation> {
        let end = self.now_ms + FAULTS_MS;
        while self.now_ms < end {
            self.befall()?;
            self.step()?;
        }
        Ok(())
    }

    /// The faults end: everybody who can have an address gets one.
    pub fn settle(&mut self) -> Result<Tally, Violation> {
        self.cut_until = [0; 2];
        self.declined.retain(|_, until| *until + CLOCKS_DIFFER_MS > self.now_ms);
        for agent in 0..self.agents.len() {
            self.power_on(agent)?;
            self.agents[agent].view = self.master.view_for(agent);
        }
        // Of the others so many as there are addresses: what was declined, or is on its way, comes back later.
        let others = self.master.owned().saturating_sub(self.declined.len()).min(4);
        for client in 0..CLIENTS {
            if client >= REGISTERED + others {
                self.clients[client].state = State::Off;
            } else if self.clients[client].state == State::Off {
                self.clients[client].wake(self.now_ms);
            }
        }
        let end = self.now_ms + CALM_MS;
        while self.now_ms < end {
            self.step()?;
        }
        for client in 0..REGISTERED + others {
            let held = self.clients[client].holds(self.now_ms).map(|held| held.address);
            let is_right = if client < REGISTERED { held == Some(reserved(client)) } else { held.is_some() };
            if !is_right {
                return self.broken(format!("I7: client {client} has {held:?} after twenty minutes without a fault ({:?})", self.clients[client].state));
            }
        }
        Ok(self.tally)
    }

    /// What goes wrong now, and what people do.
    fn befall(&mut self) -> Result<(), Violation> {
        for agent in 0..self.agents.len() {
            if self.agents[agent].is_up && self.dice.once_in(6000) {
                self.agents[agent].crash(&mut self.dice);
                self.waiting.retain(|(waiting, ..)| *waiting != agent);
                self.up_again[agent] = self.now_ms + 1000 * self.dice.below(1500) as u64;
                self.tally.crashes += 1;
            } else if self.now_ms >= self.up_again[agent] {
                self.power_on(agent)?;
            }
            if self.dice.once_in(4000) {
                self.cut_until[agent] = self.now_ms + 1000 * self.dice.below(1500) as u64;
            }
            // A generation arrives some time, and never goes back.
            if self.dice.once_in(200) {
                self.agents[agent].view = self.master.view_for(agent);
            }
        }
        if self.dice.once_in(3000) {
            self.master.order(&mut self.dice);
        }
        self.master.grant(&self.agents, self.now_ms);
        let client = self.dice.below(CLIENTS);
        if self.dice.once_in(40) {
            self.change(client);
        }
        Ok(())
    }

    /// A client is switched on or off, gives its address back, or declines it.
    fn change(&mut self, client: usize) {
        let (dice, machine, now_ms) = (&mut self.dice, &mut self.clients[client], self.now_ms);
        let word = match (machine.state, dice.below(10)) {
            (State::Off, _) => {
                machine.wake(now_ms);
                None
            }
            (State::Bound, 0..=2) => machine.release(),
            (State::Bound, 3) if client >= REGISTERED => machine.decline(now_ms),
            // Its plug is pulled: what it held goes on until it ends.
            (_, 4..=5) => {
                machine.state = State::Off;
                None
            }
            _ => None,
        };
        word.into_iter().for_each(|word| self.say(client, word));
    }

    fn power_on(&mut self, agent: usize) -> Result<(), Violation> {
        if self.agents[agent].is_up {
            return Ok(());
        }
        self.agents[agent].start();
        for (number, client) in self.clients.iter().enumerate().skip(REGISTERED) {
            let Some(held) = client.holds(self.now_ms).filter(|held| held.server == self.agents[agent].address) else { continue };
            if !self.agents[agent].knows(net(), held.address, mac(number)) {
                return self.broken(format!("I2: client {number} was promised {} and its agent has forgotten it", held.address));
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Violation> {
        self.now_ms += STEP_MS;
        self.tally.steps += 1;
        self.sync();
        while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= self.now_ms) {
            let flying = entry.remove();
            self.deliver(flying)?;
        }
        for client in 0..CLIENTS {
            let word = self.clients[client].speak(self.now_ms, &mut self.dice);
            word.into_iter().for_each(|word| self.say(client, word));
        }
        self.check()
    }

    /// Disks finish what was begun.
    fn sync(&mut self) {
        let (done, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting).into_iter().partition(|(.., done)| *done <= self.now_ms);
        self.waiting = waiting;
        for (agent, client, packet, _) in done {
            self.agents[agent].sync();
            self.fly(agent, Flying::ToClient(client, packet));
        }
        for agent in 0..self.agents.len() {
            // The kernel writes by itself now and then what nobody asked it to.
            if self.dice.once_in(400) && self.agents[agent].is_up && !self.waiting.iter().any(|(waiting, ..)| *waiting == agent) {
                self.agents[agent].sync();
            }
        }
    }

    fn say(&mut self, client: usize, (says, to): Word) {
        let packet = says.encode(client);
        for agent in 0..self.agents.len() {
            if to.is_none_or(|to| to == self.agents[agent].address) {
                let flying = Flying::ToAgent(agent, client, packet.clone());
                match says.kind {
                    // Nobody answers these and nothing numbers them, so a late copy would end a later lease: that is the protocol's
                    // own hole, not a fault to be found here.
                    Kind::Release | Kind::Decline if self.now_ms < self.cut_until[agent] || self.dice.once_in(12) => {}
                    Kind::Release | Kind::Decline => self.put(0, flying),
                    _ => self.fly(agent, flying),
                }
            }
        }
    }

    fn put(&mut self, late_ms: u64, flying: Flying) {
        self.sent += 1;
        self.wire.insert((self.now_ms + late_ms, self.sent), flying);
    }

    /// Puts something on the wire to or from an agent: it may be lost, doubled, late.
    fn fly(&mut self, agent: usize, flying: Flying) {
        if self.now_ms < self.cut_until[agent] || self.dice.once_in(12) {
            return;
        }
        let copies = 1 + u64::from(self.dice.once_in(15));
        for _ in 0..copies {
            let late = if self.dice.once_in(25) { self.dice.below(20_000) } else { self.dice.below(400) } as u64;
            let copy = match &flying {
                Flying::ToAgent(agent, client, packet) => Flying::ToAgent(*agent, *client, packet.clone()),
                Flying::ToClient(client, packet) => Flying::ToClient(*client, packet.clone()),
            };
            self.put(late, copy);
        }
    }

    fn deliver(&mut self, flying: Flying) -> Result<(), Violation> {
        match flying {
            Flying::ToAgent(agent, client, packet) => {
                if !self.agents[agent].is_up {
                    return Ok(());
                }
                let heard = self.agents[agent].hear(&packet, self.now_ms);
                if let Some(address) = self.agents[agent].declined(&packet, self.now_ms) {
                    // Its record is on disk within moments; that much is given to it here.
                    self.agents[agent].sync();
                    self.declined.insert(address, self.now_ms + DECLINED_FOR_MS);
                }
                let Some((reply, waits)) = heard else { return Ok(()) };
                if waits {
                    let done = self.now_ms + self.dice.below(600) as u64;
                    self.waiting.push((agent, client, reply, done));
                } else {
                    self.fly(agent, Flying::ToClient(client, reply));
                }
            }
            Flying::ToClient(client, packet) => {
                let Some(heard) = Hears::decode(&packet) else { return Ok(()) };
                self.tally.covered += u64::from(heard.kind == Kind::Offer && heard.server == self.agents[1].address);
                let before = self.clients[client].held;
                if self.clients[client].hear(heard, self.now_ms) && client >= REGISTERED {
                    return self.refused(client, before.map(|held| held.address));
                }
                if self.clients[client].held != before && self.clients[client].held.is_some() {
                    self.tally.leases += 1;
                }
            }
        }
        Ok(())
    }

    /// I6: a share that moves is given up, so nobody is refused while its lease runs, either.
    fn refused(&mut self, client: usize, address: Option<Ipv4Addr>) -> Result<(), Violation> {
        self.broken(format!("I6: client {client} was refused {address:?} while it held it"))
    }

    fn check(&mut self) -> Result<(), Violation> {
        if self.tally.steps.is_multiple_of(NAMES_CHECKED_EVERY)
            && let Some(wrong) = self.agents.iter().filter(|agent| agent.is_up).find_map(|agent| agent.wrong_name(self.now_ms))
        {
            return self.broken(format!("I11: {wrong}"));
        }
        let mut holders = BTreeMap::<Ipv4Addr, usize>::new();
        for client in 0..CLIENTS {
            let Some(held) = self.clients[client].holds(self.now_ms) else { continue };
            if let Some(other) = holders.insert(held.address, client) {
                return self.broken(format!("I1: {} is held by client {other} and by client {client}", held.address));
            }
            let is_right = if client < REGISTERED { held.address == reserved(client) } else { held.address.octets()[3] < 200 };
            if !is_right {
                return self.broken(format!("I4: client {client} holds {}", held.address));
            }
            if self.declined.get(&held.address).is_some_and(|until| self.now_ms < *until) {
                return self.broken(format!("I4: client {client} holds {}, which was declined", held.address));
            }
        }
        Ok(())
    }

    fn broken<T>(&self, what: String) -> Result<T, Violation> {
        Err(Violation { after_ms: self.now_ms - BEGIN_MS, what })
    }
}
