/// A seeded source of broken inputs: the same seed gives the same inputs, on every machine.
#[derive(Debug, Clone)]
pub struct Mutator {
    state: u64,
}

/// Longer inputs only cost time: no target has a limit above this that a packet could reach.
const LIMIT_BYTES: usize = 1 << 16;
/// Numbers at which parsers stumble.
const EDGES: [u8; 8] = [0x00, 0x01, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff];

impl Mutator {
    /// A source for this seed.
    pub fn new(seed: u64) -> Self {
        // Zero is the one state that xorshift never leaves; the odd constant spreads small seeds.
        Self { state: (seed ^ 0x9e37_79b9_7f4a_7c15) | 1 }
    }

    /// One of the seeds with a few things wrong with it.
    pub fn mutate(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(4) {
            self.step(&mut input, seeds);
        }
        input.truncate(LIMIT_BYTES);
        input
    }

    fn step(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        if input.is_empty() {
            return input.push(self.next() as u8);
        }
        let at = self.below(input.len());
        match self.below(9) {
            0 => input[at] ^= 1 << self.below(8),
            1 => input[at] = self.next() as u8,
            2 => input[at] = EDGES[self.below(EDGES.len())],
            3 => input.truncate(at),
            4 => self.tweak_length(input, at),
            5 => drop(input.drain(at..(at + 1 + self.below(16)).min(input.len()))),
            6 => self.double(input, at),
            7 => self.splice(input, at, seeds),
            _ => (0..=self.below(8)).for_each(|_| input.insert(at, EDGES[self.below(EDGES.len())])),
        }
    }

    /// Moves a number of two bytes, in either order, by a little: what most length fields are.
    fn tweak_length(&mut self, input: &mut [u8], at: usize) {
        let Some(field) = input.get_mut(at..at + 2) else { return };
        let by = (self.below(9) as u16).wrapping_sub(4);
        let big_endian = self.below(2) == 0;
        let number = if big_endian { u16::from_be_bytes([field[0], field[1]]) } else { u16::from_le_bytes([field[0], field[1]]) };
        let moved = number.wrapping_add(by);
        field.copy_from_slice(&if big_endian { moved.to_be_bytes() } else { moved.to_le_bytes() });
    }

    /// Says a piece twice: options, attributes and records that stand there again.
    fn double(&mut self, input: &mut Vec<u8>, at: usize) {
        let end = (at + 1 + self.below(64)).min(input.len());
        let piece = input[at..end].to_vec();
        input.splice(end..end, piece);
    }

    /// Goes on with the tail of another seed.
    fn splice(&mut self, input: &mut Vec<u8>, at: usize, seeds: &[Vec<u8>]) {
        let other = &seeds[self.below(seeds.len())];
        input.truncate(at);
        input.extend_from_slice(&other[self.below(other.len() + 1)..]);
    }

    fn below(&mut self, limit: usize) -> usize {
        // The slight unevenness of the remainder does no harm here.
        (self.next() % limit.max(1) as u64) as usize
    }

    /// Marsaglia's xorshift64.
    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}
