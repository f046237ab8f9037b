//! Everybody, their wires, and what happens to them.

use super::agent::{Agent, Served, position};
use super::attacker::Attacker;
use super::master::{INSTITUTION, Master};
use super::wire::{Sender, Wire};
use super::{Dice, FEEDS, STEP, Safeguard};
use holdfast_proto::control::{from_agent, from_master};
use holdfast_proto::snapshot::{Family, Feed, Grant, Kind, SigningKey, Trust, TrustDraft};
use holdfast_proto::words::{Epoch, Generation, NodeId, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Enough for a canary, for others, and for one that is slow.
const AGENTS: u8 = 4;
/// How long everybody may take to come to the newest generation when the faults end.
const SETTLE: Duration = Duration::from_secs(60);
/// How long a repeated past may go unnoticed: the limit of the line and a word that was on its way.
const NOTICE: Duration = Duration::from_secs(42);
/// How long somebody holds a line.
const FROZEN: Duration = Duration::from_secs(50);
/// Frames of one feed under way on one line: one, and those that an attacker's noise shook loose by being refused.
const UNDER_WAY_LIMIT: usize = 3;

/// A promise that was broken, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// How long the world had lived.
    pub after: Duration,
    /// Which promise, and how.
    pub what: String,
}

/// The whole of it.
#[derive(Debug)]
pub struct World {
    dice: Dice,
    begun: Instant,
    now: Instant,
    master: Master,
    agents: Vec<Agent>,
    wires: BTreeMap<NodeId, Wire>,
    /// Ends of lines that the master will hear of.
    endings: Vec<(Instant, NodeId, u64)>,
    attacker: Attacker,
    next_wire: u64,
    master_back_at: Option<Instant>,
    poisoned_at: Option<Instant>,
    /// The faults have ended.
    is_calm: bool,
    /// The boxes have real stores, on which everything is synced at once: nothing falls before its disk has what fells it.
    has_disks: bool,
    /// Who has ever applied what fells them.
    felled: BTreeSet<NodeId>,
    /// The highest that each has served and must not fall below.
    seen: BTreeMap<(NodeId, Feed), (Epoch, Generation)>,
    checked: BTreeMap<(NodeId, Feed), Served>,
    mended: usize,
}

impl World {
    /// A master, its agents and an attacker.
    pub fn new(seed: u64, without: Option<Safeguard>) -> Self {
        let now = Instant::now();
        let key = || SigningKey::generate().expect("there is randomness").0;
        let (root, signing, foreign) = (key(), key(), key());
        let believed = trust(&root, &[&signing]);
        let credulous = trust(&root, &[&signing, &foreign]);
        let agents = (1..=AGENTS).map(|number| Agent::new(number, believed.clone(), credulous.clone(), without, now)).collect();
        Self {
            dice: Dice::new(seed),
            begun: now,
            now,
            master: Master::new(signing, believed, without, now),
            agents,
            wires: BTreeMap::new(),
            endings: Vec::new(),
            attacker: Attacker::new(foreign),
            next_wire: 1,
            master_back_at: None,
            poisoned_at: None,
            is_calm: false,
            has_disks: false,
            felled: BTreeSet::new(),
            seen: BTreeMap::new(),
            checked: BTreeMap::new(),
            mended: 0,
        }
    }

    /// A world whose boxes have a real store each.
    pub fn on_disks(seed: u64) -> Self {
        let mut world = Self::new(seed, None);
        world.agents = world.agents.into_iter().map(Agent::on_disk).collect();
        world.has_disks = true;
        world
    }

    /// Lives this long with all its faults.
    pub fn live(&mut self, time: Duration) -> Result<(), Violation> {
        let until = self.now + time;
        while self.now < until {
            self.misfortune();
            self.edits();
            self.step()?;
        }
        Ok(())
    }

