//! Who lends what: from what pools there are and who lends now to who shall lend, without a step that could lend an address twice.

use holdfast_proto::words::NodeId;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Of ten addresses of a pool the agents at home lend so many, and those who stand in for them the others: enough to go on with
/// while home is dead, and seldom needed otherwise.
const HOME_OF_TEN: u64 = 7;
/// A gap of at most so many addresses goes to whoever lends what lies before it, so that shares do not fall into crumbs.
const CRUMB: u64 = 16;

/// Addresses from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stretch {
    pub(super) first: Ipv4Addr,
    pub(super) last: Ipv4Addr,
}

/// A stretch of one agent's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) stretch: Stretch,
    pub(super) owner: NodeId,
    /// Its agent lends it; otherwise it was told to lend no more.
    pub(super) is_lent: bool,
}

/// The agents that lend on a subnet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lenders {
    /// Those of its campus.
    pub(super) home: Vec<NodeId>,
    /// Those who stand in for them.
    pub(super) backup: Vec<NodeId>,
}

impl Stretch {
    pub(super) fn size(self) -> u64 {
        u64::from(self.last.to_bits() - self.first.to_bits()) + 1
    }

    fn of_bits(first: u64, last: u64) -> Self {
        let address = |bits: u64| Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX));
        Self { first: address(first), last: address(last) }
    }

    fn bits(self) -> (u64, u64) {
        (u64::from(self.first.to_bits()), u64::from(self.last.to_bits()))
    }

    /// Its first `count` addresses, and the others. `count` is at least one.
    fn split(self, count: u64) -> (Self, Option<Self>) {
        let (first, last) = self.bits();
        let end = last.min(first + count - 1);
        (Self::of_bits(first, end), (end < last).then(|| Self::of_bits(end + 1, last)))
    }

    /// What of it lies in `other`.
    fn within(self, other: Self) -> Option<Self> {
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        (first <= last).then_some(Self { first, last })
    }
}

impl Lenders {
    fn all(&self) -> impl Iterator<Item = NodeId> {
        self.home.iter().chain(&self.backup).copied()
    }

    /// How many of so many addresses each is to lend.
    fn targets(&self, total: u64) -> BTreeMap<NodeId, u64> {
        let of_home = match (self.home.is_empty(), self.backup.is_empty()) {
            (true, _) => 0,
            (_, true) => total,
            _ => total * HOME_OF_TEN / 10,
        };
        let parts = [(&self.home, of_home), (&self.backup, total - of_home)];
        parts.into_iter().flat_map(|(agents, part)| agents.iter().map(move |agent| (*agent, part / agents.len() as u64))).collect()
    }
}

/// What of `of` lies in none of `taken`. Both ascend, and nothing overlaps within either.
pub(super) fn without(of: &[Stretch], taken: impl IntoIterator<Item = Stretch> + Clone) -> Vec<Stretch> {
    let mut left = Vec::new();
    for stretch in of {
        let (mut at, last) = stretch.bits();
        for inner in taken.clone().into_iter().filter_map(|taken| taken.within(*stretch)) {
            let (begin, end) = inner.bits();
            if at < begin {
                left.push(Stretch::of_bits(at, begin - 1));
            }
            at = end + 1;
        }
        if at <= last {
            left.push(Stretch::of_bits(at, last));
        }
    }
    left
}

/// Who shall lend what: all pieces, ascending. `pools` are what may be lent, ascending and apart; `now` is how it is.
///
/// Whatever `now` is, of each address that an agent lends or may have lent the same agent is told in the outcome: it lends it
/// still or again, or was told to stop. Only addresses of nobody get a new agent.
pub(super) fn plan(pools: &[Stretch], now: &[Piece], lenders: &Lenders) -> Vec<Piece> {
    let mut planned = Plan { pieces: stopped_where_wrong(pools, now, lenders), lenders, targets: lenders.targets(pools.iter().map(|pool| pool.size()).sum()) };
    planned.take_back(pools);
    let was_handed_out = planned.hand_out(pools);
    if !was_handed_out {
        planned.make_room(pools);
    }
    planned.joined()
}

/// What is lent outside of the pools, or by an agent that lends here no more, stops.
fn stopped_where_wrong(pools: &[Stretch], now: &[Piece], lenders: &Lenders) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for piece in now {
        let inside: Vec<Stretch> = pools.iter().filter_map(|pool| piece.stretch.within(*pool)).collect();
        let outside = without(&[piece.stretch], inside.iter().copied());
        let may_lend = lenders.all().any(|agent| agent == piece.owner);
        pieces.extend(inside.into_iter().map(|stretch| Piece { stretch, is_lent: piece.is_lent && may_lend, ..*piece }));
        pieces.extend(outside.into_iter().map(|stretch| Piece { stretch, is_lent: false, ..*piece }));
    }
    pieces.sort_by_key(|piece| piece.stretch);
    pieces
}

