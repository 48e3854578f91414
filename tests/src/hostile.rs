//! Changes that no honest app writes: mutated ones with repaired checksums, and hand-made bombs.
//!
//! Only `std` and `sha2` are used here: the core's own unit tests include this file too.

use sha2::{Digest, Sha256};

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
/// Chunk type of a plain change.
pub const PLAIN: u8 = 1;
/// Chunk type of a deflated change.
pub const DEFLATED: u8 = 2;

/// A small repeatable generator (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end` (0 if that is 0).
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.roll() % end as u64) as usize }
    }
}

/// Unsigned LEB128.
pub fn uleb(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Signed LEB128.
pub fn leb(mut value: i64, out: &mut Vec<u8>) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if (value == 0 && byte & 0x40 == 0) || (value == -1 && byte & 0x40 != 0) {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

/// A chunk around `body`, with its right length and checksum.
pub fn seal(chunk_type: u8, body: &[u8]) -> Vec<u8> {
    let mut head = vec![chunk_type];
    uleb(body.len() as u64, &mut head);
    let mut hasher = Sha256::new();
    hasher.update(&head);
    hasher.update(body);
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&hasher.finalize()[..4]);
    out.extend_from_slice(&head);
    out.extend_from_slice(body);
    out
}

/// The body of a chunk, without magic, checksum, type and length.
pub fn body(chunk: &[u8]) -> &[u8] {
    let length = chunk.iter().skip(9).position(|byte| byte & 0x80 == 0).unwrap_or(0);
    chunk.get(10 + length..).unwrap_or_default()
}

/// What a hand-made change claims.
pub struct Claim {
    /// Hashes that it builds on.
    pub deps: Vec<[u8; 32]>,
    /// Its author.
    pub actor: [u8; 16],
    /// Its number among the author's.
    pub seq: u64,
    /// Counter of its first operation.
    pub start_op: u64,
    /// Columns: id and content.
    pub columns: Vec<(u64, Vec<u8>)>,
}

impl Claim {
    /// A change that puts the integer 1 at `key` of the root map `count` times, by run headers alone.
    pub fn puts(deps: Vec<[u8; 32]>, actor: [u8; 16], start_op: u64, key: &str, count: i64) -> Self {
        let run = |value: &[u8]| {
            let mut out = Vec::new();
            // A single row is a literal run in the library's own encoding.
            leb(if count == 1 { -1 } else { count }, &mut out);
            out.extend_from_slice(value);
            out
        };
        let mut name = Vec::new();
        uleb(key.len() as u64, &mut name);
        name.extend_from_slice(key.as_bytes());
        let mut insert = Vec::new();
        uleb(count as u64, &mut insert);
        let columns = vec![(0x15, run(&name)), (0x34, insert), (0x42, run(&[1])), (0x56, run(&[0])), (0x70, run(&[0]))];
        Self { deps, actor, seq: 1, start_op, columns }
    }

    /// The change as it would be sent.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        uleb(self.deps.len() as u64, &mut out);
        self.deps.iter().for_each(|dep| out.extend_from_slice(dep));
        out.push(16);
        out.extend_from_slice(&self.actor);
        uleb(self.seq, &mut out);
        uleb(self.start_op, &mut out);
        out.extend_from_slice(&[0, 0, 0]);
        uleb(self.columns.len() as u64, &mut out);
        for (id, data) in &self.columns {
            uleb(*id, &mut out);
            uleb(data.len() as u64, &mut out);
        }
        self.columns.iter().for_each(|(_, data)| out.extend_from_slice(data));
        seal(PLAIN, &out)
    }
}

/// One random change of `bytes`, which are never empty after it.
pub fn scramble(bytes: &mut Vec<u8>, dice: &mut Dice) {
    if bytes.is_empty() {
        bytes.push(0);
    }
    let at = dice.below(bytes.len());
    match dice.below(8) {
        0 | 1 => bytes[at] ^= 1 << dice.below(8),
        2 => bytes[at] = dice.roll() as u8,
        3 => bytes.insert(at, dice.roll() as u8),
        4 => {
            bytes.remove(at);
        }
        5 => {
            let end = (at + 1 + dice.below(12)).min(bytes.len());
            let piece = bytes[at..end].to_vec();
            let to = dice.below(bytes.len());
            bytes.splice(to..to, piece);
        }
        6 => {
            let end = (at + 1 + dice.below(6)).min(bytes.len());
            bytes.drain(at..end);
        }
        _ => {
            let mut number = Vec::new();
            uleb(dice.roll() >> dice.below(64), &mut number);
            let end = (at + number.len()).min(bytes.len());
            bytes.splice(at..end, number);
        }
    }
    if bytes.is_empty() {
        bytes.push(0);
    }
}

/// A change with one to four random changes of its body, and a checksum that fits again.
pub fn mutate(change: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut out = body(change).to_vec();
    for _ in 0..=dice.below(4) {
        scramble(&mut out, dice);
    }
    seal(PLAIN, &out)
}