    /// The faults end; everybody must come to the newest generation.
    pub fn settle(&mut self) -> Result<(), Violation> {
        self.is_calm = true;
        self.wires.values_mut().for_each(|wire| wire.held_until = self.now);
        let frozen: Vec<NodeId> = self.wires.iter().filter(|(_, wire)| wire.frozen.is_some()).map(|(node, _)| *node).collect();
        frozen.into_iter().for_each(|node| self.break_wire(node));
        if self.poisoned_at.take().is_some() {
            self.start_master();
            self.master.publish(Feed::ZONE, Master::cure(), true, self.now);
        }
        let until = self.now + SETTLE;
        while self.now < until {
            self.step()?;
            // An edit now and then: what was given up is tried again with something newer.
            if self.master.is_up && self.dice.once_in(100) && self.now + SETTLE / 2 < until {
                self.edit(true);
            }
        }
        for agent in &self.agents {
            for (feed, store) in &agent.stores {
                let newest = self.master.latest.feeds[feed].position();
                if store.served().is_none_or(|served| served.at != newest) {
                    let held = store.served().map(|served| served.at);
                    return Err(self.violation(format!("I4: agent {} stays with {held:?} of {feed}, the master has {newest:?}", agent.node)));
                }
            }
        }
        Ok(())
    }

    fn violation(&self, what: String) -> Violation {
        Violation { after: self.now.duration_since(self.begun), what }
    }

    fn step(&mut self) -> Result<(), Violation> {
        self.now += STEP;
        self.move_master();
        self.repeat_the_past();
        for index in 0..self.agents.len() {
            self.move_agent(index);
        }
        self.check()
    }