struct Plan<'l> {
    pieces: Vec<Piece>,
    lenders: &'l Lenders,
    targets: BTreeMap<NodeId, u64>,
}

impl Plan<'_> {
    fn lent_by(&self, agent: NodeId) -> u64 {
        self.pieces.iter().filter(|piece| piece.is_lent && piece.owner == agent).map(|piece| piece.stretch.size()).sum()
    }

    fn missing_to(&self, agent: NodeId) -> u64 {
        self.targets.get(&agent).map_or(0, |target| target.saturating_sub(self.lent_by(agent)))
    }

    /// What an agent was told to give up, and what it should lend after all, it simply goes on lending.
    fn take_back(&mut self, pools: &[Stretch]) {
        for at in 0..self.pieces.len() {
            let Piece { stretch, owner, is_lent } = self.pieces[at];
            let is_inside = pools.iter().any(|pool| stretch.within(*pool) == Some(stretch));
            if !is_lent && is_inside && self.missing_to(owner) >= stretch.size() {
                self.pieces[at].is_lent = true;
            }
        }
    }

    /// What nobody has goes to those who lack something, in their order; whether there was any.
    fn hand_out(&mut self, pools: &[Stretch]) -> bool {
        let before = self.pieces.len();
        for free in without(pools, self.pieces.clone().into_iter().map(|piece| piece.stretch)) {
            let mut left = Some(free);
            while let Some(free) = left {
                let Some((agent, count)) = self.next_lender(free) else { break };
                let (stretch, rest) = free.split(count);
                let at = self.pieces.partition_point(|piece| piece.stretch < stretch);
                self.pieces.insert(at, Piece { stretch, owner: agent, is_lent: true });
                left = rest;
            }
        }
        self.pieces.len() > before
    }

    /// Who gets the beginning of this, and how much of it.
    fn next_lender(&self, free: Stretch) -> Option<(NodeId, u64)> {
        let ends_before = |piece: &&Piece| piece.is_lent && piece.stretch.bits().1 + 1 == free.bits().0;
        let is_crumb = free.size() <= CRUMB && self.newcomer().is_none();
        let neighbour = self.pieces.iter().find(ends_before).filter(|_| is_crumb);
        let lacking = || self.lenders.all().map(|agent| (agent, self.missing_to(agent))).find(|(_, missing)| *missing > 0);
        // What a division leaves over.
        let first = || self.lenders.all().next().map(|agent| (agent, free.size()));
        neighbour.map(|piece| (piece.owner, free.size())).or_else(lacking).or_else(first)
    }

    /// An agent that lends nothing and should.
    fn newcomer(&self) -> Option<NodeId> {
        self.lenders.all().find(|agent| self.targets[agent] > 0 && self.lent_by(*agent) == 0)
    }

    /// A newcomer gets room: whoever lends most over its part is told to stop at the end of it. One
    /// such move at a time; the next one waits until this is over.
    fn make_room(&mut self, pools: &[Stretch]) {
        let is_moving = self.pieces.iter().any(|piece| !piece.is_lent && pools.iter().any(|pool| piece.stretch.within(*pool).is_some()));
        let Some(newcomer) = self.newcomer().filter(|_| !is_moving) else { return };
        let over = |agent: &NodeId| self.lent_by(*agent).saturating_sub(self.targets[agent]);
        let Some(giver) = self.lenders.all().max_by_key(over) else { return };
        let mut wanted = over(&giver).min(self.targets[&newcomer]);
        for at in (0..self.pieces.len()).rev() {
            let Piece { stretch, owner, is_lent } = self.pieces[at];
            if wanted == 0 || !is_lent || owner != giver {
                continue;
            }
            if stretch.size() <= wanted {
                self.pieces[at].is_lent = false;
                wanted -= stretch.size();
            } else {
                let (kept, given) = stretch.split(stretch.size() - wanted);
                self.pieces[at].stretch = kept;
                self.pieces.splice(at + 1..at + 1, given.map(|stretch| Piece { stretch, owner, is_lent: false }));
                wanted = 0;
            }
        }
    }

    /// Neighbours of one agent in one piece.
    fn joined(self) -> Vec<Piece> {
        let mut joined: Vec<Piece> = Vec::with_capacity(self.pieces.len());
        for piece in self.pieces {
            match joined.last_mut() {
                Some(before)
                    if before.is_lent && piece.is_lent && before.owner == piece.owner && before.stretch.bits().1 + 1 == piece.stretch.bits().0 =>
                {
                    before.stretch.last = piece.stretch.last;
                }
                _ => joined.push(piece),
            }
        }
        joined
    }
}