    fn move_master(&mut self) {
        if self.master_back_at.is_some_and(|at| at <= self.now) {
            self.start_master();
        }
        if !self.master.is_up {
            return;
        }
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.endings).into_iter().partition(|(at, ..)| *at <= self.now);
        self.endings = later;
        due.into_iter().for_each(|(_, node, number)| self.master.gone(node, number, self.now));
        self.master.tick(self.now);
        let nodes: Vec<NodeId> = self.wires.keys().copied().collect();
        for node in nodes {
            if self.wires[&node].frozen.is_some() {
                continue;
            }
            while let Some((message, number)) = self.wires.get_mut(&node).and_then(|wire| Some((wire.arrives_up(self.now)?, wire.number))) {
                match self.master.hear(node, number, message, self.now) {
                    Ok(said) => self.say_down(node, said),
                    Err(()) => self.break_wire(node),
                }
            }
            let said = self.master.speak(node, self.now);
            self.say_down(node, said);
        }
    }

    /// A frozen line is the attacker's: its other end is not the master any more.
    fn repeat_the_past(&mut self) {
        let frozen = self.wires.iter().filter_map(|(node, wire)| wire.frozen.clone().map(|(since, word)| (*node, self.now.duration_since(since), word)));
        for (node, time, word) in frozen.collect::<Vec<_>>() {
            let Some(wire) = self.wires.get_mut(&node) else { continue };
            while wire.arrives_up(self.now).is_some() {}
            if time.as_millis() % 1000 == 0 {
                wire.send_down(word, Sender::Attacker, self.now, &mut self.dice);
            }
            if time > FROZEN {
                self.break_wire(node);
            }
        }
    }

    fn say_down(&mut self, node: NodeId, said: Vec<holdfast_proto::control::FromMaster>) {
        for message in said {
            // While something poisonous is out, nobody passes it on: that is not what the canary is for.
            if self.poisoned_at.is_none() {
                self.attacker.overhear(&message);
            }
            if let Some(wire) = self.wires.get_mut(&node) {
                wire.send_down(message, Sender::Master, self.now, &mut self.dice);
            }
        }
    }

    fn move_agent(&mut self, index: usize) {
        let (node, now) = (self.agents[index].node, self.now);
        if self.agents[index].line.is_none() && self.agents[index].dial_at <= now {
            if self.master.is_up { self.dial(index) } else { self.agents[index].dial_at = now + self.wait() }
        }
        let ticked = self.agents[index].tick(now);
        self.say_up(index, ticked);
        self.fetch(index);
        while let Some(message) = self.wires.get_mut(&node).and_then(|wire| wire.arrives_down(now)) {
            let sync = Duration::from_millis(self.dice.below(600) as u64);
            let heard = self.agents[index].hear(message, now, sync);
            self.say_up(index, heard);
            self.fall_if_poisoned(index);
        }
    }

    /// The second connection: slow, sometimes broken off, and somebody may answer on it in the master's place.
    fn fetch(&mut self, index: usize) {
        let node = self.agents[index].node;
        let is_open = self.master.is_up && self.wires.get(&node).is_some_and(|wire| wire.held_until <= self.now && !wire.is_dead && wire.frozen.is_none());
        if !is_open || !self.dice.once_in(8) {
            return;
        }
        if let Some(feed) = self.agents[index].mends.first().copied() {
            return self.mend(index, feed);
        }
        let Some(feed) = self.agents[index].fetches.first().copied() else { return };
        let Some((sealed, rows)) = self.master.whole(node, feed) else { return };
        let old = if self.is_calm { None } else { self.attacker.old_whole(feed, &mut self.dice) };
        if self.poisoned_at.is_none() {
            self.attacker.keep_whole(feed, sealed.clone(), rows.clone());
        }
        let (sealed, rows) = old.unwrap_or((sealed, rows));
        let said = self.agents[index].fetched(feed, &sealed, rows, self.now);
        self.say_up(index, Ok(said));
        self.fall_if_poisoned(index);
    }

    /// The same connection, for the rows of buckets.
    fn mend(&mut self, index: usize, feed: Feed) {
        let node = self.agents[index].node;
        let Some(mut arrived) = self.master.buckets(node, feed, &self.agents[index].stores[&feed].state) else { return };
        if let Some(asked) = arrived.clone() {
            let other = if self.is_calm { None } else { self.attacker.other_buckets(feed, &asked, &mut self.dice) };
            if self.poisoned_at.is_none() {
                self.attacker.keep_buckets(feed, asked.clone());
            }
            arrived = other.or(Some(asked));
        }
        let said = self.agents[index].mended(feed, arrived.as_ref(), self.now);
        self.mended += usize::from(said.iter().any(|said| matches!(said.message, Some(from_agent::Message::Ack(_)))));
        self.say_up(index, Ok(said));
        self.fall_if_poisoned(index);
    }

    /// How often somebody was set right by buckets alone.
    pub fn mended(&self) -> usize {
        self.mended
    }

    /// It falls, usually before its disk has it, and starts again with what it had.
    fn fall_if_poisoned(&mut self, index: usize) {
        if self.agents[index].is_poisoned() {
            self.felled.insert(self.agents[index].node);
            self.lose_power(index, false);
        }
    }

    fn say_up(&mut self, index: usize, said: Result<Vec<holdfast_proto::control::FromAgent>, ()>) {
        let node = self.agents[index].node;
        match said {
            Err(()) => self.break_wire(node),
            Ok(said) => {
                for message in said {
                    if let Some(wire) = self.wires.get_mut(&node) {
                        wire.send_up(message, self.now, &mut self.dice);
                    }
                }
            }
        }
    }

    fn dial(&mut self, index: usize) {
        let delay_ms = if index == 0 { 4000 } else { 40 };
        let mut wire = Wire::new(self.next_wire, delay_ms, self.now);
        self.next_wire += 1;
        let hello = self.agents[index].dial(self.now);
        wire.send_up(hello, self.now, &mut self.dice);
        let node = self.agents[index].node;
        if let Some(old) = self.wires.insert(node, wire) {
            self.endings.push((self.now, node, old.number));
        }
    }

    fn wait(&mut self) -> Duration {
        Duration::from_millis(50 + self.dice.below(800) as u64)
    }

    fn break_wire(&mut self, node: NodeId) {
        let wait = self.wait();
        if let Some(wire) = self.wires.remove(&node) {
            let told_at = self.now + Duration::from_millis(self.dice.below(1500) as u64);
            self.endings.push((told_at, node, wire.number));
        }
        if let Some(agent) = self.agents.iter_mut().find(|agent| agent.node == node) {
            agent.hang_up(self.now, wait);
        }
    }

    fn lose_power(&mut self, index: usize, disk_too: bool) {
        let node = self.agents[index].node;
        self.break_wire(node);
        let agent = &mut self.agents[index];
        agent.lose_power(disk_too);
        for (feed, store) in &agent.stores {
            // What was not synced may be lost, but not of what is synced first; a new disk loses all.
            if feed.kind == Kind::Zone || disk_too {
                self.seen.insert((node, *feed), position(store.serving()));
            }
            if disk_too {
                self.master.durable.remove(&(node, *feed));
            }
        }
    }

    fn stop_master(&mut self) {
        self.master.stop();
        let back = Duration::from_millis(500 + self.dice.below(3000) as u64);
        self.master_back_at = Some(self.now + back);
        let nodes: Vec<NodeId> = self.wires.iter().filter(|(_, wire)| wire.frozen.is_none()).map(|(node, _)| *node).collect();
        nodes.into_iter().for_each(|node| self.break_wire(node));
        self.endings.clear();
    }

    fn start_master(&mut self) {
        self.master_back_at = None;
        if !self.master.is_up {
            self.master.start(self.now);
        }
    }

    fn edits(&mut self) {
        if !self.master.is_up {
            return;
        }
        if self.poisoned_at.is_some_and(|at| self.now.duration_since(at) > Duration::from_secs(15)) {
            self.poisoned_at = None;
            self.master.publish(Feed::ZONE, Master::cure(), true, self.now);
        } else if !self.has_disks && self.poisoned_at.is_none() && self.master.canaries.on_trial().next().is_none() && self.dice.once_in(600) {
            self.poisoned_at = Some(self.now);
            self.master.named.clear();
            self.felled.clear();
            let changes = self.master.poison();
            self.master.publish(Feed::ZONE, changes, true, self.now);
        } else if self.dice.once_in(6) {
            let survives = !self.dice.once_in(100);
            self.edit(survives);
        }
    }

    /// One edit; the master may die between storing the generation and telling of it.
    fn edit(&mut self, survives: bool) {
        let (feed, changes) = self.master.edit(&mut self.dice);
        self.master.publish(feed, changes, survives, self.now);
        if !survives {
            self.stop_master();
        }
    }

    /// At most one thing goes wrong at a time, and often.
    fn misfortune(&mut self) {
        let index = self.dice.below(self.agents.len());
        let node = self.agents[index].node;
        // Whoever holds a line and repeats the past on it takes care that it does not break.
        if self.wires.get(&node).is_some_and(|wire| wire.frozen.is_some()) {
            return;
        }
        match self.dice.below(1000) {
            0..5 => self.break_wire(node),
            5..10 => self.hold(node),
            10..13 => self.wires.get_mut(&node).into_iter().for_each(|wire| wire.is_dead = true),
            13..15 => self.freeze(node),
            15..21 => self.lose_power(index, false),
            21..24 => self.lose_power(index, true),
            24..26 if self.master.is_up => self.stop_master(),
            26..28 => self.turn_clock(),
            28..68 => self.attack(node),
            _ => {}
        }
    }

    fn hold(&mut self, node: NodeId) {
        let until = self.now + Duration::from_millis(self.dice.below(8000) as u64);
        if let Some(wire) = self.wires.get_mut(&node) {
            wire.held_until = until;
        }
    }

    fn freeze(&mut self, node: NodeId) {
        let word = self.attacker.old_heartbeat(&mut self.dice);
        if let (Some(word), Some(wire)) = (word, self.wires.get_mut(&node)) {
            wire.frozen = Some((self.now, word));
        }
    }

    fn turn_clock(&mut self) {
        self.master.wall = [None, Some(UnixMillis(0)), Some(UnixMillis(4_070_908_800_000))][self.dice.below(3)];
    }

    fn attack(&mut self, node: NodeId) {
        if !self.master.is_up || self.poisoned_at.is_some() {
            return;
        }
        let feed = FEEDS[self.dice.below(FEEDS.len())];
        let stamp = self.master.stamp(self.now);
        let message = self.attacker.strike(self.master.latest.state(feed), stamp, &mut self.dice);
        if let (Some(message), Some(wire)) = (message, self.wires.get_mut(&node)) {
            wire.send_down(message, Sender::Attacker, self.now, &mut self.dice);
        }
    }

    fn check(&mut self) -> Result<(), Violation> {
        for index in 0..self.agents.len() {
            for feed in FEEDS {
                self.check_served(index, feed)?;
            }
            self.check_line(index)?;
        }
        if let Some(differs) = self.agents.iter().find_map(|agent| agent.real.as_ref()?.differs.clone()) {
            return Err(self.violation(differs));
        }
        match self.felled.iter().find(|node| !self.master.named.contains(*node)) {
            Some(node) => Err(self.violation(format!("poison reached agent {node}, whom nobody asked to try it"))),
            None => Ok(()),
        }
    }

    fn check_served(&mut self, index: usize, feed: Feed) -> Result<(), Violation> {
        let agent = &self.agents[index];
        let (node, store) = (agent.node, &agent.stores[&feed]);
        let served = store.served();
        let at = served.as_ref().map_or((Epoch(0), Generation(0)), |served| served.at);
        let highest = self.seen.get(&(node, feed)).copied().unwrap_or((Epoch(0), Generation(0)));
        if at < highest {
            return Err(self.violation(format!("I2: agent {node} went back from {highest:?} to {at:?} of {feed}")));
        }
        // What the services pass over is held all the same.
        let (floor, held) = (store.floor, if store.passes_over() { position(&store.state) } else { at });
        if at.1 > Generation(0) && held < floor {
            return Err(self.violation(format!("I2: agent {node} serves {at:?} of {feed}, and {floor:?} was durable there")));
        }
        let on_disk = store.disk.view().generation();
        if let Some(told) = self.master.durable.get(&(node, feed)).filter(|told| **told > on_disk) {
            return Err(self.violation(format!("I2: agent {node} called {told} of {feed} durable, and its disk has {on_disk}")));
        }
        if let Some(served) = served.filter(|served| self.checked.get(&(node, feed)) != Some(served)) {
            if self.master.history.get(&(feed, at.0, at.1)) != Some(&served.rows) {
                return Err(self.violation(format!("I3: agent {node} serves rows of {feed} that were not signed for {at:?}")));
            }
            self.checked.insert((node, feed), served);
        }
        self.seen.insert((node, feed), at);
        Ok(())
    }

    fn check_line(&self, index: usize) -> Result<(), Violation> {
        let agent = &self.agents[index];
        let Some(wire) = self.wires.get(&agent.node) else { return Ok(()) };
        let stands = agent.line.is_some() && wire.held_until <= self.now && !wire.is_dead;
        if let Some((since, _)) = wire.frozen.as_ref().filter(|(since, _)| stands && self.now.duration_since(*since) > NOTICE && !agent.is_stale) {
            return Err(self.violation(format!("agent {} hears the past since {:?} and believes it", agent.node, self.now.duration_since(*since))));
        }
        for feed in FEEDS {
            let of_feed = |message: &&holdfast_proto::control::FromMaster| matches!(&message.message, Some(from_master::Message::Frame(frame)) if frame.feed == Some(feed.into()));
            let under_way = wire.under_way().filter(of_feed).count();
            if under_way > UNDER_WAY_LIMIT {
                return Err(self.violation(format!("I7: {under_way} frames of {feed} are under way to agent {}", agent.node)));
            }
        }
        Ok(())
    }
}

/// The root believes these keys for the master's feeds.
fn trust(root: &SigningKey, keys: &[&SigningKey]) -> Trust {
    let kinds = [(Kind::Zone, Family::Whole), (Kind::Auth, Family::Access), (Kind::Trust, Family::Whole)];
    let grants = keys.iter().flat_map(|key| kinds.map(|(kind, family)| Grant { key: key.public(), kind, family })).collect();
    let (name, authorities) = ("University of Examples".to_owned(), Vec::new());
    let draft = TrustDraft { version: 1, institution: INSTITUTION, name, epoch: Epoch(1), threshold: 1, roots: vec![root.public()], grants, authorities };
    draft.sign(&[root]).expect("the root signs")
}
